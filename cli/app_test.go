package cli

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/urfave/cli/v2"
	"go.uber.org/goleak"

	"github.com/carillon-io/carillon"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// leaves are all commands that do something, by their full name.
func leaves(prefix []string, commands []*cli.Command) map[string]*cli.Command {
	out := map[string]*cli.Command{}
	for _, c := range commands {
		path := append(append([]string{}, prefix...), c.Name)
		if len(c.Subcommands) == 0 {
			out[strings.Join(path, " ")] = c
		}
		for name, sub := range leaves(path, c.Subcommands) {
			out[name] = sub
		}
	}
	return out
}

func tree(h *harness) map[string]*cli.Command {
	a := &app{Env: h.environment()}
	return leaves(nil, a.build(appName).Commands)
}

func TestWhatIsNotExpectedIsRefused(t *testing.T) {
	t.Parallel()
	for args, message := range map[string]string{
		"tmer":                            "Did you mean carillon timer?",
		"frobnicate":                      "There are: dev, demo, timer",
		"timer creat":                     "Did you mean carillon timer create?",
		"timer creat --help":              "Did you mean carillon timer create?",
		"dead lst":                        "Did you mean carillon dead list?",
		"timer --nope":                    "there is no such flag",
		"timer create --clientid x":       "Did you mean --client-id?",
		"timer create --delay":            "flag needs an argument",
		"timer create --delay soon":       "invalid value",
		"timer count -o yaml":             `"yaml" is none of text, json, jsonl`,
		"timer count --group a/b":         "group",
		"timer count --timeout -1s":       "--timeout",
		"timer count --address localhost": "is not host:port",
		"timer count --profile nope":      "profile",

		"timer count --config-file /no/such/file.toml": "--config-file",

		"timer count --redis-url redis://h --address localhost:7233":      "one way is enough",
		"timer list --state gone":                                         "none of pending, due, firing, dead",
		"timer list --due-from soon":                                      "is no time",
		"timer list --due-from 2h --due-before 1h":                        "--due-before",
		"timer list --limit -1":                                           "negative",
		"timer describe":                                                  "which timer?",
		"timer describe --timer-id x":                                     "an id has 20",
		"timer describe --name x":                                         "needs --client-id",
		"timer describe --client-id x":                                    "needs --name",
		"timer describe --timer-id x --name y":                            "not by both",
		"timer watch --interval 1ms":                                      "less than",
		"timer watch --client-id x":                                       "needs --name",
		"timer cancel":                                                    "which timers?",
		"timer cancel --name x":                                           "--client-id",
		"timer cancel --all --client-id x":                                "--all",
		"timer cancel --timer-id 04000332j4rad268w5a0 --all":              "--timer-id",
		"timer cancel --all":                                              "say --yes",
		"dead redrive":                                                    "which timers?",
		"dead redrive --client-id x":                                      "say --yes",
		"timer reschedule --timer-id 04000332j4rad268w5a0":                "--fire-at",
		"timer reschedule --timer-id 04000332j4rad268w5a0 --fire-at soon": "is no time",
		"timer reschedule --timer-id 04000332j4rad268w5a0 --delay -1s":    "negative",
		"timer import":                                                    "which file?",
		"timer import --file /no/such/file":                               "no such file",
		"timer import --file .":                                           "directory",
		"timer import --file x --parallel 0":                              "--parallel",
		"timer import --file x --batch 2000":                              "--batch",
		"timer import --file x --retry-for 1h":                            "--retry-for",
		"dev --slots 3":                                                   "power of two",
		"dev --port 70000":                                                "is no port",
		"dev --log-level loud":                                            "--log-level",
		"group describe --watch --interval 1ms":                           "less than",
		"group describ":                                                   "Did you mean carillon group describe?",
		"worker drain":                                                    "which worker?",
		"worker drain --worker-id a/b":                                    "--worker-id",
		"demo --timers 0":                                                 "--timers",
		"demo --within 1ms":                                               "--within",
		"bench stor":                                                      "Did you mean carillon bench store?",
		"bench store --timers 0":                                          "--timers",
		"bench store --batch 501":                                         "--batch",
		"bench store --rounds -1":                                         "--rounds",
		"bench store --payload-bytes 300000":                              "--payload-bytes",
		"bench store --payload-bytes 10000":                               "take a smaller --batch",
		"bench store --redis-url redis://h --embedded-redis":              "leave it out",
		"bench store --redis-url nonsense":                                "redis_url",
	} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			newHarness().fails(t, 2, message, strings.Fields(args)...)
		})
	}
}

