package integration_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/cli/devserver"
	"github.com/carillon-io/carillon/integration/check"
	"github.com/carillon-io/carillon/integration/harness"
	"github.com/carillon-io/carillon/store"
)

// crowd is a group with several worker processes.
type crowd struct {
	*harness.Group

	t       testing.TB
	args    []string
	workers map[string]*harness.Process
	joined  int
}

func newCrowd(t testing.TB, g *harness.Group, n int, args ...string) *crowd {
	t.Helper()
	c := &crowd{Group: g, t: t, args: args, workers: map[string]*harness.Process{}}
	c.join(n)
	return c
}

// join starts n more workers.
func (c *crowd) join(n int) {
	c.t.Helper()
	for range n {
		c.joined++
		id := fmt.Sprintf("w%d", c.joined)
		c.workers[id] = c.StartProcess(c.t, id, c.args...)
	}
}

func (c *crowd) kill(id string) {
	c.workers[id].Kill()
	delete(c.workers, id)
}

// ids are those of the workers that run, sorted.
func (c *crowd) ids() []string { return slices.Sorted(maps.Keys(c.workers)) }

func (c *crowd) leases() map[string]string { return leases(c.Group) }

// leases are the live leases of a group: task → token.
func leases(g *harness.Group) map[string]string {
	out := map[string]string{}
	r, err := g.Store.ListPartitions(context.Background())
	if err != nil {
		return out
	}
	for _, l := range r.Lanes {
		if l.Holder != "" {
			out[carillon.Task{Kind: carillon.TaskFire, Store: l.Store, Slot: l.Slot, Number: l.Lane}.String()] = l.Holder
		}
	}
	for _, p := range r.Partitions {
		if p.Sweeper != "" {
			out[carillon.Task{Kind: carillon.TaskSweep, Store: p.Store, Slot: p.Slot, Number: p.Segment}.String()] = p.Sweeper
		}
	}
	return out
}

// shares says how many tasks each worker holds.
func (c *crowd) shares() map[string]int {
	out := map[string]int{}
	for _, token := range c.leases() {
		out[store.Token(token).Worker()]++
	}
	return out
}

// even says whether all tasks have an owner, and each worker its fair share of them: N/k, give or take one.
func (c *crowd) even() bool {
	shares, total := c.shares(), 0
	for id, n := range shares {
		if c.workers[id] == nil {
			return false
		}
		total += n
	}
	if total != 2*c.Store.Slots() {
		return false
	}
	for id := range c.workers {
		if fair := total / len(c.workers); shares[id] < fair-1 || shares[id] > fair+1 {
			return false
		}
	}
	return true
}

// settle waits until the tasks are evenly shared, and says how long that took.
func (c *crowd) settle(what string) time.Duration {
	c.t.Helper()
	began := time.Now()
	harness.Eventually(c.t, what, c.even)
	took := time.Since(began).Round(10 * time.Millisecond)
	c.t.Logf("%s: settled after %s: %v", what, took, c.shares())
	return took
}

func (c *crowd) roster() carillon.Roster {
	c.t.Helper()
	r, err := c.Store.Roster(c.t.Context())
	require.NoError(c.t, err)
	return r
}

// controlled waits until a coordinator of at least that epoch is at work, every task is assigned to a worker that runs, and
// everybody has what is assigned to him.
func (c *crowd) controlled(epoch int64) {
	c.t.Helper()
	harness.Eventually(c.t, "the coordinator is at work", func() bool {
		r, err := c.Store.Roster(c.t.Context())
		if err != nil || r.Control.Epoch < epoch || !r.Control.Controlled(r.Now) {
			return false
		}
		assigned, err := c.Store.Assignments(c.t.Context())
		if err != nil || len(assigned) != 2*c.Store.Slots() {
			return false
		}
		leases := c.leases()
		for task, worker := range assigned {
			if c.workers[worker] == nil || store.Token(leases[task.String()]).Worker() != worker {
				return false
			}
		}
		return true
	})
}

func (c *crowd) coordinator() (enumspb.WorkflowExecutionStatus, string) {
	c.t.Helper()
	d, err := c.Temporal.DescribeWorkflowExecution(c.t.Context(), carillon.CoordinatorWorkflowID(c.Name), "")
	require.NoError(c.t, err)
	return d.GetWorkflowExecutionInfo().GetStatus(), d.GetWorkflowExecutionInfo().GetExecution().GetRunId()
}

