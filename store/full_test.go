package store_test

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/store"
	"github.com/carillon-io/carillon/store/redistest"
	"github.com/carillon-io/carillon/store/storetest"
)

// A Redis that is full refuses new timers before anything is written, and goes on with everything else: that is how it
// becomes empty again.
func TestFullRedisGoesOnFiring(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.Options{})
	client := server.Client()
	s, err := store.Open(t.Context(), client, store.Options{Group: storetest.GroupPrefix + "full", Slots: 1})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })

	spec := carillon.TimerSpec{
		ClientID: "c", FireAt: time.Now().Add(time.Hour), Target: carillon.ToWebhook("https://example.com"),
		Payload: &commonpb.Payload{Data: make([]byte, 2000)},
	}
	mail := spec
	mail.Target = carillon.ToMailbox()
	soon := spec
	soon.FireAt = time.Now()
	out, err := s.Create(t.Context(), carillon.CreateTimersInput{
		Timers: []carillon.TimerSpec{spec, spec, spec, mail, soon},
	})
	require.NoError(t, err)
	require.NoError(t, client.ConfigSet(t.Context(), "maxmemory", "1mb").Err())

	before, err := client.Dump(t.Context(), "carillon:{"+s.Group()+":0}:rec").Result()
	require.NoError(t, err)
	in := carillon.CreateTimersInput{RequestID: rand.Text(), Timers: []carillon.TimerSpec{spec, soon}}
	_, err = s.Create(t.Context(), in)
	require.ErrorIs(t, err, carillon.ErrUnavailable)
	require.ErrorContains(t, err, "full")
	after, err := client.Dump(t.Context(), "carillon:{"+s.Group()+":0}:rec").Result()
	require.NoError(t, err)
	require.Equal(t, before, after)

	cancelled, err := s.Cancel(t.Context(), carillon.CancelTimersInput{
		Timers: []carillon.TimerRef{{TimerID: out.Timers[0].TimerID}},
	})
	require.NoError(t, err)
	require.Nil(t, cancelled.Timers[0].Error)
	_, err = s.Reschedule(t.Context(), carillon.RescheduleTimerInput{
		TimerRef: carillon.TimerRef{TimerID: out.Timers[1].TimerID}, Delay: time.Millisecond,
	})
	require.NoError(t, err)
	shift(t, s, client, 2*time.Hour)
	token, err := s.AcquireSweep(t.Context(), store.Partition{}, "a")
	require.NoError(t, err)
	swept, err := s.Sweep(t.Context(), store.Partition{}, token, 10)
	require.NoError(t, err)
	require.Equal(t, 2, swept.Moved)

	lane, err := s.AcquireLane(t.Context(), store.LaneID{}, "a")
	require.NoError(t, err)
	entries, err := s.Read(t.Context(), store.LaneID{}, lane, "", 10)
	require.NoError(t, err)
	require.Len(t, entries, 4)
	firings, err := s.Fetch(t.Context(), store.LaneID{}, entries)
	require.NoError(t, err)
	claims := make([]store.Claim, len(entries))
	for i := range entries {
		claims[i] = store.Claim{Entry: entries[i], Firing: firings[i], Timeout: time.Second}
	}
	answers, err := s.Claim(t.Context(), store.LaneID{}, lane, claims)
	require.NoError(t, err)
	kinds := []store.CompletionKind{store.CompleteFired, store.CompleteRetry, store.CompleteDead}
	fired := 0
	var completions []store.Completion
	for i, a := range answers {
		if a.Status == store.ClaimFired {
			fired++
			continue
		}
		require.Equal(t, store.ClaimTaken, a.Status)
		completions = append(completions, store.Completion{
			Entry: entries[i], Firing: firings[i], Kind: kinds[len(completions)],
			RetryAt: time.Now().Add(5 * time.Hour).UnixMilli(),
		})
	}
	require.Equal(t, 1, fired)
	done, err := s.Complete(t.Context(), store.LaneID{}, lane, completions)
	require.NoError(t, err)
	require.Equal(t, []bool{true, true, true}, done)
	storetest.CheckInvariants(t, s, client)

	require.NoError(t, client.ConfigSet(t.Context(), "maxmemory", "0").Err())
	again, err := s.Create(t.Context(), in)
	require.NoError(t, err)
	require.Nil(t, again.Timers[0].Error)
	storetest.CheckInvariants(t, s, client)
}

// shift moves the clock of a store whose Redis is full: SET is refused there, and so is storetest.Shift.
func shift(t *testing.T, s *store.Redis, client redis.UniversalClient, by time.Duration) {
	t.Helper()
	require.NoError(t, client.ConfigSet(t.Context(), "maxmemory", "0").Err())
	storetest.Shift(t, s, client, by)
	require.NoError(t, client.ConfigSet(t.Context(), "maxmemory", "1mb").Err())
}