func TestNoCommandTakesPositionalArguments(t *testing.T) {
	t.Parallel()
	for name := range tree(newHarness()) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness()
			h.fails(t, 2, `"stray" is not expected`, append(strings.Fields(name), "stray")...)
			require.Empty(t, h.to, "it has connected")
		})
	}
}

func TestEveryCommandExplainsItself(t *testing.T) {
	t.Parallel()
	for name, c := range tree(newHarness()) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Contains(t, c.Description, "Examples:\n")
			require.Contains(t, c.Description, "carillon "+name)
			for _, f := range c.Flags {
				doc, ok := f.(cli.DocGenerationFlag)
				require.True(t, ok)
				require.NotEmpty(t, doc.GetUsage(), f.Names()[0])
			}
			for _, flag := range []string{"--help", "-h"} {
				h := newHarness()
				require.Zero(t, h.run(t.Context(), append(strings.Fields(name), flag)...))
				require.Contains(t, h.stdout.String(), "carillon "+name+" - "+c.Usage)
				require.Contains(t, h.stdout.String(), "--output")
				require.Empty(t, h.stderr.String())
			}
		})
	}
}

func TestHelpAndVersion(t *testing.T) {
	t.Parallel()
	h := newHarness()
	for _, args := range [][]string{{}, {"--help"}, {"timer"}, {"timer", "--help"}} {
		require.Zero(t, h.run(t.Context(), args...), args)
		require.Contains(t, h.stdout.String(), "COMMANDS:", args)
	}
	require.Zero(t, h.run(t.Context(), "--version"))
	require.Equal(t, "carillon test\n", h.stdout.String())
}

func TestItIsAnExtensionOfTemporalsCLI(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"temporal-timer", "/usr/local/bin/temporal-timer", "temporal-timer.exe"} {
		h := newHarness()
		h.program = program
		require.Zero(t, h.run(t.Context()))
		require.Contains(t, h.stdout.String(), "temporal timer")
		require.Zero(t, h.run(t.Context(), "count"), h.stderr.String())
		require.Zero(t, h.run(t.Context(), "dead", "list"), h.stderr.String())
		require.Equal(t, 2, h.run(t.Context(), "demo"))
		require.Equal(t, 2, h.run(t.Context(), "timer", "count"))
	}
}

func TestExitCodesAreThoseOfTheErrors(t *testing.T) {
	t.Parallel()
	for kind, code := range map[carillon.ErrorType]int{
		carillon.TypeInvalidArgument: 2, carillon.TypeAlreadyExists: 3, carillon.TypeNotFound: 4, carillon.TypeTooLate: 5,
		carillon.TypeConflict: 6, carillon.TypeQuotaExceeded: 7, carillon.TypeUnavailable: 8,
	} {
		h := newHarness()
		h.err = carillon.Errorf(kind, "because")
		h.fails(t, code, "Error: "+string(kind)+": because", "timer", "count")
		require.True(t, h.closed, "the connection was left open")

		require.Equal(t, code, h.run(t.Context(), "timer", "count", "-o", "json"))
		var got struct {
			Error    carillon.Error `json:"error"`
			ExitCode int            `json:"exit_code"`
		}
		require.NoError(t, json.Unmarshal(h.stderr.Bytes(), &got))
		require.Equal(t, kind, got.Error.Type)
		require.Equal(t, code, got.ExitCode)
	}
	h := newHarness()
	h.connectErr = carillon.Errorf(carillon.TypeUnavailable, "nobody there")
	h.fails(t, 8, "nobody there", "timer", "list")
	h.connectErr = errors.New("odd")
	h.fails(t, 1, "Error: odd", "timer", "list")
}

// brokenPipe is an output whose reader has gone.
type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, syscall.EPIPE }

// fullDisk is an output that fails in another way.
type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

func TestABrokenPipeIsNoError(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"text", "json", "jsonl"} {
		for _, command := range []string{"timer list", "timer count", "partition list", "timer watch", "group describe"} {
			h := newHarness()
			h.listed = []carillon.TimerInfo{{TimerID: testID(1)}}
			args := append(strings.Fields(command), "-o", format)
			h.writer = brokenPipe{}
			if command != "partition list" || format != "jsonl" { // that one has nothing to write
				require.Zero(t, h.run(t.Context(), args...), args)
				require.Empty(t, h.stderr.String(), args)
				h.writer = fullDisk{}
				require.Equal(t, 1, h.run(t.Context(), args...), args)
			}
		}
	}
}

