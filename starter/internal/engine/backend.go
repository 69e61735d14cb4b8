package engine

import (
	"context"

	"github.com/carillon-io/carillon"
)

// Backend carries out single operations. An error of type carillon.ErrUnavailable says that the same operation, under
// the same request id, may succeed later; the engine asks again, unless it is marked by Final.
type Backend interface {
	Create(ctx context.Context, in carillon.CreateTimersInput) (carillon.CreateTimersResult, error)
	Cancel(ctx context.Context, in carillon.CancelTimersInput) (carillon.CancelTimersResult, error)
	Reschedule(ctx context.Context, in carillon.RescheduleTimerInput) (carillon.RescheduleTimerResult, error)
	Redrive(ctx context.Context, in carillon.RedriveTimersInput) (carillon.RedriveTimersResult, error)
	Describe(ctx context.Context, in carillon.DescribeTimerInput) (carillon.DescribeTimerResult, error)
	List(ctx context.Context, in carillon.ListTimersInput) (carillon.ListTimersResult, error)
	Count(ctx context.Context, in carillon.CountTimersInput) (carillon.CountTimersResult, error)
	ListPartitions(ctx context.Context) (carillon.ListPartitionsResult, error)
	DescribeGroup(ctx context.Context, in carillon.DescribeGroupInput) (carillon.DescribeGroupResult, error)
	DrainWorker(ctx context.Context, in carillon.DrainWorkerInput) (carillon.DrainWorkerResult, error)
}

// Explainer is a Backend that can find out why an operation got no answer in time. last is what went wrong at the last
// attempt; nil: it was still waiting.
type Explainer interface {
	Explain(ctx context.Context, operation string, last error) error
}
