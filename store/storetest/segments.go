package storetest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/store"
)

// openSegment opens the next segment of slot 0.
func (f *fixture) openSegment(sealing, want int) {
	f.Helper()
	open, err := f.OpenSegment(f.Context(), 0, sealing)
	require.NoError(f, err)
	require.Equal(f, want, open)
}

func (f *fixture) segments() []store.Segment {
	f.Helper()
	out, err := f.Segments(f.Context())
	require.NoError(f, err)
	return out
}

func (f *fixture) retire(segment int) bool {
	f.Helper()
	done, err := f.RetireSegment(f.Context(), store.Partition{Segment: segment})
	require.NoError(f, err)
	return done
}

var segmentCases = []testCase{
	{"a new group", store.Options{Slots: 2}, func(f *fixture) {
		require.Equal(f, []store.Segment{
			{Partition: store.Partition{Slot: 0}, Open: true}, {Partition: store.Partition{Slot: 1}, Open: true},
		}, f.segments())
	}},
	{"open, seal, retire", store.Options{}, func(f *fixture) {
		old := f.create(f.spec(time.Hour)).TimerID
		f.openSegment(0, 1)
		f.openSegment(0, 1) // somebody was faster
		fresh := f.create(f.spec(time.Hour)).TimerID
		require.Equal(f, []store.Segment{
			{Partition: store.Partition{Segment: 0}, Entries: 1},
			{Partition: store.Partition{Segment: 1}, Open: true, Entries: 1},
		}, f.segments())
		require.False(f, f.retire(0), "it is not empty")
		require.False(f, f.retire(1), "it is open")
		require.NoError(f, f.cancel(byID(old)))
		require.True(f, f.retire(0))
		require.True(f, f.retire(0), "it is gone already")
		require.Len(f, f.segments(), 1)
		require.NoError(f, f.cancel(byID(fresh)))
		require.False(f, f.retire(1), "it is open, if empty")
	}},
	{"a lease on a segment that is retired", store.Options{}, func(f *fixture) {
		token, err := f.AcquireSweep(f.Context(), store.Partition{}, "a")
		require.NoError(f, err)
		f.openSegment(0, 1)
		require.True(f, f.retire(0))
		_, err = f.Sweep(f.Context(), store.Partition{}, token, 10)
		require.ErrorIs(f, err, store.ErrLeaseLost)
	}},
	{"creates follow to the open one", store.Options{}, func(f *fixture) {
		stale := f.process()
		f.openSegment(0, 1)
		for _, create := range []struct {
			name string
			spec carillon.TimerSpec
		}{{"minted", f.spec(time.Hour)}, {"named", f.named("n", time.Hour)}, {"due", f.spec(time.Second)}} {
			stale := f.process()
			f.openSegment(f.segments()[len(f.segments())-1].Segment, f.segments()[len(f.segments())-1].Segment+1)
			out, err := stale.Create(f.Context(), carillon.CreateTimersInput{Timers: []carillon.TimerSpec{create.spec}})
			require.NoError(f, err)
			require.NoError(f, asError(out.Timers[0].Error), create.name)
		}
		_, err := stale.Create(f.Context(), carillon.CreateTimersInput{Timers: []carillon.TimerSpec{f.spec(time.Hour)}})
		require.NoError(f, err)
		for _, seg := range f.segments() {
			if seg.Segment == 0 {
				require.Zero(f, seg.Entries)
			}
		}
	}},
	{"changes follow to the open one", store.Options{}, func(f *fixture) {
		l := f.lane()
		retried, e := l.due(f.spec(0))
		_, firing := l.take(e)
		moved := f.create(f.spec(time.Hour)).TimerID
		dead := l.dead(f.spec(0))
		_, err := f.process().OpenSegment(f.Context(), 0, 0) // behind this process's back
		require.NoError(f, err)
		f.reschedule(moved, 2*time.Hour)
		_, err = f.process().OpenSegment(f.Context(), 0, 1)
		require.NoError(f, err)
		require.True(f, l.complete(e, firing, store.CompleteRetry, f.in(time.Hour).UnixMilli()))
		_, err = f.process().OpenSegment(f.Context(), 0, 2)
		require.NoError(f, err)
		out, err := f.Redrive(f.Context(), carillon.RedriveTimersInput{Timers: []carillon.TimerRef{byID(dead)}})
		require.NoError(f, err)
		require.NoError(f, asError(out.Timers[0].Error))
		require.True(f, f.retire(0))
		require.NoError(f, f.cancel(byID(retried)))
		require.NoError(f, f.cancel(byID(moved)))
		require.True(f, f.retire(1))
		require.True(f, f.retire(2))
	}},
	{"drained by a sweeper", store.Options{}, func(f *fixture) {
		f.create(f.spec(time.Minute))
		f.create(f.spec(3 * time.Hour))
		f.openSegment(0, 1)
		f.advance(time.Minute)
		require.Equal(f, 1, f.sweep(store.Partition{}).Moved)
		require.False(f, f.retire(0))
		f.advance(3 * time.Hour)
		require.Equal(f, 1, f.sweep(store.Partition{}).Moved)
		require.True(f, f.retire(0))
		l := f.lane()
		require.Len(f, l.read(), 2)
	}},
	{"windows that were emptied behind its back", store.Options{}, func(f *fixture) {
		for i := range 5 {
			id := f.create(f.spec(time.Duration(i+1) * time.Hour)).TimerID
			require.NoError(f, f.cancel(byID(id)))
		}
		f.openSegment(0, 1)
		require.True(f, f.retire(0))
	}},
}
