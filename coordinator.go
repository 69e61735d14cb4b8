package carillon

import (
	"encoding/json"
	"slices"
	"time"
)

// The coordinator of a group: names, inputs and results. They are the contract between Carillon's workers; clients may
// query the workflow.
const (
	// WorkflowCoordinator assigns the tasks of a group to its workers. Its id is that of CoordinatorWorkflowID: that
	// there is one of an id is the coordinator's lock. It takes a CoordinatorInput, and QueryState gives its
	// CoordinatorState.
	WorkflowCoordinator = "Coordinator"
	// ActivityBeginControl begins an epoch: it takes a BeginControlInput and gives a BeginControlResult.
	ActivityBeginControl = "BeginControl"
	// ActivityObserve watches the group until there is something to decide, or for about a minute: it takes an
	// ObserveInput and gives an Observation.
	ActivityObserve = "Observe"
	// ActivityAssign writes a decision: it takes an AssignInput and gives nothing.
	ActivityAssign = "Assign"
)

// CoordinatorWorkflowID is the id of a group's coordinator.
func CoordinatorWorkflowID(group string) string { return "carillon/" + group + "/coordinator" }

// CoordinatorInput is the input of Coordinator.
type CoordinatorInput struct {
	Group string `json:"group"`
	// State is what a run hands to the one that continues it. It is zero when a worker starts the workflow.
	State CoordinatorState `json:"state,omitzero"`
}

// MaxDecisionsKept and MaxMovesKept bound what a coordinator remembers: the last decisions, and the first moves of
// each.
const (
	MaxDecisionsKept = 20
	MaxMovesKept     = 8
)

// CoordinatorState is what a coordinator knows: the answer to QueryState, and its result.
type CoordinatorState struct {
	// Epoch is its term, which began at BeganAt; 0: it has not begun.
	Epoch   int64     `json:"epoch,omitempty"`
	BeganAt time.Time `json:"began_at,omitzero"`
	// Number is that of the last decision that it made within the term.
	Number int64 `json:"number,omitempty"`
	// ObservedAt is when the group was as Workers and Tasks say, by the store's clock; Observations counts how often the
	// coordinator has been told, over all runs.
	ObservedAt   time.Time `json:"observed_at,omitzero"`
	Observations int64     `json:"observations,omitempty"`
	// Workers are those that live, in the order of their ids.
	Workers []CoordinatedWorker `json:"workers,omitempty"`
	// Tasks is how many tasks must run, Unassigned how many of them have nobody.
	Tasks      int `json:"tasks,omitempty"`
	Unassigned int `json:"unassigned,omitempty"`
	// Assignments are those in force.
	Assignments Assignments `json:"assignments,omitempty"`
	// Decisions are the last MaxDecisionsKept, oldest first.
	Decisions []DecisionRecord `json:"decisions,omitempty"`
	// LastError is the last thing that went wrong, and LastErrorAt when.
	LastError   string    `json:"last_error,omitempty"`
	LastErrorAt time.Time `json:"last_error_at,omitzero"`
}

// CoordinatedWorker is a worker as its coordinator sees it. Its Holds are left out; Held is their number.
type CoordinatedWorker struct {
	Member
	// Tasks is how many tasks are assigned to it.
	Tasks int `json:"tasks"`
	Held  int `json:"held,omitempty"`
}

// DecisionRecord is what is remembered of a decision.
type DecisionRecord struct {
	Epoch  int64 `json:"epoch"`
	Number int64 `json:"number"`
	// At is the time of the observation that it was made from, by the store's clock.
	At time.Time `json:"at"`
	// Moved is how many tasks it moved, Reasons how many for which reason, Moves the first MaxMovesKept of them.
	Moved   int                `json:"moved"`
	Reasons map[MoveReason]int `json:"reasons,omitempty"`
	Moves   []Move             `json:"moves,omitempty"`
	// Error says why it could not be written, or is not known to be.
	Error string `json:"error,omitempty"`
}

