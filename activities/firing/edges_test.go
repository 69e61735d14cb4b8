package firing_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/activities/firing"
	"github.com/carillon-io/carillon/activities/target"
	"github.com/carillon-io/carillon/store"
	"github.com/carillon-io/carillon/store/redistest"
	"github.com/carillon-io/carillon/store/storetest"
)

// A name is cancelled and used again, for later, while the lane holds the entry of the timer that had it before: that one's
// time passes, and nothing is fired.
func TestNameCreatedAnewWhileItsOldQueueEntryIsThere(t *testing.T) {
	t.Parallel()
	for kind, to := range map[string]carillon.Target{
		"mailbox": carillon.ToMailbox(), "signal": carillon.ToSignal("workflow", "signal"),
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s, client := openAt(t, redistest.URL(t), ahead())
			r := newReceiver(s, nil)
			l, _ := startLane(t, s, 0, "worker", r)
			spec := carillon.TimerSpec{ClientID: "client", Name: "name", Delay: 30 * time.Minute, Target: to}
			create(t, s, spec)
			eventually(t, "the lane holds it", func() bool { return l.Status().Held == 1 })
			cancelled, err := s.Cancel(t.Context(), carillon.CancelTimersInput{
				Timers: []carillon.TimerRef{{ClientID: "client", Name: "name"}},
			})
			require.NoError(t, err)
			require.Nil(t, cancelled.Timers[0].Error)
			spec.Delay = time.Hour
			again := create(t, s, spec)[0]
			eventually(t, "the lane holds both entries", func() bool { return l.Status().Held == 2 })

			storetest.Shift(t, s, client, 45*time.Minute)
			eventually(t, "the old entry is dropped", func() bool { return l.Status().Held == 1 })
			require.Equal(t, carillon.StateDue, state(t, s, again.TimerID).State)
			require.Zero(t, count(t, s).Fired)
			storetest.Shift(t, s, client, 90*time.Minute)
			eventually(t, "it is fired", func() bool { return count(t, s).Fired == 1 })
			info := state(t, s, again.TimerID)
			require.Equal(t, again.FireAt, info.FireAt)
			require.False(t, info.DoneAt.Before(info.FireAt))
			keys, deliveries, early := r.counts()
			if kind == "mailbox" {
				drainMailbox(t, s, "client", 1)
			} else {
				require.Equal(t, []int{1, 1, 0}, []int{keys, deliveries, early})
			}
			require.Equal(t, carillon.CountTimersResult{Created: 2, Fired: 1, Cancelled: 1}, count(t, s))
			storetest.CheckInvariants(t, s, client)
		})
	}
}

// A burst of timers that are due in an hour fills the queue and with it the lane's map. Timers that come behind it and are due
// at once, or soon, do not wait for that hour.
func TestBurstFillsTheMapWithAShortTimerBehind(t *testing.T) {
	t.Parallel()
	const limit = 1000
	o := ahead()
	o.QueueLimit = limit
	s, client := openAt(t, redistest.URL(t), o)
	startSweeper(t, s, 0)
	l, _ := startLane(t, s, 0, "worker", newReceiver(s, nil))
	burst := make([]carillon.TimerSpec, 3*limit)
	for i := range burst {
		burst[i] = carillon.TimerSpec{ClientID: "burst", Delay: time.Hour, Target: carillon.ToMailbox()}
	}
	create(t, s, burst...)
	eventually(t, "the lane holds all that the queue takes", func() bool { return l.Status().Held >= limit/2 })
	short := []carillon.TimerSpec{
		{ClientID: "client", Delay: 100 * time.Millisecond, Target: carillon.ToMailbox()},
		{ClientID: "client", Delay: 4 * time.Second, Target: carillon.ToMailbox()}, // the sweeper brings it
	}
	for _, r := range create(t, s, short...) {
		require.Nil(t, r.Error)
	}
	t.Logf("latest behind the burst: %s", drainMailbox(t, s, "client", len(short)))
	p, err := s.ListPartitions(t.Context())
	require.NoError(t, err)
	require.LessOrEqual(t, p.Lanes[0].Queue, int64(limit))
	require.EqualValues(t, len(burst), count(t, s).Pending)

	storetest.Shift(t, s, client, 90*time.Minute)
	drainMailbox(t, s, "burst", len(burst))
	storetest.CheckInvariants(t, s, client)
}

