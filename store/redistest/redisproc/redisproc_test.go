package redisproc_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/carillon-io/carillon/store/redistest/redisproc"
)

// envHelper makes the test binary run a server and wait, so that a test can kill it.
const envHelper = "REDISPROC_TEST_HELPER"

func TestMain(m *testing.M) {
	if os.Getenv(envHelper) != "" {
		helper()
		return
	}
	goleak.VerifyTestMain(m)
}

func helper() {
	server, err := redisproc.Start(context.Background(), redisproc.Config{})
	if err != nil {
		fmt.Println("error", err)
		return
	}
	fmt.Println(server.Addr(), server.Dir())
	if os.Getenv(envHelper) == "leave" {
		return // without Close
	}
	select {}
}

func needBinary(t *testing.T) {
	t.Helper()
	if _, err := redisproc.LookPath(); err != nil {
		if os.Getenv(redisproc.EnvRequire) == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

func TestServerEndsWithItsProgram(t *testing.T) {
	t.Parallel()
	needBinary(t)
	for _, how := range []string{"leave", "kill"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			program := exec.CommandContext(t.Context(), os.Args[0])
			program.Env = append(os.Environ(), envHelper+"="+how)
			out, err := program.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, program.Start())
			line, err := bufio.NewReader(out).ReadString('\n')
			require.NoError(t, err)
			addr, dir, ok := strings.Cut(strings.TrimSpace(line), " ")
			require.True(t, ok)
			require.NotEqual(t, "error", addr, line)
			if how == "kill" {
				require.NoError(t, program.Process.Kill())
				require.Error(t, program.Wait())
			} else {
				require.NoError(t, program.Wait())
			}
			require.Eventually(t, func() bool {
				conn, err := net.Dial("tcp", addr)
				if err == nil {
					_ = conn.Close()
				}
				return err != nil
			}, 10*time.Second, 10*time.Millisecond, "the server is still there")
			require.Eventually(t, func() bool {
				_, err := os.Stat(dir)
				return os.IsNotExist(err)
			}, 10*time.Second, 10*time.Millisecond, "the directory is still there")
		})
	}
}

func TestClose(t *testing.T) {
	t.Parallel()
	needBinary(t)
	server, err := redisproc.Start(t.Context(), redisproc.Config{})
	require.NoError(t, err)
	require.DirExists(t, server.Dir())
	version, err := redisproc.Probe(t.Context(), server.URL())
	require.NoError(t, err)
	require.Regexp(t, `^(Redis|Valkey) \d+\.\d+`, version)

	require.NoError(t, server.Close())
	require.NoError(t, server.Close())
	require.NoDirExists(t, server.Dir())
	require.Error(t, server.Restart(t.Context()))
	require.Error(t, server.Pause())
	require.NoError(t, server.Resume())
}

func TestStartRefuses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		cfg  redisproc.Config
		want string
	}{
		"fsync":      {redisproc.Config{Fsync: "never"}, "fsync policy"},
		"max memory": {redisproc.Config{MaxMemory: -1}, "negative"},
		"port":       {redisproc.Config{Port: 60000}, "cluster bus"},
		"binary":     {redisproc.Config{Binary: "/nowhere/redis-server"}, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := redisproc.Start(t.Context(), test.cfg)
			require.ErrorContains(t, err, test.want)
		})
	}
}

func TestVersionOf(t *testing.T) {
	t.Parallel()
	require.Equal(t, "Redis 7.0.15", redisproc.VersionOf("# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\n"))
	require.Equal(t, "Valkey 8.1.0",
		redisproc.VersionOf("# Server\r\nredis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.1.0\r\n"))
}
