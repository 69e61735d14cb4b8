package firing_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/store/redistest"
	"github.com/carillon-io/carillon/store/storetest"
)

// A timer is put off over and over while it is in the queue, and now and then beyond the look-ahead and back. It keeps one entry
// in all that time, or a few, and fires once, at its last time.
func TestTimerPutOff100000Times(t *testing.T) {
	t.Parallel()
	const times, beyond = 100_000, 2500
	server := redistest.Start(t, redistest.Options{Args: []string{"--appendonly", "no"}})
	o := ahead()
	o.RequestTTL = time.Second // the answers to so many requests are another matter
	s, client := openAt(t, server.URL(), o)
	l, _ := startLane(t, s, 0, "worker", newReceiver(s, nil))
	base := s.Clock(0).Now().Truncate(time.Millisecond).Add(time.Hour)
	first := create(t, s, carillon.TimerSpec{ClientID: "client", FireAt: base, Target: carillon.ToMailbox()})[0]
	eventually(t, "the lane holds it", func() bool { return l.Status().Held == 1 })

	version, stale := first.Version, 0
	began := time.Now()
	for i := 1; i <= times; i++ {
		at := base.Add(time.Duration(i) * time.Millisecond)
		if i%beyond == 0 && i < times {
			at = at.Add(10 * time.Hour)
			stale++
		}
		out, err := s.Reschedule(t.Context(), carillon.RescheduleTimerInput{
			TimerRef: carillon.TimerRef{TimerID: first.TimerID}, FireAt: at, ExpectedVersion: version,
		})
		require.NoError(t, err)
		require.Greater(t, out.Version, version)
		version = out.Version
	}
	t.Logf("%d changes of one timer, one after the other, took %s", times, time.Since(began).Round(time.Millisecond))
	key := func(name string) string { return "carillon:{" + s.Group() + ":0}:" + name }
	queue, err := client.XLen(t.Context(), key("fire")).Result()
	require.NoError(t, err)
	require.EqualValues(t, 1+stale, queue, "one, and what the way there and back has left: the lane drops it at its time")
	segments, err := s.Segments(t.Context())
	require.NoError(t, err)
	require.Zero(t, segments[0].Entries)
	var kept int64
	for _, name := range []string{"rec", "fire", "events", "count", "seg", "ver"} {
		n, err := client.MemoryUsage(t.Context(), key(name)).Result()
		require.NoError(t, err, name)
		kept += n
	}
	require.Less(t, kept, int64(512<<10), "most of it is the stream of events, which is trimmed")
	require.EqualValues(t, 1, count(t, s).Pending)
	last := state(t, s, first.TimerID)
	require.Equal(t, base.Add(times*time.Millisecond), last.FireAt)

	storetest.Shift(t, s, client, 90*time.Minute)
	drainMailbox(t, s, "client", 1)
	info := state(t, s, first.TimerID)
	require.Equal(t, []any{carillon.StateFired, last.FireAt, version}, []any{info.State, info.FireAt, info.Version})
	require.False(t, info.DoneAt.Before(last.FireAt))
	eventually(t, "the lane holds nothing", func() bool { return l.Status().Held == 0 })
	require.Equal(t, carillon.CountTimersResult{Created: 1, Fired: 1}, count(t, s))
	storetest.CheckInvariants(t, s, client)
}
