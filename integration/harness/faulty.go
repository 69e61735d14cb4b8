package harness

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon/internal/fault"
)

// faultyBinary builds a carillon-worker with fault points once for the test binary.
var faultyBinary = sync.OnceValues(func() (string, error) { return buildWorker("-tags", "faultpoints") })

// Binaries are the worker's program as users have it, and the one with fault points.
func Binaries(t testing.TB) (production, faulty string) {
	t.Helper()
	production, err := workerBinary()
	require.NoError(t, err)
	faulty, err = faultyBinary()
	require.NoError(t, err)
	return production, faulty
}

// StartFaulty starts a worker process with fault points, and a plan of what happens at them (see the package fault).
// Otherwise it is as StartProcess.
func (g *Group) StartFaulty(t testing.TB, id, plan string, args ...string) *Process {
	t.Helper()
	path, err := faultyBinary()
	require.NoError(t, err)
	return g.startProcess(t, path, []string{"CARILLON_FAULT_POINTS=" + plan}, id, args)
}

// WaitForStrike waits until something has happened at the point, as the plan says: kill, stop, pause or fail.
func (p *Process) WaitForStrike(t testing.TB, point fault.Point, action string) {
	t.Helper()
	Eventually(t, fmt.Sprintf("%s strikes at %s", action, point), func() bool {
		return p.Struck(point, action) && (action != "kill" || !p.Alive())
	})
}

// Struck says whether something has happened at the point.
func (p *Process) Struck(point fault.Point, action string) bool {
	return strings.Contains(p.Log(), fmt.Sprintf("carillon fault: %s: %s at pass", point, action))
}

// AskToStop asks the process to stop in good order, and does not wait for that.
func (p *Process) AskToStop() { p.signal(syscall.SIGTERM) }

// WaitUntilEnded waits until the process has ended.
func (p *Process) WaitUntilEnded(t testing.TB) {
	t.Helper()
	Eventually(t, p.ID+" ends", func() bool { return !p.Alive() })
}

// CountAll counts the timers of the group.
func (g *Group) CountAll(t testing.TB) (created, cancelled, fired int64) {
	t.Helper()
	c, err := g.Store.Count(context.Background(), countAll)
	require.NoError(t, err)
	return c.Created, c.Cancelled, c.Fired
}
