package engine

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/internal/commit"
)

// Engine implements the client interface over a Backend.
type Engine struct {
	backend   Backend
	options   Options
	committer *commit.Committer[carillon.TimerSpec, carillon.CreateResult]

	// trouble is what went wrong at the latest attempt of any operation; nil after a success. A caller whose context
	// ends while operations are being tried again learns why from it.
	trouble atomic.Pointer[error]

	mu     sync.Mutex
	closed bool
	calls  sync.WaitGroup
}

// New makes an Engine. The options have been filled and checked.
func New(backend Backend, options Options) *Engine {
	e := &Engine{backend: backend, options: options}
	e.committer = commit.New(commit.Options{
		MaxItems: options.MaxBatch, MaxBytes: options.MaxBatchBytes, MaxInFlight: options.MaxInFlight, Linger: options.Linger,
	}, e.commit)
	return e
}

// Close waits for the calls under way. Later ones fail.
func (e *Engine) Close() error {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.committer.Close()
	e.calls.Wait()
	return nil
}

var errClosed = carillon.Errorf(carillon.TypeUnavailable, "this client has been closed")

// begin counts a call in, and gives the function that counts it out.
func (e *Engine) begin() (end func(), err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, errClosed
	}
	e.calls.Add(1)
	return e.calls.Done, nil
}

// call carries out one operation of a caller.
func call[In, Out any](
	ctx context.Context, e *Engine, operation string, in In, f func(context.Context, In) (Out, error),
) (Out, error) {
	end, err := e.begin()
	if err != nil {
		var none Out
		return none, err
	}
	defer end()
	return attempt(ctx, e, operation, in, f)
}

// newRequestID names an operation that its caller has not named.
func newRequestID() string { return uuid.NewString() }

// callerError says what it means to a caller that an operation of several callers gave it no answer.
func (e *Engine) callerError(err error) *carillon.Error {
	var left *commit.LeftError
	switch {
	case errors.As(err, &left):
		return e.leftError(left, left.Sent)
	case errors.Is(err, commit.ErrClosed):
		return errClosed
	default:
		return carillon.AsError(err)
	}
}

// leftError says that the caller's own context ended. err wraps the context's error.
func (e *Engine) leftError(err error, sent bool) *carillon.Error {
	because := ""
	if trouble := e.trouble.Load(); trouble != nil {
		because = "; the last attempt failed: " + (*trouble).Error()
	}
	if !sent {
		return carillon.Errorf(carillon.TypeUnavailable, "%w%s", err, because)
	}
	return carillon.Errorf(carillon.TypeUnavailable, "%w; it may have been carried out%s", err, because)
}
