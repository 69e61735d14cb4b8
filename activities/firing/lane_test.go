package firing_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/activities/target"
	"github.com/carillon-io/carillon/store"
)

func TestLaneFiresEachTimerOnceAndNeverEarly(t *testing.T) {
	t.Parallel()
	s := open(t, store.Options{Slots: 2, LookAhead: time.Second})
	r := newReceiver(s, nil)
	for slot := range s.Slots() {
		startSweeper(t, s, slot)
		startLane(t, s, slot, "worker", r)
	}
	const n = 3000
	base := s.Clock(0).Now()
	var timers []carillon.TimerSpec
	for i := range n {
		spec := carillon.TimerSpec{
			ClientID: "client", FireAt: base.Add(time.Duration(i) * 3 * time.Second / n), Target: carillon.ToMailbox(),
		}
		if i%3 == 0 {
			spec.Target = carillon.ToSignal("workflow", "signal")
		}
		timers = append(timers, spec)
	}
	create(t, s, timers...)
	drainMailbox(t, s, "client", n-n/3)
	eventually(t, "everything is fired", func() bool {
		c, err := s.Count(t.Context(), carillon.CountTimersInput{})
		return err == nil && c.Fired == n
	})
	keys, deliveries, early := r.counts()
	require.Equal(t, n/3, keys)
	require.Equal(t, n/3, deliveries)
	require.Zero(t, early)
	c, err := s.Count(t.Context(), carillon.CountTimersInput{})
	require.NoError(t, err)
	require.Equal(t, carillon.CountTimersResult{Created: n, Fired: n}, c)
}

func TestFailedDeliveriesAreRetriedUntilTheTimerIsDead(t *testing.T) {
	t.Parallel()
	s := open(t, store.Options{Slots: 1})
	r := newReceiver(s, func(*target.Delivery) error { return errors.New("nobody is at home") })
	startLane(t, s, 0, "worker", r)
	id := create(t, s, carillon.TimerSpec{
		ClientID: "client", Delay: time.Millisecond, Target: carillon.ToWebhook("http://host/"),
		Retry: &carillon.RetryPolicy{
			InitialInterval: carillon.Duration(20 * time.Millisecond), BackoffCoefficient: 1, MaximumAttempts: 3,
		},
	})[0].TimerID
	eventually(t, "the timer is dead", func() bool { return state(t, s, id).State == carillon.StateDead })
	info := state(t, s, id)
	require.Equal(t, 3, info.Attempts)
	require.Equal(t, "nobody is at home", info.LastError)
	keys, deliveries, early := r.counts()
	require.Equal(t, []int{1, 3, 0}, []int{keys, deliveries, early}, "one idempotency key for all attempts")

	r.mu.Lock()
	r.answer = nil
	r.mu.Unlock()
	redriven, err := s.Redrive(t.Context(), carillon.RedriveTimersInput{Timers: []carillon.TimerRef{{TimerID: id}}})
	require.NoError(t, err)
	require.Nil(t, redriven.Timers[0].Error)
	eventually(t, "the timer is fired", func() bool { return state(t, s, id).State == carillon.StateFired })
	keys, _, _ = r.counts()
	require.Equal(t, 2, keys, "a redrive is another delivery")
}

func TestPermanentFailureIsDeadAtOnce(t *testing.T) {
	t.Parallel()
	s := open(t, store.Options{Slots: 1})
	r := newReceiver(s, func(*target.Delivery) error { return target.Permanent(errors.New("no such workflow")) })
	startLane(t, s, 0, "worker", r)
	id := create(t, s, carillon.TimerSpec{ClientID: "client", Delay: 1, Target: carillon.ToSignal("w", "s")})[0].TimerID
	eventually(t, "the timer is dead", func() bool { return state(t, s, id).State == carillon.StateDead })
	require.Equal(t, 1, state(t, s, id).Attempts)
}

func TestDeferredDeliveryCostsNoAttempt(t *testing.T) {
	t.Parallel()
	s := open(t, store.Options{Slots: 1})
	away := 5
	r := newReceiver(s, nil)
	r.answer = func(*target.Delivery) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if away--; away >= 0 {
			return target.Deferred(errors.New("temporal is away"), 10*time.Millisecond)
		}
		return nil
	}
	startLane(t, s, 0, "worker", r)
	id := create(t, s, carillon.TimerSpec{
		ClientID: "client", Delay: 1, Target: carillon.ToSignal("w", "s"), Retry: &carillon.RetryPolicy{MaximumAttempts: 1},
	})[0].TimerID
	eventually(t, "the timer is fired", func() bool { return state(t, s, id).State == carillon.StateFired })
	require.Equal(t, 1, state(t, s, id).Attempts)
}

func TestFullMailboxPutsTimersOff(t *testing.T) {
	t.Parallel()
	s := open(t, store.Options{Slots: 1, MailboxLimit: 10})
	startLane(t, s, 0, "worker", newReceiver(s, nil))
	var timers []carillon.TimerSpec
	for range 25 {
		timers = append(timers, carillon.TimerSpec{ClientID: "client", Delay: time.Millisecond, Target: carillon.ToMailbox()})
	}
	create(t, s, timers...)
	box, err := s.Mailbox(t.Context(), "client", "test")
	require.NoError(t, err)
	eventually(t, "the mailbox is full", func() bool {
		n, err := box.Len(t.Context())
		return err == nil && n == 10
	})
	drainMailbox(t, s, "client", 25)
	c, err := s.Count(t.Context(), carillon.CountTimersInput{})
	require.NoError(t, err)
	require.Equal(t, carillon.CountTimersResult{Created: 25, Fired: 25}, c)
}

func TestSlowTargetsDoNotHoldUpTheMailbox(t *testing.T) {
	t.Parallel()
	s := open(t, store.Options{Slots: 1})
	gate := make(chan struct{})
	r := newReceiver(s, func(*target.Delivery) error {
		<-gate
		return nil
	})
	startLane(t, s, 0, "worker", r)
	var timers []carillon.TimerSpec
	for i := range 100 {
		spec := carillon.TimerSpec{ClientID: "client", Delay: time.Millisecond, Target: carillon.ToSignal(fmt.Sprint(i), "s")}
		if i >= 50 {
			spec.Target = carillon.ToMailbox()
		}
		timers = append(timers, spec)
	}
	create(t, s, timers...)
	drainMailbox(t, s, "client", 50)
	close(gate)
	eventually(t, "everything is fired", func() bool {
		c, err := s.Count(t.Context(), carillon.CountTimersInput{})
		return err == nil && c.Fired == 100 && c.Firing == 0 && c.Due == 0
	})
	_, deliveries, _ := r.counts()
	require.Equal(t, 50, deliveries)
}
