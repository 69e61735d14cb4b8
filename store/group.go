package store

import (
	"context"
	"slices"

	"github.com/carillon-io/carillon"
)

// Groups is what clients ask for about a group's workers.
type Groups interface {
	// DescribeGroup tells who is in the group, who controls it, and who runs what.
	DescribeGroup(ctx context.Context, in carillon.DescribeGroupInput) (carillon.DescribeGroupResult, error)
	// DrainWorker makes a living worker give away its tasks, or take tasks again. It fails with NotFound, and with
	// InvalidArgument if no other worker is left to take them (unless the input says that this is meant).
	DrainWorker(ctx context.Context, in carillon.DrainWorkerInput) (carillon.DrainWorkerResult, error)
}

var _ Groups = (*Redis)(nil)

// DrainWorker implements Groups.
func (s *Redis) DrainWorker(ctx context.Context, in carillon.DrainWorkerInput) (carillon.DrainWorkerResult, error) {
	m, err := s.drain(ctx, in.Worker, !in.Undo, in.EvenLast)
	return carillon.DrainWorkerResult{Worker: m}, err
}

// DescribeGroup implements Groups. Its parts are read one after the other: what changes meanwhile may seem not to fit.
func (s *Redis) DescribeGroup(
	ctx context.Context, in carillon.DescribeGroupInput,
) (carillon.DescribeGroupResult, error) {
	var none carillon.DescribeGroupResult
	roster, err := s.Roster(ctx)
	if err != nil {
		return none, err
	}
	assigned, err := s.Assignments(ctx)
	if err != nil {
		return none, err
	}
	var held []carillon.Task
	for _, m := range roster.Members {
		held = append(held, m.Holds...)
	}
	leases, err := s.listPartitions(ctx, assigned, held)
	if err != nil {
		return none, err
	}
	out := carillon.DescribeGroupResult{
		Group: s.options.Group, Now: roster.Now, Control: roster.Control, Controlled: roster.Control.Controlled(roster.Now),
		Workers: make([]carillon.WorkerInfo, len(roster.Members)),
	}
	tasks := mergeTasks(leases, assigned)
	at := make(map[string]*carillon.WorkerInfo, len(roster.Members))
	for i, m := range roster.Members {
		m.Holds = nil
		out.Workers[i].Member = m
		at[m.Worker] = &out.Workers[i]
	}
	for i := range tasks {
		t := &tasks[i]
		if w := at[t.Worker]; w != nil {
			switch t.Kind {
			case carillon.TaskSweep:
				w.Sweep++
			case carillon.TaskFire:
				w.Fire++
			}
		}
		w := at[t.Assigned]
		if w != nil {
			w.Assigned++
		}
		if t.Problem == "" {
			t.Problem = problem(t, out.Controlled, w != nil)
		}
	}
	if !in.WithoutTasks {
		out.Tasks = tasks
	}
	return out, nil
}

// mergeTasks lists the tasks that there are and those that are assigned, in order.
func mergeTasks(leases carillon.ListPartitionsResult, assigned carillon.Assignments) []carillon.TaskInfo {
	var out []carillon.TaskInfo
	listed := map[carillon.Task]bool{}
	add := func(t carillon.TaskInfo) {
		out = append(out, t)
		listed[t.Task] = true
	}
	for _, p := range leases.Partitions {
		task := carillon.Task{Kind: carillon.TaskSweep, Store: p.Store, Slot: p.Slot, Number: p.Segment}
		add(carillon.TaskInfo{Task: task, Worker: p.Worker, Since: p.Since, Assigned: p.Assigned})
	}
	for _, l := range leases.Lanes {
		task := carillon.Task{Kind: carillon.TaskFire, Store: l.Store, Slot: l.Slot, Number: l.Lane}
		if _, is := assigned[task]; !is && l.Lane > 0 && l.Worker == "" && l.Held == 0 {
			continue // a lane that was taken away, and has left nothing but its name
		}
		add(carillon.TaskInfo{Task: task, Worker: l.Worker, Since: l.Since, Assigned: l.Assigned})
	}
	for task, worker := range assigned {
		if !listed[task] {
			out = append(out, carillon.TaskInfo{Task: task, Assigned: worker, Problem: carillon.ProblemUnknown})
		}
	}
	slices.SortFunc(out, func(a, b carillon.TaskInfo) int { return carillon.CompareTasks(a.Task, b.Task) })
	return out
}

// problem says what does not fit about a task that there is. alive says whether the assigned worker lives.
func problem(t *carillon.TaskInfo, controlled, alive bool) carillon.TaskProblem {
	switch {
	case t.Worker == "":
		return carillon.ProblemNobody
	case !controlled:
		return ""
	case t.Assigned == "":
		return carillon.ProblemUnassigned
	case !alive:
		return carillon.ProblemDead
	case t.Assigned != t.Worker:
		return carillon.ProblemElsewhere
	default:
		return ""
	}
}
