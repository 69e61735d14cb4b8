package workflows

import (
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/carillon-io/carillon"
)

// Sweeper keeps an activity attached to the sweeper of one virtual partition. Its id is that of
// carillon.TaskWorkflowID. It ends when it is told that the partition has been retired.
func Sweeper(ctx workflow.Context, in carillon.TaskWorkflowInput) (carillon.TaskWorkflowState, error) {
	return runTask(ctx, in, carillon.TaskSweep)
}

// Firing keeps an activity attached to one lane of a slot's fire queue; otherwise it is as Sweeper.
func Firing(ctx workflow.Context, in carillon.TaskWorkflowInput) (carillon.TaskWorkflowState, error) {
	return runTask(ctx, in, carillon.TaskFire)
}

// tuning holds what may change from release to release without breaking the replay of older histories: a run reads it
// once, through a side effect.
type tuning struct {
	// MaxAttaches is how many attachments a run makes before it continues as new.
	MaxAttaches int `json:"max_attaches"`
	// ScheduleToStart bounds the wait for the worker to take up the activity. It has to: nobody else polls its queue.
	ScheduleToStart time.Duration `json:"schedule_to_start"`
	// StartToClose is how long an attachment lasts at the most before it is renewed.
	StartToClose time.Duration `json:"start_to_close"`
	// Heartbeat is after which silence the worker is taken for dead. It costs nothing to be generous: who takes over from
	// a dead worker is decided by the store's leases, within seconds.
	Heartbeat time.Duration `json:"heartbeat"`
}

var currentTuning = tuning{
	MaxAttaches:     20,
	ScheduleToStart: 5 * time.Second,
	StartToClose:    24 * time.Hour,
	Heartbeat:       5 * time.Minute,
}

// taskRun is one run of a task's workflow.
type taskRun struct {
	in     carillon.TaskWorkflowInput
	state  carillon.TaskWorkflowState
	tuning tuning
	log    log.Logger

	assign workflow.ReceiveChannel
	retire workflow.ReceiveChannel

	next     *carillon.Assignment // whom to attach next; nil: nobody is known
	retired  bool
	attaches int // of this run
}

func runTask(
	ctx workflow.Context, in carillon.TaskWorkflowInput, kind carillon.TaskKind,
) (carillon.TaskWorkflowState, error) {
	t := &taskRun{
		in: in, state: in.State, next: in.Next,
		log:    log.With(workflow.GetLogger(ctx), "task", in.Task.String()),
		assign: workflow.GetSignalChannel(ctx, carillon.SignalAssign),
		retire: workflow.GetSignalChannel(ctx, carillon.SignalRetire),
	}
	if err := t.install(ctx, kind); err != nil {
		return carillon.TaskWorkflowState{}, refuse(err)
	}
	return t.run(ctx)
}

// refuse makes a workflow fail for good. It is what carillon.ToTemporal does, without reading errors that come from
// elsewhere, for which a workflow has no deterministic way.
func refuse(err error) error {
	var ours *carillon.Error
	if !errors.As(err, &ours) {
		return err
	}
	return temporal.NewNonRetryableApplicationError(ours.Message, string(ours.Type), nil, ours)
}

// install checks the input and makes the run answer queries.
func (t *taskRun) install(ctx workflow.Context, kind carillon.TaskKind) error {
	if err := carillon.CheckGroup(t.in.Group); err != nil {
		return err
	}
	if t.in.Task.Kind != kind {
		return carillon.InvalidArgument("task.kind", "it is %q; %s runs tasks of the kind %q", t.in.Task.Kind,
			kind.Workflow(), kind)
	}
	id := workflow.GetInfo(ctx).WorkflowExecution.ID
	if want := carillon.TaskWorkflowID(t.in.Group, t.in.Task); id != want {
		return carillon.InvalidArgument("workflow_id",
			"it is %q; the workflow of this task has to be %q, so that there is one", id, want)
	}
	if err := workflow.SetQueryHandler(ctx, carillon.QueryState, func() (carillon.TaskWorkflowState, error) {
		return t.state, nil
	}); err != nil {
		return fmt.Errorf("query handler: %w", err)
	}
	return workflow.SideEffect(ctx, func(workflow.Context) any { return currentTuning }).Get(&t.tuning)
}

func (t *taskRun) run(ctx workflow.Context) (carillon.TaskWorkflowState, error) {
	for {
		t.receive()
		workflow.SetCurrentDetails(ctx, details(t.in, t.state))
		switch {
		case t.retired:
			return t.state, nil
		case t.attaches >= t.tuning.MaxAttaches, t.next == nil && t.historyIsLong(ctx):
			// The signals have been received, by the line above, in this same workflow task: none is lost.
			return t.state, t.continueAsNew(ctx)
		case t.next != nil:
			t.attach(ctx)
		default:
			t.wait(ctx)
		}
		if err := ctx.Err(); err != nil {
			return t.state, err
		}
	}
}

func (t *taskRun) historyIsLong(ctx workflow.Context) bool {
	return workflow.GetInfo(ctx).GetContinueAsNewSuggested()
}

func (t *taskRun) continueAsNew(ctx workflow.Context) error {
	return workflow.NewContinueAsNewError(ctx, t.in.Task.Kind.Workflow(), carillon.TaskWorkflowInput{
		Group: t.in.Group, Task: t.in.Task, State: t.state, Next: t.next,
	})
}

// wait returns when there is a signal, or the workflow is cancelled.
func (t *taskRun) wait(ctx workflow.Context) {
	workflow.NewSelector(ctx).
		AddReceive(t.assign, func(workflow.ReceiveChannel, bool) {}).
		AddReceive(t.retire, func(workflow.ReceiveChannel, bool) {}).
		AddReceive(ctx.Done(), func(workflow.ReceiveChannel, bool) {}).
		Select(ctx)
}