// Move is a change of one assignment. From or To of "" is nobody.
type Move struct {
	Task   Task       `json:"task"`
	From   string     `json:"from,omitempty"`
	To     string     `json:"to,omitempty"`
	Reason MoveReason `json:"reason"`
}

// MoveReason says why a task is assigned anew.
type MoveReason string

// The reasons.
const (
	// MoveUnassigned: nobody had the task.
	MoveUnassigned MoveReason = "unassigned"
	// MoveDead: who had it does not live.
	MoveDead MoveReason = "dead"
	// MoveHeld: nobody who lives had it, but somebody holds its lease and keeps it.
	MoveHeld MoveReason = "held"
	// MoveDraining: who had it gives away its tasks.
	MoveDraining MoveReason = "draining"
	// MoveBalance: who had it had more than its share.
	MoveBalance MoveReason = "balance"
	// MoveRetired: the task is no more.
	MoveRetired MoveReason = "retired"
)

// BeginControlInput is the input of BeginControl.
type BeginControlInput struct {
	Group string `json:"group"`
}

// BeginControlResult is the result of BeginControl.
type BeginControlResult struct {
	Epoch int64 `json:"epoch"`
}

// ObserveInput is the input of Observe: who asks. If the store knows of something newer than the decision Number of
// Epoch, Observe fails with ErrConflict.
type ObserveInput struct {
	Group  string `json:"group"`
	Epoch  int64  `json:"epoch"`
	Number int64  `json:"number"`
	// Once says that one look is enough: the coordinator knows nothing yet.
	Once bool `json:"once,omitempty"`
}

// Observation is a group at one moment: all that a decision depends on.
type Observation struct {
	Roster Roster
	// Tasks are those that must run, in the order of CompareTasks.
	Tasks []Task
	// Assignments are those in force.
	Assignments Assignments
}

// observationJSON is the JSON of an Observation. The tasks are written as packTasks does, those that workers hold
// apart from the workers: of a large group each task is there three times.
type observationJSON struct {
	Roster      Roster              `json:"roster"`
	Holds       map[string][]string `json:"holds,omitempty"`
	Tasks       []string            `json:"tasks,omitempty"`
	Assignments Assignments         `json:"assignments,omitempty"`
}

// MarshalJSON implements json.Marshaler.
func (o Observation) MarshalJSON() ([]byte, error) {
	out := observationJSON{Roster: o.Roster, Tasks: packTasks(o.Tasks), Assignments: o.Assignments}
	out.Roster.Members = slices.Clone(o.Roster.Members)
	for i := range out.Roster.Members {
		m := &out.Roster.Members[i]
		if len(m.Holds) > 0 {
			if out.Holds == nil {
				out.Holds = map[string][]string{}
			}
			out.Holds[m.Worker] = packTasks(m.Holds)
			m.Holds = nil
		}
	}
	return json.Marshal(out)
}

// UnmarshalJSON implements json.Unmarshaler.
func (o *Observation) UnmarshalJSON(data []byte) error {
	var in observationJSON
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	tasks, err := unpackTasks(in.Tasks)
	if err != nil {
		return err
	}
	for i := range in.Roster.Members {
		m := &in.Roster.Members[i]
		if m.Holds, err = unpackTasks(in.Holds[m.Worker]); err != nil {
			return err
		}
	}
	*o = Observation{Roster: in.Roster, Tasks: tasks, Assignments: in.Assignments}
	return nil
}

// AssignInput is the input of Assign: a Decision.
type AssignInput struct {
	Group       string      `json:"group"`
	Epoch       int64       `json:"epoch"`
	Number      int64       `json:"number"`
	Assignments Assignments `json:"assignments"`
}

// ObserveStatus is what a running Observe says of itself: what its heartbeats carry.
type ObserveStatus struct {
	// At is when it looked last, by the store's clock.
	At      time.Time `json:"at,omitzero"`
	Workers int       `json:"workers"`
	Tasks   int       `json:"tasks"`
	// Error is what went wrong when it looked last.
	Error string `json:"error,omitempty"`
}
