package worker

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/store"
)

// bench is tasks over fakes, running.
type bench struct {
	*tasks
	segments *fakeSegments
	loops    *fakeLoops
	stop     func() // and wait

	mu   sync.Mutex
	gone []carillon.Task
}

func members(ids ...string) []carillon.Member {
	out := make([]carillon.Member, len(ids))
	for i, id := range ids {
		out[i].Worker = id
	}
	return out
}

func startTasks(t *testing.T, segments *fakeSegments) *bench {
	t.Helper()
	b := &bench{segments: segments, loops: &fakeLoops{}}
	b.tasks = &tasks{
		store: segments, newLoop: b.loops.new, lanes: 2, capacity: 100, every: time.Second, log: quiet(),
		retired: func(task carillon.Task) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.gone = append(b.gone, task)
		},
		news: make(chan struct{}, 1),
	}
	b.see(view{self: "w", members: members("w")})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.run(ctx)
	}()
	b.stop = sync.OnceFunc(func() {
		cancel()
		<-done
	})
	t.Cleanup(b.stop)
	return b
}

// heldTasks are the tasks whose lease is held.
func (b *bench) heldTasks() []string {
	var out []string
	for _, s := range b.statuses() {
		out = append(out, s.Task.String())
	}
	return out
}

func TestTasksRunAllThatThereIs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := startTasks(t, &fakeSegments{slots: 2, segments: []store.Segment{segment(0, 0, true, 1), segment(1, 0, true, 1)}})
		synctest.Wait()
		require.Equal(t, []string{"fire/0/0/0", "fire/0/0/1", "fire/0/1/0", "fire/0/1/1", "sweep/0/0/0", "sweep/0/1/0"},
			b.heldTasks())

		// Somebody else opens a segment: it is swept too, within a second. Somebody else retires one: its sweeper goes.
		b.segments.set(segment(0, 0, false, 1), segment(0, 1, true, 0))
		pass(time.Second)
		require.Equal(t, []string{"fire/0/0/0", "fire/0/0/1", "fire/0/1/0", "fire/0/1/1", "sweep/0/0/0", "sweep/0/0/1"},
			b.heldTasks())

		b.stop()
		require.Len(t, b.loops.released, 7, "all leases are handed back")
	})
}

func TestTasksOpenASegmentThatIsFull(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := startTasks(t, &fakeSegments{slots: 1, segments: []store.Segment{segment(0, 0, true, 99)}})
		pass(2500 * time.Millisecond)
		require.Empty(t, b.segments.opened)
		b.segments.set(segment(0, 0, true, 100))
		pass(2 * time.Second)
		require.Equal(t, []store.Partition{{Slot: 0, Segment: 0}}, b.segments.opened)
		require.Contains(t, b.heldTasks(), "sweep/0/0/1")
		require.Contains(t, b.heldTasks(), "sweep/0/0/0", "what is in the sealed one has to be swept")
		require.Empty(t, b.segments.retired, "it is not empty")
	})
}

func TestTasksRetireASegmentThatHasDrained(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := startTasks(t, &fakeSegments{slots: 1, segments: []store.Segment{segment(0, 0, false, 0), segment(0, 1, true,
			0)}})
		pass(2500 * time.Millisecond)
		require.Equal(t, []store.Partition{{Slot: 0, Segment: 0}}, b.segments.retired,
			"only a sealed one is retired, and once")
		require.Equal(t, []carillon.Task{sweepTask(0, 0)}, b.gone)
		require.NotContains(t, b.heldTasks(), "sweep/0/0/0")
		require.Contains(t, b.heldTasks(), "sweep/0/0/1")
	})
}

func TestTasksLeaveSegmentsToWhoeverSweepsThem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		segments := &fakeSegments{slots: 1, segments: []store.Segment{segment(0, 0, false, 0), segment(0, 1, true, 1000)}}
		b := &bench{segments: segments, loops: &fakeLoops{held: true}}
		b.tasks = &tasks{store: segments, newLoop: b.loops.new, lanes: 1, capacity: 100, every: time.Second, log: quiet(), news: make(chan struct{}, 1)}
		b.see(view{self: "w", members: members("w")})
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { b.run(ctx) })
		pass(10 * time.Second)
		require.Empty(t, segments.opened)
		require.Empty(t, segments.retired)
		require.Empty(t, b.heldTasks())
		cancel()
		running.Wait()
	})
}

func TestTasksTryAgainWhenALeaseIsLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := startTasks(t, &fakeSegments{slots: 1, segments: []store.Segment{segment(0, 0, true, 1)}})
		synctest.Wait()
		task := fireTask(0, 1)
		for _, err := range []error{store.ErrLeaseLost, errors.New("something else")} {
			before := b.loops.of(task)
			lease := before.Status().Lease
			runner, found := b.Lookup(task, lease)
			require.True(t, found)
			before.fail <- err
			<-runner.Done()
			_, found = b.Lookup(task, lease)
			require.False(t, found, "the old lease is no longer held")
			pass(time.Second)
			after := b.loops.of(task).Status().Lease
			require.NotEqual(t, lease, after)
			_, found = b.Lookup(task, after)
			require.True(t, found)
		}
		_, found := b.Lookup(task, "")
		require.False(t, found)
		_, found = b.Lookup(fireTask(7, 0), "1:x")
		require.False(t, found)
	})
}

func TestTasksGoOnWhileTheStoreIsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := startTasks(t, &fakeSegments{slots: 1, err: errors.New("away")})
		pass(5 * time.Second)
		require.Equal(t, []string{"fire/0/0/0", "fire/0/0/1"}, b.heldTasks(), "lanes are known without asking")
		b.segments.set(segment(0, 0, true, 1))
		b.segments.setError(nil)
		pass(2 * time.Second)
		require.Contains(t, b.heldTasks(), "sweep/0/0/0")
		b.segments.setError(errors.New("away again"))
		pass(5 * time.Second)
		require.Contains(t, b.heldTasks(), "sweep/0/0/0")
	})
}

func TestTasksWaitForWhatIsStopping(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := startTasks(t, &fakeSegments{slots: 1, segments: []store.Segment{segment(0, 0, true, 1), segment(0, 1, true, 1)}})
		slow := make(chan struct{})
		b.loops.mu.Lock()
		b.loops.slow = slow
		b.loops.mu.Unlock()
		synctest.Wait()
		b.segments.set(segment(0, 1, true, 1)) // the sweeper of the other one leaves, slowly
		pass(2 * time.Second)
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			b.stop()
		}()
		synctest.Wait()
		select {
		case <-stopped:
			require.Fail(t, "it did not wait")
		default:
		}
		close(slow)
		<-stopped
		require.Len(t, b.loops.released, 4)
		require.True(t, slices.Contains(b.loops.released, sweepTask(0, 0)))
	})
}

// ours are the tasks that this worker of the bench runs, and those that it stands by for.
func (b *bench) ours() (own, standby []string) {
	b.tasks.mu.Lock()
	defer b.tasks.mu.Unlock()
	for task, r := range b.running {
		if r.standby.Load() {
			standby = append(standby, task.String())
		} else {
			own = append(own, task.String())
		}
	}
	slices.Sort(own)
	slices.Sort(standby)
	return own, standby
}

func TestTasksAreSharedWithOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := startTasks(t, &fakeSegments{slots: 2, segments: []store.Segment{segment(0, 0, true, 1), segment(1, 0, true, 1)}})
		synctest.Wait()
		require.Len(t, b.heldTasks(), 6)

		// A second worker joins, and the coordinator gives it half.
		assigned := carillon.Assignments{
			fireTask(0, 0): "w", fireTask(0, 1): "w", fireTask(1, 0): "other", fireTask(1, 1): "other",
			sweepTask(0, 0): "w", sweepTask(1, 0): "other",
		}
		b.see(view{self: "w", members: members("other", "w"), assigned: assigned, controlled: true})
		synctest.Wait()
		require.Equal(t, []string{"fire/0/0/0", "fire/0/0/1", "sweep/0/0/0"}, b.heldTasks())
		require.Len(t, b.loops.released, 3, "only the other's share has moved")
		_, standby := b.ours()
		require.Equal(t, []string{"fire/0/1/0", "fire/0/1/1", "sweep/0/1/0"}, standby)

		// The other one dies: a lease lapses before anybody has noticed, then the whole group knows.
		close(b.loops.of(fireTask(1, 0)).lapse)
		synctest.Wait()
		require.Contains(t, b.heldTasks(), "fire/0/1/0")
		b.see(view{self: "w", members: members("w"), assigned: assigned, controlled: true})
		synctest.Wait()
		require.Len(t, b.heldTasks(), 6)
		require.Len(t, b.loops.released, 3, "nothing else has moved")
	})
}

// What a standby has taken belongs to its owner again when that one lives.
func TestTasksGiveBackWhatTheyStoodInFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := startTasks(t, &fakeSegments{slots: 1, segments: []store.Segment{segment(0, 0, true, 1)}})
		assigned := carillon.Assignments{fireTask(0, 0): "other", fireTask(0, 1): "other", sweepTask(0, 0): "other"}
		v := view{self: "w", members: members("other", "w"), assigned: assigned, controlled: true}
		b.see(v)
		synctest.Wait()
		require.Empty(t, b.heldTasks())
		close(b.loops.of(fireTask(0, 0)).lapse)
		synctest.Wait()
		require.Equal(t, []string{"fire/0/0/0"}, b.heldTasks())
		v.members = members("other", "w")
		v.members[1].Holds = []carillon.Task{fireTask(0, 0)} // as the next heartbeat says
		b.see(v)
		synctest.Wait()
		require.Equal(t, []string{"fire/0/0/0"}, b.heldTasks(), "the owner may be dead")
		pass(standInTime + time.Second)
		require.Empty(t, b.heldTasks(), "it lives")
		_, standby := b.ours()
		require.Len(t, standby, 3)
	})
}

// Nobody controls: each worker takes its slice, and all slices together are the whole.
func TestTasksWithoutControl(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		owners := map[string]int{}
		for _, self := range []string{"a", "b", "c"} {
			b := startTasks(t, &fakeSegments{slots: 3, segments: []store.Segment{
				segment(0, 0, true, 1), segment(1, 0, true, 1), segment(2, 0, true, 1),
			}})
			b.see(view{self: self, members: members("a", "b", "c")})
			synctest.Wait()
			own, _ := b.ours()
			require.Len(t, own, 3)
			for _, task := range own {
				owners[task]++
			}
		}
		require.Len(t, owners, 9, "every task has an owner, and one")
	})
}
