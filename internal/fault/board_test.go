//go:build faultpoints

package fault

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// watched is a board that sends no signals.
func watched(t *testing.T, plan string) (*board, *bytes.Buffer, *[]syscall.Signal) {
	t.Helper()
	b, err := newBoard(plan)
	require.NoError(t, err)
	var out bytes.Buffer
	var sent []syscall.Signal
	b.out, b.signal = &out, func(s syscall.Signal) { sent = append(sent, s) }
	return b, &out, &sent
}

func TestStrikesAtTheirPass(t *testing.T) {
	t.Parallel()
	b, out, sent := watched(t, "lane.claimed=kill@3, sweep.moved=stop,")
	for range 2 {
		require.NoError(t, b.at(LaneClaimed, nil))
	}
	require.Empty(t, *sent)
	require.NoError(t, b.at(LaneClaimed, nil))
	require.NoError(t, b.at(LaneClaimed, nil))
	require.NoError(t, b.at(SweepMoved, nil))
	require.NoError(t, b.at(LaneRead, nil))
	require.Equal(t, []syscall.Signal{syscall.SIGKILL, syscall.SIGSTOP}, *sent)
	require.Equal(t, "carillon fault: lane.claimed: kill at pass 3\ncarillon fault: sweep.moved: stop at pass 1\n", out.String())
}

func TestFailGivesATypedErrorSomeTimes(t *testing.T) {
	t.Parallel()
	b, out, _ := watched(t, "create.done=fail:2@2")
	require.NoError(t, b.at(CreateDone, nil))
	for pass := 2; pass <= 3; pass++ {
		err := b.at(CreateDone, nil)
		var injected *Error
		require.ErrorAs(t, err, &injected)
		require.Equal(t, Error{Point: CreateDone, Pass: pass}, *injected)
		require.EqualError(t, err, "injected fault at create.done, pass "+string(rune('0'+pass)))
	}
	require.NoError(t, b.at(CreateDone, nil))
	require.Equal(t, 2, strings.Count(out.String(), "create.done: fail"))
}

// What has failed by itself is not a pass: the point lies behind it.
func TestErrorsArePassedOn(t *testing.T) {
	t.Parallel()
	b, out, _ := watched(t, "lane.read=fail")
	lost := errors.New("lost")
	require.Same(t, lost, b.at(LaneRead, lost))
	require.Empty(t, out.String())
	require.Error(t, b.at(LaneRead, nil))
}

func TestPauseHoldsOneGoroutine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, out, _ := watched(t, "lane.fetched=pause:3s@2")
		require.NoError(t, b.at(LaneFetched, nil))
		begin := time.Now()
		var paused sync.WaitGroup
		paused.Go(func() { _ = b.at(LaneFetched, nil) })
		synctest.Wait()
		require.NoError(t, b.at(LaneFetched, nil), "the others go on")
		require.Zero(t, time.Since(begin))
		paused.Wait()
		require.Equal(t, 3*time.Second, time.Since(begin))
		require.Equal(t, "carillon fault: lane.fetched: pause at pass 2\ncarillon fault: lane.fetched: goes on\n", out.String())
	})
}

func TestPlansThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for plan, reason := range map[string]string{
		"lane.claimed":                             "not point=action",
		"lane.lost=kill":                           `no point "lane.lost"`,
		"lane.claimed=explode":                     `no action "explode"`,
		"lane.claimed=kill:3":                      "takes no argument",
		"lane.claimed=kill@0":                      `pass "0"`,
		"lane.claimed=kill@soon":                   `pass "soon"`,
		"lane.claimed=pause":                       "pause:3s",
		"lane.claimed=pause:-1s":                   "pause:3s",
		"lane.claimed=fail:often":                  "how often",
		"lane.claimed=kill,lane.claimed=fail":      "twice",
		"sweep.moved=fail,lane.claimed=kill@1@2,":  `pass "1@2"`,
		"sweep.moved=fail, =kill, lane.claimed=st": "no point",
	} {
		_, err := newBoard(plan)
		require.ErrorContains(t, err, reason, plan)
	}
}

// A process that is asked for what cannot be does not start; one that is asked to die at a point does so there.
func TestProcessHeedsItsEnvironment(t *testing.T) {
	t.Parallel()
	if os.Getenv("FAULT_TEST_PASS") != "" {
		_ = At(LaneRead, nil)
		_ = At(LaneRead, nil)
		return
	}
	run := func(plan string) (*exec.ExitError, string) {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestProcessHeedsItsEnvironment$")
		cmd.Env = append(os.Environ(), "FAULT_TEST_PASS=1", EnvPoints+"="+plan)
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if err != nil {
			require.ErrorAs(t, err, &exit)
		}
		return exit, string(out)
	}
	exit, out := run("lane.read=vanish")
	require.NotNil(t, exit)
	require.Equal(t, 2, exit.ExitCode())
	require.Contains(t, out, `CARILLON_FAULT_POINTS: "lane.read=vanish": there is no action "vanish"`)

	exit, out = run("lane.read=kill@2")
	require.NotNil(t, exit)
	status, is := exit.Sys().(syscall.WaitStatus)
	require.True(t, is)
	require.Equal(t, syscall.SIGKILL, status.Signal())
	require.Contains(t, out, "carillon fault: lane.read: kill at pass 2")

	exit, _ = run("lane.read=kill@3")
	require.Nil(t, exit)
}
