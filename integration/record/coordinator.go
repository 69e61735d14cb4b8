package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"github.com/carillon-io/carillon"
)

// coordination answers the activities of a coordinator as a scenario says.
type coordination struct {
	mu    sync.Mutex
	sight func(n int) (carillon.Observation, error) // the n-th observation, from 1
	seen  int
	epoch int64
	a     carillon.Assignments // what was assigned last
}

func (c *coordination) register(w worker.Worker) {
	w.RegisterActivityWithOptions(c.begin, activity.RegisterOptions{Name: carillon.ActivityBeginControl})
	w.RegisterActivityWithOptions(c.observe, activity.RegisterOptions{Name: carillon.ActivityObserve})
	w.RegisterActivityWithOptions(c.assign, activity.RegisterOptions{Name: carillon.ActivityAssign})
}

// plays says what is observed from now on.
func (c *coordination) plays(sight func(n int) (carillon.Observation, error)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sight, c.seen, c.a = sight, 0, nil
}

// away says, for the first attempt of an activity, that the store does not answer.
func away(ctx context.Context) error {
	if activity.GetInfo(ctx).Attempt == 1 {
		return carillon.ToTemporal(carillon.Errorf(carillon.TypeUnavailable, "the store is away"))
	}
	return nil
}

func (c *coordination) begin(
	ctx context.Context, _ carillon.BeginControlInput,
) (out carillon.BeginControlResult, err error) {
	if err := away(ctx); err != nil {
		return out, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch++
	out.Epoch = c.epoch
	return out, nil
}

func (c *coordination) observe(context.Context, carillon.ObserveInput) (carillon.Observation, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen++
	o, err := c.sight(c.seen)
	o.Assignments = c.a
	return o, carillon.ToTemporal(err)
}

func (c *coordination) assign(ctx context.Context, in carillon.AssignInput) error {
	if in.Number == 2 { // of the second decision the first attempt fails
		if err := away(ctx); err != nil {
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.a = in.Assignments
	return nil
}

// sightOf is what there is to see of two slots and these workers.
func sightOf(n int, ids ...string) carillon.Observation {
	var o carillon.Observation
	o.Roster.Now = time.Date(2026, 1, 2, 3, 4, n, 0, time.UTC)
	for _, id := range ids {
		o.Roster.Members = append(o.Roster.Members, carillon.Member{Worker: id, Zone: "north", Seen: o.Roster.Now})
	}
	for slot := range 2 {
		o.Tasks = append(o.Tasks,
			carillon.Task{Kind: carillon.TaskFire, Slot: slot}, carillon.Task{Kind: carillon.TaskSweep, Slot: slot})
	}
	carillon.SortTasks(o.Tasks)
	return o
}

var errNewer = carillon.Errorf(carillon.TypeConflict, "a newer epoch has begun")

// coordinate starts the coordinator, and waits until it ends because somebody newer controls.
func (s *stage) coordinate(ctx context.Context, sight func(n int) (carillon.Observation, error)) error {
	s.coordination.plays(sight)
	id := carillon.CoordinatorWorkflowID(group)
	run, err := s.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: id, TaskQueue: carillon.TaskQueue(group)},
		carillon.WorkflowCoordinator, carillon.CoordinatorInput{Group: group})
	if err != nil {
		return err
	}
	first := run.GetRunID()
	s.runs = append(s.runs, execution{id, first})
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	var state carillon.CoordinatorState
	if err := run.Get(ctx, &state); err != nil {
		return err
	}
	if state.LastError == "" {
		return errors.New("the coordinator has ended without a reason")
	}
	if last := run.GetRunID(); last != first { // Get has followed it to there
		s.runs = append(s.runs, execution{id, last})
	}
	return nil
}

// coordinatorLife: one worker, another one joins, nothing happens, the first drains, dies, and somebody newer takes
// control.
func coordinatorLife(ctx context.Context, s *stage) error {
	return s.coordinate(ctx, func(n int) (o carillon.Observation, err error) {
		switch n {
		case 1:
			o = sightOf(n, "one")
		case 2, 3:
			o = sightOf(n, "one", "two")
		case 4:
			o = sightOf(n, "one", "two")
			o.Roster.Members[0].Draining = true
		case 5:
			return o, carillon.Errorf(carillon.TypeUnavailable, "the store is away")
		case 6:
			o = sightOf(n, "two", "three")
		default:
			return o, errNewer
		}
		return o, nil
	})
}

// coordinatorContinued: more observations than a run makes, so that another run goes on. Every tenth brings a change.
func coordinatorContinued(ctx context.Context, s *stage) error {
	const rounds = 62
	err := s.coordinate(ctx, func(n int) (carillon.Observation, error) {
		if n > rounds {
			return carillon.Observation{}, errNewer
		}
		ids := []string{"one", "two", "three"}
		return sightOf(n%60, ids[:1+n/10%3]...), nil
	})
	if err == nil && len(s.runs) != 2 {
		err = fmt.Errorf("there are %d runs instead of 2", len(s.runs))
	}
	return err
}
