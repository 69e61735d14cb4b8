package store_test

import (
	"context"
	"slices"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/carillon-io/carillon/store"
	"github.com/carillon-io/carillon/store/storetest"
)

// What sweepers, and those who open and retire segments, do in the model test.

// sweeperRun is a sweeper that has handed its lease back, and does not know it.
type sweeperRun struct {
	partition store.Partition
	token     store.Token
}

// drawSlot draws one of the slots.
func (m *model) drawSlot() *slotOracle {
	return m.slots[rapid.IntRange(0, len(m.slots)-1).Draw(m.T, "slot")]
}

// sweep sweeps every segment of a slot until nothing is left to be moved.
func (m *model) sweep() {
	slot, s := m.drawSlot(), m.process()
	limit := rapid.SampledFrom([]int{1, 2, 100}).Draw(m.T, "limit")
	network := m.network()
	for _, segment := range append(slices.Clone(slot.sealed), slot.open) {
		p := store.Partition{Slot: slot.number, Segment: segment}
		token, err := s.AcquireSweep(m.ctx(), p, m.unused("sweeper"))
		require.NoError(m, err)
		want, full := slot.sweep(segment)
		m.swept(s, p, token, limit, network, want)
		out, err := s.Sweep(m.ctx(), p, token, limit)
		require.NoError(m, err)
		next := slot.nextDue(segment)
		require.Equal(m, store.SweepResult{QueueFull: full, NextDue: out.NextDue}, out, "nothing is left to be moved")
		if next == 0 {
			require.True(m, out.NextDue.IsZero())
		} else {
			require.Equal(m, next, out.NextDue.UnixMilli())
		}
		require.NoError(m, s.ReleaseSweep(m.ctx(), p, token))
		m.sweepers = append(m.sweepers, sweeperRun{p, token})
	}
}

// swept sweeps for as long as there is more. How much a call moves whose answer is lost nobody learns.
func (m *model) swept(s *store.Redis, p store.Partition, token store.Token, limit int, n network, want int) {
	ctx, moved := m.ctx(), 0
	switch n {
	case repeats:
		ctx = storetest.Twice(ctx)
	case loses:
		_, err := s.Sweep(storetest.Lost(ctx), p, token, limit)
		require.ErrorIs(m, err, storetest.ErrLost)
	}
	for more := true; more; {
		out, err := s.Sweep(ctx, p, token, limit)
		require.NoError(m, err)
		require.LessOrEqual(m, out.Moved, limit)
		moved, more = moved+out.Moved, out.More
	}
	if n == fine {
		require.Equal(m, want, moved)
	}
}

// oldSweeper is a sweeper that was frozen: it moves nothing.
func (m *model) oldSweeper() {
	if len(m.sweepers) == 0 {
		m.Skip("no sweeper has been replaced")
	}
	old := rapid.SampledFrom(m.sweepers).Draw(m.T, "sweeper")
	_, err := m.process().Sweep(m.ctx(), old.partition, old.token, 100)
	require.ErrorIs(m, err, store.ErrLeaseLost)
}

// segments opens a segment, and retires what is empty.
func (m *model) segments() {
	slot, s := m.drawSlot(), m.process()
	if rapid.Bool().Draw(m.T, "open") {
		next, got := calls(m, m.network(), once(func() int {
			slot.sealed = append(slot.sealed, slot.open)
			slot.open++
			return slot.open
		}), func(sealing int) func(context.Context) (int, error) {
			return func(ctx context.Context) (int, error) { return s.OpenSegment(ctx, slot.number, sealing) }
		}(slot.open))
		require.Equal(m, next, got)
	}
	for _, segment := range slices.Clone(slot.sealed) {
		empty := slot.nextDue(segment) == 0
		_, retired := calls(m, m.network(), func() bool { return empty }, func(ctx context.Context) (bool, error) {
			return s.RetireSegment(ctx, store.Partition{Slot: slot.number, Segment: segment})
		})
		require.Equal(m, empty, retired)
		if retired {
			slot.sealed = slices.DeleteFunc(slot.sealed, func(n int) bool { return n == segment })
		}
	}
}
