package storebench_test

import (
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/store/redistest"
	"github.com/carillon-io/carillon/store/storebench"
)

// It measures every kind, and leaves nothing behind. How fast it is depends on the machine; how much memory a timer needs does
// not.
func TestRunOnARealRedis(t *testing.T) {
	t.Parallel()
	client := redistest.Start(t, redistest.Options{}).Client()
	require.NoError(t, client.Set(t.Context(), "somebody", "else's", 0).Err())
	rounds := 0
	r, err := storebench.Run(t.Context(), client, storebench.Options{
		Timers: 5200, Rounds: 2, Progress: func(round int) { rounds = round },
	})
	require.NoError(t, err)
	require.Equal(t, 2, rounds)
	require.Equal(t, 5000, r.Timers, "whole batches")
	require.Equal(t, 128, r.PayloadBytes)
	require.Len(t, r.Rates, len(storebench.Kinds()))
	for i, rate := range r.Rates {
		require.Equal(t, storebench.Kinds()[i], rate.Kind)
		require.Positive(t, rate.PerSecond)
		require.Positive(t, rate.BarePerSecond)
		require.Positive(t, rate.Ratio.Min)
		require.LessOrEqual(t, rate.Ratio.Min, rate.Ratio.Median)
		require.LessOrEqual(t, rate.Ratio.Median, rate.Ratio.Max)
	}
	require.NotNil(t, r.BytesPerTimer)
	t.Logf("%+v", *r.BytesPerTimer)
	require.LessOrEqual(t, r.BytesPerTimer.Timer, 450.0)
	require.Greater(t, r.BytesPerTimer.Timer, 128.0, "the payload is in there")
	require.Positive(t, r.BytesPerTimer.Lately)
	keys, err := client.Keys(t.Context(), "*").Result() // the server is the test's own
	require.NoError(t, err)
	require.Equal(t, []string{"somebody"}, keys)
}

func TestRunOnTheEmbeddedRedis(t *testing.T) {
	t.Parallel()
	client := redis.NewClient(&redis.Options{Addr: redistest.Embedded(t).Addr()})
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	r, err := storebench.Run(t.Context(), client, storebench.Options{Timers: 10, Batch: 5, PayloadBytes: 2000, Rounds: 1})
	require.NoError(t, err)
	require.Len(t, r.Rates, len(storebench.Kinds()))
	require.Nil(t, r.BytesPerTimer, "it does not tell")
}

func TestOptionsThatDoNotFit(t *testing.T) {
	t.Parallel()
	for field, o := range map[string]storebench.Options{
		"timers":        {Timers: -1},
		"batch":         {Batch: 501},
		"rounds":        {Rounds: storebench.MaxRounds + 1},
		"payload_bytes": {PayloadBytes: 100_000},
	} {
		_, err := storebench.Run(t.Context(), nil, o)
		var ours *carillon.Error
		require.ErrorAs(t, err, &ours)
		require.Equal(t, field, ours.Field)
	}
}
