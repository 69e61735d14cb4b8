package carillon

import "time"

// MaxWorkerID is how long a worker's id may be.
const MaxWorkerID = 100

// CheckWorkerID fails with ErrInvalidArgument unless the id can be a worker's: 1 to MaxWorkerID characters of a-z, A-Z,
// 0-9, "_", "-" and ".". Task queues and the tokens of leases carry it.
func CheckWorkerID(id string) error {
	if len(id) < 1 || len(id) > MaxWorkerID {
		return InvalidArgument("worker", "an id has 1 to %d characters, this one has %d", MaxWorkerID, len(id))
	}
	for _, c := range []byte(id) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-', c == '.':
		default:
			return InvalidArgument("worker", "%q holds %q; use letters, digits, '_', '-' and '.'", id, c)
		}
	}
	return nil
}

// DescribeGroupInput asks for the workers of the group, and for who runs what.
type DescribeGroupInput struct {
	// WithoutTasks leaves out the tasks, of which a large group has thousands. Workers tell how many they hold all the
	// same.
	WithoutTasks bool `json:"without_tasks,omitempty"`
}

// DescribeGroupResult is a group at one moment.
type DescribeGroupResult struct {
	Group string `json:"group"`
	// Now is the store's time.
	Now     time.Time `json:"now"`
	Control Control   `json:"control"`
	// Controlled says whether a coordinator is at work. If none is, the workers take equal slices by themselves, and what
	// is assigned is of no force.
	Controlled bool `json:"controlled"`
	// Workers are those that live, in the order of their ids.
	Workers []WorkerInfo `json:"workers"`
	// Tasks are those that there are, and those that are assigned, in the order of CompareTasks.
	Tasks []TaskInfo `json:"tasks,omitempty"`
}

// WorkerInfo is what is known about a living worker.
type WorkerInfo struct {
	// Member is the worker as it describes itself, without Holds: DescribeGroupResult.Tasks has the leases themselves.
	Member
	// Sweep and Fire count the leases of either kind that it holds, Assigned the tasks that the last decision gives it.
	Sweep    int `json:"sweep"`
	Fire     int `json:"fire"`
	Assigned int `json:"assigned"`
}

// TaskInfo says who runs a task, and who should.
type TaskInfo struct {
	Task
	// Worker holds the task's lease, Since then. Empty: nobody.
	Worker string    `json:"worker,omitempty"`
	Since  time.Time `json:"since,omitzero"`
	// Assigned is who should run it, by the last decision. Empty: nobody.
	Assigned string `json:"assigned,omitempty"`
	// Problem says what does not fit. While a task changes hands, that is so for a moment.
	Problem TaskProblem `json:"problem,omitempty"`
}

// TaskProblem says what is wrong with who runs a task.
type TaskProblem string

// The problems. Only the first can be one while nobody controls the group.
const (
	// ProblemNobody: nobody holds the lease.
	ProblemNobody TaskProblem = "nobody runs it"
	// ProblemUnassigned: it is assigned to nobody.
	ProblemUnassigned TaskProblem = "unassigned"
	// ProblemDead: it is assigned to a worker that does not live.
	ProblemDead TaskProblem = "assigned to the dead"
	// ProblemElsewhere: another worker holds it than the one that should.
	ProblemElsewhere TaskProblem = "run elsewhere"
	// ProblemUnknown: it is assigned, and there is no such task.
	ProblemUnknown TaskProblem = "no such task"
)

// DrainWorkerInput asks a living worker to give away its tasks and to take no more, until it is undone or the worker
// has left. A worker that has left in good order and comes back is not drained.
type DrainWorkerInput struct {
	// Worker is the worker's id.
	Worker string `json:"worker"`
	// Undo makes it take tasks again.
	Undo bool `json:"undo,omitempty"`
	// EvenLast drains it even if no other worker is left to take its tasks: it keeps them then until one comes.
	EvenLast bool `json:"even_last,omitempty"`
}

// DrainWorkerResult is the worker after the change.
type DrainWorkerResult struct {
	Worker Member `json:"worker"`
}
