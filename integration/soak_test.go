package integration_test

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon/integration/check"
)

// The runs of make soak. Each ends with a line that begins with "soak:" and can be quoted.
const (
	envSoak       = "CARILLON_SOAK"
	envSoakRounds = "CARILLON_SOAK_ROUNDS"
	envSoakChecks = "CARILLON_SOAK_CHECKS"
)

// soak skips a test unless the soak is asked for, and says how many rounds it has.
func soak(t *testing.T, variable string, fallback int) int {
	t.Helper()
	if os.Getenv(envSoak) != "1" {
		t.Skip("part of make soak: " + envSoak + "=1")
	}
	text := os.Getenv(variable)
	if text == "" {
		return fallback
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, variable)
	require.Positive(t, n, variable)
	return n
}

// quotable prints the line of a soak.
func quotable(t *testing.T, started time.Time, format string, args ...any) {
	t.Helper()
	fmt.Printf("soak: %s: %s, %.0f s\n", t.Name(), fmt.Sprintf(format, args...), time.Since(started).Seconds())
}

// A hundred workers are killed, each in the middle of 20,000 timers.
func TestSoakKilledWorker(t *testing.T) {
	rounds, started := soak(t, envSoakRounds, 100), time.Now()
	var sum check.Report
	for round := range rounds {
		good := t.Run(strconv.Itoa(round+1), func(t *testing.T) {
			r := killWorker(t)
			sum.Fired += r.Fired
			sum.Duplicates += r.Duplicates
			sum.Max = max(sum.Max, r.Max)
		})
		require.True(t, good, "round %d", round+1)
	}
	quotable(t, started, "%d rounds, %d timers received, none lost, none early, %d twice at webhooks, %s late at the worst",
		rounds, sum.Fired, sum.Duplicates, sum.Max.Round(time.Millisecond))
}

// A Redis with an fsync before each answer is killed a hundred times under load.
func TestSoakKilledRedis(t *testing.T) {
	rounds, started := soak(t, envSoakRounds, 100), time.Now()
	r := killRedis(t, rounds)
	quotable(t, started, "%d rounds, %d timers received, %d of them never acknowledged, none lost, none early, "+
		"%d twice at webhooks, %s late at the worst", rounds, r.Fired+r.Unexpected, r.Unexpected, r.Duplicates,
		r.Max.Round(time.Millisecond))
}

// The model of the store, with many more sequences than any other run has.
func TestSoakModel(t *testing.T) {
	checks, started := soak(t, envSoakChecks, 5000), time.Now()
	cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-timeout=5h", "-v", "-run=^TestModel",
		"github.com/carillon-io/carillon/store", "-rapid.checks="+strconv.Itoa(checks))
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	passed := regexp.MustCompile(`OK, passed (\d+) tests`).FindAllSubmatch(out, -1)
	require.NotEmpty(t, passed, "%s", out)
	var sequences []string
	for _, p := range passed {
		require.Equal(t, strconv.Itoa(checks), string(p[1]))
		sequences = append(sequences, string(p[1]))
	}
	quotable(t, started, "%s random sequences of calls, every invariant held after each call", strings.Join(sequences, " + "))
}