// Many workers start at once, and there is no coordinator: one controls, and every task has one owner.
func TestManyWorkersStartAtOnce(t *testing.T) {
	n := 5
	if faults() {
		n = 10
	}
	c := newCrowd(t, harness.NewGroup(t, store.Options{Slots: 8}, starterOptions), n)
	harness.Eventually(t, "all are there", func() bool { return len(c.roster().Members) == n })
	took := c.settle("every task has one owner")
	require.Less(t, took, 15*time.Second, "5 s, on a machine that has the processors for that many")
	c.controlled(1)
	c.settle("the coordinator leaves it so")
	require.EqualValues(t, 1, c.roster().Control.Epoch, "one has begun, and controls")
	status, _ := c.coordinator()
	require.Equal(t, enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, status)
}

// A worker joins, and takes its share, and no more moves. One is killed, and its tasks alone move. Whoever is killed, no timer is
// later than 3 s.
func TestJoinAndDeathMoveAsLittleAsPossible(t *testing.T) {
	g := harness.NewGroup(t, store.Options{Slots: 8}, starterOptions)
	c := newCrowd(t, g, 2)
	c.settle("two share")
	c.controlled(1)
	g.ReadMailbox(t, "client")
	n := 20_000
	ask(t, g, spread(g.Store.Clock(0).Now().Add(time.Second), n, 20*time.Second, ""))

	before := c.leases()
	c.join(1)
	c.settle("a third one joins")
	c.controlled(1) // and nobody has what is another's
	moved := 0
	for task, token := range c.leases() {
		if token == before[task] {
			continue
		}
		moved++
		require.Equal(t, "w3", store.Token(token).Worker(), "%s has moved to somebody else", task)
	}
	require.LessOrEqual(t, moved, 6, "16 tasks of three workers")

	before = c.leases()
	c.kill("w1")
	c.settle("one is killed")
	c.controlled(1)
	for task, token := range before {
		if store.Token(token).Worker() != "w1" {
			require.Equal(t, token, c.leases()[task], "%s had nothing to do with it", task)
		}
	}
	r := g.Verify(t, n)
	require.LessOrEqual(t, r.Max, 3*time.Second)
}

// All are killed, and one starts: it runs everything.
func TestAllAreKilledAndOneStarts(t *testing.T) {
	g := harness.NewGroup(t, store.Options{Slots: 8}, starterOptions)
	c := newCrowd(t, g, 3)
	c.settle("three share")
	c.controlled(1)
	g.ReadMailbox(t, "client")
	for _, id := range c.ids() {
		c.kill(id)
	}
	const n = 2000
	ask(t, g, spread(g.Store.Clock(0).Now().Add(time.Second), n, 2*time.Second, ""))
	c.join(1)
	took := c.settle("one runs everything")
	require.Less(t, took, 15*time.Second, "5 s, and the start of a process on a busy machine")
	g.Verify(t, n)
	c.controlled(1)
}

// The coordinator is terminated by hand: a worker starts it again, nothing moves, and what the first one may still write is
// refused.
func TestCoordinatorIsTerminated(t *testing.T) {
	g := harness.NewGroup(t, store.Options{Slots: 4}, starterOptions)
	c := newCrowd(t, g, 3)
	c.settle("three share")
	c.controlled(1)
	before := c.leases()
	old := c.roster().Control
	require.NoError(t, g.Temporal.TerminateWorkflow(t.Context(), carillon.CoordinatorWorkflowID(g.Name), "", "by hand"))
	c.controlled(old.Epoch + 1)
	require.Equal(t, before, c.leases(), "nothing has moved")

	assigned, err := g.Store.Assignments(t.Context())
	require.NoError(t, err)
	late := carillon.Decision{Epoch: old.Epoch, Number: old.Number + 1, Assignments: carillon.Assignments{}}
	require.ErrorIs(t, g.Store.Decide(t.Context(), late), store.ErrStaleDecision)
	require.ErrorIs(t, g.Store.Observed(t.Context(), old.Epoch), store.ErrStaleDecision)
	after, err := g.Store.Assignments(t.Context())
	require.NoError(t, err)
	require.Equal(t, assigned, after)
}

