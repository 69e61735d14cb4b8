package workflows

import (
	"fmt"
	"strings"

	"go.temporal.io/sdk/workflow"

	"github.com/carillon-io/carillon"
)

// note keeps what is known of the group.
func (c *coordinatorRun) note(r carillon.Roster, tasks []carillon.Task, a carillon.Assignments) {
	s := &c.state
	s.ObservedAt, s.Tasks, s.Unassigned = r.Now, len(tasks), 0
	have := map[string]int{}
	s.Assignments = make(carillon.Assignments, len(tasks))
	for _, t := range tasks {
		s.Assignments[t] = a[t]
		have[a[t]]++
	}
	s.Workers = nil
	for _, m := range r.Members {
		held := len(m.Holds)
		m.Holds = nil
		s.Workers = append(s.Workers, carillon.CoordinatedWorker{Member: m, Tasks: have[m.Worker], Held: held})
		delete(have, m.Worker)
	}
	s.Unassigned = have[""]
}

// record says what there is to remember of a decision.
func (c *coordinatorRun) record(o carillon.Observation, moves []carillon.Move) carillon.DecisionRecord {
	r := carillon.DecisionRecord{
		Epoch: c.state.Epoch, Number: c.state.Number, At: o.Roster.Now, Moved: len(moves),
		Reasons: map[carillon.MoveReason]int{}, Moves: moves[:min(len(moves), carillon.MaxMovesKept)],
	}
	for _, m := range moves {
		r.Reasons[m.Reason]++
	}
	return r
}

func (c *coordinatorRun) remember(r carillon.DecisionRecord) {
	c.state.Decisions = append(c.state.Decisions, r)
	c.state.Decisions = c.state.Decisions[max(len(c.state.Decisions)-carillon.MaxDecisionsKept, 0):]
}

func (c *coordinatorRun) fail(ctx workflow.Context, err error) {
	_, c.state.LastError = failure(err)
	c.state.LastErrorAt = workflow.Now(ctx)
}

// summary says what a decision does: "8 moved: 5 dead, 3 balance".
func summary(r carillon.DecisionRecord) string {
	var parts []string
	for _, reason := range moveReasons {
		if n := r.Reasons[reason]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, reason))
		}
	}
	return fmt.Sprintf("%d moved: %s", r.Moved, strings.Join(parts, ", "))
}

// moveReasons are all reasons, in the order in which they are told.
var moveReasons = []carillon.MoveReason{
	carillon.MoveDead, carillon.MoveUnassigned, carillon.MoveHeld, carillon.MoveDraining, carillon.MoveBalance,
	carillon.MoveRetired,
}
