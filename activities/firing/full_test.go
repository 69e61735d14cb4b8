package firing_test

import (
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/activities/target"
	"github.com/carillon-io/carillon/store"
	"github.com/carillon-io/carillon/store/redistest"
	"github.com/carillon-io/carillon/store/storetest"
)

// A Redis that is full takes no timers, and goes on with those that it has: to mailboxes, to targets, with retries, and until
// they are given up. So it becomes empty again.
func TestFullRedisGoesOnFiring(t *testing.T) {
	t.Parallel()
	const each = 100
	server := redistest.Start(t, redistest.Options{Fsync: "no"})
	o := ahead()
	o.LookAhead = time.Minute // so that the sweeper has work too
	s, client := openAt(t, server.URL(), o)
	spec := carillon.TimerSpec{
		ClientID: "client", Delay: time.Hour, Payload: &commonpb.Payload{Data: make([]byte, 3000)},
		Retry: &carillon.RetryPolicy{InitialInterval: carillon.Duration(time.Millisecond), MaximumAttempts: 3},
	}
	var timers []carillon.TimerSpec
	for range each {
		for _, to := range []carillon.Target{
			carillon.ToMailbox(), carillon.ToSignal("slow", "s"), carillon.ToSignal("gone", "s"),
		} {
			spec.Target = to
			timers = append(timers, spec)
		}
	}
	create(t, s, timers...)
	storetest.Shift(t, s, client, 90*time.Minute)
	full(t, client, true)
	refused := func() {
		_, err := s.Create(t.Context(), carillon.CreateTimersInput{Timers: timers[:1]})
		require.ErrorIs(t, err, carillon.ErrUnavailable)
		require.ErrorContains(t, err, "full")
	}
	refused()
	require.EqualValues(t, len(timers), count(t, s).Created)

	r := newReceiver(s, func(d *target.Delivery) error {
		if d.Target.Signal.WorkflowID == "slow" && d.Attempt == 3 {
			return nil
		}
		return errors.New("try again")
	})
	o.Group, o.AllowVolatile = s.Group(), true
	fresh, err := store.Open(t.Context(), client, o) // a worker that starts only now
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, fresh.Close()) })
	startSweeper(t, fresh, 0)
	startLane(t, fresh, 0, "worker", r)
	drainMailbox(t, fresh, "client", each)
	eventually(t, "all is done", func() bool { return count(t, s).Pending == 0 })
	refused()
	keys, deliveries, early := r.counts()
	require.Equal(t, []int{2 * each, 2 * 3 * each, 0}, []int{keys, deliveries, early})
	require.Equal(t, carillon.CountTimersResult{Created: 3 * each, Fired: 2 * each, Dead: each}, count(t, s))

	full(t, client, false)
	create(t, s, timers[0])
	storetest.CheckInvariants(t, s, client)
}

// full fills a Redis of the test's own, or gives it memory again.
func full(t *testing.T, client redis.UniversalClient, is bool) {
	t.Helper()
	limit := "0"
	if is {
		limit = "1mb" // less than it has already
	}
	require.NoError(t, client.ConfigSet(t.Context(), "maxmemory", limit).Err())
}
