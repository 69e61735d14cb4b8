package target

import (
	"context"
	"errors"
	"fmt"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/carillon-io/carillon"
)

// WorkflowID is the id of the workflow that a start target starts: the target's own, or else the timer's id. The id of
// a timer with a name, or of a recurring one, fires more than once: there it is the idempotency key, which begins with
// the timer's id. It is empty for other targets.
func WorkflowID(d *Delivery) string {
	switch to := d.Target.Start; {
	case to == nil:
		return ""
	case to.WorkflowID != "":
		return to.WorkflowID
	case d.Name == "" && d.Occurrence == 0:
		return d.TimerID.String()
	default:
		return d.Key()
	}
}

// start starts the workflow. Of all attempts one succeeds: the request id is the same, and no id is used a second time.
func (t *temporalTargets) start(ctx context.Context, d *Delivery) error {
	to := d.Target.Start
	id := WorkflowID(d)
	c, err := t.begin(ctx, fmt.Sprintf("start of workflow %q", id), to.Namespace)
	if err != nil {
		return err
	}
	input, err := arguments(d.Payload)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	_, err = c.client.StartWorkflowExecution(ctx, &workflowservice.StartWorkflowExecutionRequest{
		Namespace:                c.namespace,
		WorkflowId:               id,
		WorkflowType:             &commonpb.WorkflowType{Name: to.WorkflowType},
		TaskQueue:                &taskqueuepb.TaskQueue{Name: to.TaskQueue, Kind: enumspb.TASK_QUEUE_KIND_NORMAL},
		Input:                    input,
		WorkflowExecutionTimeout: optionalDuration(to.ExecutionTimeout),
		WorkflowRunTimeout:       optionalDuration(to.RunTimeout),
		Identity:                 t.identity,
		RequestId:                d.Key(),
		WorkflowIdReusePolicy:    enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		WorkflowIdConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL,
	})
	var started *serviceerror.WorkflowExecutionAlreadyStarted
	switch {
	case err == nil:
		return nil
	case errors.As(serviceerror.FromStatus(serviceerror.ToStatus(err)), &started):
		return c.alreadyStarted(ctx, d, id, started)
	default:
		return c.fail(err)
	}
}

// alreadyStarted says whether it was an earlier attempt of ours that started the workflow. The server itself knows, as
// long as the workflow has not continued as new; then its first run has to be asked.
func (c *call) alreadyStarted(
	ctx context.Context, d *Delivery, id string, started *serviceerror.WorkflowExecutionAlreadyStarted,
) error {
	key := d.Key()
	if started.StartRequestId == key || d.Target.Start.WorkflowID == "" {
		return nil // an id made of the timer's own is nobody else's
	}
	used := Permanent(c.errorf(fmt.Errorf("the workflow id is already used by another execution (run %s): %w",
		started.RunId, started)))
	first := started.FirstExecutionRunId
	if first == "" {
		first = started.RunId
	}
	reply, err := c.client.DescribeWorkflowExecution(ctx, &workflowservice.DescribeWorkflowExecutionRequest{
		Namespace: c.namespace,
		Execution: &commonpb.WorkflowExecution{WorkflowId: id, RunId: first},
	})
	switch {
	case err != nil && passing(err):
		return c.fail(fmt.Errorf("asking who has started run %s: %w", first, err))
	case err != nil:
		return used
	}
	if _, ours := reply.GetWorkflowExtendedInfo().GetRequestIdInfos()[key]; ours {
		return nil
	}
	return used
}

func optionalDuration(d carillon.Duration) *durationpb.Duration {
	if d <= 0 {
		return nil
	}
	return durationpb.New(time.Duration(d))
}
