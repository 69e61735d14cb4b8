package storetest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/store"
)

// longest is longer than a lane that has handed its lease over may go on completing.
const longest = 2 * time.Minute

// handover makes a test of both ways to hand a lane over: the holder says that it is leaving and somebody asks, or it
// releases the lease.
func handover(name string, test func(f *fixture, hand func(l *lane) *lane)) []testCase {
	return []testCase{
		{name + " when it leaves", store.Options{}, func(f *fixture) {
			test(f, func(l *lane) *lane {
				require.NoError(f, l.store.LeaveLane(f.Context(), l.id, l.token))
				return f.laneOf(f.process(), l.id)
			})
		}},
		{name + " when it is released", store.Options{}, func(f *fixture) {
			test(f, func(l *lane) *lane {
				require.NoError(f, l.store.ReleaseLane(f.Context(), l.id, l.token))
				return f.laneOf(f.process(), l.id)
			})
		}},
	}
}

var handoverCases = join(
	handover("what is under way is completed", func(f *fixture, hand func(l *lane) *lane) {
		old := f.lane()
		id, e := old.due(f.spec(0))
		_, firing := old.take(e)
		l := hand(old)
		require.Equal(f, []string{e.ID}, ids(l.adopt()))
		again := l.fetchOne(e)
		answer := l.claimWith(e, again)
		require.Equal(f, store.ClaimHold, answer.Status, "it is being delivered")
		require.Greater(f, answer.Due, f.now().UnixMilli())
		require.ErrorIs(f, f.cancel(byID(id)), carillon.ErrTooLate)
		require.True(f, old.complete(e, firing, store.CompleteFired, 0))
		require.Equal(f, store.ClaimGone, l.claimWith(e, again).Status)
		require.Equal(f, carillon.StateFired, f.state(id))
		require.EqualValues(f, 1, f.count().Fired)
	}),
	handover("what failed is tried again by the next holder", func(f *fixture, hand func(l *lane) *lane) {
		old := f.lane()
		_, e := old.due(f.spec(0))
		_, firing := old.take(e)
		l := hand(old)
		require.Len(f, l.adopt(), 1)
		require.True(f, old.complete(e, firing, store.CompleteRetry, f.in(-time.Second).UnixMilli()))
		l.after = e.ID
		next := l.readOne()
		answer, again := l.take(next)
		require.Equal(f, 2, answer.Attempt)
		require.True(f, l.complete(next, again, store.CompleteFired, 0))
	}),
	handover("what is never completed is taken over", func(f *fixture, hand func(l *lane) *lane) {
		old := f.lane()
		_, e := old.due(f.spec(0))
		_, firing := old.take(e)
		l := hand(old)
		require.Len(f, l.adopt(), 1)
		hold := l.claimWith(e, firing)
		require.Equal(f, store.ClaimHold, hold.Status)
		f.advance(time.UnixMilli(hold.Due).Sub(f.now()) + time.Millisecond)
		answer, again := l.take(e)
		require.Equal(f, 2, answer.Attempt)
		require.False(f, old.complete(e, firing, store.CompleteFired, 0), "the claim is the next holder's by now")
		require.True(f, l.complete(e, again, store.CompleteFired, 0))
	}),
	handover("nothing new for the old holder", func(f *fixture, hand func(l *lane) *lane) {
		old := f.lane()
		_, e := old.due(f.mail(0))
		firing := old.fetchOne(e)
		hand(old)
		_, err := f.Read(f.Context(), old.id, old.token, "", 10)
		require.ErrorIs(f, err, store.ErrLeaseLost)
		_, err = f.Claim(f.Context(), old.id, old.token, []store.Claim{{Entry: e, Firing: firing, Timeout: claimTimeout}})
		require.ErrorIs(f, err, store.ErrLeaseLost)
		require.False(f, old.complete(e, firing, store.CompleteFired, 0), "it never claimed this one")
		require.Zero(f, f.mailbox("g").len())
	}),
	handover("not for ever", func(f *fixture, hand func(l *lane) *lane) {
		old := f.lane()
		_, e := old.due(f.spec(0))
		_, firing := old.take(e)
		hand(old)
		f.advance(longest)
		done := []store.Completion{{Entry: e, Firing: firing, Kind: store.CompleteFired}}
		_, err := f.Complete(f.Context(), old.id, old.token, done)
		require.ErrorIs(f, err, store.ErrLeaseLost)
	}),
	[]testCase{
		{"a holder that leaves goes on until somebody asks", store.Options{}, func(f *fixture) {
			l := f.lane()
			require.NoError(f, f.LeaveLane(Twice(f.Context()), l.id, l.token))
			_, e := l.due(f.spec(0))
			_, firing := l.take(e)
			require.True(f, l.complete(e, firing, store.CompleteFired, 0))
			next := f.lane()
			require.ErrorIs(f, f.LeaveLane(f.Context(), l.id, l.token), store.ErrLeaseLost)
			_, err := f.AcquireLane(f.Context(), next.id, "third")
			require.ErrorIs(f, err, store.ErrLeaseHeld, "the next one is not leaving")
		}},
		{"one that was frozen has not handed over", store.Options{}, func(f *fixture) {
			old := f.lane()
			_, e := old.due(f.spec(0))
			_, firing := old.take(e)
			f.lapse()
			l := f.lane()
			require.Len(f, l.adopt(), 1)
			require.NoError(f, f.ReleaseLane(f.Context(), old.id, old.token), "too late to hand over")
			done := []store.Completion{{Entry: e, Firing: firing, Kind: store.CompleteFired}}
			_, err := f.Complete(f.Context(), old.id, old.token, done)
			require.ErrorIs(f, err, store.ErrLeaseLost)
			l.take(e)
		}},
		{"a read of nothing renews", store.Options{}, func(f *fixture) {
			f.fill(1)
			l := f.lane()
			for range 3 {
				f.advance(f.Options().LaneTTL * 6 / 10)
				entries, err := f.Read(f.Context(), l.id, l.token, "", 0)
				require.NoError(f, err)
				require.Empty(f, entries)
			}
			_, err := f.AcquireLane(f.Context(), l.id, "other")
			require.ErrorIs(f, err, store.ErrLeaseHeld)
		}},
	},
)
