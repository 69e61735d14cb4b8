package starter

import (
	"context"
	"errors"

	"github.com/google/uuid"
	activitypb "go.temporal.io/api/activity/v1"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/types/known/durationpb"
)

// runActivity carries an operation as a standalone activity. One that is running or has completed under the same id
// gives its answer; one that has failed runs again.
func (b *backend) runActivity(ctx context.Context, r *request) (*commonpb.Payloads, error) {
	id := b.executionID(r)
	started, err := b.service.StartActivityExecution(ctx, &workflowservice.StartActivityExecutionRequest{
		Namespace:              b.namespace,
		Identity:               b.identity,
		RequestId:              uuid.NewString(),
		ActivityId:             id,
		ActivityType:           &commonpb.ActivityType{Name: r.operation},
		TaskQueue:              b.taskQueue(),
		ScheduleToStartTimeout: durationpb.New(b.queueTimeout()),
		StartToCloseTimeout:    durationpb.New(b.attemptTimeout()),
		RetryPolicy:            b.retryPolicy(),
		Input:                  r.input,
		IdReusePolicy:          enumspb.ACTIVITY_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY,
		IdConflictPolicy:       enumspb.ACTIVITY_ID_CONFLICT_POLICY_USE_EXISTING,
		UserMetadata:           userMetadata(r.summary),
	})
	runID := started.GetRunId()
	var already *serviceerror.ActivityExecutionAlreadyStarted
	switch {
	case errors.As(err, &already):
		runID = already.RunId
	case err != nil:
		return nil, err
	}
	for {
		polled, err := b.service.PollActivityExecution(ctx, &workflowservice.PollActivityExecutionRequest{
			Namespace: b.namespace, ActivityId: id, RunId: runID,
		})
		if err != nil {
			return nil, err
		}
		switch outcome := polled.GetOutcome().GetValue().(type) {
		case *activitypb.ActivityExecutionOutcome_Result:
			return outcome.Result, nil
		case *activitypb.ActivityExecutionOutcome_Failure:
			return nil, b.failure(outcome.Failure)
		}
		// A long poll that has ended without news. The context bounds the next one.
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
}

// unimplemented says whether the server does not know, or does not allow, what it was asked for.
func unimplemented(err error) bool {
	var e *serviceerror.Unimplemented
	return errors.As(err, &e)
}
