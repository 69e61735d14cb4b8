package target

import (
	"context"
	"fmt"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/workflowservice/v1"
)

// signal signals the workflow. Its run takes a signal of the same request id only once, also after it has closed.
func (t *temporalTargets) signal(ctx context.Context, d *Delivery) error {
	to := d.Target.Signal
	c, err := t.begin(ctx, fmt.Sprintf("signal %q to workflow %q", to.SignalName, to.WorkflowID), to.Namespace)
	if err != nil {
		return err
	}
	input, err := arguments(d.Payload)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	_, err = c.client.SignalWorkflowExecution(ctx, &workflowservice.SignalWorkflowExecutionRequest{
		Namespace:         c.namespace,
		WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: to.WorkflowID, RunId: to.RunID},
		SignalName:        to.SignalName,
		Input:             input,
		Identity:          t.identity,
		RequestId:         d.Key(),
	})
	if err != nil {
		return c.fail(err)
	}
	return nil
}
