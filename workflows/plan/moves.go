package plan

import (
	"slices"

	"github.com/carillon-io/carillon"
)

// result says who has which task, and what has changed.
func (b *board) result(current carillon.Assignments) Result {
	r := Result{Assignments: make(carillon.Assignments, len(b.tasks))}
	for i, t := range b.tasks {
		m := carillon.Move{Task: t, From: current[t]}
		if w := b.owner[i]; w != nobody {
			m.To = b.workers[w].id
		}
		r.Assignments[t] = m.To
		if m.From != m.To {
			m.Reason = b.reason(m, b.owner[i])
			r.Moves = append(r.Moves, m)
		}
	}
	//workflowcheck:ignore what comes of it is sorted
	for t, from := range current {
		if _, known := b.index[t]; !known {
			r.Moves = append(r.Moves, carillon.Move{Task: t, From: from, Reason: carillon.MoveRetired})
		}
	}
	if len(current) > 0 {
		slices.SortFunc(r.Moves, func(x, y carillon.Move) int { return carillon.CompareTasks(x.Task, y.Task) })
	}
	return r
}

func (b *board) reason(m carillon.Move, to int) carillon.MoveReason {
	from := b.find(m.From)
	switch {
	case from != nobody && b.workers[from].capacity == 0:
		return carillon.MoveDraining
	case from != nobody:
		return carillon.MoveBalance
	case to != nobody && slices.Contains(b.workers[to].holds, m.Task):
		return carillon.MoveHeld
	case m.From != "":
		return carillon.MoveDead
	default:
		return carillon.MoveUnassigned
	}
}
