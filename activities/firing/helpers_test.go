package firing_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/activities/firing"
	"github.com/carillon-io/carillon/activities/sweeping"
	"github.com/carillon-io/carillon/activities/target"
	"github.com/carillon-io/carillon/store"
	"github.com/carillon-io/carillon/store/redistest"
)

const deadline = 30 * time.Second

// open opens a store with a group of the test's own.
func open(t *testing.T, o store.Options) *store.Redis {
	t.Helper()
	s, _ := openAt(t, redistest.URL(t), o)
	return s
}

// openAt is open for a Redis that the test has chosen.
func openAt(t *testing.T, url string, o store.Options) (*store.Redis, redis.UniversalClient) {
	t.Helper()
	client, err := store.Connect(url)
	require.NoError(t, err)
	o.Group, o.AllowVolatile = redistest.Group(t), true
	s, err := store.Open(t.Context(), client, o)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, s.Close())
		require.NoError(t, client.Close())
	})
	return s, client
}

// ahead are options with which timers of the next hour are in the fire queue at once, so that a test can let their time come
// when all is prepared.
func ahead() store.Options { return store.Options{Slots: 1, LookAhead: 3 * time.Hour} }

// running is a loop that a test has started.
type running struct {
	stop context.CancelFunc
	done chan error
}

// wait gives what the loop has returned.
func (r *running) wait(t *testing.T) error {
	t.Helper()
	select {
	case err := <-r.done:
		r.done <- err
		return err
	case <-time.After(deadline):
		t.Fatal("the loop does not end")
		return nil
	}
}

func start(t *testing.T, run func(context.Context) error) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	r := &running{stop: cancel, done: make(chan error, 1)}
	go func() { r.done <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		_ = r.wait(t)
	})
	return r
}

// startLane starts a lane that nobody relieves.
func startLane(t *testing.T, s *store.Redis, slot int, worker string, d target.Deliverer) (*firing.Lane, *running) {
	t.Helper()
	return startLaneWith(t, firing.Options{
		Store: s, Lane: store.LaneID{Slot: slot}, Worker: worker, Deliverer: d, Concurrency: 8, HandOver: -1,
	})
}

func startLaneWith(t *testing.T, o firing.Options) (*firing.Lane, *running) {
	t.Helper()
	l := firing.New(o)
	return l, start(t, l.Run)
}

func startSweeper(t *testing.T, s *store.Redis, slot int) *running {
	t.Helper()
	return start(t, sweeping.New(sweeping.Options{Store: s, Partition: store.Partition{Slot: slot}, Worker: "sweeper"}).Run)
}

// receiver is a target that counts what it gets.
type receiver struct {
	answer func(d *target.Delivery) error
	clock  *store.Clock

	mu    sync.Mutex
	got   map[string]int // by idempotency key
	early int
}

func newReceiver(s *store.Redis, answer func(*target.Delivery) error) *receiver {
	return &receiver{answer: answer, clock: s.Clock(0), got: map[string]int{}}
}

func (r *receiver) Deliver(_ context.Context, d *target.Delivery) error {
	now := r.clock.Now().Add(r.clock.Error())
	r.mu.Lock()
	r.got[d.Key()]++
	if now.Before(d.FireAt) {
		r.early++
	}
	r.mu.Unlock()
	if r.answer == nil {
		return nil
	}
	return r.answer(d)
}

func (r *receiver) Timeout(carillon.Target) time.Duration { return 2 * time.Second }

func (r *receiver) counts() (keys, deliveries, early int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range r.got {
		deliveries += n
	}
	return len(r.got), deliveries, r.early
}

func create(t *testing.T, s *store.Redis, timers ...carillon.TimerSpec) []carillon.CreateResult {
	t.Helper()
	var out []carillon.CreateResult
	for len(timers) > 0 {
		n := min(len(timers), carillon.MaxBatch)
		r, err := s.Create(t.Context(), carillon.CreateTimersInput{Timers: timers[:n]})
		require.NoError(t, err)
		for _, c := range r.Timers {
			require.Nil(t, c.Error)
		}
		out = append(out, r.Timers...)
		timers = timers[n:]
	}
	return out
}

func state(t *testing.T, s *store.Redis, id carillon.ID) carillon.TimerInfo {
	t.Helper()
	r, err := s.Describe(t.Context(), carillon.DescribeTimerInput{TimerRef: carillon.TimerRef{TimerID: id}})
	require.NoError(t, err)
	return r.Timer
}

// count is Count for those who poll.
func count(t *testing.T, s *store.Redis) carillon.CountTimersResult {
	t.Helper()
	c, err := s.Count(t.Context(), carillon.CountTimersInput{})
	require.NoError(t, err)
	return c
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	require.Eventually(t, f, deadline, 5*time.Millisecond, what)
}

// drainMailbox receives and acknowledges n messages, and fails if one comes twice or early.
func drainMailbox(t *testing.T, s *store.Redis, client string, n int) (worst time.Duration) {
	t.Helper()
	box, err := s.Mailbox(t.Context(), client, "test")
	require.NoError(t, err)
	seen := map[string]bool{}
	until := time.Now().Add(deadline)
	for len(seen) < n {
		require.True(t, time.Now().Before(until), "%d of %d messages have come", len(seen), n)
		messages, err := box.Read(t.Context(), "reader", 100, 200*time.Millisecond)
		require.NoError(t, err)
		now := box.Clock().Now()
		for i := range messages {
			m := &messages[i]
			require.False(t, seen[m.Key()], "%s came twice", m.Key())
			seen[m.Key()] = true
			require.False(t, m.Timer.DoneAt.Before(m.Timer.FireAt), "%s was early", m.Key())
			worst = max(worst, now.Sub(m.Timer.FireAt))
		}
		require.NoError(t, box.Ack(t.Context(), messages...))
	}
	left, err := box.Len(t.Context())
	require.NoError(t, err)
	require.Zero(t, left)
	return worst
}
