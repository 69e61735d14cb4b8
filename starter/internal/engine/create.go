package engine

import (
	"context"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/carillon-io/carillon"
)

// maxSuffix is what splitting adds to a request id at the most: a slash and a number.
const maxSuffix = 20

// check refuses a timer that cannot be sent, and gives its size. The worker checks again, by the store's clock.
func check(timer *carillon.TimerSpec, now time.Time, maxBytes int) (int, *carillon.Error) {
	if err := timer.Validate(now); err != nil {
		return 0, carillon.AsError(err)
	}
	size := Size(timer)
	if size > maxBytes {
		return 0, carillon.InvalidArgument("", "the timer has about %d bytes, the limit is %d; keep large data elsewhere and "+
			"send a reference", size, maxBytes)
	}
	return size, nil
}

// Create creates one timer, together with those of concurrent calls.
func (e *Engine) Create(ctx context.Context, timer carillon.TimerSpec) (carillon.CreateResult, error) {
	size, refused := check(&timer, time.Now(), e.options.MaxBatchBytes)
	if refused != nil {
		return carillon.CreateResult{Error: refused}, refused
	}
	result, err := e.committer.Do(ctx, timer, size)
	if err != nil {
		failed := e.callerError(err)
		return carillon.CreateResult{Error: failed}, failed
	}
	if result.Error != nil {
		return result, result.Error
	}
	return result, nil
}

// CreateAll creates timers together with those of concurrent calls.
func (e *Engine) CreateAll(ctx context.Context, timers []carillon.TimerSpec) ([]carillon.CreateResult, error) {
	results := make([]carillon.CreateResult, len(timers))
	valid := make([]int, 0, len(timers))
	sizes := make([]int, 0, len(timers))
	now := time.Now()
	for i := range timers {
		size, refused := check(&timers[i], now, e.options.MaxBatchBytes)
		if refused != nil {
			results[i].Error = refused
			continue
		}
		valid = append(valid, i)
		sizes = append(sizes, size)
	}
	var first error
	e.committer.DoAll(ctx, len(valid),
		func(k int) (carillon.TimerSpec, int) { return timers[valid[k]], sizes[k] },
		func(k int, result carillon.CreateResult, err error) {
			if err != nil {
				result.Error = e.callerError(err)
				if first == nil {
					first = result.Error
				}
			}
			results[valid[k]] = result
		})
	return results, first
}

// commit carries out one operation of the committer. The callers' contexts do not reach it: one that leaves must not
// harm the others.
func (e *Engine) commit(timers []carillon.TimerSpec) ([]carillon.CreateResult, error) {
	in := carillon.CreateTimersInput{RequestID: newRequestID(), Timers: timers}
	return e.createOperation(context.Background(), in)
}

// createOperation carries out one operation.
func (e *Engine) createOperation(ctx context.Context, in carillon.CreateTimersInput) ([]carillon.CreateResult, error) {
	result, err := attempt(ctx, e, carillon.OpCreateTimers, in, e.backend.Create)
	if err != nil {
		return nil, err
	}
	if len(result.Timers) != len(in.Timers) {
		return nil, wrongCount(carillon.OpCreateTimers, len(result.Timers), len(in.Timers))
	}
	return result.Timers, nil
}

func wrongCount(operation string, got, want int) error {
	return carillon.Errorf(carillon.TypeUnavailable, "%s answered %d timers of %d: is the worker of another release?",
		operation, got, want)
}

// CreateRequest creates timers under a request id of the caller's own.
func (e *Engine) CreateRequest(
	ctx context.Context, requestID string, timers []carillon.TimerSpec,
) ([]carillon.CreateResult, error) {
	if err := checkRequestID(requestID); err != nil {
		return nil, err
	}
	end, err := e.begin()
	if err != nil {
		return nil, err
	}
	defer end()

	results := make([]carillon.CreateResult, len(timers))
	sizes := make([]int, len(timers))
	now := time.Now()
	for i := range timers {
		_, refused := check(&timers[i], now, e.options.RequestBatchBytes)
		results[i].Error = refused
		// What is refused takes part in the splitting: the same request has to be split in the same way even if a later
		// release refuses less.
		sizes[i] = Size(&timers[i])
	}
	chunks := Split(sizes, e.options.RequestBatch, e.options.RequestBatchBytes)
	return results, e.parallel(len(chunks), func(n int) error {
		from, to := chunks[n].From, chunks[n].To
		in := carillon.CreateTimersInput{RequestID: requestID + "/" + strconv.Itoa(n)}
		var places []int
		for i := from; i < to; i++ {
			if results[i].Error == nil {
				in.Timers = append(in.Timers, timers[i])
				places = append(places, i)
			}
		}
		if len(places) == 0 {
			return nil
		}
		answers, err := e.createOperation(ctx, in)
		for k, i := range places {
			if err != nil {
				results[i].Error = carillon.AsError(err)
			} else {
				results[i] = answers[k]
			}
		}
		return err
	})
}

func checkRequestID(id string) error {
	switch {
	case id == "":
		return carillon.InvalidArgument("request_id", "it is required; CreateAll makes one of its own")
	case len(id) > carillon.MaxRequestID-maxSuffix:
		return carillon.InvalidArgument("request_id", "it has %d bytes, the limit is %d", len(id),
			carillon.MaxRequestID-maxSuffix)
	case !utf8.ValidString(id):
		return carillon.InvalidArgument("request_id", "it is not valid UTF-8")
	}
	for _, r := range id {
		if r < 0x20 || r == 0x7f {
			return carillon.InvalidArgument("request_id", "it holds a control character (U+%04X)", r)
		}
	}
	return nil
}
