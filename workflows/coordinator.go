package workflows

import (
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/workflows/plan"
)

// Coordinator assigns the tasks of a group to its workers: it observes, decides and acts, over and over. Its id is
// that of carillon.CoordinatorWorkflowID, so that there is one.
//
// It ends when the store knows of a newer epoch or decision than its own, with what it knew as its result. Then
// somebody else has begun to control the group (a coordinator in another namespace), or this run has been reset to an
// earlier point, or an attempt of BeginControl that was taken for dead came late. To begin another epoch on the spot
// would make two coordinators take the group from each other for ever. When it ends, and nobody else controls after
// all, a worker starts the next one within seconds; meanwhile the workers decide for themselves, and alike.
func Coordinator(ctx workflow.Context, in carillon.CoordinatorInput) (carillon.CoordinatorState, error) {
	c := &coordinatorRun{in: in, state: in.State, log: workflow.GetLogger(ctx)}
	if err := c.install(ctx); err != nil {
		return carillon.CoordinatorState{}, refuse(err)
	}
	return c.run(ctx)
}

// coordinatorTuning is for the coordinator what tuning is for a task.
type coordinatorTuning struct {
	// MaxRounds is how many observations a run makes before it continues as new. While nothing happens there is one in a
	// minute.
	MaxRounds int `json:"max_rounds"`
	// Observe bounds one observation, which ends by itself after about a minute. Heartbeat is after which silence its
	// worker is taken for dead; meanwhile the workers decide for themselves.
	Observe   time.Duration `json:"observe"`
	Heartbeat time.Duration `json:"heartbeat"`
	// Act bounds one attempt to write to the store, AssignAttempts how often a decision is tried: then it is old, and the
	// coordinator looks anew.
	Act            time.Duration `json:"act"`
	AssignAttempts int32         `json:"assign_attempts"`
	// RetryFirst and RetryMost are the first and the longest pause between attempts.
	RetryFirst time.Duration `json:"retry_first"`
	RetryMost  time.Duration `json:"retry_most"`
}

// No timeout here includes the time before an attempt starts: by such a one a worker whose clock is ahead would give
// up at once.
var currentCoordinatorTuning = coordinatorTuning{
	MaxRounds:      60,
	Observe:        2 * time.Minute,
	Heartbeat:      10 * time.Second,
	Act:            10 * time.Second,
	AssignAttempts: 8,
	RetryFirst:     500 * time.Millisecond,
	RetryMost:      5 * time.Second,
}

// coordinatorRun is one run of the coordinator.
type coordinatorRun struct {
	in     carillon.CoordinatorInput
	state  carillon.CoordinatorState
	tuning coordinatorTuning
	log    log.Logger
	rounds int // of this run
}

// install checks the input and makes the run answer queries.
func (c *coordinatorRun) install(ctx workflow.Context) error {
	if err := carillon.CheckGroup(c.in.Group); err != nil {
		return err
	}
	id := workflow.GetInfo(ctx).WorkflowExecution.ID
	if want := carillon.CoordinatorWorkflowID(c.in.Group); id != want {
		return carillon.InvalidArgument("workflow_id",
			"it is %q; the coordinator of this group has to be %q, so that there is one", id, want)
	}
	if err := workflow.SetQueryHandler(ctx, carillon.QueryState, func() (carillon.CoordinatorState, error) {
		return c.state, nil
	}); err != nil {
		return fmt.Errorf("query handler: %w", err)
	}
	return workflow.SideEffect(ctx, func(workflow.Context) any { return currentCoordinatorTuning }).Get(&c.tuning)
}

