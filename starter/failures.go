package starter

import (
	"context"
	"errors"
	"fmt"

	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/grpc/codes"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/starter/internal/engine"
)

// workerError is what the worker's activity or workflow failed with, as opposed to the server's errors.
type workerError struct{ error }

func (e workerError) Unwrap() error { return e.error }

// failure reads what an execution failed with.
func (b *backend) failure(f *failurepb.Failure) error {
	return workerError{b.failures.FailureToError(f)}
}

// failed makes an error of Carillon of what an operation failed with: by the worker, on the way, or by the server.
func (b *backend) failed(ctx context.Context, operation string, err error) error {
	err = carillon.FromTemporal(err)
	var ours *carillon.Error
	if errors.As(err, &ours) {
		return err
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", engine.ErrNoAnswer, ctx.Err())
	}
	var (
		timeout    *temporal.TimeoutError
		canceled   *temporal.CanceledError
		terminated *temporal.TerminatedError
		worker     workerError
		namespace  *serviceerror.NamespaceNotFound
	)
	switch {
	case errors.As(err, &timeout):
		return engine.Final(b.Explain(ctx, operation, err))
	case errors.As(err, &canceled), errors.As(err, &terminated):
		return engine.Final(carillon.Errorf(carillon.TypeUnavailable, "%s was cancelled in Temporal: %w", operation, err))
	case errors.As(err, &worker):
		return carillon.Errorf(carillon.TypeUnavailable, "Carillon's worker failed at %s: %w", operation, err)
	case errors.As(err, &namespace):
		return engine.Final(carillon.Errorf(carillon.TypeUnavailable, "the Temporal server has no namespace %q: check "+
			"Options.Namespace and the client's address, or create it with `temporal operator namespace create`: %w",
			b.namespace, err))
	case unimplemented(err):
		return engine.Final(carillon.Errorf(carillon.TypeUnavailable, "the Temporal server has no standalone activities in "+
			"namespace %q: use RoadAuto or RoadWorkflow: %w", b.namespace, err))
	}
	switch serviceerror.ToStatus(err).Code() {
	case codes.InvalidArgument:
		return carillon.InvalidArgument("", "Temporal refused %s: %w", operation, err)
	case codes.PermissionDenied, codes.Unauthenticated:
		return engine.Final(carillon.Errorf(carillon.TypeUnavailable, "Temporal does not allow %s in namespace %q: check the "+
			"client's credentials: %w", operation, b.namespace, err))
	case codes.DeadlineExceeded, codes.Canceled:
		// The server, or the connection, has seen the end of the time a little earlier.
		return fmt.Errorf("%w: %w", engine.ErrNoAnswer, err)
	default:
		return carillon.Errorf(carillon.TypeUnavailable, "Temporal does not carry out %s in namespace %q; check that the server "+
			"is up and reachable at the client's address: %w", operation, b.namespace, err)
	}
}

// Explain finds out why there was no answer in time: above all, whether there is anybody to give one.
func (b *backend) Explain(ctx context.Context, operation string, last error) error {
	var timeout *temporal.TimeoutError
	switch {
	case last == nil:
		last = context.DeadlineExceeded
	case !errors.As(last, &timeout): // there were answers, but no good ones
		return carillon.Errorf(carillon.TypeUnavailable, "%s was tried for %s: %w", operation, b.timeout, last)
	}
	queue := carillon.TaskQueue(b.group)
	kind := enumspb.TASK_QUEUE_TYPE_ACTIVITY
	if b.road == RoadWorkflow || b.noActivities.Load() {
		kind = enumspb.TASK_QUEUE_TYPE_WORKFLOW
	}
	described, err := b.service.DescribeTaskQueue(ctx, &workflowservice.DescribeTaskQueueRequest{
		Namespace: b.namespace, TaskQueue: b.taskQueue(), TaskQueueType: kind,
	})
	switch {
	case err != nil:
		return carillon.Errorf(carillon.TypeUnavailable, "%s got no answer within %s; check that Temporal is up and that a "+
			"Carillon worker polls task queue %q in namespace %q: %w", operation, b.timeout, queue, b.namespace, last)
	case len(described.GetPollers()) == 0:
		return carillon.Errorf(carillon.TypeUnavailable, "no worker polls task queue %q in namespace %q: start a Carillon worker "+
			"of group %q there, or check Options.Group and Options.Namespace: %w", queue, b.namespace, b.group, last)
	default:
		return carillon.Errorf(carillon.TypeUnavailable, "%s got no answer within %s, though task queue %q in namespace %q has "+
			"workers: check that they are Carillon's, their logs, and the operation in the Temporal Web UI: %w",
			operation, b.timeout, queue, b.namespace, last)
	}
}
