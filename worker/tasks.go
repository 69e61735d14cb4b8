package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/activities"
	"github.com/carillon-io/carillon/store"
)

// tasks decides which tasks this worker runs: all that there are. A runner without the lease waits for it, so every
// task of the group is run by exactly one of its workers, and taken over by another when that one is gone.
//
// It also keeps the segments: it opens a new one where the open one is full, and retires sealed ones that have drained.
type tasks struct {
	store    taskStore
	newLoop  func(carillon.Task) loop
	lanes    int   // of each slot
	capacity int64 // of a segment
	every    time.Duration
	log      *slog.Logger
	retired  func(carillon.Task) // is told which tasks are no more

	mu      sync.Mutex
	running map[carillon.Task]*runner
	leaving []*runner // that have been told to stop, and may not have yet
}

// taskStore is what tasks needs of a store.
type taskStore interface {
	Number() int
	Slots() int
	Segments(ctx context.Context) ([]store.Segment, error)
	OpenSegment(ctx context.Context, slot, sealing int) (int, error)
	RetireSegment(ctx context.Context, p store.Partition) (bool, error)
}

var _ activities.Runners = (*tasks)(nil)

// run starts what there is to run and watches it until ctx is done; then it stops everything and waits for it.
func (t *tasks) run(ctx context.Context) {
	// The runners' context is not ours: they are stopped one by one, below, after nothing more can be started.
	runners := context.WithoutCancel(ctx)
	for slot := range t.store.Slots() { // lanes are known without asking
		for lane := range t.lanes {
			t.start(runners, carillon.Task{Kind: carillon.TaskFire, Store: t.store.Number(), Slot: slot, Number: lane})
		}
	}
	tick := time.NewTicker(t.every)
	defer tick.Stop()
	var trouble string
	for ctx.Err() == nil {
		err := t.observe(ctx, runners)
		switch {
		case ctx.Err() != nil:
		case err != nil && err.Error() != trouble:
			trouble = err.Error()
			t.log.Error("The store's segments cannot be kept; the tasks that run go on.", "error", err)
		case err == nil && trouble != "":
			trouble = ""
			t.log.Info("The store's segments can be kept again.")
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	t.stopAll()
}

func (t *tasks) start(ctx context.Context, task carillon.Task) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.running == nil {
		t.running = map[carillon.Task]*runner{}
	}
	if t.running[task] == nil {
		t.running[task] = startRunner(ctx, task, t.newLoop, t.log)
	}
}

// observe looks which segments there are, and does what has to be done about them.
func (t *tasks) observe(ctx, runners context.Context) error {
	segments, err := t.store.Segments(ctx)
	if err != nil {
		return fmt.Errorf("observe: %w", err)
	}
	there := make(map[carillon.Task]bool, len(segments))
	for _, s := range segments {
		task := t.sweep(s.Partition)
		there[task] = true
		t.start(runners, task)
	}
	t.dropMissing(there)
	var errs []error
	for _, s := range segments {
		errs = append(errs, t.keep(ctx, s))
	}
	return errors.Join(errs...)
}

// keep opens the next segment where this one is full, and retires it where it has drained. Whoever sweeps a partition
// does it, so that not all workers do; two at once would do no harm.
func (t *tasks) keep(ctx context.Context, s store.Segment) error {
	task := t.sweep(s.Partition)
	tenure, _ := t.find(task)
	if tenure == nil || tenure.Status().Lease == "" {
		return nil
	}
	switch {
	case s.Open && s.Entries >= t.capacity:
		next, err := t.store.OpenSegment(ctx, s.Slot, s.Segment)
		if err != nil {
			return fmt.Errorf("open a segment: %w", err)
		}
		t.log.Info("A segment is full; the next one is open.", "slot", s.Slot, "segment", s.Segment, "entries", s.Entries,
			"next", next)
		t.start(context.WithoutCancel(ctx), t.sweep(store.Partition{Slot: s.Slot, Segment: next}))
	case !s.Open && s.Entries == 0:
		done, err := t.store.RetireSegment(ctx, s.Partition)
		if err != nil {
			return fmt.Errorf("retire a segment: %w", err)
		}
		if done {
			t.log.Info("A segment has drained and is retired.", "slot", s.Slot, "segment", s.Segment)
			t.drop(task)
			t.retired(task)
		}
	}
	return nil
}

func (t *tasks) sweep(p store.Partition) carillon.Task {
	return carillon.Task{Kind: carillon.TaskSweep, Store: t.store.Number(), Slot: p.Slot, Number: p.Segment}
}

// dropMissing stops the sweepers of segments that somebody else has retired.
func (t *tasks) dropMissing(there map[carillon.Task]bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for task, r := range t.running {
		if task.Kind == carillon.TaskSweep && !there[task] {
			t.leave(r)
		}
	}
}

func (t *tasks) drop(task carillon.Task) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r := t.running[task]; r != nil {
		t.leave(r)
	}
}

// leave stops a runner without waiting for it. The caller holds the lock.
func (t *tasks) leave(r *runner) {
	r.stop()
	delete(t.running, r.task)
	t.leaving = slices.DeleteFunc(t.leaving, func(r *runner) bool {
		select {
		case <-r.done:
			return true
		default:
			return false
		}
	})
	t.leaving = append(t.leaving, r)
}

// stopAll stops all runners and waits until they have handed back their leases. They can be looked up until then, so
// that what is attached to them hears how they end.
func (t *tasks) stopAll() {
	t.mu.Lock()
	all := slices.Clone(t.leaving)
	for _, r := range t.running {
		r.stop()
		all = append(all, r)
	}
	t.mu.Unlock()
	for _, r := range all {
		<-r.done
	}
}

func (t *tasks) find(task carillon.Task) (*tenure, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.running[task]
	if r == nil {
		return nil, false
	}
	tenure := r.tenure()
	return tenure, tenure != nil
}

// Lookup implements activities.Runners.
func (t *tasks) Lookup(task carillon.Task, lease string) (activities.Runner, bool) {
	tenure, found := t.find(task)
	if !found || lease == "" || tenure.Status().Lease != lease {
		return nil, false
	}
	return tenure, true
}

// held are the tenures that hold a lease, in the order of their tasks.
func (t *tasks) held() []*tenure {
	t.mu.Lock()
	var out []*tenure
	for _, r := range t.running {
		if tenure := r.tenure(); tenure != nil {
			out = append(out, tenure)
		}
	}
	t.mu.Unlock()
	out = slices.DeleteFunc(out, func(t *tenure) bool { return t.Status().Lease == "" })
	slices.SortFunc(out, func(a, b *tenure) int { return compareTasks(a.task, b.task) })
	return out
}

func compareTasks(a, b carillon.Task) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Store, b.Store), cmp.Compare(a.Slot, b.Slot),
		cmp.Compare(a.Number, b.Number))
}

// statuses are those of all tasks whose lease this worker holds.
func (t *tasks) statuses() []carillon.TaskStatus {
	var out []carillon.TaskStatus
	for _, tenure := range t.held() {
		out = append(out, tenure.Status())
	}
	return out
}
