package worker

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/store"
)

// startAnnouncing announces tasks over fakes.
func startAnnouncing(t *testing.T, slots int) (*bench, *fakeTemporal, *announcer) {
	t.Helper()
	segments := &fakeSegments{slots: slots}
	for i := range slots {
		segments.segments = append(segments.segments, segment(i, 0, true, 1))
	}
	b := startTasks(t, segments)
	temporal := &fakeTemporal{}
	a := &announcer{temporal: temporal, group: "g", worker: "w", every: time.Second, log: quiet(), held: b.held}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { a.run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return b, temporal, a
}

func TestAnnounceANewLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, temporal, _ := startAnnouncing(t, 1)
		pass(3 * time.Second)
		told := temporal.assigned()
		require.Len(t, told, 3)
		slices.SortFunc(told, func(a, b assigned) int { return cmp.Compare(a.id, b.id) })
		for i, task := range []carillon.Task{fireTask(0, 0), fireTask(0, 1), sweepTask(0, 0)} {
			a := told[i]
			require.Equal(t, carillon.TaskWorkflowID("g", task), a.id)
			require.Equal(t, a.id, a.options.ID)
			require.Equal(t, "carillon.g", a.options.TaskQueue)
			require.NotEmpty(t, a.options.StaticSummary)
			require.Equal(t, task.Kind.Workflow(), a.workflow)
			require.Equal(t, carillon.TaskWorkflowInput{Group: "g", Task: task}, a.input)
			require.Equal(t, carillon.Assignment{
				Worker: "w", TaskQueue: "carillon.g.w", Lease: b.loops.of(task).Status().Lease,
			}, a.assignment)
		}
		// Another lease is told of, too.
		b.loops.of(fireTask(0, 0)).fail <- store.ErrLeaseLost
		pass(3 * time.Second)
		require.Len(t, temporal.assigned(), 4)
	})
}

func TestAnnounceAgainWhileNothingIsAttached(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, temporal, _ := startAnnouncing(t, 1)
		pass(2 * time.Second)
		var detach []func()
		for _, tenure := range b.held() {
			if tenure.task != fireTask(0, 0) {
				detach = append(detach, tenure.Attached())
			}
		}
		pass(10 * time.Minute)
		told := temporal.assigned()[3:]
		require.InDelta(t, 7, len(told), 2, "after 10, 20, 40, 80 s and then every 2 min")
		for _, a := range told {
			require.Equal(t, carillon.TaskWorkflowID("g", fireTask(0, 0)), a.id, "the attached ones need nothing")
		}

		before := len(temporal.assigned())
		detach[0]()
		detach[0]() // twice is once
		pass(5 * time.Second)
		require.Len(t, temporal.assigned(), before, "an attachment that has just ended may be on its way back")
		pass(10 * time.Second)
		require.Greater(t, len(temporal.assigned()), before)
	})
}

func TestAnnounceWhileTemporalIsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, temporal, _ := startAnnouncing(t, 100)
		temporal.setError(errors.New("away"))
		pass(time.Minute)
		before := temporal.count()
		pass(10 * time.Minute)
		require.Less(t, temporal.count()-before, 60, "300 tasks, but no storm")
		temporal.setError(nil)
		back := time.Now()
		pass(2 * time.Minute)
		told := map[string]bool{}
		for _, a := range temporal.assigned() {
			told[a.id] = true
		}
		require.Len(t, told, 300, "everything is told when it is back")
		first, last := temporal.assigned()[0].at, temporal.assigned()[299].at
		require.GreaterOrEqual(t, last.Sub(first), 299*time.Second/announcesPerSecond, "at a bounded rate")
		require.Less(t, first.Sub(back), 2*announceMaxWait)
	})
}

func TestAnnounceThatATaskIsNoMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, temporal, a := startAnnouncing(t, 0)
		temporal.setError(errors.New("away"))
		a.retire(sweepTask(0, 5))
		a.retire(sweepTask(0, 6))
		pass(time.Minute)
		temporal.setError(nil)
		pass(time.Minute)
		require.Equal(t, []string{
			carillon.TaskWorkflowID("g", sweepTask(0, 5)), carillon.TaskWorkflowID("g", sweepTask(0, 6)),
		}, temporal.retired(), "each is told once")

		// A workflow that is not there need not be told.
		temporal.setError(serviceerror.NewNotFound("no such workflow"))
		a.retire(sweepTask(0, 7))
		pass(time.Minute)
		a.mu.Lock()
		defer a.mu.Unlock()
		require.Empty(t, a.retired)
	})
}