func (c *coordinatorRun) run(ctx workflow.Context) (carillon.CoordinatorState, error) {
	err := c.begin(ctx)
	for err == nil {
		workflow.SetCurrentDetails(ctx, coordinatorDetails(c.in.Group, c.state))
		if c.rounds >= c.tuning.MaxRounds || workflow.GetInfo(ctx).GetContinueAsNewSuggested() {
			return c.state, workflow.NewContinueAsNewError(ctx, carillon.WorkflowCoordinator,
				carillon.CoordinatorInput{Group: c.in.Group, State: c.state})
		}
		c.rounds++
		var o carillon.Observation
		if o, err = c.observe(ctx); err == nil {
			err = c.decide(ctx, o)
		}
	}
	if ctx.Err() != nil {
		return c.state, ctx.Err()
	}
	c.fail(ctx, err)
	workflow.SetCurrentDetails(ctx, coordinatorDetails(c.in.Group, c.state))
	if stale(err) {
		c.log.Warn("Somebody newer controls the group; this coordinator ends.", "epoch", c.state.Epoch, "error", err)
		return c.state, nil
	}
	return c.state, operationError(err)
}

// begin begins an epoch, unless an earlier run has.
func (c *coordinatorRun) begin(ctx workflow.Context) error {
	if c.state.Epoch > 0 {
		return nil
	}
	var out carillon.BeginControlResult
	ctx = workflow.WithActivityOptions(ctx, c.options(c.tuning.Act, 0))
	if err := workflow.ExecuteActivity(ctx, carillon.ActivityBeginControl,
		carillon.BeginControlInput{Group: c.in.Group}).Get(ctx, &out); err != nil {
		return err
	}
	c.state.Epoch, c.state.Number, c.state.BeganAt = out.Epoch, 0, workflow.Now(ctx)
	return nil
}

// observe waits until there is something to decide, or for about a minute.
func (c *coordinatorRun) observe(ctx workflow.Context) (carillon.Observation, error) {
	options := c.options(c.tuning.Observe, 0)
	options.HeartbeatTimeout = c.tuning.Heartbeat
	ctx = workflow.WithActivityOptions(ctx, options)
	var o carillon.Observation
	err := workflow.ExecuteActivity(ctx, carillon.ActivityObserve, carillon.ObserveInput{
		Group: c.in.Group, Epoch: c.state.Epoch, Number: c.state.Number, Once: c.state.Observations == 0,
	}).Get(ctx, &o)
	if err == nil {
		c.state.Observations++
		c.note(o.Roster, o.Tasks, o.Assignments)
	}
	return o, err
}

// decide makes the decision that is due, if one is, and has it written.
func (c *coordinatorRun) decide(ctx workflow.Context, o carillon.Observation) error {
	result, due := plan.Next(o)
	if !due {
		return nil
	}
	c.state.Number++ // also if it cannot be written: nobody knows whether it was
	record := c.record(o, result.Moves)
	options := c.options(c.tuning.Act, c.tuning.AssignAttempts)
	options.Summary = summary(record)
	assign := workflow.WithActivityOptions(ctx, options)
	err := workflow.ExecuteActivity(assign, carillon.ActivityAssign, carillon.AssignInput{
		Group: c.in.Group, Epoch: c.state.Epoch, Number: c.state.Number, Assignments: result.Assignments,
	}).Get(assign, nil)
	if err != nil {
		_, record.Error = failure(err)
	} else {
		c.note(o.Roster, o.Tasks, result.Assignments)
	}
	c.remember(record)
	if err == nil || permanent(err) || ctx.Err() != nil {
		return err
	}
	c.fail(ctx, err)
	return nil
}

// options are those of an activity. Attempts of 0 are as many as it takes.
func (c *coordinatorRun) options(limit time.Duration, attempts int32) workflow.ActivityOptions {
	return workflow.ActivityOptions{
		StartToCloseTimeout: limit,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval:    c.tuning.RetryFirst,
			BackoffCoefficient: 2,
			MaximumInterval:    c.tuning.RetryMost,
			MaximumAttempts:    attempts,
		},
		Priority: temporal.Priority{PriorityKey: 1}, // ahead of the clients' operations
	}
}

// permanent says that an error is not worth another attempt.
func permanent(err error) bool {
	var app *temporal.ApplicationError
	return errors.As(err, &app) && app.NonRetryable()
}

// stale says that the store knows of something newer than this coordinator.
func stale(err error) bool {
	var app *temporal.ApplicationError
	return errors.As(err, &app) && app.Type() == string(carillon.TypeConflict)
}
