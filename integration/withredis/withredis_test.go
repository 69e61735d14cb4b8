package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon/store/redistest"
	"github.com/carillon-io/carillon/store/redistest/redisproc"
)

func TestParse(t *testing.T) {
	t.Parallel()
	opts, err := parse([]string{"go", "test", "-v"}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, options{
		from: []string{"env", "container", "path", "install"}, pullTimeout: 30 * time.Second, command: []string{"go", "test", "-v"},
	}, opts)

	opts, err = parse([]string{"--require-real", "--from=path,env", "--pull-timeout", "1s", "--", "x"}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, options{
		requireReal: true, from: []string{"path", "env"}, pullTimeout: time.Second, command: []string{"x"},
	}, opts)

	for _, args := range [][]string{nil, {"--"}, {"--from", "path"}, {"--from", "nowhere", "x"}, {"--no-such-flag", "x"}} {
		_, err := parse(args, io.Discard)
		require.Error(t, err, "%q", args)
	}
}

func TestFindTakesTheNamedOne(t *testing.T) {
	server := redistest.Start(t, redistest.Options{})
	t.Setenv(redisproc.EnvURL, server.URL())
	found, err := find(t.Context(), options{from: sources})
	require.NoError(t, err)
	require.Equal(t, server.URL(), found.url)
	require.Regexp(t, `^(Redis|Valkey) \d`, found.version)
	require.NoError(t, found.close())
	require.NoError(t, server.Client().Ping(t.Context()).Err(), "not ours to end")
}

func TestFindFailsWhenTheNamedOneDoesNotAnswer(t *testing.T) {
	t.Setenv(redisproc.EnvURL, "redis://127.0.0.1:1")
	_, err := find(t.Context(), options{from: sources})
	require.ErrorContains(t, err, redisproc.EnvURL)

	t.Setenv("PATH", "")
	found, err := find(t.Context(), options{from: []string{"path"}})
	require.NoError(t, err)
	require.False(t, found.real())
	require.NoError(t, found.close())
}

func TestFindRunsTheInstalledServer(t *testing.T) {
	redistest.Start(t, redistest.Options{}) // skips where there is none
	t.Setenv("DOCKER_HOST", "unix:///nowhere.sock")
	t.Setenv(redisproc.EnvURL, "")
	found, err := find(t.Context(), options{from: []string{"env", "container", "path"}})
	require.NoError(t, err)
	version, err := redisproc.Probe(t.Context(), found.url)
	require.NoError(t, err)
	require.Equal(t, found.version, version)
	require.NoError(t, found.close())
	_, err = redisproc.Probe(t.Context(), found.url)
	require.Error(t, err)
}

func TestRunRequiresARealOne(t *testing.T) {
	t.Setenv("PATH", "")
	ran := filepath.Join(t.TempDir(), "ran")
	touch := []string{"/bin/sh", "-c", ": > " + ran}
	require.Equal(t, exitFailed, run(options{requireReal: true, from: []string{"path"}, command: touch}))
	require.NoFileExists(t, ran)
	require.Zero(t, run(options{from: []string{"path"}, command: touch}))
	require.FileExists(t, ran)
}

func TestCommand(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]int{"exit 0": 0, "exit 7": 7, "kill -9 $$": 137, `test "$A$B" = 1`: 0} {
		require.Equal(t, want, command([]string{"/bin/sh", "-c", script}, []string{"A=1", "B="}), script)
	}
	require.Equal(t, exitNotRun, command([]string{"/nowhere"}, nil))
}

func TestEnvironment(t *testing.T) {
	t.Parallel()
	base := []string{"A=old", "AB=kept", "C=old"}
	require.Equal(t, []string{"AB=kept", "A=new"}, environment(base, []string{"A=new", "C="}))
}

func TestAbandoned(t *testing.T) {
	t.Parallel()
	host, _, _ := strings.Cut(owner(), ":")
	require.False(t, abandoned(owner()))
	require.False(t, abandoned(fmt.Sprintf("%s:%d", host, os.Getppid())))
	require.True(t, abandoned(host+":999999999"))
	require.False(t, abandoned("elsewhere:999999999"))
	require.False(t, abandoned(""))
}

func TestAptErrors(t *testing.T) {
	t.Parallel()
	require.Equal(t, ": Unable to locate package x", aptErrors("W: nothing\nE: Unable to locate package x\n"))
}
