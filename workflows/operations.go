package workflows

import (
	"errors"
	"time"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

const (
	// operationTimeout bounds an operation with all its retries, attemptTimeout one attempt: a store that does not answer
	// for that long is asked again, under the same request id.
	operationTimeout = 5 * time.Minute
	attemptTimeout   = 30 * time.Second
)

// operation makes the workflow of an operation: it runs the activity of the same name, on the task queue it was started
// on. Which errors are worth another attempt is the activity's to say.
func operation(name string) func(workflow.Context, converter.RawValue) (converter.RawValue, error) {
	return func(ctx workflow.Context, in converter.RawValue) (converter.RawValue, error) {
		ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
			ScheduleToCloseTimeout: operationTimeout,
			StartToCloseTimeout:    attemptTimeout,
			RetryPolicy: &temporal.RetryPolicy{
				InitialInterval:    250 * time.Millisecond,
				BackoffCoefficient: 2,
				MaximumInterval:    10 * time.Second,
			},
		})
		var args []any
		if in.Payload() != nil { // a caller may leave out the input of an operation that needs none
			args = append(args, in)
		}
		var out converter.RawValue
		if err := workflow.ExecuteActivity(ctx, name, args...).Get(ctx, &out); err != nil {
			return converter.RawValue{}, operationError(err)
		}
		return out, nil
	}
}

// operationError takes the wrapping off an error of Carillon, so that the workflow fails with its type and message, and
// not with "activity error".
func operationError(err error) error {
	var app *temporal.ApplicationError
	if errors.As(err, &app) {
		return app
	}
	return err
}
