package harness

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// workerBinary builds carillon-worker once for the test binary.
var workerBinary = sync.OnceValues(func() (string, error) { return buildWorker() })

// buildWorker builds carillon-worker. The folder goes with the process's temporary files.
func buildWorker(flags ...string) (string, error) {
	dir, err := os.MkdirTemp("", "carillon-worker-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "carillon-worker")
	args := append(append([]string{"build", "-o", path}, flags...), "github.com/carillon-io/carillon/worker/carillon-worker")
	out, err := exec.CommandContext(context.Background(), "go", args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build carillon-worker: %w\n%s", err, out)
	}
	return path, nil
}

// Process is a carillon-worker process of a group.
type Process struct {
	ID  string
	t   testing.TB
	cmd *exec.Cmd

	mu     sync.Mutex
	log    bytes.Buffer
	exited chan struct{}
}

// StartProcess starts a worker process. It is killed with the test at the latest.
func (g *Group) StartProcess(t testing.TB, id string, args ...string) *Process {
	t.Helper()
	path, err := workerBinary()
	require.NoError(t, err)
	return g.startProcess(t, path, nil, id, args)
}

func (g *Group) startProcess(t testing.TB, path string, env []string, id string, args []string) *Process {
	t.Helper()
	p := &Process{ID: id, t: t, exited: make(chan struct{})}
	args = append([]string{
		"--group", g.Name, "--worker-id", id, "--address", g.parts.TemporalAddress, "--allow-volatile", "--log-level", "warn",
		"--slots", strconv.Itoa(g.Store.Slots()), "--webhook-allow-private",
	}, args...)
	p.cmd = exec.Command(path, args...) //nolint:noctx // it outlives the context of the test, which ends before its clean-up
	p.cmd.Env = append(append(os.Environ(), "CARILLON_REDIS_URL="+g.parts.RedisURL), env...)
	p.cmd.Stdout, p.cmd.Stderr = (*processLog)(p), (*processLog)(p)
	endWithParent(p.cmd)
	require.NoError(t, p.cmd.Start())
	go func() {
		_ = p.cmd.Wait() // how it ended is in its log
		close(p.exited)
	}()
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("the log of worker %s:\n%s", id, p.Log())
		}
	})
	return p
}

type processLog Process

func (l *processLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	const limit = 64 << 10
	if l.log.Len() < limit {
		l.log.Write(b)
	}
	return len(b), nil
}

// Log is the beginning of what the process has printed.
func (p *Process) Log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

func (p *Process) signal(s os.Signal) {
	_ = p.cmd.Process.Signal(s) // one that has ended needs none
}

// Kill ends the process as a crash would.
func (p *Process) Kill() {
	p.signal(syscall.SIGCONT)
	p.signal(syscall.SIGKILL)
	<-p.exited
}

// Freeze halts the process; Thaw lets it go on.
func (p *Process) Freeze() { p.signal(syscall.SIGSTOP) }

// Thaw lets a frozen process go on.
func (p *Process) Thaw() { p.signal(syscall.SIGCONT) }

// Terminate asks the process to stop in good order, and waits for that.
func (p *Process) Terminate(ctx context.Context) error {
	p.signal(syscall.SIGTERM)
	select {
	case <-p.exited:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Alive says whether the process runs.
func (p *Process) Alive() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// Holds counts the live leases of lanes and of partitions that the worker holds.
func (g *Group) Holds(t testing.TB, worker string) (lanes, partitions int) {
	t.Helper()
	r, err := g.Store.ListPartitions(context.Background())
	if err != nil {
		return 0, 0
	}
	for _, l := range r.Lanes {
		if l.Worker == worker {
			lanes++
		}
	}
	for _, p := range r.Partitions {
		if p.Worker == worker {
			partitions++
		}
	}
	return lanes, partitions
}

// WaitForLanes waits until the worker holds all lanes and partitions of the group.
func (g *Group) WaitForLanes(t testing.TB, worker string) {
	t.Helper()
	Eventually(t, worker+" holds all leases", func() bool {
		lanes, partitions := g.Holds(t, worker)
		return lanes >= g.Store.Slots() && partitions >= g.Store.Slots()
	})
}

// WaitUntilIdle waits until everything that is pending lies further ahead than the given time.
func (g *Group) WaitUntilIdle(t testing.TB) {
	t.Helper()
	Eventually(t, "nothing is pending", func() bool {
		c, err := g.Direct.Count(context.Background(), countAll)
		return err == nil && c.Pending == 0 && c.Firing == 0
	})
}