// What somebody writes into the assignments by hand is repaired.
func TestAssignmentsWrittenByHandAreRepaired(t *testing.T) {
	g := harness.NewGroup(t, store.Options{Slots: 4}, starterOptions)
	c := newCrowd(t, g, 2)
	c.settle("two share")
	c.controlled(1)
	good, err := g.Store.Assignments(t.Context())
	require.NoError(t, err)
	before := c.leases()
	key := "carillon:{" + g.Name + "}:assignments"
	require.NoError(t, g.Redis.HSet(t.Context(), key,
		"fire/0/0/0", "nobody-of-that-name", "fire/0/77/0", "w1", "sweep/0/1/9", "w2", "rubbish", "w1").Err())
	require.NoError(t, g.Redis.HDel(t.Context(), key, "fire/0/1/0").Err())
	harness.Eventually(t, "it is repaired", func() bool {
		raw, err := g.Redis.HGetAll(t.Context(), key).Result()
		if err != nil || len(raw) != len(good) {
			return false
		}
		for task, worker := range good {
			if raw[task.String()] != worker {
				return false
			}
		}
		return true
	})
	require.Equal(t, before, c.leases(), "and nobody has lost a lease by it")
}

// A coordinator that cannot do anything, and yet is there: its workflow fails every one of its tasks. The workers share the tasks
// by themselves.
func TestWedgedCoordinator(t *testing.T) {
	g := harness.NewGroup(t, store.Options{Slots: 4}, starterOptions)
	_, err := g.Temporal.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
		ID: carillon.CoordinatorWorkflowID(g.Name), TaskQueue: carillon.TaskQueue(g.Name),
	}, "a type that no worker knows")
	require.NoError(t, err)
	c := newCrowd(t, g, 3)
	g.ReadMailbox(t, "client")
	c.settle("three share, by themselves")
	const n = 3000
	ask(t, g, spread(g.Store.Clock(0).Now().Add(time.Second), n, 6*time.Second, ""))
	c.kill("w2")
	c.settle("two share, by themselves")
	r := g.Verify(t, n)
	require.LessOrEqual(t, r.Max, 3*time.Second)
	require.Zero(t, c.roster().Control.Epoch, "nobody has controlled")
}

// While Temporal is away all workers are restarted: they share the tasks equally, and give way to the coordinator when it is
// back.
func TestGroupWithoutTemporal(t *testing.T) {
	longer(t)
	file := t.TempDir() + "/temporal.db"
	start := func(port int) *devserver.Temporal {
		server, err := devserver.StartTemporal(context.Background(), devserver.TemporalOptions{Port: port, DBFile: file})
		require.NoError(t, err)
		return server
	}
	temporal := start(0)
	g := harness.NewGroupOn(t, harness.Parts{TemporalAddress: temporal.Address()}, store.Options{Slots: 8}, starterOptions)
	c := newCrowd(t, g, 3)
	c.settle("three share")
	c.controlled(1)
	g.ReadMailbox(t, "client")
	port := portOf(t, temporal.Address())
	require.NoError(t, temporal.Stop())

	for _, id := range c.ids() {
		stop, cancel := context.WithTimeout(t.Context(), time.Minute)
		require.NoError(t, c.workers[id].Terminate(stop))
		cancel()
		delete(c.workers, id)
	}
	c.join(3)
	c.settle("three others share, without Temporal")
	const n = 4000
	ask(t, g, spread(g.Store.Clock(0).Now().Add(time.Second), n, 8*time.Second, ""))
	c.kill(c.ids()[1])
	c.settle("two share, without Temporal")
	r := g.Verify(t, n)
	require.LessOrEqual(t, r.Max, 3*time.Second)
	now := c.roster()
	require.False(t, now.Control.Controlled(now.Now))

	temporal = start(port)
	t.Cleanup(func() { require.NoError(t, temporal.Stop()) })
	c.controlled(1)
	c.settle("two share, under the coordinator")
}

