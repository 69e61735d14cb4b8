package engine

import (
	"context"
	"iter"

	"github.com/carillon-io/carillon"
)

// Cancel cancels one timer.
func (e *Engine) Cancel(ctx context.Context, timer carillon.TimerRef) error {
	results, err := e.CancelAll(ctx, []carillon.TimerRef{timer})
	if err != nil {
		return err
	}
	if refused := results[0].Error; refused != nil {
		return refused
	}
	return nil
}

// CancelAll cancels timers.
func (e *Engine) CancelAll(ctx context.Context, timers []carillon.TimerRef) ([]carillon.CancelResult, error) {
	results := make([]carillon.CancelResult, len(timers))
	err := e.eachBatch(timers,
		func(i int, err *carillon.Error) {
			results[i] = carillon.CancelResult{TimerID: timers[i].TimerID, Error: err}
		},
		func(refs []carillon.TimerRef, places []int) error {
			in := carillon.CancelTimersInput{RequestID: newRequestID(), Timers: refs}
			out, err := attempt(ctx, e, carillon.OpCancelTimers, in, e.backend.Cancel)
			if err == nil && len(out.Timers) != len(refs) {
				err = wrongCount(carillon.OpCancelTimers, len(out.Timers), len(refs))
			}
			if err != nil {
				return err
			}
			for k, i := range places {
				results[i] = out.Timers[k]
			}
			return nil
		})
	return results, err
}

// Redrive gives dead timers another series of attempts.
func (e *Engine) Redrive(ctx context.Context, timers []carillon.TimerRef) ([]carillon.CreateResult, error) {
	results := make([]carillon.CreateResult, len(timers))
	err := e.eachBatch(timers,
		func(i int, err *carillon.Error) {
			results[i] = carillon.CreateResult{TimerID: timers[i].TimerID, Error: err}
		},
		func(refs []carillon.TimerRef, places []int) error {
			in := carillon.RedriveTimersInput{RequestID: newRequestID(), Timers: refs}
			out, err := attempt(ctx, e, carillon.OpRedriveTimers, in, e.backend.Redrive)
			if err == nil && len(out.Timers) != len(refs) {
				err = wrongCount(carillon.OpRedriveTimers, len(out.Timers), len(refs))
			}
			if err != nil {
				return err
			}
			for k, i := range places {
				results[i] = out.Timers[k]
			}
			return nil
		})
	return results, err
}

// eachBatch splits references into operations and carries them out, some at once. fail answers a reference that is
// refused, or whose operation failed; do carries out one operation, and answers the references at places if it
// succeeds.
func (e *Engine) eachBatch(
	timers []carillon.TimerRef, fail func(i int, err *carillon.Error),
	do func(refs []carillon.TimerRef, places []int) error,
) error {
	end, err := e.begin()
	if err != nil {
		return err
	}
	defer end()

	var refs []carillon.TimerRef
	var places, sizes []int
	for i, ref := range timers {
		if err := ref.Validate(); err != nil {
			fail(i, carillon.AsError(err))
			continue
		}
		refs = append(refs, ref)
		places = append(places, i)
		sizes = append(sizes, RefSize(ref))
	}
	chunks := Split(sizes, e.options.MaxBatch, e.options.MaxBatchBytes)
	return e.parallel(len(chunks), func(n int) error {
		from, to := chunks[n].From, chunks[n].To
		err := do(refs[from:to], places[from:to])
		if err != nil {
			for _, i := range places[from:to] {
				fail(i, carillon.AsError(err))
			}
		}
		return err
	})
}

// Reschedule moves a timer to another time.
func (e *Engine) Reschedule(
	ctx context.Context, in carillon.RescheduleTimerInput,
) (carillon.RescheduleTimerResult, error) {
	if err := in.TimerRef.Validate(); err != nil {
		return carillon.RescheduleTimerResult{}, err
	}
	switch {
	case in.FireAt.IsZero() && in.Delay == 0:
		return carillon.RescheduleTimerResult{}, carillon.InvalidArgument("fire_at",
			"say when the timer is due: fire_at, or a delay")
	case in.RequestID == "":
		in.RequestID = newRequestID()
	default:
		if err := checkRequestID(in.RequestID); err != nil {
			return carillon.RescheduleTimerResult{}, err
		}
	}
	return call(ctx, e, carillon.OpRescheduleTimer, in, e.backend.Reschedule)
}

// Describe tells what is known about a timer.
func (e *Engine) Describe(ctx context.Context, timer carillon.TimerRef) (carillon.TimerInfo, error) {
	if err := timer.Validate(); err != nil {
		return carillon.TimerInfo{}, err
	}
	in := carillon.DescribeTimerInput{TimerRef: timer}
	out, err := call(ctx, e, carillon.OpDescribeTimer, in, e.backend.Describe)
	return out.Timer, err
}

// List goes through timers.
func (e *Engine) List(ctx context.Context, in carillon.ListTimersInput) iter.Seq2[carillon.TimerInfo, error] {
	return func(yield func(carillon.TimerInfo, error) bool) {
		if in.PageSize < 0 || in.PageSize > carillon.MaxPageSize {
			yield(carillon.TimerInfo{}, carillon.InvalidArgument("page_size", "%d is not between 1 and %d", in.PageSize,
				carillon.MaxPageSize))
			return
		}
		for page := in; ; {
			out, err := call(ctx, e, carillon.OpListTimers, page, e.backend.List)
			if err != nil {
				yield(carillon.TimerInfo{}, err)
				return
			}
			for _, timer := range out.Timers {
				if !yield(timer, nil) {
					return
				}
			}
			if out.NextCursor == "" {
				return
			}
			page.Cursor = out.NextCursor
		}
	}
}

// Count counts timers.
func (e *Engine) Count(ctx context.Context, in carillon.CountTimersInput) (carillon.CountTimersResult, error) {
	return call(ctx, e, carillon.OpCountTimers, in, e.backend.Count)
}

// ListPartitions lists the virtual partitions and the lanes of the group.
func (e *Engine) ListPartitions(ctx context.Context) (carillon.ListPartitionsResult, error) {
	return call(ctx, e, carillon.OpListPartitions, struct{}{},
		func(ctx context.Context, _ struct{}) (carillon.ListPartitionsResult, error) {
			return e.backend.ListPartitions(ctx)
		})
}

// DescribeGroup tells who is in the group, who controls it, and who runs what.
func (e *Engine) DescribeGroup(
	ctx context.Context, in carillon.DescribeGroupInput,
) (carillon.DescribeGroupResult, error) {
	return call(ctx, e, carillon.OpDescribeGroup, in, e.backend.DescribeGroup)
}

// DrainWorker makes a worker give away its tasks, or take tasks again.
func (e *Engine) DrainWorker(ctx context.Context, in carillon.DrainWorkerInput) (carillon.DrainWorkerResult, error) {
	if err := carillon.CheckWorkerID(in.Worker); err != nil {
		return carillon.DrainWorkerResult{}, err
	}
	return call(ctx, e, carillon.OpDrainWorker, in, e.backend.DrainWorker)
}
