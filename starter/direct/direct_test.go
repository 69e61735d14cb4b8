package direct_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/converter"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/starter/direct"
	"github.com/carillon-io/carillon/starter/internal/startertest"
	"github.com/carillon-io/carillon/store"
	"github.com/carillon-io/carillon/store/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.DiscardHandler)

func spec(i int) carillon.TimerSpec {
	return carillon.TimerSpec{ClientID: fmt.Sprintf("client-%d", i), Delay: time.Hour, Target: carillon.ToMailbox()}
}

func specs(n int) []carillon.TimerSpec {
	out := make([]carillon.TimerSpec, n)
	for i := range out {
		out[i] = spec(i)
	}
	return out
}

func TestOneScriptCallPerOperation(t *testing.T) {
	t.Parallel()
	m := startertest.NewMemory()
	c, err := direct.New(m, direct.Options{Logger: quiet})
	require.NoError(t, err)
	results, err := c.CreateAll(t.Context(), specs(1700))
	require.NoError(t, err)
	require.Len(t, results, 1700)
	require.NoError(t, c.Close())
	ids := map[string]bool{}
	for _, request := range m.Requests() {
		require.LessOrEqual(t, len(request.Timers), store.MaxScriptTimers)
		ids[request.RequestID] = true
	}
	require.Len(t, ids, len(m.Requests()))
}

func TestRetriesUnderTheSameRequestID(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := startertest.NewMemory()
		failures := 5
		m.After = func(string, string) error {
			if failures--; failures >= 0 {
				return carillon.Errorf(carillon.TypeUnavailable, "redis is away")
			}
			return nil
		}
		c, err := direct.New(m, direct.Options{Logger: quiet})
		require.NoError(t, err)
		defer c.Close()
		begin := time.Now()
		_, err = c.Create(t.Context(), spec(1))
		require.NoError(t, err)
		require.Less(t, time.Since(begin), time.Second)
		require.Equal(t, 1, m.Timers())
		require.Len(t, m.Requests(), 6)

		failures = 1_000_000
		begin = time.Now()
		_, err = c.Create(t.Context(), spec(1))
		require.ErrorIs(t, err, carillon.ErrUnavailable)
		require.ErrorContains(t, err, "redis is away")
		require.Equal(t, 15*time.Second, time.Since(begin))
	})
}

func TestOptions(t *testing.T) {
	t.Parallel()
	_, err := direct.New(nil, direct.Options{})
	require.ErrorIs(t, err, carillon.ErrInvalidArgument)
	for field, o := range map[string]direct.Options{
		"MaxBatch":         {MaxBatch: 501},
		"MaxInFlight":      {MaxInFlight: -1},
		"Linger":           {Linger: -1},
		"OperationTimeout": {OperationTimeout: 1},
	} {
		_, err := direct.New(startertest.NewMemory(), o)
		require.ErrorIs(t, err, carillon.ErrInvalidArgument)
		require.Equal(t, field, carillon.AsError(err).Field)
	}
}

// open opens a real store, in an embedded Redis.
func open(t testing.TB) *store.Redis {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: redistest.Embedded(t).Addr()})
	s, err := store.Open(t.Context(), client, store.Options{Group: "direct", Slots: 4, AllowVolatile: true})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, s.Close())
		require.NoError(t, client.Close())
	})
	return s
}

func TestWithAStore(t *testing.T) {
	t.Parallel()
	s := open(t)
	c, err := direct.New(s, direct.Options{Logger: quiet})
	require.NoError(t, err)
	defer c.Close()
	ctx := t.Context()

	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			if _, err := c.Create(ctx, spec(i)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	results, err := c.CreateAll(ctx, specs(1100))
	require.NoError(t, err)
	for i, r := range results {
		require.Nil(t, r.Error, "%d", i)
	}
	first, err := c.CreateRequest(ctx, "import", specs(700))
	require.NoError(t, err)
	again, err := c.CreateRequest(ctx, "import", specs(700))
	require.NoError(t, err)
	for i := range first {
		require.Equal(t, first[i].TimerID, again[i].TimerID)
	}
	count, err := c.Count(ctx, carillon.CountTimersInput{})
	require.NoError(t, err)
	require.EqualValues(t, 200+1100+700, count.Pending)

	payload, err := converter.GetDefaultDataConverter().ToPayload("milk")
	require.NoError(t, err)
	milk := carillon.TimerRef{ClientID: "shop", Name: "milk"}
	timer := spec(1)
	timer.ClientID, timer.Name, timer.Payload = milk.ClientID, milk.Name, payload
	created, err := c.Create(ctx, timer)
	require.NoError(t, err)
	info, err := c.Describe(ctx, milk)
	require.NoError(t, err)
	require.Equal(t, created.TimerID, info.TimerID)
	require.True(t, proto.Equal(payload, info.Payload))
	moved, err := c.Reschedule(ctx, carillon.RescheduleTimerInput{TimerRef: milk, Delay: 2 * time.Hour})
	require.NoError(t, err)
	require.True(t, moved.FireAt.After(created.FireAt))
	require.NoError(t, c.Cancel(ctx, milk))
	require.ErrorIs(t, c.Cancel(ctx, milk), carillon.ErrNotFound)

	n := 0
	for _, err := range c.List(ctx, carillon.ListTimersInput{PageSize: 300}) {
		require.NoError(t, err)
		n++
	}
	require.Equal(t, 200+1100+700, n)
	partitions, err := c.ListPartitions(ctx)
	require.NoError(t, err)
	require.NotEmpty(t, partitions.Partitions)
}

func TestGroup(t *testing.T) {
	t.Parallel()
	s := open(t)
	c, err := direct.New(s, direct.Options{Logger: quiet})
	require.NoError(t, err)
	defer c.Close()
	ctx := t.Context()
	_, err = c.DrainWorker(ctx, carillon.DrainWorkerInput{Worker: "w"})
	require.ErrorIs(t, err, carillon.ErrNotFound)
	_, err = c.DrainWorker(ctx, carillon.DrainWorkerInput{})
	require.ErrorIs(t, err, carillon.ErrInvalidArgument)
	require.Equal(t, "worker", carillon.AsError(err).Field)
	group, err := c.DescribeGroup(ctx, carillon.DescribeGroupInput{})
	require.NoError(t, err)
	require.Equal(t, "direct", group.Group)
	require.Len(t, group.Tasks, 8, "a sweeper and a lane for each of four slots")
}

func BenchmarkCreate(b *testing.B) {
	for _, callers := range []int{1, 64, 4000} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			c, err := direct.New(open(b), direct.Options{Logger: quiet})
			require.NoError(b, err)
			defer c.Close()
			work := make(chan struct{}, callers)
			b.ReportAllocs()
			b.ResetTimer()
			var wg sync.WaitGroup
			for range callers {
				wg.Go(func() {
					for range work {
						if _, err := c.Create(context.Background(), spec(1)); err != nil {
							b.Error(err)
						}
					}
				})
			}
			for range b.N {
				work <- struct{}{}
			}
			close(work)
			wg.Wait()
		})
	}
}
