package worker

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/store"
)

// loop is the loop of a sweeper or of a lane. Run waits for the lease, holds it until ctx is done or the lease is lost,
// finishes what it has begun, and hands the lease back.
type loop interface {
	Run(ctx context.Context) error
	Status() carillon.TaskStatus
}

// runner runs the loop of one task, again and again: after a lost lease or an error there is another try.
type runner struct {
	task   carillon.Task
	cancel context.CancelFunc
	done   chan struct{} // closed when no loop runs any more

	// standby says how the next loop waits for the lease: only until it has lapsed.
	standby atomic.Bool
	stoodIn time.Time // when it was first seen to hold a lease as a standby; tasks' own

	mu      sync.Mutex
	current *tenure
}

// newLoop makes the loop of a task.
type newLoop func(task carillon.Task, standby bool) loop

// startRunner starts a runner. stop ends it.
func startRunner(ctx context.Context, task carillon.Task, standby bool, newLoop newLoop, log *slog.Logger) *runner {
	ctx, cancel := context.WithCancel(ctx)
	r := &runner{task: task, cancel: cancel, done: make(chan struct{})}
	r.standby.Store(standby)
	go func() {
		defer close(r.done)
		defer cancel()
		r.run(ctx, newLoop, log.With("task", task.String()))
	}()
	return r
}

func (r *runner) run(ctx context.Context, newLoop newLoop, log *slog.Logger) {
	wait := retryWait(5 * time.Second)
	for ctx.Err() == nil {
		t := &tenure{task: r.task, loop: newLoop(r.task, r.standby.Load()), done: make(chan struct{})}
		r.mu.Lock()
		r.current = t
		r.mu.Unlock()
		began := time.Now()
		err := t.loop.Run(ctx)
		close(t.done)
		switch {
		case ctx.Err() != nil && (err == nil || errors.Is(err, store.ErrLeaseLost)):
			return
		case errors.Is(err, store.ErrLeaseLost):
			log.Warn("The lease is lost; trying to get it again.", "error", err)
		case err != nil && ctx.Err() != nil:
			log.Error("The task has failed while it was stopping.", "error", err)
		case err != nil:
			log.Error("The task has failed; trying again.", "error", err)
		}
		if time.Since(began) > time.Minute {
			wait.Reset()
		}
		sleep(ctx, wait.NextBackOff())
	}
}

// stop ends the runner: its loop finishes what it has begun and hands back its lease. It does not wait; done is closed
// then.
func (r *runner) stop() { r.cancel() }

// holds says whether it has the lease.
func (r *runner) holds() bool {
	t := r.tenure()
	return t != nil && t.Status().Lease != ""
}

// standInTime is how long a standby keeps what it has taken at the least: by then it is known whether the owner lives.
const standInTime = carillon.MemberTTL + 2*carillon.MemberHeartbeat

// standsIn says whether it holds a lease that it has taken as a standby a short while ago.
func (r *runner) standsIn() bool {
	if !r.standby.Load() {
		return false
	}
	if r.stoodIn.IsZero() {
		r.stoodIn = time.Now()
	}
	return time.Since(r.stoodIn) < standInTime
}

func (r *runner) tenure() *tenure {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.current
}

// tenure is one run of a task's loop: at most one lease. It is an activities.Runner.
type tenure struct {
	task carillon.Task
	loop loop
	done chan struct{}

	mu       sync.Mutex
	attached int
	free     time.Time // when the last attachment ended; zero: there was none
	asked    time.Time // when the task's workflow was told last; zero: not since the last attachment
	asks     int       // how often it was told since then
}

// Done implements activities.Runner.
func (t *tenure) Done() <-chan struct{} { return t.done }

// Status implements activities.Runner.
func (t *tenure) Status() carillon.TaskStatus { return t.loop.Status() }

// Attached implements activities.Runner.
func (t *tenure) Attached() (detached func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.attached++
	return sync.OnceFunc(func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.attached--
		t.free, t.asked, t.asks = time.Now(), time.Time{}, 0
	})
}

// How long a tenure is without an attachment before the task's workflow is told (again), and how much that grows.
const (
	unattachedFor = 10 * time.Second
	unattachedMax = 2 * time.Minute
)

// askDue says whether it is time to tell the task's workflow who runs it: at once when the lease is new, after a while
// when an attachment has ended or no answer comes.
func (t *tenure) askDue(now time.Time) bool {
	select {
	case <-t.done:
		return false
	default:
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.attached > 0:
		return false
	case t.asks > 0:
		return now.Sub(t.asked) >= min(unattachedFor<<min(t.asks-1, 10), unattachedMax)
	case !t.free.IsZero():
		return now.Sub(t.free) >= unattachedFor
	default:
		return true
	}
}

func (t *tenure) hasAsked(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.asked, t.asks = now, t.asks+1
}

// retryWait grows from a moment to the given time, with jitter.
func retryWait(most time.Duration) *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval, b.Multiplier = 100*time.Millisecond, most, 2
	b.Reset()
	return b
}

// sleep waits, or until ctx is done.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
