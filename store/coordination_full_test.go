package store_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/store"
	"github.com/carillon-io/carillon/store/redistest"
	"github.com/carillon-io/carillon/store/storetest"
)

// While Redis is full, workers live, join and leave, and the coordinator decides: else nobody would fire, and it would
// stay full.
func TestFullRedisGoesOnBeingControlled(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.Options{})
	client := server.Client()
	s, err := store.Open(t.Context(), client, store.Options{Slots: 1})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	require.NoError(t, client.ConfigSet(t.Context(), "maxmemory", "1mb").Err())
	require.ErrorContains(t, client.Set(t.Context(), "k", "v", 0).Err(), "OOM")

	_, err = s.Heartbeat(t.Context(), carillon.Member{Worker: "a"}, "n")
	require.NoError(t, err)
	_, err = s.Heartbeat(t.Context(), carillon.Member{Worker: "a"}, "n")
	require.NoError(t, err)
	require.NoError(t, s.SetDraining(t.Context(), "a", true))
	epoch, err := s.BeginControl(t.Context())
	require.NoError(t, err)
	want := carillon.Assignments{{Kind: carillon.TaskFire}: "a", {Kind: carillon.TaskSweep}: "a"}
	require.NoError(t, s.Decide(t.Context(), carillon.Decision{Epoch: epoch, Number: 1, Assignments: want}))
	require.NoError(t, s.Observed(t.Context(), epoch))
	got, err := s.Assignments(t.Context())
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.NoError(t, s.Leave(t.Context(), "a", "n"))
	storetest.CheckInvariants(t, s, client)
}
