package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/worker"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/workflows"
)

const group = "record"

// stage is where scenarios play: workers of the group's queue and of those of two worker ids, with scripted activities.
type stage struct {
	client  client.Client
	workers []worker.Worker

	// attached receives the lease of each attachment that has begun; it goes on until it is answered by ends.
	attached chan string
	ends     chan carillon.AttachResult

	coordination coordination

	runs []execution // whose histories are to be written
}

type execution struct{ id, run string }

func newStage(c client.Client) (*stage, error) {
	s := &stage{client: c, attached: make(chan string), ends: make(chan carillon.AttachResult)}
	operations := worker.New(c, carillon.TaskQueue(group), worker.Options{DisableRegistrationAliasing: true})
	workflows.Register(operations)
	for _, name := range workflows.Operations {
		operations.RegisterActivityWithOptions(s.operate, activity.RegisterOptions{Name: name})
	}
	s.coordination.register(operations)
	s.workers = append(s.workers, operations)
	for _, id := range []string{"one", "two"} {
		w := worker.New(c, carillon.WorkerTaskQueue(group, id), worker.Options{DisableWorkflowWorker: true})
		w.RegisterActivityWithOptions(s.attach, activity.RegisterOptions{Name: carillon.ActivitySweep})
		w.RegisterActivityWithOptions(s.attach, activity.RegisterOptions{Name: carillon.ActivityFire})
		s.workers = append(s.workers, w)
	}
	for _, w := range s.workers {
		if err := w.Start(); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *stage) stop() {
	for _, w := range s.workers {
		w.Stop()
	}
}

// operate answers an operation: it fails the first time, as if the store were away, and refuses what lists.
func (s *stage) operate(ctx context.Context, in converter.RawValue) (converter.RawValue, error) {
	info := activity.GetInfo(ctx)
	switch {
	case info.Attempt == 1:
		return converter.RawValue{}, carillon.ToTemporal(carillon.Errorf(carillon.TypeUnavailable, "the store is away"))
	case info.ActivityType.Name == carillon.OpListTimers:
		return converter.RawValue{}, carillon.ToTemporal(carillon.InvalidArgument("cursor", "it is none"))
	}
	return in, nil
}

// attach is attached until the scenario ends it, or the workflow lets go.
func (s *stage) attach(ctx context.Context, in carillon.AttachInput) (carillon.AttachResult, error) {
	s.attached <- in.Lease
	beat := time.NewTicker(100 * time.Millisecond)
	defer beat.Stop()
	for {
		select {
		case r := <-s.ends:
			r.Status = carillon.TaskStatus{Task: in.Task, Worker: "w", Lease: in.Lease, Moved: 5, Fired: 7}
			return r, nil
		case <-beat.C:
			activity.RecordHeartbeat(ctx)
		case <-ctx.Done():
			return carillon.AttachResult{}, ctx.Err()
		}
	}
}

var errLate = errors.New("nothing has happened for a minute")

// wait waits for an attachment under the lease.
func (s *stage) wait(lease string) error {
	select {
	case got := <-s.attached:
		if got != lease {
			return fmt.Errorf("attached under the lease %q instead of %q", got, lease)
		}
		return nil
	case <-time.After(time.Minute):
		return errLate
	}
}

// end ends the attachment.
func (s *stage) end(reason carillon.EndReason) error {
	select {
	case s.ends <- carillon.AttachResult{Reason: reason}:
		return nil
	case <-time.After(time.Minute):
		return errLate
	}
}

// assign signals an assignment, and starts the task's workflow if need be.
func (s *stage) assign(ctx context.Context, task carillon.Task, worker, lease string) (execution, error) {
	id := carillon.TaskWorkflowID(group, task)
	run, err := s.client.SignalWithStartWorkflow(ctx, id, carillon.SignalAssign, carillon.Assignment{
		Worker: worker, TaskQueue: carillon.WorkerTaskQueue(group, worker), Lease: lease,
		Since: time.Now().UTC().Truncate(time.Millisecond),
	}, client.StartWorkflowOptions{TaskQueue: carillon.TaskQueue(group)}, task.Kind.Workflow(),
		carillon.TaskWorkflowInput{Group: group, Task: task})
	if err != nil {
		return execution{}, err
	}
	return execution{id: id, run: run.GetRunID()}, nil
}

// until polls the state of a task's workflow.
func (s *stage) until(ctx context.Context, task carillon.Task, condition func(carillon.TaskWorkflowState) bool) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		state, err := s.state(ctx, task)
		switch {
		case ctx.Err() != nil:
			return errLate
		case err == nil && condition(state):
			return nil
		}
	}
}

// state asks for the state of a task's workflow. A query is lost when its run continues as new meanwhile.
func (s *stage) state(ctx context.Context, task carillon.Task) (state carillon.TaskWorkflowState, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	value, err := s.client.QueryWorkflow(ctx, carillon.TaskWorkflowID(group, task), "", carillon.QueryState)
	if err != nil {
		return state, err
	}
	return state, value.Get(&state)
}

// retire tells a task's workflow to complete, and waits for it.
func (s *stage) retire(ctx context.Context, task carillon.Task) error {
	id := carillon.TaskWorkflowID(group, task)
	if err := s.client.SignalWorkflow(ctx, id, "", carillon.SignalRetire, nil); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return s.client.GetWorkflow(ctx, id, "").Get(ctx, nil)
}
