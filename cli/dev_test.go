package cli

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/starter"
	"github.com/carillon-io/carillon/store"
)

// fakePlatform runs nothing.
type fakePlatform struct {
	options PlatformOptions
	failed  chan error
	stopped int
}

func (f *fakePlatform) Info() PlatformInfo {
	return PlatformInfo{
		Temporal: "a temporal", Redis: "a redis", Volatile: true, Address: "127.0.0.1:7233", Namespace: "default",
		UI:       "http://ui",
		RedisURL: "redis://r", Group: "g", Slots: 8, Worker: "w",
	}
}
func (f *fakePlatform) Timers() starter.Timers  { return nil }
func (f *fakePlatform) Temporal() client.Client { return nil }
func (f *fakePlatform) Store() *store.Redis     { return nil }
func (f *fakePlatform) Failed() <-chan error    { return f.failed }
func (f *fakePlatform) Stop(context.Context) error {
	f.stopped++
	return nil
}

func runDev(ctx context.Context, f *fakePlatform, args ...string) (code int, stdout, stderr string) {
	h := newHarness()
	e := h.environment()
	e.StartPlatform = func(_ context.Context, o PlatformOptions) (Platform, error) {
		f.options = o
		return f, nil
	}
	code = Run(ctx, e, append([]string{"carillon", "dev"}, args...))
	return code, h.stdout.String(), h.stderr.String()
}

func TestDevServesUntilItIsInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // as soon as it serves
	f := &fakePlatform{}
	code, stdout, stderr := runDev(ctx, f, "--data-dir", "d", "--port", "0", "--slots", "8", "--headless", "--group", "g")
	require.Zero(t, code, stderr)
	require.Equal(t, 1, f.stopped)
	require.Contains(t, stdout, "Web UI    http://ui\n")
	require.Contains(t, stdout, "--group g")
	require.Contains(t, stderr, "Timers are forgotten at the end.")
	f.options.Logger = nil
	require.Equal(t, PlatformOptions{
		DataDir: "d", Namespace: "default", Group: "g", Slots: 8, UIPort: defaultUIPort, RedisPort: defaultRedisPort,
		NoUI: true,
	}, f.options)

	code, stdout, _ = runDev(ctx, f, "-o", "jsonl")
	require.Zero(t, code)
	require.Equal(t, 1, strings.Count(stdout, "\n"))
	var info PlatformInfo
	require.NoError(t, json.Unmarshal([]byte(stdout), &info))
	require.Equal(t, f.Info(), info)
}

func TestDevEndsWhenAPartDoes(t *testing.T) {
	t.Parallel()
	f := &fakePlatform{failed: make(chan error, 1)}
	f.failed <- carillon.Errorf(carillon.TypeUnavailable, "redis has ended")
	code, _, stderr := runDev(t.Context(), f)
	require.Equal(t, 8, code)
	require.Contains(t, stderr, "redis has ended")
	require.Equal(t, 1, f.stopped)
}

func TestABinaryWithoutServersSaysSo(t *testing.T) {
	t.Parallel()
	newHarness().fails(t, 1, "no servers inside", "dev")
}
