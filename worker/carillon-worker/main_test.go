package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.uber.org/goleak"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/store/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// env is an environment of its own.
func env(pairs ...string) func(string) (string, bool) {
	m := map[string]string{"TEMPORAL_CONFIG_FILE": os.DevNull}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return func(name string) (string, bool) {
		v, found := m[name]
		return v, found
	}
}

// buffer takes what is logged, from many goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestParse(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "redis-url")
	require.NoError(t, os.WriteFile(file, []byte("redis://:from-file@h\n"), 0o600))

	s, err := parse([]string{"--redis-url", "redis://flagged"}, env("CARILLON_REDIS_URL", "redis://:p@env"), &buffer{})
	require.NoError(t, err)
	require.Equal(t, "redis://flagged", s.redisURL)
	require.Equal(t, carillon.DefaultGroup, s.worker.Group)
	require.Equal(t, 1, s.worker.LanesPerSlot)
	require.False(t, s.worker.Webhook.AllowPrivate)
	require.Equal(t, 10_000, s.stickyCache)

	s, err = parse([]string{"--redis-url-file", file}, env("CARILLON_REDIS_URL", "redis://:p@env"), &buffer{})
	require.NoError(t, err)
	require.Equal(t, "redis://:from-file@h", s.redisURL)

	s, err = parse([]string{"--lanes", "3", "--zone", "b", "--capacity", "2", "--webhook-allow-networks", "10.0.0.0/8, fd00::/8"}, env(
		"CARILLON_REDIS_URL", "redis://:p@env", "CARILLON_LANES", "2", "CARILLON_GROUP", "g", "CARILLON_SLOTS", "64",
		"CARILLON_WEBHOOK_ALLOW_PRIVATE", "true", "CARILLON_LOG_LEVEL", "debug", "CARILLON_STICKY_CACHE", "0"), &buffer{})
	require.NoError(t, err)
	require.Equal(t, "redis://:p@env", s.redisURL)
	require.Equal(t, 3, s.worker.LanesPerSlot, "a flag wins")
	require.Equal(t, 64, s.worker.Store.Slots)
	require.Equal(t, "b", s.worker.Zone)
	require.Equal(t, 2, s.worker.Capacity)
	require.Equal(t, "g", s.worker.Group)
	require.True(t, s.worker.Webhook.AllowPrivate)
	require.Equal(t, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")},
		s.worker.Webhook.AllowNetworks)
	require.Equal(t, "DEBUG", s.logLevel.String())
	require.Zero(t, s.stickyCache)
}

func TestParseWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args  []string
		env   func(string) (string, bool)
		field string
	}{
		"no redis":       {nil, env(), "redis-url"},
		"password":       {[]string{"--redis-url", "redis://:secret@h"}, env(), "redis-url"},
		"no file":        {[]string{"--redis-url-file", "/does/not/exist"}, env(), "redis-url-file"},
		"unknown flag":   {[]string{"--lane", "1"}, env(), "flags"},
		"argument":       {[]string{"--lanes", "1", "more"}, env(), "flags"},
		"sticky cache":   {[]string{"--sticky-cache", "-1"}, env(), "sticky-cache"},
		"no number":      {[]string{"--lanes", "many"}, env(), "flags"},
		"no number, env": {nil, env("CARILLON_LANES", "many"), "CARILLON_LANES"},
		"log format":     {[]string{"--log-format", "xml"}, env(), "log-format"},
		"network": {
			[]string{"--webhook-allow-networks", "10.0.0.1", "--redis-url", "redis://h"},
			env(),
			"webhook-allow-networks",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := parse(c.args, c.env, &buffer{})
			var ours *carillon.Error
			require.ErrorAs(t, err, &ours)
			require.Equal(t, c.field, ours.Field)
			require.Equal(t, 2, carillon.ExitCode(err))
			require.NotContains(t, err.Error(), "secret")
		})
	}
	_, err := parse([]string{"--help"}, env("CARILLON_REDIS_URL", "redis://:secret@h"), &buffer{})
	require.ErrorIs(t, err, flag.ErrHelp)
}

func TestHelpShowsNoSecret(t *testing.T) {
	t.Parallel()
	var out buffer
	_, err := parse([]string{"--help"}, env("CARILLON_REDIS_URL", "redis://:secret@h"), &out)
	require.ErrorIs(t, err, flag.ErrHelp)
	require.Contains(t, out.String(), "-redis-url-file")
	require.NotContains(t, out.String(), "secret")
}

func TestTemporalSettings(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "temporal.toml")
	require.NoError(t, os.WriteFile(file, []byte("[profile.prod]\naddress = \"prod:7233\"\nnamespace = \"shop\"\n"),
		0o600))
	options := func(e func(string) (string, bool), args ...string) (client.Options, error) {
		s, err := parse(append(args, "--redis-url", "redis://h"), e, &buffer{})
		require.NoError(t, err)
		return s.temporal(s.logger(&buffer{}))
	}

	o, err := options(env())
	require.NoError(t, err)
	require.Equal(t, "default", o.Namespace)
	require.Nil(t, o.DataConverter)

	o, err = options(env("TEMPORAL_NAMESPACE", "other"), "--config-file", file, "--profile", "prod")
	require.NoError(t, err)
	require.Equal(t, "prod:7233", o.HostPort)
	require.Equal(t, "other", o.Namespace, "the environment wins over the file")

	o, err = options(env("TEMPORAL_NAMESPACE", "other"), "--config-file", file, "--profile", "prod",
		"--namespace", "mine", "--address", "here:7233", "--codec-endpoint", "http://codec")
	require.NoError(t, err)
	require.Equal(t, "here:7233", o.HostPort)
	require.Equal(t, "mine", o.Namespace, "a flag wins over both")
	require.NotNil(t, o.DataConverter)

	_, err = options(env(), "--config-file", file, "--profile", "nowhere")
	require.ErrorIs(t, err, carillon.ErrInvalidArgument)
}

func TestRunWithoutTemporal(t *testing.T) {
	t.Parallel()
	var out buffer
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() {
		result <- run(ctx, []string{
			"--group", fmt.Sprintf("main-%d", time.Now().UnixNano()), "--slots", "2", "--address", "127.0.0.1:1",
			"--allow-volatile",
			"--log-format", "json",
		}, env("CARILLON_REDIS_URL", redistest.URL(t), "TEMPORAL_API_KEY", "secret-key"), &out)
	}()
	require.Eventually(t, func() bool { return strings.Contains(out.String(), "Carillon's worker starts.") },
		20*time.Second,
		5*time.Millisecond)
	cancel()
	require.NoError(t, <-result)
	require.Contains(t, out.String(), "Carillon's worker stops.")
	require.NotContains(t, out.String(), "secret-key")
}

func TestRunWithoutRedis(t *testing.T) {
	t.Parallel()
	err := run(t.Context(), nil, env("CARILLON_REDIS_URL", "redis://:secret@127.0.0.1:1"), &buffer{})
	require.ErrorIs(t, err, carillon.ErrUnavailable)
	require.NotContains(t, err.Error(), "secret")
	require.ErrorIs(t, run(t.Context(), nil, env("CARILLON_REDIS_URL", "http://h"), &buffer{}),
		carillon.ErrInvalidArgument)
}
