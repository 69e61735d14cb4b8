package store_test

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/store"
	"github.com/carillon-io/carillon/store/redistest"
)

// refuses expects that Open refuses a Redis, naming the field and the remedy.
func refuses(t *testing.T, client redis.UniversalClient, o store.Options, remedy string) {
	t.Helper()
	o.Group = "checks"
	_, err := store.Open(t.Context(), client, o)
	require.ErrorIs(t, err, carillon.ErrInvalidArgument)
	require.Equal(t, "redis", carillon.AsError(err).Field)
	require.ErrorContains(t, err, remedy)
}

func TestOpenRefusesWhatWouldLoseTimers(t *testing.T) {
	t.Parallel()
	t.Run("evicts", func(t *testing.T) {
		t.Parallel()
		server := redistest.Start(t, redistest.Options{Args: []string{"--maxmemory-policy", "allkeys-lru"}})
		refuses(t, server.Client(), store.Options{}, "noeviction")
	})
	t.Run("forgets", func(t *testing.T) {
		t.Parallel()
		server := redistest.Start(t, redistest.Options{Args: []string{"--appendonly", "no"}})
		refuses(t, server.Client(), store.Options{}, "appendonly")
		s, err := store.Open(t.Context(), server.Client(), store.Options{AllowVolatile: true})
		require.NoError(t, err)
		require.False(t, s.Info().AppendOnly)
		require.NoError(t, s.Close())
	})
	t.Run("replica", func(t *testing.T) {
		t.Parallel()
		primary := redistest.Start(t, redistest.Options{})
		host, port, _ := strings.Cut(primary.Addr(), ":")
		replica := redistest.Start(t, redistest.Options{Args: []string{"--replicaof", host, port}})
		refuses(t, replica.Client(), store.Options{}, "connect to the primary")
	})
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		client := redis.NewClient(&redis.Options{Addr: redistest.Embedded(t).Addr()})
		t.Cleanup(func() { require.NoError(t, client.Close()) })
		refuses(t, client, store.Options{}, "volatile")
		s, err := store.Open(t.Context(), client, store.Options{AllowVolatile: true})
		require.NoError(t, err)
		require.True(t, s.Info().Embedded)
		require.NoError(t, s.Close())
	})
	t.Run("a cluster, on any node", func(t *testing.T) {
		t.Parallel()
		cluster := redistest.Cluster(t, 2)
		node := cluster.Nodes()[1].Client()
		require.NoError(t, node.ConfigSet(t.Context(), "maxmemory-policy", "volatile-ttl").Err())
		refuses(t, cluster.Client(), store.Options{}, "noeviction")
	})
}

func TestOpenWithoutRedis(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.Options{})
	client := server.Client()
	server.Stop()
	_, err := store.Open(t.Context(), client, store.Options{})
	require.ErrorIs(t, err, carillon.ErrUnavailable)
	require.ErrorContains(t, err, "address")
}

func TestInfo(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.Options{})
	s, err := store.Open(t.Context(), server.Client(), store.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	require.NotEmpty(t, s.Info().Version)
	require.True(t, s.Info().AppendOnly)
	require.False(t, s.Info().Embedded)
	require.Equal(t, store.DefaultSlots, s.Slots())
}

// shiftedGroup shows that a clock key does nothing to a group that is not a test's.
func TestOnlyTestGroupsAcceptAShiftedClock(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.Options{})
	client := server.Client()
	for _, group := range []string{"production", "contest-1", "test"} {
		for slot := range store.DefaultSlots {
			require.NoError(t, client.Set(t.Context(), "carillon:{"+group+":"+strconv.Itoa(slot)+"}:clock",
				time.Hour.Microseconds(), 0).Err())
		}
		require.NoError(t, client.Set(t.Context(), "carillon:{"+group+"}:clock", time.Hour.Microseconds(), 0).Err())
		s, err := store.Open(t.Context(), client, store.Options{Group: group})
		require.NoError(t, err)
		require.WithinDuration(t, time.Now(), s.Clock(0).Now(), time.Minute)
		require.NoError(t, s.Close())
	}
}

// timeouts are bounded by the context although the server hangs.
func TestAHaltedServer(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.Options{})
	s, err := store.Open(t.Context(), server.Client(), store.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	server.Pause()
	t.Cleanup(server.Resume)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = s.Create(ctx, carillon.CreateTimersInput{Timers: []carillon.TimerSpec{{
		ClientID: "c", Delay: time.Hour, Target: carillon.ToMailbox(),
	}}})
	require.ErrorIs(t, err, carillon.ErrUnavailable)
}
