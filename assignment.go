package carillon

import "time"

// The workflows and activities that keep a task visible in Temporal: names, inputs and results. They are the contract
// between Carillon's workers; clients may query the workflows.
const (
	// WorkflowSweeper and WorkflowFiring are the workflows of the tasks of TaskSweep and TaskFire. Their ids are those of
	// TaskWorkflowID.
	WorkflowSweeper = "Sweeper"
	WorkflowFiring  = "Firing"
	// ActivitySweep and ActivityFire attach to the task's runner in the worker that holds its lease. They take an
	// AttachInput and give an AttachResult.
	ActivitySweep = "Sweep"
	ActivityFire  = "Fire"
	// SignalAssign tells a task's workflow who runs the task from now on: an Assignment.
	SignalAssign = "assign"
	// SignalRetire tells a task's workflow that the task is no more; it carries nothing. The workflow completes.
	SignalRetire = "retire"
	// QueryState asks a task's workflow for its TaskWorkflowState.
	QueryState = "state"
)

// Workflow is the name of the workflow that keeps an activity attached to a task of the kind, Activity the name of that
// activity. Both are empty for a kind that is none.
func (k TaskKind) Workflow() string {
	switch k {
	case TaskSweep:
		return WorkflowSweeper
	case TaskFire:
		return WorkflowFiring
	default:
		return ""
	}
}

// Activity is the name of the activity that attaches to a task of the kind; see Workflow.
func (k TaskKind) Activity() string {
	switch k {
	case TaskSweep:
		return ActivitySweep
	case TaskFire:
		return ActivityFire
	default:
		return ""
	}
}

// Assignment says who runs a task.
type Assignment struct {
	// Worker is the id of the worker, TaskQueue the queue that it alone polls: WorkerTaskQueue of the two.
	Worker    string `json:"worker"`
	TaskQueue string `json:"task_queue"`
	// Lease is the token under which the worker runs the task.
	Lease string `json:"lease"`
	// Since is when the lease was taken, by the store's clock.
	Since time.Time `json:"since,omitzero"`
}

// TaskWorkflowInput is the input of Sweeper and Firing.
type TaskWorkflowInput struct {
	Group string `json:"group"`
	Task  Task   `json:"task"`
	// State and Next are what a run hands to the one that continues it: what it knows, and who is to be attached. Both are
	// zero when a worker starts the workflow.
	State TaskWorkflowState `json:"state,omitzero"`
	Next  *Assignment       `json:"next,omitempty"`
}

// TaskWorkflowState is what a task's workflow knows: the answer to QueryState, and its result.
type TaskWorkflowState struct {
	// Attached is who runs the task. Nil: nobody, as far as the workflow knows.
	Attached *Assignment `json:"attached,omitempty"`
	// Attaches counts attachments over all runs, Refused the signals that were no valid Assignment.
	Attaches int64 `json:"attaches,omitempty"`
	Refused  int64 `json:"refused,omitempty"`
	// LastRefusal says why the last of those was refused.
	LastRefusal string `json:"last_refusal,omitempty"`
	// Moved, Fired, Retried and Dead add up what ended attachments reported: see TaskStatus.
	Moved   int64 `json:"moved,omitempty"`
	Fired   int64 `json:"fired,omitempty"`
	Retried int64 `json:"retried,omitempty"`
	Dead    int64 `json:"dead,omitempty"`
	// LastEnd is how the attachment before Attached ended.
	LastEnd *AttachmentEnd `json:"last_end,omitempty"`
}

// AttachmentEnd is how an attachment ended.
type AttachmentEnd struct {
	Assignment
	At     time.Time `json:"at"`
	Reason EndReason `json:"reason"`
	// Status is what the runner said last; nil where the worker did not answer.
	Status *TaskStatus `json:"status,omitempty"`
	// Error says what went wrong, for EndFailed.
	Error string `json:"error,omitempty"`
}

// EndReason says why an attachment ended.
type EndReason string

// The reasons.
const (
	// EndRunnerDone: the runner has ended: it lost its lease, or handed it back.
	EndRunnerDone EndReason = "runner_done"
	// EndNotRunning: the worker runs no such task under that lease (any more).
	EndNotRunning EndReason = "not_running"
	// EndWorkerStopping: the worker stops.
	EndWorkerStopping EndReason = "worker_stopping"
	// EndRenew: the runner goes on; the attachment has reached its time limit and is made anew.
	EndRenew EndReason = "renew"
	// EndDetached: the activity's connection to Temporal was disturbed; the runner goes on, and its worker asks again.
	EndDetached EndReason = "detached"
	// EndSuperseded: another worker has taken the task.
	EndSuperseded EndReason = "superseded"
	// EndRetired: the task is no more.
	EndRetired EndReason = "retired"
	// EndUnreachable: the worker did not take up the activity, or has not been heard of for minutes.
	EndUnreachable EndReason = "unreachable"
	// EndFailed: the activity failed otherwise; AttachmentEnd.Error says how.
	EndFailed EndReason = "failed"
)

// AttachInput is the input of the activities Sweep and Fire.
type AttachInput struct {
	Task Task `json:"task"`
	// Lease is the token of the lease under which the runner has to be running.
	Lease string `json:"lease"`
}

// AttachResult is the result of the activities Sweep and Fire.
type AttachResult struct {
	Reason EndReason  `json:"reason"`
	Status TaskStatus `json:"status"`
}