// A worker is told to drain: its tasks go to the others, without a gap.
func TestDrainedWorkerGivesAwayItsTasks(t *testing.T) {
	g := harness.NewGroup(t, store.Options{Slots: 4}, starterOptions)
	c := newCrowd(t, g, 3)
	c.settle("three share")
	c.controlled(1)
	g.ReadMailbox(t, "client")
	const n = 4000
	ask(t, g, spread(g.Store.Clock(0).Now().Add(time.Second), n, 8*time.Second, ""))
	require.NoError(t, g.Store.SetDraining(t.Context(), "w2", true))
	harness.Eventually(t, "it holds nothing", func() bool { return c.shares()["w2"] == 0 && len(c.leases()) == 8 })
	r := g.Verify(t, n)
	require.Zero(t, r.Duplicates)
	require.NoError(t, g.Store.SetDraining(t.Context(), "w2", false))
	c.settle("it has its share again")
}

// Segments open as timers are created, each is swept, and those that have drained retire, without a restart.
func TestSegmentsOpenAndRetire(t *testing.T) {
	g := harness.NewGroup(t, store.Options{Slots: 2}, starterOptions)
	c := newCrowd(t, g, 2, "--segment-capacity", "1000")
	c.settle("two share")
	g.ReadMailbox(t, "client")
	const n = 5000
	ask(t, g, spread(g.Store.Clock(0).Now().Add(25*time.Second), n, 2*time.Second, ""))
	segments := func() int {
		all, err := g.Store.Segments(t.Context())
		require.NoError(t, err)
		return len(all)
	}
	harness.Eventually(t, "segments open", func() bool { return segments() >= 4 })
	swept := func() bool {
		r, err := g.Store.ListPartitions(t.Context())
		return err == nil && !slices.ContainsFunc(r.Partitions, func(p carillon.PartitionInfo) bool { return p.Sweeper == "" })
	}
	harness.Eventually(t, "each has a sweeper", swept)
	g.Verify(t, n)
	harness.Eventually(t, "those that have drained retire", func() bool { return segments() == g.Store.Slots() })
}

// Workers join, stop, are killed and are frozen, at random, while timers are created and fire.
func TestRandomChurn(t *testing.T) {
	span := 15 * time.Second
	if faults() {
		span = 3 * time.Minute
	}
	churn(t, span)
}

func churn(t *testing.T, span time.Duration) check.Report {
	t.Helper()
	seed := time.Now().UnixNano()
	if text := os.Getenv("CARILLON_SEED"); text != "" {
		var err error
		seed, err = strconv.ParseInt(text, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("CARILLON_SEED=%d", seed)
	random := rand.New(rand.NewPCG(uint64(seed), 0))

	g := harness.NewGroup(t, store.Options{Slots: 4}, starterOptions)
	c := newCrowd(t, g, 3)
	g.ReadMailbox(t, "client")
	stop := make(chan struct{})
	var creating sync.WaitGroup
	creating.Go(func() { createUntil(g, "", stop) })

	frozen := map[string]bool{}
	thaw := func(id string) {
		c.workers[id].Thaw()
		delete(frozen, id)
	}
	tick := time.NewTicker(700 * time.Millisecond)
	defer tick.Stop()
	acts := map[string]int{}
	for end := time.Now().Add(span); time.Now().Before(end); <-tick.C {
		ids := c.ids()
		id := ids[random.IntN(len(ids))]
		act := []string{"join", "stop", "kill", "freeze", "thaw", "nothing"}[random.IntN(6)]
		switch {
		case act == "join" && len(ids) < 5:
			c.join(1)
		case act == "stop" && len(ids) > 1 && !frozen[id]:
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			require.NoError(t, c.workers[id].Terminate(ctx))
			cancel()
			delete(c.workers, id)
		case act == "kill" && len(ids) > 1:
			c.kill(id)
			delete(frozen, id)
		case act == "freeze" && len(frozen) < len(ids)-1:
			c.workers[id].Freeze()
			frozen[id] = true
		case act == "thaw" && frozen[id]:
			thaw(id)
		default:
			act = "nothing"
		}
		acts[act]++
	}
	for id := range frozen {
		thaw(id)
	}
	close(stop)
	creating.Wait()
	c.settle("all is shared in the end")
	g.WaitUntilIdle(t)
	harness.Eventually(t, "everything is received", func() bool { return g.Ledger.Report(time.Millisecond).Lost == 0 })
	r := g.Ledger.Report(g.Store.Clock(0).Error())
	t.Logf("%v: %v", acts, r)
	require.Empty(t, r.Broken)
	require.Positive(t, r.Fired)
	return r
}
