package integration_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/cli/devserver"
	"github.com/carillon-io/carillon/integration/check"
	"github.com/carillon-io/carillon/integration/harness"
	"github.com/carillon-io/carillon/store"
	"github.com/carillon-io/carillon/store/redistest"
)

// webhooks is an HTTP server that writes down what it gets, once for each idempotency key, as a receiver should that
// deduplicates.
type webhooks struct {
	*httptest.Server

	mu    sync.Mutex
	keys  map[string]int
	hooks []time.Duration
}

func startWebhooks(t *testing.T, g *harness.Group) *webhooks {
	t.Helper()
	w := &webhooks{keys: map[string]int{}}
	w.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		at := g.Store.Clock(0).Now()
		id, err := carillon.ParseID(r.Header.Get("Carillon-Timer-Id"))
		due, dueErr := time.Parse(time.RFC3339Nano, r.Header.Get("Carillon-Fire-At"))
		if !check.NoError(t, err) || !check.NoError(t, dueErr) {
			return
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.keys[r.Header.Get("Webhook-Id")]++
		if w.keys[r.Header.Get("Webhook-Id")] == 1 {
			w.hooks = append(w.hooks, at.Sub(due))
		}
		g.Ledger.Received(id, due, at)
	}))
	t.Cleanup(w.Close)
	return w
}

// spread makes timers that are due one after the other, every tenth of them to a webhook.
func spread(base time.Time, n int, over time.Duration, url string) []carillon.TimerSpec {
	specs := make([]carillon.TimerSpec, n)
	for i := range specs {
		specs[i] = carillon.TimerSpec{
			ClientID: "client", FireAt: base.Add(time.Duration(i) * over / time.Duration(n)).Truncate(time.Millisecond),
			Target: carillon.ToMailbox(),
		}
		if i%10 == 0 && url != "" {
			specs[i].Target = carillon.ToWebhook(url)
		}
	}
	return specs
}

// ask creates timers straight in the store and writes them down. A webhook may get a timer again after a crash.
func ask(t *testing.T, g *harness.Group, specs []carillon.TimerSpec) []carillon.CreateResult {
	t.Helper()
	results, err := g.Direct.CreateAll(t.Context(), specs)
	require.NoError(t, err)
	for i, r := range results {
		require.Nil(t, r.Error)
		effects := check.ExactlyOnce
		if specs[i].Target.Mailbox == nil {
			effects = check.AtLeastOnce
		}
		g.Ledger.Asked(r.TimerID, r.FireAt, effects)
	}
	return results
}

// A worker is killed in the middle of 20,000 timers, and another one takes over: nothing is lost, nothing is early, nothing
// comes twice into a mailbox, and to a webhook only what was claimed and unfinished.
func TestKilledWorkerLosesNothing(t *testing.T) { killWorker(t) }

func killWorker(t *testing.T) check.Report {
	t.Helper()
	const n = 20_000
	g := harness.NewGroup(t, store.Options{}, starterOptions)
	hooks := startWebhooks(t, g)
	first := g.StartProcess(t, "first")
	g.WaitForLanes(t, "first")
	g.StartProcess(t, "second")
	g.ReadMailbox(t, "client")
	ask(t, g, spread(g.Store.Clock(0).Now().Add(2*time.Second), n, 12*time.Second, hooks.URL))
	harness.Eventually(t, "a third has fired", func() bool { return g.Ledger.Count() > n/3 })
	first.Kill()
	g.WaitForLanes(t, "second")
	r := g.Verify(t, n)
	const lanes, concurrency = 16, 64
	require.LessOrEqual(t, r.Duplicates, lanes*concurrency, "at most what was claimed")
	require.LessOrEqual(t, r.Max, 3*time.Second, "a lane's lease of 1.5 s, and a moment")
	return r
}

// A worker that is frozen beyond its leases, replaced, and thawed writes nothing.
func TestFrozenWorkerWritesNothing(t *testing.T) {
	const n = 6000
	g := harness.NewGroup(t, store.Options{Slots: 4}, starterOptions)
	hooks := startWebhooks(t, g)
	first := g.StartProcess(t, "first")
	g.WaitForLanes(t, "first")
	g.StartProcess(t, "second")
	g.ReadMailbox(t, "client")
	ask(t, g, spread(g.Store.Clock(0).Now().Add(time.Second), n, 10*time.Second, hooks.URL))
	harness.Eventually(t, "a third has fired", func() bool { return g.Ledger.Count() > n/3 })
	before := leases(g)
	first.Freeze()
	g.WaitForLanes(t, "second")
	harness.Eventually(t, "half has fired", func() bool { return g.Ledger.Count() > n/2 })
	first.Thaw()
	r := g.Verify(t, n)
	t.Logf("%d timers came twice", r.Duplicates)
	require.True(t, first.Alive(), first.Log())
	for task, token := range leases(g) {
		if store.Token(token).Worker() == "first" { // it has its share again, by leases that it has asked for since
			require.NotEqual(t, before[task], token, task)
		}
	}
}

