package worker

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v5"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"github.com/carillon-io/carillon"
)

// caller starts the group's coordinator where nobody controls the group. Any number of workers may do so at once: the
// coordinator's workflow id is there once.
type caller struct {
	temporal workflowStarter
	group    string
	log      *slog.Logger
	asked    chan struct{} // holds one: nobody controls
	wait     *backoff.ExponentialBackOff
}

// workflowStarter is what a caller needs of a Temporal client.
type workflowStarter interface {
	ExecuteWorkflow(ctx context.Context, options client.StartWorkflowOptions, workflow any, args ...any) (client.WorkflowRun, error)
}

// callJitter spreads the calls of workers that notice the same silence.
const callJitter = time.Second

func newCaller(temporal workflowStarter, group string, log *slog.Logger) *caller {
	return &caller{
		temporal: temporal, group: group, log: log, asked: make(chan struct{}, 1), wait: retryWait(announceMaxWait),
	}
}

// call asks for a coordinator, and returns at once.
func (c *caller) call() {
	select {
	case c.asked <- struct{}{}:
	default:
	}
}

// run starts a coordinator whenever it is asked to, until ctx is done.
func (c *caller) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.asked:
		}
		sleep(ctx, rand.N(callJitter))
		if ctx.Err() != nil {
			return
		}
		if err := c.start(ctx); err != nil {
			if ctx.Err() == nil {
				c.log.Debug("The coordinator cannot be started; the workers share the tasks equally meanwhile.", "error", err)
			}
			sleep(ctx, c.wait.NextBackOff())
			continue
		}
		c.wait.Reset()
		sleep(ctx, carillon.ControlTTL) // it needs a moment to be noticed
	}
}

func (c *caller) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, announceTimeout)
	defer cancel()
	_, err := c.temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: carillon.CoordinatorWorkflowID(c.group), TaskQueue: carillon.TaskQueue(c.group),
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		StaticSummary:            "decides which worker of the group runs what",
	}, carillon.WorkflowCoordinator, carillon.CoordinatorInput{Group: c.group})
	return err
}
