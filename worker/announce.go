package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"golang.org/x/time/rate"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/internal/fault"
)

// announcer tells the workflows of the tasks that this worker runs them, so that they attach an activity. It is one
// goroutine that makes one call at a time, at a bounded rate, and waits longer and longer while Temporal is away: a
// worker with thousands of tasks must not be what keeps Temporal from coming back.
type announcer struct {
	temporal signaller
	group    string
	worker   string
	every    time.Duration
	log      *slog.Logger
	held     func() []*tenure

	mu      sync.Mutex
	retired []carillon.Task // whose workflows have to be told
}

// signaller is what the announcer needs of a Temporal client.
type signaller interface {
	SignalWithStartWorkflow(ctx context.Context, workflowID, signalName string, signalArg any,
		options client.StartWorkflowOptions, workflow any, workflowArgs ...any) (client.WorkflowRun, error)
	SignalWorkflow(ctx context.Context, workflowID, runID, signalName string, arg any) error
}

const (
	// announcesPerSecond is low: nothing waits for an announcement, and each of them makes some work for Temporal, which may
	// share its processors with lanes that fire to the millisecond.
	announcesPerSecond = 10
	announceTimeout    = 10 * time.Second
	announceEvery      = time.Second
	announceMaxWait    = 30 * time.Second
)

// retire says that a task is no more.
func (a *announcer) retire(task carillon.Task) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.retired = append(a.retired, task)
}

// run tells what has to be told until ctx is done.
func (a *announcer) run(ctx context.Context) {
	limit := rate.NewLimiter(announcesPerSecond, 1)
	wait := retryWait(announceMaxWait)
	for away := false; ctx.Err() == nil; {
		pause := a.every
		switch err := a.round(ctx, limit); {
		case ctx.Err() != nil:
			return
		case err != nil:
			if !away {
				a.log.Warn("Temporal cannot be told who runs what; the tasks go on.", "error", err)
			}
			away, pause = true, max(pause, wait.NextBackOff())
		default:
			if away {
				a.log.Info("Temporal can be told again who runs what.")
			}
			away = false
			wait.Reset()
		}
		sleep(ctx, pause)
	}
}

// round tells everything that is due, and ends at the first error.
func (a *announcer) round(ctx context.Context, limit *rate.Limiter) error {
	for _, t := range a.held() {
		if !t.askDue(time.Now()) {
			continue
		}
		if err := limit.Wait(ctx); err != nil {
			return err
		}
		err := a.assign(ctx, t.Status())
		if err = fault.At(fault.TaskAnnounced, err); err != nil {
			return err
		}
		t.hasAsked(time.Now())
	}
	a.mu.Lock()
	retired := a.retired
	a.retired = nil
	a.mu.Unlock()
	for i, task := range retired {
		if err := a.tellRetired(ctx, limit, task); err != nil {
			a.mu.Lock()
			a.retired = append(a.retired, retired[i:]...)
			a.mu.Unlock()
			return err
		}
	}
	return nil
}

func (a *announcer) assign(ctx context.Context, s carillon.TaskStatus) error {
	if s.Lease == "" { // it was lost meanwhile
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, announceTimeout)
	defer cancel()
	id := carillon.TaskWorkflowID(a.group, s.Task)
	_, err := a.temporal.SignalWithStartWorkflow(ctx, id, carillon.SignalAssign,
		carillon.Assignment{
			Worker: a.worker, TaskQueue: carillon.WorkerTaskQueue(a.group, a.worker), Lease: s.Lease, Since: s.Since,
		},
		client.StartWorkflowOptions{
			ID: id, TaskQueue: carillon.TaskQueue(a.group),
			StaticSummary: fmt.Sprintf("%s: store %d, slot %d, number %d", s.Task.Kind, s.Task.Store, s.Task.Slot,
				s.Task.Number),
		},
		s.Task.Kind.Workflow(), carillon.TaskWorkflowInput{Group: a.group, Task: s.Task})
	if err != nil {
		return fmt.Errorf("signal %s: %w", id, err)
	}
	return nil
}

func (a *announcer) tellRetired(ctx context.Context, limit *rate.Limiter, task carillon.Task) error {
	if err := limit.Wait(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, announceTimeout)
	defer cancel()
	id := carillon.TaskWorkflowID(a.group, task)
	err := a.temporal.SignalWorkflow(ctx, id, "", carillon.SignalRetire, nil)
	var none *serviceerror.NotFound
	if err != nil && !errors.As(err, &none) {
		return fmt.Errorf("signal %s: %w", id, err)
	}
	return nil
}