// While Temporal is away, timers for mailboxes and webhooks go on, also from a worker that starts meanwhile; those for
// Temporal wait, and lose no attempt.
func TestTemporalMayBeAway(t *testing.T) {
	file := filepath.Join(t.TempDir(), "temporal.db")
	start := func(port int) *devserver.Temporal {
		server, err := devserver.StartTemporal(context.Background(), devserver.TemporalOptions{Port: port, DBFile: file})
		require.NoError(t, err)
		return server
	}
	temporal := start(0)
	g := harness.NewGroupOn(t, harness.Parts{TemporalAddress: temporal.Address()}, store.Options{Slots: 4}, starterOptions)
	hooks := startWebhooks(t, g)
	receiver := g.StartReceiver(t)
	first := g.StartProcess(t, "first")
	g.WaitForLanes(t, "first")
	g.ReadMailbox(t, "client")

	port := portOf(t, temporal.Address())
	require.NoError(t, temporal.Stop())
	const n, signals = 4000, 20
	ask(t, g, spread(g.Store.Clock(0).Now().Add(time.Second), n, 8*time.Second, hooks.URL))
	var waiting []carillon.TimerSpec
	for i := range signals {
		due := g.Store.Clock(0).Now().Add(time.Second).Truncate(time.Millisecond)
		waiting = append(waiting, carillon.TimerSpec{
			ClientID: "client", FireAt: due, Payload: payload(t, g, harness.Note{Serial: i, Due: due}),
			Target: carillon.ToSignal(receiver.ID, harness.SignalName), Retry: &carillon.RetryPolicy{MaximumAttempts: 1},
		})
	}
	signalled, err := g.Direct.CreateAll(t.Context(), waiting)
	require.NoError(t, err)
	harness.Eventually(t, "a third has fired", func() bool { return g.Ledger.Count() > n/3 })
	stop, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	g.StartProcess(t, "second") // it starts without Temporal
	require.NoError(t, first.Terminate(stop))
	g.WaitForLanes(t, "second")
	harness.Eventually(t, "all are received", func() bool { return g.Ledger.Count() >= n })
	for _, r := range signalled {
		info, err := g.Direct.Describe(t.Context(), carillon.TimerRef{TimerID: r.TimerID})
		require.NoError(t, err)
		require.False(t, info.State.Done(), "%s: %s", info.State, info.LastError)
	}

	temporal = start(port)
	t.Cleanup(func() { require.NoError(t, temporal.Stop()) })
	harness.Eventually(t, "the signals have arrived", func() bool { return len(receiver.Got()) == signals })
	r := g.Verify(t, n)
	require.LessOrEqual(t, r.P99, time.Second, "on time while Temporal was away")
	for _, s := range signalled {
		info, err := g.Direct.Describe(t.Context(), carillon.TimerRef{TimerID: s.TimerID})
		require.NoError(t, err)
		require.Equal(t, carillon.StateFired, info.State)
		require.Equal(t, 1, info.Attempts, "no attempt was lost")
	}
}

func portOf(t *testing.T, address string) int {
	t.Helper()
	port := 0
	for _, c := range address[strings.LastIndex(address, ":")+1:] {
		port = port*10 + int(c-'0')
	}
	require.Positive(t, port)
	return port
}

// Redis, with an fsync before each answer, is killed and restarted under load: no acknowledged timer is lost, scripts are loaded
// again, and reads resume.
func TestKilledRedisLosesNothingAcknowledged(t *testing.T) {
	rounds := 3
	if faults() {
		rounds = 20
	}
	killRedis(t, rounds)
}

func killRedis(t *testing.T, rounds int) check.Report {
	t.Helper()
	server := redistest.Start(t, redistest.Options{Fsync: "always"})
	g := harness.NewGroupOn(t, harness.Parts{RedisURL: server.URL()}, store.Options{Slots: 4}, starterOptions)
	hooks := startWebhooks(t, g)
	g.StartProcess(t, "worker")
	g.WaitForLanes(t, "worker")
	g.ReadMailbox(t, "client")

	stop := make(chan struct{})
	var creating sync.WaitGroup
	for range 4 {
		creating.Go(func() { createUntil(g, hooks.URL, stop) })
	}
	for round := range rounds {
		before := g.Ledger.Count()
		harness.Eventually(t, "timers fire", func() bool { return g.Ledger.Count() > before+200 })
		server.Kill()
		server.Restart()
		t.Logf("round %d: %d timers received", round+1, g.Ledger.Count())
	}
	close(stop)
	creating.Wait()
	g.WaitUntilIdle(t)
	harness.Eventually(t, "everything is received", func() bool { return g.Ledger.Report(time.Millisecond).Lost == 0 })
	r := g.Ledger.Report(g.Store.Clock(0).Error())
	t.Log(r)
	require.Empty(t, withoutStrangers(r.Broken))
	return r
}

// createUntil creates some 500 timers a second, straight in the store, and writes down those that are acknowledged.
func createUntil(g *harness.Group, url string, stop <-chan struct{}) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		specs := spread(g.Store.Clock(0).Now().Add(200*time.Millisecond), 50, 2*time.Second, url)
		results, _ := g.Direct.CreateAll(context.Background(), specs) // each answer says for itself
		for i, r := range results {
			if r.Error == nil && !r.TimerID.IsZero() {
				effects := check.ExactlyOnce
				if specs[i].Target.Mailbox == nil {
					effects = check.AtLeastOnce
				}
				g.Ledger.Asked(r.TimerID, r.FireAt, effects)
			}
		}
	}
}

// withoutStrangers leaves out timers that were received and never acknowledged: their create's answer was lost with Redis.
func withoutStrangers(broken []string) []string {
	var out []string
	for _, b := range broken {
		if !strings.Contains(b, "never asked for") {
			out = append(out, b)
		}
	}
	return out
}