// claimCounter is a store that counts the claims that fired something.
type claimCounter struct {
	*store.Redis
	firing atomic.Int64
}

func (c *claimCounter) Claim(ctx context.Context, l store.LaneID, token store.Token, claims []store.Claim) ([]store.ClaimResult, error) {
	out, err := c.Redis.Claim(ctx, l, token, claims)
	for _, r := range out {
		if r.Status == store.ClaimFired {
			c.firing.Add(1)
			break
		}
	}
	return out, err
}

// Timers that are due in the same millisecond go out in one batch.
func TestTiesGoOutInOneBatch(t *testing.T) {
	t.Parallel()
	const n = 400
	s, client := openAt(t, redistest.URL(t), ahead())
	counter := &claimCounter{Redis: s}
	l, _ := startLaneWith(t, firing.Options{Store: counter, Worker: "worker", Deliverer: newReceiver(s, nil), HandOver: -1})
	at := s.Clock(0).Now().Add(time.Hour)
	specs := make([]carillon.TimerSpec, n)
	for i := range specs {
		specs[i] = carillon.TimerSpec{ClientID: "client", FireAt: at, Target: carillon.ToMailbox()}
	}
	create(t, s, specs...)
	eventually(t, "the lane holds them", func() bool { return l.Status().Held == n })
	storetest.Shift(t, s, client, 90*time.Minute)
	drainMailbox(t, s, "client", n)
	require.EqualValues(t, 1, counter.firing.Load())
}

// Targets take longer than timers come: the queue grows up to its limit, the index holds the rest, and creates are taken as
// ever. When the targets are quick again, everything is delivered once.
func TestTooSlowFleet(t *testing.T) {
	t.Parallel()
	const limit, n = 60, 600
	s, client := openAt(t, redistest.URL(t), store.Options{Slots: 1, QueueLimit: limit})
	startSweeper(t, s, 0)
	gate := make(chan struct{})
	r := newReceiver(s, func(*target.Delivery) error {
		<-gate
		return nil
	})
	l, _ := startLane(t, s, 0, "worker", r)
	for i := range n / 50 {
		specs := make([]carillon.TimerSpec, 50)
		for k := range specs {
			specs[k] = carillon.TimerSpec{ClientID: "client", Delay: 1, Target: carillon.ToSignal(fmt.Sprint(i, k), "s")}
		}
		create(t, s, specs...)
		p, err := s.ListPartitions(t.Context())
		require.NoError(t, err)
		require.LessOrEqual(t, p.Lanes[0].Queue, int64(limit))
	}
	eventually(t, "the queue is full", func() bool { return l.Status().Held == limit })
	segments, err := s.Segments(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, n-limit, segments[0].Entries, "the index holds the rest")
	require.EqualValues(t, n, count(t, s).Pending)
	close(gate)
	eventually(t, "everything is fired", func() bool { return count(t, s).Fired == n })
	keys, deliveries, early := r.counts()
	require.Equal(t, []int{n, n, 0}, []int{keys, deliveries, early})
	storetest.CheckInvariants(t, s, client)
}

// The store's clock steps back, which delays, and forward, which fires on the new time. Nothing is early by the store's clock.
func TestStoreClockSteps(t *testing.T) {
	t.Parallel()
	s, client := openAt(t, redistest.URL(t), ahead())
	l, _ := startLane(t, s, 0, "worker", newReceiver(s, nil))
	steps := s.Clock(0).Steps()
	create(t, s, carillon.TimerSpec{ClientID: "client", Delay: time.Hour, Target: carillon.ToMailbox()})
	eventually(t, "the lane holds it", func() bool { return l.Status().Held == 1 })
	storetest.Shift(t, s, client, -24*time.Hour)
	create(t, s, carillon.TimerSpec{ClientID: "client", Delay: time.Millisecond, Target: carillon.ToMailbox()})
	drainMailbox(t, s, "client", 1) // the lane fires on the new time
	require.EqualValues(t, 1, count(t, s).Pending, "and what was due in an hour is due in a day and an hour")

	storetest.Shift(t, s, client, 90*time.Minute)
	drainMailbox(t, s, "client", 1)
	require.GreaterOrEqual(t, s.Clock(0).Steps(), steps+2, "each step was seen")
	storetest.CheckInvariants(t, s, client)
}
