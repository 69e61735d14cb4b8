package firing_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/activities/firing"
	"github.com/carillon-io/carillon/activities/target"
	"github.com/carillon-io/carillon/store"
)

// load creates timers that are due one after the other from now on, half of them to a mailbox.
func load(t *testing.T, s *store.Redis, n int, over time.Duration) {
	t.Helper()
	base := s.Clock(0).Now()
	var timers []carillon.TimerSpec
	for i := range n {
		spec := carillon.TimerSpec{
			ClientID: "client", FireAt: base.Add(time.Duration(i) * over / time.Duration(n)), Target: carillon.ToMailbox(),
		}
		if i%2 == 0 {
			spec.Target = carillon.ToSignal("workflow", "signal")
		}
		timers = append(timers, spec)
	}
	create(t, s, timers...)
}

// startLeavingLane starts a lane that waits long to be relieved, so that nothing depends on how fast that is.
func startLeavingLane(t *testing.T, s *store.Redis, d target.Deliverer) (*firing.Lane, *running) {
	t.Helper()
	return startLaneWith(t, firing.Options{Store: s, Worker: "first", Deliverer: d, Concurrency: 8, HandOver: deadline})
}

func TestLaneThatIsToldToStopHandsOverWithoutAGap(t *testing.T) {
	t.Parallel()
	s := open(t, store.Options{Slots: 1})
	const n = 2000
	r := newReceiver(s, nil)
	first, leaving := startLeavingLane(t, s, r)
	eventually(t, "the first lane has the lease", func() bool { return first.Status().Lease != "" })
	second, _ := startLane(t, s, 0, "second", r)
	load(t, s, n, 2*time.Second)
	eventually(t, "the first lane is firing", func() bool { return first.Status().Fired > n/10 })

	leaving.stop()
	require.NoError(t, leaving.wait(t), "it was relieved")
	eventually(t, "the second lane knows that it has the lease", func() bool { return second.Status().Lease != "" })
	t.Logf("latest in the mailbox: %s", drainMailbox(t, s, "client", n/2))
	eventually(t, "everything is fired", func() bool {
		c, err := s.Count(t.Context(), carillon.CountTimersInput{})
		return err == nil && c.Fired == n
	})
	keys, deliveries, early := r.counts()
	require.Equal(t, []int{n / 2, n / 2, 0}, []int{keys, deliveries, early}, "nothing twice, nothing early")
	eventually(t, "the second lane has counted what it fired", func() bool { return second.Status().Fired > 0 })
}

func TestLeavingLaneCompletesWhatItIsDelivering(t *testing.T) {
	t.Parallel()
	s := open(t, store.Options{Slots: 1})
	gate, begun := make(chan struct{}), make(chan struct{})
	r := newReceiver(s, func(*target.Delivery) error {
		close(begun)
		<-gate
		return nil
	})
	watched := &lossWatcher{Redis: s, lost: make(chan struct{})}
	_, leaving := startLaneWith(t, firing.Options{Store: watched, Worker: "first", Deliverer: r, HandOver: deadline})
	id := create(t, s, carillon.TimerSpec{ClientID: "client", Delay: 1, Target: carillon.ToSignal("w", "s")})[0].TimerID
	<-begun
	second, _ := startLane(t, s, 0, "second", r)
	leaving.stop()
	eventually(t, "the second lane has taken over", func() bool { return second.Status().Lease != "" })
	require.Equal(t, carillon.StateFiring, state(t, s, id).State)
	<-watched.lost // the lane knows that it has been relieved before its delivery ends
	close(gate)
	require.NoError(t, leaving.wait(t))
	require.Equal(t, carillon.StateFired, state(t, s, id).State, "completed under the old token")
	_, deliveries, _ := r.counts()
	require.Equal(t, 1, deliveries)
}

func TestLaneThatLostItsLeaseWritesNothing(t *testing.T) {
	t.Parallel()
	s := open(t, store.Options{Slots: 1, LaneTTL: 100 * time.Millisecond})
	gate, begun := make(chan struct{}), make(chan struct{}, 1)
	slow := newReceiver(s, nil)
	slow.answer = func(*target.Delivery) error {
		begun <- struct{}{}
		<-gate
		return nil
	}
	// A store that stops answering is what a frozen lane sees of the world.
	frozen := &freezer{Redis: s}
	l, first := startFrozenLane(t, frozen, slow)
	eventually(t, "the first lane has the lease", func() bool { return l.Status().Lease != "" })
	id := create(t, s, carillon.TimerSpec{ClientID: "client", Delay: 1, Target: carillon.ToSignal("w", "s")})[0].TimerID
	<-begun
	thaw := frozen.freeze()

	fast := newReceiver(s, nil)
	_, _ = startLane(t, s, 0, "second", fast)
	eventually(t, "the second lane has fired it", func() bool { return state(t, s, id).State == carillon.StateFired })
	before := state(t, s, id)
	close(gate)
	thaw()
	require.ErrorIs(t, first.wait(t), store.ErrLeaseLost)
	require.Equal(t, before, state(t, s, id))
	c, err := s.Count(t.Context(), carillon.CountTimersInput{})
	require.NoError(t, err)
	require.Equal(t, carillon.CountTimersResult{Created: 1, Fired: 1}, c)
	require.Equal(t, 2, before.Attempts)
}

func TestLaneWaitsWhileTheStoreIsAway(t *testing.T) {
	t.Parallel()
	s := open(t, store.Options{Slots: 1})
	frozen := &freezer{Redis: s, fail: errors.New("connection refused")}
	l, _ := startFrozenLane(t, frozen, newReceiver(s, nil))
	eventually(t, "the lane has the lease", func() bool { return l.Status().Lease != "" })
	thaw := frozen.freeze()
	create(t, s, carillon.TimerSpec{ClientID: "client", Delay: 1, Target: carillon.ToMailbox()})
	eventually(t, "the lane has noticed", func() bool { return l.Status().LastError != "" })
	thaw()
	drainMailbox(t, s, "client", 1)
}
