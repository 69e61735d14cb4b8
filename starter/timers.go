package starter

import (
	"context"
	"iter"

	"github.com/carillon-io/carillon"
)

// Timers is the client interface of Carillon: New makes one over a Temporal client, direct.New one straight to the store.
// All methods may be called from many goroutines at once; concurrent creates travel together.
//
// Errors are carillon.Error values: errors.Is(err, carillon.ErrNotFound) and so on.
type Timers interface {
	// Create creates one timer. Concurrent calls are grouped into one operation; each gets its own answer.
	Create(ctx context.Context, timer carillon.TimerSpec) (carillon.CreateResult, error)
	// CreateAll creates timers, any number of them, and answers each in its place: a bad one does not fail the others.
	CreateAll(ctx context.Context, timers []carillon.TimerSpec) ([]carillon.CreateResult, error)
	// CreateRequest is CreateAll under a request id of the caller's own choice: repeated with the same timers after a
	// crash, it creates nothing twice.
	CreateRequest(ctx context.Context, requestID string, timers []carillon.TimerSpec) ([]carillon.CreateResult, error)
	// Cancel cancels one timer.
	Cancel(ctx context.Context, timer carillon.TimerRef) error
	// CancelAll cancels timers and answers each in its place.
	CancelAll(ctx context.Context, timers []carillon.TimerRef) ([]carillon.CancelResult, error)
	// Reschedule moves a timer to another time, in place.
	Reschedule(ctx context.Context, in carillon.RescheduleTimerInput) (carillon.RescheduleTimerResult, error)
	// Redrive gives dead timers another series of attempts.
	Redrive(ctx context.Context, timers []carillon.TimerRef) ([]carillon.CreateResult, error)
	// Describe tells what is known about a timer.
	Describe(ctx context.Context, timer carillon.TimerRef) (carillon.TimerInfo, error)
	// List goes through timers, page by page as the loop asks for more. An error ends it.
	List(ctx context.Context, in carillon.ListTimersInput) iter.Seq2[carillon.TimerInfo, error]
	// Count counts timers.
	Count(ctx context.Context, in carillon.CountTimersInput) (carillon.CountTimersResult, error)
	// ListPartitions lists the virtual partitions and the lanes of the group.
	ListPartitions(ctx context.Context) (carillon.ListPartitionsResult, error)
	// DescribeGroup tells who is in the group, who controls it, and who runs what.
	DescribeGroup(ctx context.Context, in carillon.DescribeGroupInput) (carillon.DescribeGroupResult, error)
	// DrainWorker makes a worker give away its tasks, or take tasks again.
	DrainWorker(ctx context.Context, in carillon.DrainWorkerInput) (carillon.DrainWorkerResult, error)
	// Close waits for the calls under way and frees what the client holds. It does not close the Temporal client, or the
	// Redis client, that it was given.
	Close() error
}
