package redistest_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/carillon-io/carillon/store/redistest"
	"github.com/carillon-io/carillon/store/redistest/redisproc"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

func open(t *testing.T, url string) *redis.Client {
	t.Helper()
	options, err := redis.ParseURL(url)
	require.NoError(t, err)
	client := redis.NewClient(options)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	return client
}

// fakeTB takes what a helper says to a test, so that a test can see it fail.
type fakeTB struct {
	testing.TB

	said string
}

func (f *fakeTB) Fatalf(format string, args ...any) {
	f.said = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// fatal runs a helper and returns what it failed with.
func fatal(t *testing.T, helper func(testing.TB)) string {
	t.Helper()
	fake := &fakeTB{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		helper(fake)
	}()
	<-done
	return fake.said
}

func TestURLFromEnvironment(t *testing.T) {
	server := redistest.Start(t, redistest.Options{})
	t.Setenv(redisproc.EnvURL, server.URL())
	require.Equal(t, server.URL(), redistest.URL(t))
	require.Equal(t, server.URL(), redistest.RealURL(t))

	t.Setenv(redisproc.EnvURL, "redis://127.0.0.1:1")
	require.Contains(t, fatal(t, func(t testing.TB) { redistest.URL(t) }), "redis://127.0.0.1:1")
}

func TestURLIsOneServerPerTestBinary(t *testing.T) {
	t.Setenv(redisproc.EnvURL, "")
	url := redistest.RealURL(t)
	require.Equal(t, url, redistest.URL(t))
	require.NoError(t, open(t, url).Ping(t.Context()).Err())
}

func TestURLWithoutServer(t *testing.T) {
	t.Setenv(redisproc.EnvURL, "")
	t.Setenv(redisproc.EnvRequire, "")
	t.Setenv("PATH", "")

	var url string
	t.Run("embedded", func(t *testing.T) {
		url = redistest.URL(t)
		require.Equal(t, url, redistest.URL(t), "shared")
		require.NoError(t, open(t, url).Ping(t.Context()).Err())
	})
	_, err := redisproc.Probe(t.Context(), url)
	require.Error(t, err, "it ends with its last user")

	for name, helper := range map[string]func(testing.TB){
		"RealURL": func(t testing.TB) { redistest.RealURL(t) },
		"Start":   func(t testing.TB) { redistest.Start(t, redistest.Options{}) },
		"Cluster": func(t testing.TB) { redistest.Cluster(t, 3) },
	} {
		t.Run(name+" is skipped", func(t *testing.T) {
			defer func() { require.True(t, t.Skipped()) }()
			helper(t)
		})
	}

	t.Setenv(redisproc.EnvRequire, "1")
	for name, helper := range map[string]func(testing.TB){
		"URL":     func(t testing.TB) { redistest.URL(t) },
		"RealURL": func(t testing.TB) { redistest.RealURL(t) },
		"Start":   func(t testing.TB) { redistest.Start(t, redistest.Options{}) },
		"Cluster": func(t testing.TB) { redistest.Cluster(t, 3) },
	} {
		t.Run(name+" fails when required", func(t *testing.T) {
			require.Contains(t, fatal(t, helper), redisproc.EnvRequire)
		})
	}
}

func TestServerSettings(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.Options{Fsync: "no", MaxMemory: 64 << 20, Args: []string{"--hz", "20"}})
	require.NotZero(t, server.PID())
	for name, want := range map[string]string{
		"appendonly": "yes", "appendfsync": "no", "maxmemory-policy": "noeviction", "maxmemory": "67108864", "hz": "20",
	} {
		got, err := server.Client().ConfigGet(t.Context(), name).Result()
		require.NoError(t, err)
		require.Equal(t, map[string]string{name: want}, got)
	}
}

func TestServerMaxMemory(t *testing.T) {
	t.Parallel()
	client := redistest.Start(t, redistest.Options{MaxMemory: 4 << 20}).Client()
	var err error
	for i := 0; err == nil && i < 10; i++ {
		err = client.Set(t.Context(), fmt.Sprint(i), make([]byte, 1<<20), 0).Err()
	}
	require.ErrorContains(t, err, "OOM")
}

func TestServerDirAndPort(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	server := redistest.Start(t, redistest.Options{Dir: dir})
	require.Equal(t, dir, server.Dir())
	require.DirExists(t, filepath.Join(dir, "appendonlydir"))

	var port int
	_, err := fmt.Sscanf(server.Addr(), "127.0.0.1:%d", &port)
	require.NoError(t, err)
	taken := fatal(t, func(t testing.TB) { redistest.Start(t, redistest.Options{Port: port}) })
	require.Contains(t, taken, "port is taken")
}

func TestServerComesBackWithItsData(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*redistest.Server){
		"kill":    (*redistest.Server).Kill,
		"stop":    (*redistest.Server).Stop,
		"running": func(*redistest.Server) {},
		"paused":  (*redistest.Server).Pause,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t, redistest.Options{Fsync: "always"})
			client, addr, pid := server.Client(), server.Addr(), server.PID()
			require.NoError(t, client.Set(t.Context(), "key", "value", 0).Err())

			end(server)
			server.Restart()

			require.Equal(t, addr, server.Addr())
			require.NotEqual(t, pid, server.PID())
			require.Equal(t, "value", client.Get(t.Context(), "key").Val())
		})
	}
}

func TestServerIsGoneAfterKillAndStop(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.Options{})
	for _, end := range []func(){server.Kill, server.Stop} {
		end()
		require.Zero(t, server.PID())
		require.Error(t, server.Client().Ping(t.Context()).Err())
		end() // again changes nothing
		server.Restart()
		require.NoError(t, server.Client().Ping(t.Context()).Err())
	}
}

func TestServerPause(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.Options{})
	client := server.Client()
	require.NoError(t, client.Ping(t.Context()).Err())

	server.Pause()
	server.Pause() // again changes nothing
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	err := client.Ping(ctx).Err()
	require.True(t, errors.Is(err, context.DeadlineExceeded) || os.IsTimeout(err), "%v", err)

	server.Resume()
	server.Resume()
	require.NoError(t, client.Ping(t.Context()).Err())
}

func TestServerThatDiedByItself(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.Options{})
	process, err := os.FindProcess(server.PID())
	require.NoError(t, err)
	require.NoError(t, process.Kill())
	server.Restart()
	require.NoError(t, server.Client().Ping(t.Context()).Err())
}

func TestServerThatCannotStart(t *testing.T) {
	t.Parallel()
	require.Contains(t, fatal(t, func(t testing.TB) {
		redistest.Start(t, redistest.Options{Fsync: "sometimes"})
	}), "fsync policy")
	require.Contains(t, fatal(t, func(t testing.TB) {
		redistest.Start(t, redistest.Options{Args: []string{"--no-such-setting", "1"}})
	}), "no-such-setting", "the server's own words")
}

func TestEmbeddedExpiresByItself(t *testing.T) {
	t.Parallel()
	m := redistest.Embedded(t)
	client := open(t, "redis://"+m.Addr())
	require.NoError(t, client.Set(t.Context(), "short", "x", 20*time.Millisecond).Err())
	require.NoError(t, client.Set(t.Context(), "long", "x", time.Hour).Err())
	require.Eventually(t, func() bool { return client.Exists(t.Context(), "short").Val() == 0 }, 5*time.Second, 5*time.Millisecond)
	require.EqualValues(t, 1, client.Exists(t.Context(), "long").Val())
	m.SetTime(time.Now().Add(2 * time.Hour))
	require.Zero(t, client.Exists(t.Context(), "long").Val())
}
