package plan_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/workflows/plan"
)

// tasks are the tasks of a store with one lane and one segment in each slot.
func tasks(slots int) []carillon.Task {
	var out []carillon.Task
	for _, kind := range []carillon.TaskKind{carillon.TaskFire, carillon.TaskSweep} {
		for slot := range slots {
			out = append(out, carillon.Task{Kind: kind, Slot: slot})
		}
	}
	return out
}

// members makes members of their ids: "b*3" has the capacity 3, "c-" is draining.
func members(text string) []carillon.Member {
	var out []carillon.Member
	for id := range strings.FieldsSeq(text) {
		m := carillon.Member{}
		id, m.Draining = strings.CutSuffix(id, "-")
		m.Worker = id
		if name, capacity, found := strings.Cut(id, "*"); found {
			m.Worker = name
			_, _ = fmt.Sscan(capacity, &m.Capacity)
		}
		out = append(out, m)
	}
	return out
}

// loads counts the tasks of each worker.
func loads(a carillon.Assignments) map[string]int {
	out := map[string]int{}
	for _, worker := range a {
		out[worker]++
	}
	return out
}

// lanes counts the lanes of each worker.
func lanes(a carillon.Assignments) map[string]int {
	a = maps.Clone(a)
	maps.DeleteFunc(a, func(t carillon.Task, _ string) bool { return t.Kind != carillon.TaskFire })
	return loads(a)
}

// reasons counts the moves for each reason.
func reasons(r plan.Result) map[carillon.MoveReason]int {
	out := map[carillon.MoveReason]int{}
	for _, m := range r.Moves {
		out[m.Reason]++
	}
	return out
}

// requireSound asserts what holds for each decision, whatever it was made from.
func requireSound(
	t require.TestingT, r plan.Result, tasks []carillon.Task, members []carillon.Member, current carillon.Assignments,
) {
	// All tasks have an assignment, and the moves are what has changed.
	require.Len(t, r.Assignments, len(tasks))
	after := maps.Clone(current)
	if after == nil {
		after = carillon.Assignments{}
	}
	for _, m := range r.Moves {
		require.Equal(t, after[m.Task], m.From)
		if m.Reason == carillon.MoveRetired {
			require.NotContains(t, tasks, m.Task)
			delete(after, m.Task)
		} else {
			require.NotEqual(t, m.From, m.To)
			after[m.Task] = m.To
		}
	}
	for _, task := range tasks {
		require.Equal(t, after[task], r.Assignments[task])
		if after[task] == "" {
			delete(after, task)
			require.Empty(t, members)
		}
	}
	require.True(t, slices.IsSortedFunc(r.Moves, func(a, b carillon.Move) int {
		return carillon.CompareTasks(a.Task, b.Task)
	}))
	for task, worker := range after {
		require.True(t, slices.ContainsFunc(members, func(m carillon.Member) bool { return m.Worker == worker }), "%s", task)
	}

	// Each has its quota, rounded down or up, unless all are draining.
	active := slices.DeleteFunc(slices.Clone(members), func(m carillon.Member) bool { return m.Draining })
	have, sum := loads(r.Assignments), 0
	for _, m := range active {
		sum += max(m.Capacity, 1)
	}
	for _, m := range members {
		quota := len(tasks) * max(m.Capacity, 1)
		switch {
		case len(active) == 0:
		case m.Draining:
			require.Zero(t, have[m.Worker], "%s is draining", m.Worker)
		default:
			require.GreaterOrEqual(t, have[m.Worker], quota/sum, "%s", m.Worker)
			require.LessOrEqual(t, have[m.Worker], (quota+sum-1)/sum, "%s", m.Worker)
		}
	}

	// It is at rest.
	require.Empty(t, plan.Decide(tasks, members, r.Assignments).Moves)
}

// drawGroup draws tasks, members and assignments, with some that make no sense any more.
func drawGroup(t *rapid.T) ([]carillon.Task, []carillon.Member, carillon.Assignments) {
	all := tasks(rapid.IntRange(0, 12).Draw(t, "slots"))
	for range rapid.IntRange(0, 4).Draw(t, "more segments") {
		all = append(all, carillon.Task{Kind: carillon.TaskSweep, Number: len(all)})
	}
	ids := []string{"a", "b", "c", "d", "e", "f"}
	var group []carillon.Member
	current := carillon.Assignments{}
	owners := append([]string{"", "dead"}, ids...)
	for _, task := range append(all, carillon.Task{Kind: carillon.TaskSweep, Slot: 99}) {
		if rapid.Bool().Draw(t, "assigned") {
			current[task] = rapid.SampledFrom(owners).Draw(t, "owner")
		}
	}
	for _, id := range ids {
		if !rapid.Bool().Draw(t, id+" lives") {
			continue
		}
		m := carillon.Member{Worker: id, Capacity: rapid.IntRange(0, 4).Draw(t, "capacity")}
		m.Draining = rapid.IntRange(0, 3).Draw(t, "draining") == 0
		for _, task := range all {
			if rapid.IntRange(0, 4).Draw(t, "held") == 0 {
				m.Holds = append(m.Holds, task)
			}
		}
		group = append(group, m)
	}
	return all, group, current
}
