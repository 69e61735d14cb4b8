package devserver_test

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/carillon-io/carillon/cli/devserver"
)

const (
	taskQueue    = "devserver-test"
	workflowName = "Greet"
	activityName = "Greeting"
)

func greet(ctx workflow.Context, name string) (string, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: 10 * time.Second})
	var greeting string
	err := workflow.ExecuteActivity(ctx, activityName, name).Get(ctx, &greeting)
	return greeting, err
}

func greeting(_ context.Context, name string) (string, error) { return "Hello, " + name + ".", nil }

// testLog sends the servers' warnings into the test's log, as long as the test runs.
func testLog(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}

func startTemporal(t *testing.T, options devserver.TemporalOptions) *devserver.Temporal {
	t.Helper()
	options.Logger = testLog(t)
	server, err := devserver.StartTemporal(t.Context(), options)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Stop()) })
	return server
}

func startRedis(t *testing.T, options devserver.RedisOptions) *devserver.Redis {
	t.Helper()
	options.Logger = testLog(t)
	server, err := devserver.StartRedis(t.Context(), options)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Stop()) })
	return server
}

func dial(t *testing.T, server *devserver.Temporal) client.Client {
	t.Helper()
	c, err := client.DialContext(t.Context(), client.Options{
		HostPort:  server.Address(),
		Namespace: server.Namespaces()[0],
		Logger:    sdklog.NewStructuredLogger(testLog(t)),
	})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// work runs a worker until the test ends.
func work(t *testing.T, c client.Client) {
	t.Helper()
	w := worker.New(c, taskQueue, worker.Options{})
	w.RegisterWorkflowWithOptions(greet, workflow.RegisterOptions{Name: workflowName})
	w.RegisterActivityWithOptions(greeting, activityOptions)
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
}

func redisClient(t *testing.T, server *devserver.Redis) *redis.Client {
	t.Helper()
	options, err := redis.ParseURL(server.URL())
	require.NoError(t, err)
	c := redis.NewClient(options)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

// occupied is a port of 127.0.0.1 that somebody listens on until the test ends.
func occupied(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	return port(t, listener.Addr().String())
}

func port(t *testing.T, address string) int {
	t.Helper()
	parsed, err := netip.ParseAddrPort(address)
	require.NoError(t, err)
	return int(parsed.Port())
}
