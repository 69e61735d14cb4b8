package worker

import (
	"slices"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/workflows/plan"
)

// role says what a worker has to do with a task.
type role int

const (
	// none: others run it.
	none role = iota
	// standby: the worker takes the lease should it lapse. A task has a few of them, so that a death is noticed within the
	// time of a lease, whoever has died.
	standby
	// owner: the worker is the one that has to run it.
	owner
)

// standbys is how many workers stand by for a task.
const standbys = 2

// view is what a worker knows of its group.
type view struct {
	self       string
	members    []carillon.Member    // that live, this worker among them
	assigned   carillon.Assignments // the last decision
	controlled bool                 // the coordinator is at work: its decision counts
}

// alone says whether there is no other worker that lives.
func (v *view) alone() bool {
	return !slices.ContainsFunc(v.members, func(m carillon.Member) bool { return m.Worker != v.self })
}

// owners says who has to run each task. While nobody controls the group, every worker decides for itself: all of them by the
// function that the coordinator uses, from the same roster and the same last decision.
func (v *view) owners(tasks []carillon.Task) carillon.Assignments {
	if !v.controlled {
		return plan.Decide(tasks, v.members, v.assigned).Assignments
	}
	holders := carillon.Assignments{}
	for _, m := range v.members {
		for _, task := range m.Holds {
			holders[task] = m.Worker
		}
	}
	out := make(carillon.Assignments, len(tasks))
	for _, task := range tasks {
		out[task] = v.actingOwner(task, holders)
	}
	return out
}

// actingOwner is the worker that a task is assigned to or, until the coordinator has decided anew, who stands in for it.
func (v *view) actingOwner(task carillon.Task, holders carillon.Assignments) string {
	if assigned := v.assigned[task]; v.lives(assigned) {
		return assigned
	}
	if holder := holders[task]; holder != "" {
		return holder
	}
	if first := plan.Standbys(task, v.members, "", 1); len(first) > 0 {
		return first[0]
	}
	return ""
}

func (v *view) lives(worker string) bool {
	return slices.ContainsFunc(v.members, func(m carillon.Member) bool { return m.Worker == worker })
}

// role is what this worker has to do with a task of that owner.
func (v *view) role(task carillon.Task, of string) role {
	switch {
	case of == v.self:
		return owner
	case slices.Contains(plan.Standbys(task, v.members, of, standbys), v.self):
		return standby
	default:
		return none
	}
}