// attach keeps an activity attached to the runner of the next assignment, until it ends or something better is known.
func (t *taskRun) attach(ctx workflow.Context) {
	a := *t.next
	t.next = nil
	t.attaches++
	t.state.Attaches++
	t.state.Attached = &a
	workflow.SetCurrentDetails(ctx, details(t.in, t.state))

	ctx, cancel := workflow.WithCancel(ctx)
	defer cancel() // an attachment that is left asks the worker to let go, and does not wait for it
	future := workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:              a.TaskQueue,
		ScheduleToStartTimeout: t.tuning.ScheduleToStart,
		StartToCloseTimeout:    t.tuning.StartToClose,
		HeartbeatTimeout:       t.tuning.Heartbeat,
		RetryPolicy:            &temporal.RetryPolicy{MaximumAttempts: 1},
		DisableEagerExecution:  true, // it belongs to one worker, which need not be the one that runs this
		Summary:                "on " + a.Worker,
	}), t.in.Task.Kind.Activity(), carillon.AttachInput{Task: t.in.Task, Lease: a.Lease})

	for {
		workflow.NewSelector(ctx).
			AddFuture(future, func(workflow.Future) {}).
			AddReceive(t.assign, func(workflow.ReceiveChannel, bool) {}).
			AddReceive(t.retire, func(workflow.ReceiveChannel, bool) {}).
			Select(ctx)
		t.receive()
		switch {
		case future.IsReady():
			var result carillon.AttachResult
			err := future.Get(ctx, &result)
			t.end(ctx, a, result, err)
			if result.Reason == carillon.EndRenew && t.next == nil {
				t.next = &a
			}
			return
		case t.retired:
			t.end(ctx, a, carillon.AttachResult{Reason: carillon.EndRetired}, nil)
			return
		case t.next != nil:
			t.end(ctx, a, carillon.AttachResult{Reason: carillon.EndSuperseded}, nil)
			return
		case t.historyIsLong(ctx): // too many signals: go on in a new run, with the same worker
			t.next = &a
			t.attaches = t.tuning.MaxAttaches
			t.state.Attached = nil
			return
		}
	}
}

// end records how an attachment ended.
func (t *taskRun) end(ctx workflow.Context, a carillon.Assignment, result carillon.AttachResult, err error) {
	end := carillon.AttachmentEnd{Assignment: a, At: workflow.Now(ctx), Reason: result.Reason}
	if err != nil {
		end.Reason, end.Error = failure(err)
	}
	if result.Status.Task.Kind != "" { // the worker answered
		end.Status = &result.Status
		t.count(result.Status)
	}
	t.state.Attached, t.state.LastEnd = nil, &end
	t.log.Info("The attachment has ended.", "worker", a.Worker, "reason", string(end.Reason), "error", end.Error)
}

// count adds what a runner has done since it was counted last.
func (t *taskRun) count(now carillon.TaskStatus) {
	var before carillon.TaskStatus
	if last := t.state.LastEnd; last != nil && last.Status != nil && last.Status.Lease == now.Lease {
		before = *last.Status // the runner counts from the begin of its lease, over all attachments
	}
	t.state.Moved += max(now.Moved-before.Moved, 0)
	t.state.Fired += max(now.Fired-before.Fired, 0)
	t.state.Retried += max(now.Retried-before.Retried, 0)
	t.state.Dead += max(now.Dead-before.Dead, 0)
}

// failure says why an attachment ended with an error.
func failure(err error) (carillon.EndReason, string) {
	var (
		timeout  *temporal.TimeoutError
		canceled *temporal.CanceledError
		app      *temporal.ApplicationError
	)
	switch {
	case errors.As(err, &timeout):
		return carillon.EndUnreachable, timeout.TimeoutType().String()
	case errors.As(err, &canceled):
		return carillon.EndDetached, "cancelled"
	case errors.As(err, &app):
		return carillon.EndFailed, app.Message()
	default:
		return carillon.EndFailed, err.Error()
	}
}

// receive takes all signals that have arrived, and keeps the assignment that counts.
func (t *taskRun) receive() {
	var a carillon.Assignment
	for t.assign.ReceiveAsync(&a) {
		if err := t.check(a); err != nil {
			t.state.Refused++
			t.state.LastRefusal = err.Error()
			t.log.Warn("An assignment was refused.", "error", err)
		} else if t.news(a) {
			news := a
			t.next = &news
		}
		a = carillon.Assignment{}
	}
	for t.retire.ReceiveAsync(nil) {
		t.retired = true
	}
}

// check fails with ErrInvalidArgument on what is no assignment of a worker of this group.
func (t *taskRun) check(a carillon.Assignment) error {
	switch {
	case a.Worker == "":
		return carillon.InvalidArgument("worker", "it is required")
	case a.Lease == "":
		return carillon.InvalidArgument("lease", "it is required")
	case a.TaskQueue != carillon.WorkerTaskQueue(t.in.Group, a.Worker):
		return carillon.InvalidArgument("task_queue", "it is %q; that of the worker is %q", a.TaskQueue,
			carillon.WorkerTaskQueue(t.in.Group, a.Worker))
	}
	return nil
}

// news says whether an assignment changes anything: it is not the one that stands, nor older.
func (t *taskRun) news(a carillon.Assignment) bool {
	standing := t.next
	if standing == nil {
		standing = t.state.Attached
	}
	if standing == nil {
		return true
	}
	same := a.Worker == standing.Worker && a.Lease == standing.Lease
	return !same && !a.Since.Before(standing.Since)
}
