package activities

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/store"
)

// fullLooks is how many looks there are from one at the whole store to the next.
const fullLooks = 5

func (c *Coordination) observe(ctx context.Context, in carillon.ObserveInput) (carillon.Observation, error) {
	if err := c.checkGroup(in.Group); err != nil {
		return carillon.Observation{}, err
	}
	patience := cmp.Or(c.Patience, 4*time.Second)
	w := &watcher{Coordination: c, in: in, every: cmp.Or(c.Look, time.Second), limit: patience}
	stopBeating := beat(ctx, observeHeartbeat, w.heartbeat)
	defer stopBeating()
	tick := time.NewTicker(w.every)
	defer tick.Stop()
	over := time.NewTimer(cmp.Or(c.Watch, time.Minute))
	defer over.Stop()

	var failing time.Time // since when; zero: it is not
	for {
		began := time.Now()
		due, err := w.look(ctx)
		w.note(err)
		switch {
		case due, in.Once && err == nil, errors.Is(err, carillon.ErrConflict):
			return w.seen, err
		case err == nil:
			failing = time.Time{}
		case failing.IsZero():
			failing = began
		}
		if err != nil && time.Since(failing) >= patience {
			return carillon.Observation{}, err
		}
		select {
		case <-tick.C:
			continue
		case <-over.C:
		case <-activity.GetWorkerStopChannel(ctx):
		case <-ctx.Done():
			// Whether the coordinator has let go or one heartbeat has failed: in the latter case Temporal takes the answer.
		}
		return w.seen, err
	}
}

// watcher is one Observe.
type watcher struct {
	*Coordination
	in    carillon.ObserveInput
	every time.Duration
	limit time.Duration // of one look

	seen  carillon.Observation
	looks int // since the last one at the whole store; 0: there was none

	mu     sync.Mutex
	status carillon.ObserveStatus
}

// look says whether a decision is due; if none is, it says in the store that the coordinator is at work.
func (w *watcher) look(ctx context.Context) (due bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, w.limit)
	defer cancel()
	roster, err := w.Store.Roster(ctx)
	if err != nil {
		return false, err
	}
	control := roster.Control
	if control.Epoch != w.in.Epoch || control.Number > w.in.Number {
		return false, carillon.Errorf(carillon.TypeConflict,
			"observe: %w: it is of epoch %d, number %d, and the store knows epoch %d, number %d", store.ErrStaleDecision,
			w.in.Epoch, w.in.Number, control.Epoch, control.Number)
	}
	whole := w.looks == 0 || w.looks >= fullLooks || control.Number != w.seen.Roster.Control.Number
	w.seen.Roster = roster
	w.looks++
	if whole {
		err = w.read(ctx)
	}
	due = err == nil && w.Due(w.seen)
	if due && !whole { // segments and assignments may be others by now
		err = w.read(ctx)
		due = err == nil && w.Due(w.seen)
	}
	if age := roster.Now.Sub(control.DecidedAt); 0 <= age && age < w.every {
		due = false // what has just been decided takes effect first; and what else happens now is decided together
	}
	if due || err != nil {
		return due, err
	}
	return false, w.Store.Observed(ctx, w.in.Epoch)
}

// read reads which tasks there are, and who has them.
func (w *watcher) read(ctx context.Context) error {
	w.looks = 0 // if it fails, the next look tries again
	segments, err := w.Store.Segments(ctx)
	if err != nil {
		return err
	}
	assignments, err := w.Store.Assignments(ctx)
	if err != nil {
		return err
	}
	var tasks []carillon.Task
	for slot := range w.Store.Slots() {
		for lane := range cmp.Or(w.Lanes, 1) {
			tasks = append(tasks, carillon.Task{Kind: carillon.TaskFire, Store: w.Store.Number(), Slot: slot, Number: lane})
		}
	}
	for _, s := range segments {
		tasks = append(tasks,
			carillon.Task{Kind: carillon.TaskSweep, Store: w.Store.Number(), Slot: s.Slot, Number: s.Segment})
	}
	carillon.SortTasks(tasks)
	w.seen.Tasks, w.seen.Assignments, w.looks = tasks, assignments, 1
	return nil
}

// note keeps what the next heartbeat says.
func (w *watcher) note(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status.Error = ""
	if err != nil {
		w.status.Error = err.Error()
		return
	}
	w.status.At, w.status.Workers, w.status.Tasks = w.seen.Roster.Now, len(w.seen.Roster.Members), len(w.seen.Tasks)
}

func (w *watcher) heartbeat() any {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.status
}
