package firing_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/activities/firing"
	"github.com/carillon-io/carillon/store"
	"github.com/carillon-io/carillon/store/redistest"
	"github.com/carillon-io/carillon/store/storetest"
)

// Redis is killed while a lane waits in a blocked read, and comes back with its data and without its scripts. The lane goes on with
// what it holds, and its reads resume.
func TestRedisRestartsUnderALane(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.Options{Fsync: "always"})
	o := ahead()
	o.LaneTTL = 3 * time.Second // a lane waits for a third of that if nothing comes
	s, client := openAt(t, server.URL(), o)
	waiter := &freezer{Redis: s}
	l, _ := startLaneWith(t, firing.Options{Store: waiter, Worker: "worker", Deliverer: newReceiver(s, nil), HandOver: -1})
	startSweeper(t, s, 0)
	eventually(t, "the lane has the lease", func() bool { return l.Status().Lease != "" })
	const n = 50
	specs := make([]carillon.TimerSpec, n)
	for i := range specs {
		specs[i] = carillon.TimerSpec{ClientID: "client", Delay: time.Hour, Target: carillon.ToMailbox()}
	}
	create(t, s, specs...)
	eventually(t, "the lane holds them", func() bool { return l.Status().Held == n })
	token := l.Status().Lease
	waiter.block()

	server.Kill()
	server.Restart()
	soon := carillon.CreateTimersInput{RequestID: "soon", Timers: []carillon.TimerSpec{
		{ClientID: "client", Delay: 1, Target: carillon.ToMailbox()},
	}}
	eventually(t, "timers are taken again", func() bool {
		_, err := s.Create(context.WithoutCancel(t.Context()), soon)
		return err == nil
	})
	drainMailbox(t, s, "client", 1)
	storetest.Shift(t, s, client, 90*time.Minute)
	drainMailbox(t, s, "client", n)
	require.Equal(t, token, l.Status().Lease, "the lease outlives a restart of Redis")
	require.Equal(t, carillon.CountTimersResult{Created: n + 1, Fired: n + 1}, count(t, s))
	storetest.CheckInvariants(t, s, client)
}

var _ store.Store = (*freezer)(nil)
