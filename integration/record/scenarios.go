package main

import (
	"context"
	"errors"
	"fmt"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"github.com/carillon-io/carillon"
)

// scenarios are what is recorded: each plays one story and leaves the runs to write in the stage.
var scenarios = []struct {
	name string
	play func(context.Context, *stage) error
}{
	{"create-json", createJSON},
	{"create-protobuf", createProtobuf},
	{"list-refused", listRefused},
	{"sweeper-life", sweeperLife},
	{"sweeper-unreachable", sweeperUnreachable},
	{"firing-continued", firingContinued},
	{"coordinator-life", coordinatorLife},
	{"coordinator-continued", coordinatorContinued},
}

func createTimers() *carillon.CreateTimersInput {
	return &carillon.CreateTimersInput{Timers: []carillon.TimerSpec{{
		ClientID: "shop", Delay: 1e9,
		Target: carillon.ToMailbox(),
	}}}
}

func operate(ctx context.Context, s *stage, op string, in any) error {
	run, err := s.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{TaskQueue: carillon.TaskQueue(group)}, op, in)
	if err != nil {
		return err
	}
	s.runs = append(s.runs, execution{run.GetID(), run.GetRunID()})
	return run.Get(ctx, nil)
}

func createJSON(ctx context.Context, s *stage) error {
	return operate(ctx, s, carillon.OpCreateTimers, createTimers())
}

func createProtobuf(ctx context.Context, s *stage) error {
	p, err := carillon.BinaryPayload(createTimers())
	if err != nil {
		return err
	}
	return operate(ctx, s, carillon.OpCreateTimers, converter.NewRawValue(p))
}

func listRefused(ctx context.Context, s *stage) error {
	err := carillon.FromTemporal(operate(ctx, s, carillon.OpListTimers, carillon.ListTimersInput{Cursor: "x"}))
	if !errors.Is(err, carillon.ErrInvalidArgument) {
		return fmt.Errorf("got %w", err)
	}
	return nil
}

// sweeperLife: one worker has the task and renews, says so again, loses it to another; the segment is retired.
func sweeperLife(ctx context.Context, s *stage) error {
	task := carillon.Task{Kind: carillon.TaskSweep, Slot: 1, Number: 0}
	run, err := s.assign(ctx, task, "one", "1:one")
	if err != nil {
		return err
	}
	s.runs = append(s.runs, run)
	_, refused := s.assign(ctx, task, "nobody:else", "")
	_, repeated := s.assign(ctx, task, "one", "1:one")
	for _, step := range []func() error{
		func() error { return errors.Join(refused, repeated) },
		func() error { return s.wait("1:one") },
		func() error { return s.end(carillon.EndRenew) },
		func() error { return s.wait("1:one") },
		func() error { return s.end(carillon.EndRunnerDone) },
		func() error {
			return s.until(ctx, task, func(t carillon.TaskWorkflowState) bool { return t.Attached == nil && t.Moved == 5 })
		},
		func() error { _, err := s.assign(ctx, task, "one", "2:one"); return err },
		func() error { return s.wait("2:one") },
		func() error { _, err := s.assign(ctx, task, "two", "3:two"); return err },
		func() error { return s.wait("3:two") },
		func() error { return s.retire(ctx, task) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// sweeperUnreachable: the worker is gone before it takes up the activity; the task waits for another one.
func sweeperUnreachable(ctx context.Context, s *stage) error {
	task := carillon.Task{Kind: carillon.TaskSweep, Slot: 2, Number: 0}
	run, err := s.assign(ctx, task, "gone", "1:gone")
	if err != nil {
		return err
	}
	s.runs = append(s.runs, run)
	err = s.until(ctx, task, func(t carillon.TaskWorkflowState) bool {
		return t.LastEnd != nil && t.LastEnd.Reason == carillon.EndUnreachable
	})
	if err != nil {
		return err
	}
	return s.retire(ctx, task)
}

// firingContinued: more attachments than a run makes, so that another run goes on.
func firingContinued(ctx context.Context, s *stage) error {
	task := carillon.Task{Kind: carillon.TaskFire, Slot: 1, Number: 0}
	for i := range 22 {
		lease := fmt.Sprintf("%d:one", i+1)
		run, err := s.assign(ctx, task, "one", lease)
		if err != nil {
			return err
		}
		if i == 0 || s.runs[len(s.runs)-1] != run {
			s.runs = append(s.runs, run)
		}
		if err := errors.Join(s.wait(lease), s.end(carillon.EndRunnerDone)); err != nil {
			return err
		}
		err = s.until(ctx, task, func(t carillon.TaskWorkflowState) bool {
			return t.Attached == nil && t.Attaches == int64(i+1)
		})
		if err != nil {
			return err
		}
	}
	if len(s.runs) != 2 {
		return fmt.Errorf("there are %d runs instead of 2", len(s.runs))
	}
	return s.retire(ctx, task)
}
