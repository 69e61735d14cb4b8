package firing_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/activities/firing"
	"github.com/carillon-io/carillon/store"
	"github.com/carillon-io/carillon/store/redistest"
	"github.com/carillon-io/carillon/store/storetest"
)

// A lane is frozen while it waits for entries and holds some. Another one takes over, and fires them and the one that ends the
// wait. When the first one wakes, it finds an entry announced, and reads nothing, claims nothing and delivers nothing.
func TestFrozenLaneWakesInABlockedRead(t *testing.T) {
	t.Parallel()
	s, client := openAt(t, redistest.URL(t), ahead())
	frozen := &freezer{Redis: s}
	stale, fresh := newReceiver(s, nil), newReceiver(s, nil)
	l, first := startFrozenLane(t, frozen, stale)
	create(t, s, carillon.TimerSpec{ClientID: "client", Delay: time.Hour, Target: carillon.ToMailbox()},
		carillon.TimerSpec{ClientID: "client", Delay: time.Hour, Target: carillon.ToSignal("w", "s")})
	eventually(t, "the first lane holds both", func() bool { return l.Status().Held == 2 })
	frozen.block()
	thaw := frozen.freeze()
	token := l.Status().Lease

	storetest.Shift(t, s, client, 90*time.Minute) // the lease lapses, and both are due
	second, _ := startLane(t, s, 0, "second", fresh)
	eventually(t, "both are fired", func() bool { return count(t, s).Fired == 2 })
	create(t, s, carillon.TimerSpec{ClientID: "client", Delay: 1, Target: carillon.ToMailbox()}) // this ends the wait
	drainMailbox(t, s, "client", 2)
	held := second.Status().Lease

	thaw()
	require.ErrorIs(t, first.wait(t), store.ErrLeaseLost)
	consumers, err := client.XInfoConsumers(t.Context(), "carillon:{"+s.Group()+":0}:fire", "fire").Result()
	require.NoError(t, err)
	for _, c := range consumers {
		require.NotEqual(t, token, c.Name, "it has read nothing")
		require.Zero(t, c.Pending)
	}
	_, deliveries, _ := stale.counts()
	require.Zero(t, deliveries)
	keys, deliveries, early := fresh.counts()
	require.Equal(t, []int{1, 1, 0}, []int{keys, deliveries, early})
	require.Zero(t, l.Status().Fired)
	require.Equal(t, held, second.Status().Lease, "the second one was not disturbed")
	drainMailbox(t, s, "client", 0)
	require.Equal(t, carillon.CountTimersResult{Created: 3, Fired: 3}, count(t, s))
	storetest.CheckInvariants(t, s, client)
}

// What a dead lane held is taken over as soon as its lease has lapsed, however short it was held; a lane that lives keeps
// what it holds.
func TestDeadLaneIsAdoptedAtOnce(t *testing.T) {
	t.Parallel()
	s, client := openAt(t, redistest.URL(t), ahead())
	timers := func(n int) {
		specs := make([]carillon.TimerSpec, n)
		for i := range specs {
			specs[i] = carillon.TimerSpec{ClientID: "client", Delay: time.Hour, Target: carillon.ToMailbox()}
		}
		create(t, s, specs...)
	}
	const left, kept = 1200, 100 // more than one call adopts
	frozen := &freezer{Redis: s}
	dead, first := startFrozenLane(t, frozen, newReceiver(s, nil))
	timers(left)
	eventually(t, "the first lane holds them", func() bool { return dead.Status().Held == left })
	thaw := frozen.freeze()
	eventually(t, "its lease has lapsed", func() bool {
		p, err := s.ListPartitions(t.Context())
		return err == nil && p.Lanes[0].Holder == ""
	})

	other, _ := startLaneWith(t, firing.Options{
		Store: s, Lane: store.LaneID{Lane: 1}, Worker: "other", Deliverer: newReceiver(s, nil), HandOver: -1,
	})
	timers(kept)
	eventually(t, "the other lane holds what is new", func() bool { return other.Status().Held == kept })
	next, _ := startLane(t, s, 0, "next", newReceiver(s, nil))
	eventually(t, "the next lane has taken over", func() bool { return next.Status().Held == left })
	require.EqualValues(t, kept, other.Status().Held)

	storetest.Shift(t, s, client, 90*time.Minute)
	drainMailbox(t, s, "client", left+kept)
	thaw()
	require.ErrorIs(t, first.wait(t), store.ErrLeaseLost)
	require.Equal(t, carillon.CountTimersResult{Created: left + kept, Fired: left + kept}, count(t, s))
	storetest.CheckInvariants(t, s, client)
}
