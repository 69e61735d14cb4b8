package plan

import (
	"slices"

	"github.com/carillon-io/carillon"
)

// Result is a decision.
type Result struct {
	// Assignments are those of all tasks; a task of "" has nobody.
	Assignments carillon.Assignments
	// Moves are what differs from the assignments before, in the order of carillon.CompareTasks.
	Moves []carillon.Move
}

// Decide assigns tasks to the living members. current are the assignments in force; a task whose assignee does not live
// belongs to the living member that holds it, if there is one.
func Decide(tasks []carillon.Task, members []carillon.Member, current carillon.Assignments) Result {
	b := newBoard(tasks, members)
	b.seat(current)
	if len(b.workers) > 0 {
		b.share()
		b.place()
		if !b.allDrain {
			b.balance()
		}
	}
	return b.result(current)
}

// Next gives the decision that is due, and false if none is. Without a living member none is: who looks is the
// process of one, so that it is the heartbeats that are late, and the tasks had better stay where they are.
func Next(o carillon.Observation) (Result, bool) {
	if len(o.Roster.Members) == 0 {
		return Result{}, false
	}
	r := Decide(o.Tasks, o.Roster.Members, o.Assignments)
	return r, len(r.Moves) > 0
}

// Due says whether a decision is due.
func Due(o carillon.Observation) bool {
	_, due := Next(o)
	return due
}

// TasksOf are the tasks that a worker has, in the order of carillon.CompareTasks.
func TasksOf(a carillon.Assignments, worker string) []carillon.Task {
	var out []carillon.Task
	//workflowcheck:ignore what comes of it is sorted
	for t, w := range a {
		if w == worker {
			out = append(out, t)
		}
	}
	carillon.SortTasks(out)
	return out
}

// sortedTasks gives each task once, in order, and leaves the argument as it is.
func sortedTasks(tasks []carillon.Task) []carillon.Task {
	tasks = slices.Clone(tasks)
	if !slices.IsSortedFunc(tasks, carillon.CompareTasks) {
		carillon.SortTasks(tasks)
	}
	return slices.Compact(tasks)
}
