package storetest

import (
	"context"
	"fmt"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/store"
)

func (f *fixture) describeGroup(in carillon.DescribeGroupInput) carillon.DescribeGroupResult {
	f.Helper()
	out, err := f.DescribeGroup(f.Context(), in)
	require.NoError(f, err)
	require.Equal(f, f.Group(), out.Group)
	return out
}

// owner is what the loops of a worker ask for leases as.
func owner(worker string) string { return worker + "-0123456789ab" }

func (f *fixture) takeSweep(worker string, p store.Partition) {
	f.Helper()
	_, err := f.AcquireSweep(f.Context(), p, owner(worker))
	require.NoError(f, err)
}

func (f *fixture) takeLane(worker string, l store.LaneID) {
	f.Helper()
	_, err := f.AcquireLane(f.Context(), l, owner(worker))
	require.NoError(f, err)
}

// drain drains a worker.
func (f *fixture) drain(worker string) error {
	_, err := f.DrainWorker(f.Context(), carillon.DrainWorkerInput{Worker: worker})
	return err
}

var groupCases = []testCase{
	haltedCase("a group of nobody", func(f *halted) {
		g := f.describeGroup(carillon.DescribeGroupInput{})
		require.Equal(f, f.at, g.Now)
		require.False(f, g.Controlled)
		require.Empty(f, g.Workers)
		require.NotNil(f, g.Workers)
		require.Equal(f, []carillon.TaskInfo{
			{Task: fireTask(0, 0), Problem: carillon.ProblemNobody}, {Task: sweepTask(0), Problem: carillon.ProblemNobody},
		}, g.Tasks)
	}),
	haltedCase("who runs what and who should", func(f *halted) {
		_, err := f.Heartbeat(f.Context(), carillon.Member{
			Worker: "a-b", Zone: "z", Capacity: 2, Holds: []carillon.Task{fireTask(0, 0)},
		}, "n")
		require.NoError(f, err)
		_, err = f.Heartbeat(f.Context(), carillon.Member{Worker: "c", Holds: []carillon.Task{fireTask(0, 2)}}, "n")
		require.NoError(f, err)
		f.openSegment(0, 1)
		f.takeSweep("a-b", store.Partition{})
		f.takeSweep("c", store.Partition{Segment: 1})
		f.takeLane("a-b", store.LaneID{})
		f.takeLane("gone", store.LaneID{Lane: 1})
		f.takeLane("c", store.LaneID{Lane: 2})
		began := f.at.Truncate(time.Millisecond)
		f.advance(time.Second)
		epoch := f.begin()
		require.NoError(f, f.decide(epoch, 1, carillon.Assignments{
			sweepTask(0): "a-b", sweepTask(1): "a-b", sweepTask(7): "c", fireTask(0, 0): "a-b", fireTask(0, 1): "dead",
			fireTask(0, 3): "c", fireTask(5, 0): "c",
		}))
		require.NoError(f, f.redis.HSet(f.Context(), f.groupKey("assignments"), "rubbish", "c").Err())
		g := f.describeGroup(carillon.DescribeGroupInput{})
		require.True(f, g.Controlled)
		require.Equal(f, f.roster().Control, g.Control)
		info := func(t carillon.Task, worker, assigned string, p carillon.TaskProblem) carillon.TaskInfo {
			i := carillon.TaskInfo{Task: t, Worker: worker, Assigned: assigned, Problem: p}
			if worker != "" {
				i.Since = began
			}
			return i
		}
		require.Equal(f, []carillon.TaskInfo{
			info(fireTask(0, 0), "a-b", "a-b", ""),
			info(fireTask(0, 1), "gone", "dead", carillon.ProblemDead),
			info(fireTask(0, 2), "c", "", carillon.ProblemUnassigned),
			info(fireTask(0, 3), "", "c", carillon.ProblemNobody),
			info(fireTask(5, 0), "", "c", carillon.ProblemUnknown),
			info(carillon.Task{Kind: "rubbish", Store: -1}, "", "c", carillon.ProblemUnknown),
			info(sweepTask(0), "a-b", "a-b", ""),
			info(sweepTask(1), "c", "a-b", carillon.ProblemElsewhere),
			info(sweepTask(7), "", "c", carillon.ProblemUnknown),
		}, g.Tasks)
		require.Len(f, g.Workers, 2)
		a, c := g.Workers[0], g.Workers[1]
		require.Equal(f, "z", a.Zone)
		require.Nil(f, a.Holds)
		require.Equal(f, []int{1, 1, 3}, []int{a.Sweep, a.Fire, a.Assigned})
		require.Equal(f, []int{1, 1, 4}, []int{c.Sweep, c.Fire, c.Assigned})

		short := f.describeGroup(carillon.DescribeGroupInput{WithoutTasks: true})
		require.Empty(f, short.Tasks)
		require.Equal(f, g.Workers, short.Workers)

		p := f.partitions()
		require.Equal(f, "a-b", p.Partitions[0].Worker)
		require.Equal(f, began, p.Partitions[0].Since)
		require.Equal(f, "a-b", p.Partitions[1].Assigned)
		require.Equal(f, "c", p.Partitions[1].Worker)
		require.Equal(f, "gone", p.Lanes[1].Worker)
		require.Equal(f, "dead", p.Lanes[1].Assigned)

		// While nobody controls, what was assigned is of no force.
		f.advance(carillon.ControlTTL)
		g = f.describeGroup(carillon.DescribeGroupInput{})
		require.False(f, g.Controlled)
		for _, t := range g.Tasks {
			require.Contains(f, []carillon.TaskProblem{"", carillon.ProblemNobody, carillon.ProblemUnknown}, t.Problem)
		}
		require.NoError(f, f.decide(epoch, 2, nil))
	}),
	haltedCase("drain a worker", func(f *halted) {
		f.beat("a", "b", "c")
		out, err := f.DrainWorker(f.Context(), carillon.DrainWorkerInput{Worker: "a"})
		require.NoError(f, err)
		require.Equal(f, "a", out.Worker.Worker)
		require.True(f, out.Worker.Draining)
		require.Equal(f, f.member("a"), out.Worker)
		require.NoError(f, f.drain("a"), "once more")
		require.NoError(f, f.drain("b"))
		err = f.drain("c")
		require.ErrorIs(f, err, carillon.ErrInvalidArgument)
		require.Equal(f, "even_last", carillon.AsError(err).Field)
		require.ErrorContains(f, err, `"c"`)
		require.False(f, f.member("c").Draining)
		out, err = f.DrainWorker(f.Context(), carillon.DrainWorkerInput{Worker: "c", EvenLast: true})
		require.NoError(f, err)
		require.True(f, out.Worker.Draining)
		require.NoError(f, f.drain("c"), "it is drained already")
		out, err = f.DrainWorker(f.Context(), carillon.DrainWorkerInput{Worker: "b", Undo: true})
		require.NoError(f, err)
		require.False(f, out.Worker.Draining)
		require.ErrorIs(f, f.drain("b"), carillon.ErrInvalidArgument, "it is the last again")
		require.ErrorIs(f, f.drain("nobody"), carillon.ErrNotFound)
		require.ErrorIs(f, f.drain("no id"), carillon.ErrInvalidArgument)
	}),
	haltedCase("the dead are no help to the last one", func(f *halted) {
		f.beat("a", "b")
		f.advance(dead)
		f.beat("a")
		require.ErrorIs(f, f.drain("a"), carillon.ErrInvalidArgument)
		f.beat("b")
		require.NoError(f, f.drain("a"))
	}),
	haltedCase("all are drained at once", func(f *halted) {
		const n = 10
		errs := make(chan error, n)
		for i := range n {
			f.beat(fmt.Sprint("w", i))
		}
		for i := range n {
			go func() { errs <- f.drain(fmt.Sprint("w", i)) }()
		}
		refused := 0
		for range n {
			if err := <-errs; err != nil {
				require.ErrorIs(f, err, carillon.ErrInvalidArgument)
				refused++
			}
		}
		require.Equal(f, 1, refused, "one is left, whoever it is")
	}),
	haltedCase("a drain that is carried out twice or whose answer is lost", func(f *halted) {
		f.beat("a", "b")
		in := carillon.DrainWorkerInput{Worker: "a"}
		for _, undo := range []bool{false, true} {
			in.Undo = undo
			out, err := f.DrainWorker(Twice(f.Context()), in)
			require.NoError(f, err)
			require.Equal(f, !undo, out.Worker.Draining)
			_, err = f.DrainWorker(Lost(f.Context()), in)
			require.ErrorIs(f, err, ErrLost)
			require.Equal(f, !undo, f.member("a").Draining)
		}
	}),
	{"a group whose store is away", store.Options{}, func(f *fixture) {
		ctx, cancel := context.WithCancel(f.Context())
		cancel()
		_, err := f.DescribeGroup(ctx, carillon.DescribeGroupInput{})
		require.ErrorIs(f, err, context.Canceled)
		_, err = f.DrainWorker(ctx, carillon.DrainWorkerInput{Worker: "a"})
		require.ErrorIs(f, err, context.Canceled)
	}},
}
