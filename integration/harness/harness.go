// Package harness starts real parts for end-to-end tests: the embedded Temporal server, shared by all tests of a binary, a
// real Redis where there is one, workers of Carillon, and receivers that write down what they get.
package harness

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"

	"github.com/carillon-io/carillon/cli/devserver"
	"github.com/carillon-io/carillon/integration/check"
	"github.com/carillon-io/carillon/starter"
	"github.com/carillon-io/carillon/starter/direct"
	"github.com/carillon-io/carillon/store"
	"github.com/carillon-io/carillon/store/redistest"
	"github.com/carillon-io/carillon/store/storetest"
	"github.com/carillon-io/carillon/worker"
)

// OtherNamespace is a namespace of the server besides the default one.
const OtherNamespace = "other"

// shared is one server for the test binary. It ends with the process.
var shared = sync.OnceValues(func() (*devserver.Temporal, error) {
	return devserver.StartTemporal(context.Background(), devserver.TemporalOptions{
		Namespaces: []string{devserver.DefaultNamespace, OtherNamespace},
	})
})

// Temporal is the address of the shared server.
func Temporal(t testing.TB) string {
	t.Helper()
	server, err := shared()
	require.NoError(t, err)
	return server.Address()
}

// Dial connects to the shared server, unless the options name another one. The client is closed with the test.
func Dial(t testing.TB, options client.Options) client.Client {
	t.Helper()
	if options.HostPort == "" {
		options.HostPort = Temporal(t)
	}
	options.Logger = sdklog.NewStructuredLogger(Logger(t))
	c, err := client.Dial(options)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// Logger writes the log of a test to its output, from warnings on.
func Logger(t testing.TB) *slog.Logger {
	w := &testWriter{t: t}
	t.Cleanup(w.mute)
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// testWriter writes to a test's output until the test has ended: what ends with it may still have something to say.
type testWriter struct {
	mu sync.Mutex
	t  testing.TB
}

func (w *testWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.t != nil {
		w.t.Logf("%s", p)
	}
	return len(p), nil
}

func (w *testWriter) mute() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.t = nil
}

var _ io.Writer = (*testWriter)(nil)

// Group is a group of timers of a test's own.
type Group struct {
	Name     string
	Temporal client.Client
	Redis    redis.UniversalClient
	// Store looks at the group; workers open their own.
	Store *store.Redis
	// Timers go through Temporal, Direct straight to the store.
	Timers *starter.Client
	Direct starter.Timers
	// Ledger is what the test has asked for, and what receivers got.
	Ledger *check.Ledger

	parts   Parts
	options store.Options
}

// Parts are the servers that a group uses. The zero value is those that all tests share.
type Parts struct {
	// TemporalAddress is host:port of a Temporal server of the test's own, RedisURL that of a Redis.
	TemporalAddress, RedisURL string
}

// NewGroup founds a group. When the test ends, the invariants that can be seen in the store are checked.
func NewGroup(t testing.TB, o store.Options, so starter.Options) *Group {
	t.Helper()
	return NewGroupOn(t, Parts{}, o, so)
}

// NewGroupOn founds a group on servers of the test's own.
func NewGroupOn(t testing.TB, parts Parts, o store.Options, so starter.Options) *Group {
	t.Helper()
	if parts.TemporalAddress == "" {
		parts.TemporalAddress = Temporal(t)
	}
	if parts.RedisURL == "" {
		parts.RedisURL = redistest.URL(t)
	}
	g := &Group{Name: redistest.Group(t), Ledger: check.NewLedger(), parts: parts}
	o.Group, o.AllowVolatile = g.Name, true
	so.Group, so.Logger = g.Name, Logger(t)
	g.options = o
	var err error
	g.Redis, err = store.Connect(parts.RedisURL)
	require.NoError(t, err)
	g.Temporal = Dial(t, client.Options{HostPort: parts.TemporalAddress})
	g.Store, err = store.Open(t.Context(), g.Redis, o)
	require.NoError(t, err)
	g.Timers, err = starter.New(g.Temporal, so)
	require.NoError(t, err)
	g.Direct, err = direct.New(g.Store, direct.Options{})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, g.Timers.Close())
		require.NoError(t, g.Direct.Close())
		storetest.CheckInvariants(t, g.Store, g.Redis)
		require.NoError(t, g.Store.Close())
		require.NoError(t, g.Redis.Close())
	})
	return g
}

// StartWorker starts a worker of the group and returns when it holds a task. It is stopped with the test at the latest.
func (g *Group) StartWorker(t testing.TB, change func(*worker.Options)) *worker.Worker {
	t.Helper()
	o := worker.Options{Temporal: g.Temporal, Redis: g.Redis, Group: g.Name, Store: g.options, Logger: Logger(t)}
	if change != nil {
		change(&o)
	}
	w, err := worker.New(t.Context(), o)
	require.NoError(t, err)
	require.NoError(t, w.Start())
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		require.NoError(t, w.Stop(ctx))
	})
	return w
}

// WaitForTasks waits until the worker holds that many tasks.
func WaitForTasks(t testing.TB, w *worker.Worker, n int) {
	t.Helper()
	Eventually(t, "the worker holds its tasks", func() bool { return len(w.Tasks()) >= n })
}

// Eventually polls until f is true, for two minutes at the most.
func Eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	require.Eventually(t, f, 2*time.Minute, 10*time.Millisecond, what)
}

// Verify waits until everything that was asked for has been received or n deliveries are in, and judges the run.
func (g *Group) Verify(t testing.TB, n int) check.Report {
	t.Helper()
	Eventually(t, "everything is received", func() bool { return g.Ledger.Count() >= n })
	Eventually(t, "nothing is pending", func() bool {
		c, err := g.Direct.Count(t.Context(), countAll)
		return err == nil && c.Pending == 0 && c.Firing == 0
	})
	r := g.Ledger.Report(g.Store.Clock(0).Error())
	t.Log(r)
	g.keep(t, len(r.Broken) > 0)
	require.Empty(t, r.Broken)
	return r
}
