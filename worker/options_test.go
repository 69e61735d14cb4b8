package worker

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/carillon-io/carillon"
)

// unreachable are clients that are never connected: nothing listens on port 1.
func unreachable(t *testing.T) (client.Client, *redis.Client) {
	t.Helper()
	c, err := client.NewLazyClient(client.Options{HostPort: "127.0.0.1:1", Logger: nopLogger{}})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	r := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1})
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	return c, r
}

type nopLogger struct{}

func (nopLogger) Debug(string, ...any) {}
func (nopLogger) Info(string, ...any)  {}
func (nopLogger) Warn(string, ...any)  {}
func (nopLogger) Error(string, ...any) {}

func TestOptionsDefaults(t *testing.T) {
	t.Parallel()
	c, r := unreachable(t)
	o, err := Options{Temporal: c, Redis: r}.withDefaults()
	require.NoError(t, err)
	require.Equal(t, "default", o.Group)
	require.Equal(t, "default", o.Namespace)
	require.Equal(t, 1, o.LanesPerSlot)
	require.EqualValues(t, 1_000_000, o.SegmentCapacity)
	require.Equal(t, 5*time.Second, o.ObserveInterval)
	require.Equal(t, 30*time.Second, o.StopTimeout)
	require.NotNil(t, o.Logger)
	require.NotEmpty(t, o.buildID)
	again, err := Options{Temporal: c, Redis: r}.withDefaults()
	require.NoError(t, err)
	require.NotEqual(t, o.WorkerID, again.WorkerID)
	for _, id := range []string{o.WorkerID, again.WorkerID} {
		require.NoError(t, carillon.CheckWorkerID(id), "%q", id)
	}
}

func TestOptionsThatDoNotFit(t *testing.T) {
	t.Parallel()
	c, r := unreachable(t)
	for field, change := range map[string]func(*Options){
		"Temporal":             func(o *Options) { o.Temporal = nil },
		"Redis":                func(o *Options) { o.Redis = nil },
		"group":                func(o *Options) { o.Group = "a/b" },
		"WorkerID":             func(o *Options) { o.WorkerID = "a:b" },
		"LanesPerSlot":         func(o *Options) { o.LanesPerSlot = -1 },
		"Concurrency":          func(o *Options) { o.Concurrency = -1 },
		"SegmentCapacity":      func(o *Options) { o.SegmentCapacity = -1 },
		"OperationConcurrency": func(o *Options) { o.OperationConcurrency = -1 },
		"ObserveInterval":      func(o *Options) { o.ObserveInterval = -1 },
		"StopTimeout":          func(o *Options) { o.StopTimeout = -1 },
	} {
		t.Run(field, func(t *testing.T) {
			t.Parallel()
			o := Options{Temporal: c, Redis: r, Logger: quiet()}
			change(&o)
			_, err := New(t.Context(), o)
			var ours *carillon.Error
			require.ErrorAs(t, err, &ours)
			require.Equal(t, carillon.TypeInvalidArgument, ours.Type)
			require.Equal(t, field, ours.Field)
			_, err = NewPlugin(o)
			require.ErrorIs(t, err, carillon.ErrInvalidArgument)
		})
	}
}

func TestNewSaysWhenRedisIsNotThere(t *testing.T) {
	t.Parallel()
	c, r := unreachable(t)
	_, err := New(t.Context(), Options{Temporal: c, Redis: r, Logger: quiet()})
	require.ErrorIs(t, err, carillon.ErrUnavailable)
}
