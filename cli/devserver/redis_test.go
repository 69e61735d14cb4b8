package devserver_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon/cli/devserver"
)

const (
	patience = 10 * time.Second
	tick     = 10 * time.Millisecond
)

// needRealRedis skips a test where there is none.
func needRealRedis(t *testing.T) {
	t.Helper()
	for _, name := range []string{"redis-server", "valkey-server"} {
		if _, err := exec.LookPath(name); err == nil {
			return
		}
	}
	t.Skip("neither redis-server nor valkey-server in PATH")
}

func TestRealRedisKeepsItsData(t *testing.T) {
	t.Parallel()
	needRealRedis(t)
	options := devserver.RedisOptions{
		DataDir: filepath.Join(t.TempDir(), "new", "redis"),
		Args:    []string{"--maxmemory", "64mb"},
	}
	first := startRedis(t, options)
	require.True(t, first.Real())
	require.Regexp(t, `^(redis|valkey)-server \d+\.\S+ \(append-only file\)$`, first.Kind())
	c := redisClient(t, first)
	require.NoError(t, c.Set(t.Context(), "key", "value", 0).Err())
	for name, want := range map[string]string{
		"appendonly":       "yes",
		"appendfsync":      "everysec",
		"maxmemory-policy": "noeviction",
		"maxmemory":        "67108864",
		"save":             "",
		"bind":             "127.0.0.1",
	} {
		require.Equal(t, map[string]string{name: want}, c.ConfigGet(t.Context(), name).Val())
	}

	options.Port = port(t, first.Address())
	_, err := devserver.StartRedis(t.Context(), options)
	require.ErrorIs(t, err, devserver.ErrDataInUse)

	require.NoError(t, first.Stop())
	require.NoError(t, first.Stop())
	<-first.Done()

	second := startRedis(t, options)
	require.Equal(t, first.URL(), second.URL())
	require.Equal(t, "value", redisClient(t, second).Get(t.Context(), "key").Val())

	// A crash loses nothing either, and Stop has no complaint about it.
	require.NoError(t, redisClient(t, second).Set(t.Context(), "key", "other", 0).Err())
	process, err := os.FindProcess(second.PID())
	require.NoError(t, err)
	require.NoError(t, process.Kill())
	<-second.Done()
	require.NoError(t, second.Stop())
	third := startRedis(t, options)
	require.Equal(t, "other", redisClient(t, third).Get(t.Context(), "key").Val())
}

func TestRealRedisRemovesItsTemporaryFiles(t *testing.T) {
	t.Parallel()
	needRealRedis(t)
	server := startRedis(t, devserver.RedisOptions{})
	require.Contains(t, server.Kind(), "removed when it stops")
	dir := redisClient(t, server).ConfigGet(t.Context(), "dir").Val()["dir"]
	require.DirExists(t, dir)
	require.NoError(t, server.Stop())
	require.NoDirExists(t, dir)
}

func TestRedisDiesWithItsParent(t *testing.T) {
	t.Parallel()
	needRealRedis(t)
	if runtime.GOOS != "linux" {
		t.Skip("only Linux kills the children of a killed process")
	}
	parent := exec.CommandContext(t.Context(), os.Args[0])
	// Its Redis has no time to remove its files.
	parent.Env = append(os.Environ(), childOfTest+"=1", "TMPDIR="+t.TempDir())
	parent.Stderr = t.Output()
	output, err := parent.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, parent.Start())
	line, err := bufio.NewReader(output).ReadString('\n')
	require.NoError(t, err)
	var (
		address string
		pid     int
	)
	_, err = fmt.Sscan(line, &address, &pid)
	require.NoError(t, err)
	listening := func() bool {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return false
		}
		return conn.Close() == nil
	}
	require.True(t, listening())

	require.NoError(t, parent.Process.Kill())
	require.Error(t, parent.Wait())
	require.Eventually(t, func() bool { return !listening() }, patience, tick)
}

func TestEmbeddedRedis(t *testing.T) {
	t.Parallel()
	server := startRedis(t, devserver.RedisOptions{Embedded: true})
	require.False(t, server.Real())
	require.Zero(t, server.PID())
	require.Equal(t, "embedded (forgets everything when it stops)", server.Kind())
	c := redisClient(t, server)
	require.Equal(t, "PONG", c.Ping(t.Context()).Val())

	require.NoError(t, c.Set(t.Context(), "brief", "value", 200*time.Millisecond).Err())
	require.NoError(t, c.Set(t.Context(), "long", "value", time.Hour).Err())
	require.EqualValues(t, 1, c.Exists(t.Context(), "brief").Val())
	require.Eventually(t, func() bool { return c.Exists(t.Context(), "brief").Val() == 0 }, patience, tick)
	require.EqualValues(t, 1, c.Exists(t.Context(), "long").Val())

	require.NoError(t, server.Stop())
	require.NoError(t, server.Stop())
	<-server.Done()
	again := startRedis(t, devserver.RedisOptions{Embedded: true, Port: port(t, server.Address())})
	require.Zero(t, redisClient(t, again).Exists(t.Context(), "long").Val())
}

func TestRedisRefuses(t *testing.T) {
	t.Parallel()
	needRealRedis(t)
	for name, test := range map[string]struct {
		options devserver.RedisOptions
		want    string
	}{
		"an occupied port":              {devserver.RedisOptions{Port: occupied(t)}, "choose another port"},
		"an occupied port, embedded":    {devserver.RedisOptions{Port: occupied(t), Embedded: true}, "choose another port"},
		"a binary and the embedded one": {devserver.RedisOptions{Binary: "redis-server", Embedded: true}, "choose one"},
		"a binary that is not there":    {devserver.RedisOptions{Binary: "no-such-server"}, "no-such-server"},
		"a binary that is another":      {devserver.RedisOptions{Binary: "echo"}, "neither Redis nor Valkey"},
		"an argument it does not know":  {devserver.RedisOptions{Args: []string{"--no-such-option", "1"}}, "no-such-option"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := devserver.StartRedis(t.Context(), test.options)
			require.ErrorContains(t, err, test.want)
		})
	}
}

// TestRedisFallsBack takes the real servers out of PATH, so it cannot run beside other tests.
func TestRedisFallsBack(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	server := startRedis(t, devserver.RedisOptions{DataDir: t.TempDir()})
	require.False(t, server.Real())

	// An outdated server is as good as none.
	old := "#!/bin/sh\necho 'Redis server v=6.0.16 sha=00000000:0 malloc=jemalloc-5.2.1 bits=64'\n"
	require.NoError(t, os.WriteFile(filepath.Join(os.Getenv("PATH"), "redis-server"), []byte(old), 0o700))
	require.False(t, startRedis(t, devserver.RedisOptions{}).Real())
	_, err := devserver.StartRedis(t.Context(), devserver.RedisOptions{Binary: "redis-server"})
	require.ErrorContains(t, err, "7.0 or newer")
}