func TestAnInterruptionHasItsOwnExitCode(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	h := newHarness()
	h.hang = true
	cancel()
	require.Equal(t, exitInterrupted, h.run(ctx, "timer", "count"))
	require.Equal(t, "Interrupted.\n", h.stderr.String())
}

func TestNobodyAnswers(t *testing.T) {
	t.Parallel()
	h := newHarness()
	h.hang = true
	h.fails(t, 8, "there was no answer within 10ms from group g", "timer", "count", "--timeout", "10ms", "--group", "g")
}

func TestConnectionsComeFromFlagsAndEnvironment(t *testing.T) {
	t.Parallel()
	run := func(env map[string]string, args ...string) Connection {
		h := newHarness()
		h.env = env
		require.Zero(t, h.run(t.Context(), append([]string{"timer", "count"}, args...)...), h.stderr.String())
		require.Len(t, h.to, 1)
		return h.to[0]
	}
	none := map[string]string{"TEMPORAL_CONFIG_FILE": "/dev/null"}
	to := run(none)
	require.Equal(t, "default", to.Group)
	require.Equal(t, "localhost:7233", to.Temporal.Address)
	require.Equal(t, "default", to.Temporal.Namespace)
	require.Nil(t, to.Temporal.TLS)
	require.Empty(t, to.RedisURL)

	env := map[string]string{
		"TEMPORAL_CONFIG_FILE": "/dev/null", "TEMPORAL_ADDRESS": "env:1", "TEMPORAL_NAMESPACE": "env",
		"TEMPORAL_API_KEY":         "k",
		"TEMPORAL_TLS_SERVER_NAME": "env", "CARILLON_GROUP": "env",
	}
	to = run(env)
	require.Equal(t, "env", to.Group)
	require.Equal(t, "env:1", to.Temporal.Address)
	require.Equal(t, "env", to.Temporal.Namespace)
	require.Equal(t, "k", to.Temporal.APIKey)
	require.Equal(t, "env", to.Temporal.TLS.ServerName)

	to = run(env, "--address", "flag:2", "--namespace", "flag", "--group", "flag", "--tls-server-name", "flag", "--tls",
		"--tls-ca-path", "ca", "--tls-cert-path", "cert", "--tls-key-path", "key", "--tls-disable-host-verification")
	require.Equal(t, "flag", to.Group)
	require.Equal(t, "flag:2", to.Temporal.Address)
	require.Equal(t, "flag", to.Temporal.Namespace)
	tls := to.Temporal.TLS
	require.Equal(
		t,
		"flag ca cert key",
		strings.Join([]string{tls.ServerName, tls.ServerCACertPath, tls.ClientCertPath, tls.ClientKeyPath}, " "),
	)
	require.True(t, tls.DisableHostVerification)
	require.False(t, tls.Disabled)
	require.True(t, run(env, "--tls=false").Temporal.TLS.Disabled)

	env = map[string]string{"TEMPORAL_CONFIG_FILE": "/dev/null", "CARILLON_REDIS_URL": "redis://:secret@r:1"}
	to = run(env)
	require.Equal(t, "redis://:secret@r:1", to.RedisURL)
	require.NotContains(t, to.Destination(), "secret")
	require.Equal(t, "redis://flag", run(env, "--redis-url", "redis://flag").RedisURL)
	require.Empty(t, run(env, "--address", "flag:2").RedisURL, "who names a Temporal means it")
}

func TestASecretIsNotRepeated(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"redis://user:s3cret@[", "http://user:s3cret@h", "redis://user:s3cret@127.0.0.1:1/x",
		"s3cret",
	} {
		e := newHarness().environment()
		var out, errOut strings.Builder
		e.Connect, e.Stdout, e.Stderr = Connect, &out, &errOut
		code := Run(t.Context(), e, []string{"carillon", "timer", "count", "--redis-url", url, "--timeout", "5s"})
		require.Equal(t, 2, code, errOut.String())
		require.NotContains(t, errOut.String(), "s3cret")
		require.Contains(t, errOut.String(), "redis")
	}
}
