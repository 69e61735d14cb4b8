package worker

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/store"
	"github.com/carillon-io/carillon/store/redistest"
)

// optionsStore is a store of nothing but options.
type optionsStore struct{ store.Store }

func (optionsStore) Options() store.Options { return store.Options{} }
func (optionsStore) Number() int            { return 0 }
func (optionsStore) Slots() int             { return 1 }

// assembled is a worker over fakes.
func assembled(loops *fakeLoops, serve servers) *Worker {
	w := &Worker{
		options: Options{
			Group: "g", WorkerID: "w", LanesPerSlot: 1, SegmentCapacity: 100, ObserveInterval: time.Second,
			StopTimeout: 30 * time.Second, Logger: quiet(),
		},
		store:   optionsStore{},
		servers: serve,
	}
	w.assemble(&fakeSegments{slots: 1, segments: []store.Segment{segment(0, 0, true, 1)}}, loops.new, &fakeTemporal{})
	return w
}

// untilDone serves until it is told to stop, and then calls what it is given.
func untilDone(stopped func()) func(context.Context) error {
	return func(ctx context.Context) error {
		<-ctx.Done()
		stopped()
		return nil
	}
}

func TestWorkerStopsInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		events := make(chan string, 10)
		slow := make(chan struct{})
		w := assembled(&fakeLoops{slow: slow}, servers{
			operations: untilDone(func() { events <- "operations" }),
			attach:     untilDone(func() { events <- "attach" }),
		})
		w.close = func() error {
			events <- "closed"
			return nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error, 1)
		go func() { result <- w.Run(ctx) }()
		pass(2 * time.Second)
		require.Len(t, w.Tasks(), 2)

		cancel()
		synctest.Wait()
		require.Equal(t, "operations", <-events, "clients are served no more, at once")
		pass(time.Second)
		require.Empty(t, events, "what is attached has to hear how the runners end")
		close(slow)
		require.Equal(t, "attach", <-events)
		require.Equal(t, "closed", <-events)
		require.NoError(t, <-result)
		require.Empty(t, w.Tasks())
		require.NoError(t, w.Stop(t.Context()), "it may be stopped twice")
		require.Error(t, w.Start(), "and runs once")
	})
}

func TestWorkerThatDoesNotStopInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := make(chan struct{})
		w := assembled(&fakeLoops{slow: slow}, servers{attach: untilDone(func() {})})
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error, 1)
		go func() { result <- w.Run(ctx) }()
		pass(time.Second)
		cancel()
		err := <-result
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "has not finished")
		close(slow)
		require.NoError(t, w.Stop(t.Context()))
	})
}

func TestWorkerFailsOnAMistakeInTheConfiguration(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		refusal := serviceerror.NewNamespaceNotFound("nowhere")
		w := assembled(&fakeLoops{}, servers{
			operations: func(context.Context) error { return refusal },
			attach:     untilDone(func() {}),
		})
		w.options.Namespace = "nowhere"
		err := w.Run(t.Context())
		require.ErrorIs(t, err, refusal)
		require.ErrorContains(t, err, `namespace "nowhere"`)
	})
}

func TestWorkerThatNeverRan(t *testing.T) {
	t.Parallel()
	failure := errors.New("close")
	w := assembled(&fakeLoops{}, servers{})
	w.close = func() error { return failure }
	require.ErrorIs(t, w.Stop(t.Context()), failure)
	require.Error(t, w.Start())
}

// Timers for a mailbox fire while Temporal is away, and another worker takes over from one that stops.
func TestWorkerFiresWithoutTemporal(t *testing.T) {
	t.Parallel()
	temporal, _ := unreachable(t)
	group := fmt.Sprintf("worker-%d", time.Now().UnixNano())
	newWorker := func(id string) *Worker {
		client, err := store.Connect(redistest.URL(t))
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, client.Close()) })
		w, err := New(t.Context(), Options{
			Temporal: temporal, Redis: client, Group: group, WorkerID: id, Logger: quiet(), LanesPerSlot: 2,
			Store: store.Options{Slots: 4, AllowVolatile: true}, ObserveInterval: 50 * time.Millisecond,
		})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, w.Stop(context.WithoutCancel(t.Context()))) })
		return w
	}
	one, two := newWorker("one"), newWorker("two")
	require.NoError(t, one.Start())
	eventually(t, "all tasks are held by the first", func() bool { return len(one.Tasks()) == 4*2+4 })
	require.NoError(t, two.Start())

	fire := func(n int) {
		t.Helper()
		var in carillon.CreateTimersInput
		for i := range 20 {
			in.Timers = append(in.Timers, carillon.TimerSpec{
				ClientID: "shop", Delay: time.Duration(1+i*10) * time.Millisecond, Target: carillon.ToMailbox(),
			})
		}
		in.RequestID = fmt.Sprint("request-", n)
		_, err := two.Store().Create(t.Context(), in)
		require.NoError(t, err)
		eventually(t, "all are fired", func() bool {
			c, err := two.Store().Count(t.Context(), carillon.CountTimersInput{})
			return err == nil && c.Fired == int64(20*n)
		})
	}
	fire(1)
	require.NoError(t, one.Stop(t.Context()))
	require.Empty(t, one.Tasks())
	fire(2)
	eventually(t, "the other has taken over", func() bool { return len(two.Tasks()) == 4*2+4 })
}
