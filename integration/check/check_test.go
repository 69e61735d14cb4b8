package check_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/integration/check"
)

func id(n uint64) carillon.ID { return carillon.NewID(0, 0, carillon.MintedUnique(1, n)) }

func TestLedgerFindsEachBrokenPromise(t *testing.T) {
	t.Parallel()
	due := time.UnixMilli(1_000_000)
	l := check.NewLedger()
	for n := range uint64(6) {
		l.Asked(id(n), due, check.ExactlyOnce)
	}
	l.Asked(id(7), due, check.AtLeastOnce)
	l.Received(id(0), due, due.Add(3*time.Millisecond)) // as it should be
	l.Received(id(1), due, due.Add(-time.Millisecond))  // early
	l.Received(id(2), due, due)                         // twice
	l.Received(id(2), due, due)
	l.Cancelled(id(3)) // as it should be
	l.Cancelled(id(4)) // fired all the same
	l.Received(id(4), due, due)
	// 5 is lost
	l.Received(id(6), due, due) // nobody asked
	l.Received(id(7), due, due) // twice, as allowed
	l.Received(id(7), due, due)

	r := l.Report(0)
	require.Equal(t, 7, r.Created)
	require.Equal(t, 5, r.Fired)
	require.Equal(t, 2, r.Cancelled)
	require.Equal(t, 1, r.Lost)
	require.Equal(t, 1, r.Early)
	require.Equal(t, time.Millisecond, r.EarlyBy)
	require.Equal(t, 2, r.Duplicates)
	require.Equal(t, 2, r.Unexpected)
	require.Len(t, r.Broken, 5, r.String())
	require.Zero(t, l.Report(time.Millisecond).Early, "what the clock cannot tell is not early")
}

// What a timer was put off to is what counts.
func TestLedgerKnowsTheTimeThatWasAskedForLast(t *testing.T) {
	t.Parallel()
	due, later := time.UnixMilli(1_000_000), time.UnixMilli(1_060_000)
	l := check.NewLedger()
	for n := range uint64(4) {
		effects := check.ExactlyOnce
		if n >= 2 {
			effects = check.AtLeastOnce
		}
		l.Asked(id(n), due, effects)
		l.Asked(id(n), later, effects)
	}
	l.Received(id(0), later, later) // as it should be
	l.Received(id(1), due, later)   // in time, for the time that does not count any more
	l.Received(id(2), due, due)     // an attempt before it was put off
	l.Received(id(2), later, later)
	l.Received(id(3), due, due) // only that

	r := l.Report(0)
	require.Equal(t, 1, r.Early)
	require.Equal(t, time.Minute, r.EarlyBy)
	require.Equal(t, 1, r.Lost)
	require.Len(t, r.Broken, 2, r.String())
}
