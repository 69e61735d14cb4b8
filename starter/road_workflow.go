package starter

import (
	"context"
	"errors"

	"github.com/google/uuid"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/carillon-io/carillon"
)

// runWorkflow carries an operation as a workflow. One that is running or has completed under the same id gives its
// answer; one that has failed runs again.
func (b *backend) runWorkflow(ctx context.Context, r *request) (*commonpb.Payloads, error) {
	id := b.executionID(r)
	started, err := b.service.StartWorkflowExecution(ctx, &workflowservice.StartWorkflowExecutionRequest{
		Namespace:    b.namespace,
		Identity:     b.identity,
		RequestId:    uuid.NewString(),
		WorkflowId:   id,
		WorkflowType: &commonpb.WorkflowType{Name: r.operation},
		TaskQueue:    b.taskQueue(),
		// The server ends what nobody waits for any more: it must not be carried out hours later.
		WorkflowRunTimeout:       durationpb.New(b.timeout),
		Input:                    r.input,
		WorkflowIdReusePolicy:    enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY,
		WorkflowIdConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		UserMetadata:             userMetadata(r.summary),
	})
	runID := started.GetRunId()
	var already *serviceerror.WorkflowExecutionAlreadyStarted
	switch {
	case errors.As(err, &already):
		runID = already.RunId
	case err != nil:
		return nil, err
	}
	ask := &workflowservice.GetWorkflowExecutionHistoryRequest{
		Namespace:              b.namespace,
		Execution:              &commonpb.WorkflowExecution{WorkflowId: id, RunId: runID},
		WaitNewEvent:           true,
		HistoryEventFilterType: enumspb.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT,
		SkipArchival:           true,
	}
	for {
		history, err := b.service.GetWorkflowExecutionHistory(ctx, ask)
		if err != nil {
			return nil, err
		}
		if events := history.GetHistory().GetEvents(); len(events) > 0 {
			result, next, err := b.closed(events[len(events)-1])
			if next == "" {
				return result, err
			}
			ask.Execution.RunId, ask.NextPageToken = next, nil
			continue
		}
		// A long poll that has ended without news. The context bounds the next one.
		ask.NextPageToken = history.GetNextPageToken()
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
}

// closed reads the event that closed the run: its result, or the run that follows it.
func (b *backend) closed(event *historypb.HistoryEvent) (result *commonpb.Payloads, next string, err error) {
	switch a := event.GetAttributes().(type) {
	case *historypb.HistoryEvent_WorkflowExecutionCompletedEventAttributes:
		e := a.WorkflowExecutionCompletedEventAttributes
		return e.GetResult(), e.GetNewExecutionRunId(), nil
	case *historypb.HistoryEvent_WorkflowExecutionFailedEventAttributes:
		e := a.WorkflowExecutionFailedEventAttributes
		return nil, e.GetNewExecutionRunId(), b.failure(e.GetFailure())
	case *historypb.HistoryEvent_WorkflowExecutionTimedOutEventAttributes:
		return nil, a.WorkflowExecutionTimedOutEventAttributes.GetNewExecutionRunId(),
			temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_START_TO_CLOSE, nil)
	case *historypb.HistoryEvent_WorkflowExecutionCanceledEventAttributes:
		return nil, "", temporal.NewCanceledError()
	case *historypb.HistoryEvent_WorkflowExecutionContinuedAsNewEventAttributes:
		return nil, a.WorkflowExecutionContinuedAsNewEventAttributes.GetNewExecutionRunId(), nil
	case *historypb.HistoryEvent_WorkflowExecutionTerminatedEventAttributes:
		return nil, "", carillon.Errorf(carillon.TypeUnavailable, "the operation's workflow was terminated: %s",
			a.WorkflowExecutionTerminatedEventAttributes.GetReason())
	default:
		return nil, "", carillon.Errorf(carillon.TypeUnavailable, "the operation's workflow ended with an event of type %s",
			event.GetEventType())
	}
}
