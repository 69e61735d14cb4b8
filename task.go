package carillon

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// TaskKind is a kind of task that a worker can be assigned.
type TaskKind string

// The kinds of tasks.
const (
	// TaskSweep sweeps one virtual partition: Number is its segment.
	TaskSweep TaskKind = "sweep"
	// TaskFire runs one lane of a slot's fire queue: Number is the lane.
	TaskFire TaskKind = "fire"
)

// Task is what a worker can be assigned: the loop of one sweeper or of one lane.
type Task struct {
	Kind   TaskKind `json:"kind"`
	Store  int      `json:"store"`
	Slot   int      `json:"slot"`
	Number int      `json:"number"`
}

// String prints the task as kind/store/slot/number: sweep/0/12/3.
func (t Task) String() string {
	return fmt.Sprintf("%s/%d/%d/%d", t.Kind, t.Store, t.Slot, t.Number)
}

// ParseTask is the inverse of String. It fails with ErrInvalidArgument.
func ParseTask(text string) (Task, error) {
	bad := InvalidArgument("task", "%q is no task; one looks like sweep/0/12/3", clip(text))
	parts := strings.Split(text, "/")
	if len(parts) != 4 {
		return Task{}, bad
	}
	t := Task{Kind: TaskKind(parts[0])}
	if t.Kind != TaskSweep && t.Kind != TaskFire {
		return Task{}, bad
	}
	for i, n := range []*int{&t.Store, &t.Slot, &t.Number} {
		v, err := strconv.Atoi(parts[i+1])
		if err != nil || v < 0 || strconv.Itoa(v) != parts[i+1] {
			return Task{}, bad
		}
		*n = v
	}
	return t, nil
}

// TaskWorkflowID is the id of the workflow that keeps an activity attached to the task's runner:
// carillon/<group>/<kind>/<store>/<slot>/<number>.
func TaskWorkflowID(group string, t Task) string { return "carillon/" + group + "/" + t.String() }

// ParseTaskWorkflowID is the inverse of TaskWorkflowID. It fails with ErrInvalidArgument.
func ParseTaskWorkflowID(id string) (group string, t Task, err error) {
	rest, found := strings.CutPrefix(id, "carillon/")
	group, text, more := strings.Cut(rest, "/")
	if !found || !more || CheckGroup(group) != nil {
		return "", Task{}, InvalidArgument("workflow_id", "%q is not the id of a task's workflow", clip(id))
	}
	t, err = ParseTask(text)
	return group, t, err
}

// TaskStatus is what a task's runner says of itself: what the Web UI shows, and what heartbeats carry.
type TaskStatus struct {
	Task   Task   `json:"task"`
	Worker string `json:"worker"`
	// Lease is the token under which the runner writes; empty while it holds none.
	Lease string `json:"lease,omitempty"`
	// Since is when it took the lease, by the store's clock.
	Since time.Time `json:"since,omitzero"`
	// Moved counts index entries that a sweeper has moved, Fired, Retried and Dead the timers of a lane, since Since.
	Moved   int64 `json:"moved,omitempty"`
	Fired   int64 `json:"fired,omitempty"`
	Retried int64 `json:"retried,omitempty"`
	Dead    int64 `json:"dead,omitempty"`
	// Held is how many entries the lane's in-flight map holds.
	Held int64 `json:"held,omitempty"`
	// NextDue is when the next entry is due that the runner knows of.
	NextDue time.Time `json:"next_due,omitzero"`
	// LastError is the last thing that went wrong, and LastErrorAt when.
	LastError   string    `json:"last_error,omitempty"`
	LastErrorAt time.Time `json:"last_error_at,omitzero"`
}
