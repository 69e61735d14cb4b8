package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/carillon-io/carillon"
)

// explainTimeout bounds the search for the reason why there was no answer.
const explainTimeout = 3 * time.Second

// Final marks an error that is of type carillon.ErrUnavailable and yet not worth another attempt.
func Final(err error) error { return backoff.Permanent(err) }

// ErrNoAnswer is what a Backend may wrap to say that an attempt ended without any answer.
var ErrNoAnswer = errors.New("no answer")

// attempt carries out an operation, again and again under the same request id, until there is an answer or the time
// is up.
func attempt[In, Out any](
	ctx context.Context, e *Engine, operation string, in In, f func(context.Context, In) (Out, error),
) (Out, error) {
	limited, cancel := context.WithTimeout(ctx, e.options.Timeout)
	defer cancel()

	policy := backoff.NewExponentialBackOff()
	policy.InitialInterval = e.options.RetryInterval
	policy.Multiplier = 2
	policy.MaxInterval = e.options.MaxRetryInterval

	var last, answer error
	out, err := backoff.Retry(limited, func() (Out, error) {
		out, err := f(limited, in)
		if err == nil {
			return out, nil
		}
		var ours *carillon.Error
		if errors.As(err, &ours) && ours.Type != carillon.TypeUnavailable {
			answer = err
			return out, backoff.Permanent(err)
		}
		if !errors.Is(err, ErrNoAnswer) && (limited.Err() == nil || !errors.Is(err, limited.Err())) {
			last = err // and not only that the time is up
		}
		return out, err
	},
		backoff.WithBackOff(policy),
		backoff.WithMaxElapsedTime(0), // the context bounds it
		backoff.WithNotify(func(err error, wait time.Duration) {
			e.trouble.Store(&err)
			e.options.Logger.DebugContext(ctx, "carillon: operation is tried again",
				"operation", operation, "wait", wait, "error", err)
		}))
	switch {
	case err == nil:
		if e.trouble.Load() != nil {
			e.trouble.Store(nil)
		}
		return out, nil
	case answer != nil:
		return out, carillon.AsError(answer)
	case ctx.Err() != nil:
		return out, e.leftError(fmt.Errorf("%w before the answer came", ctx.Err()), true)
	case limited.Err() != nil:
		return out, e.explain(ctx, operation, last)
	default:
		return out, carillon.AsError(err)
	}
}

// explain says why there was no answer in time.
func (e *Engine) explain(ctx context.Context, operation string, last error) error {
	if explainer, ok := e.backend.(Explainer); ok {
		ctx, cancel := context.WithTimeout(ctx, explainTimeout)
		defer cancel()
		return carillon.AsError(explainer.Explain(ctx, operation, last))
	}
	if last == nil {
		last = context.DeadlineExceeded
	}
	return carillon.Errorf(carillon.TypeUnavailable, "%s got no answer within %s: %w", operation, e.options.Timeout, last)
}
