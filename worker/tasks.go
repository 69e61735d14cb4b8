package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/activities"
	"github.com/carillon-io/carillon/internal/fault"
	"github.com/carillon-io/carillon/store"
)

// tasks runs what this worker has to run, by what it knows of the group (see view). A runner without the lease waits for it:
// the leases are what counts, the rest is who had better have them.
//
// It also keeps the segments: it opens a new one where the open one is full, and retires sealed ones that have drained.
// Whoever sweeps a segment does that, so that it goes on while Temporal is away.
type tasks struct {
	store    taskStore
	newLoop  newLoop
	lanes    int   // of each slot
	capacity int64 // of a segment
	every    time.Duration
	log      *slog.Logger
	retired  func(carillon.Task) // is told which tasks are no more
	news     chan struct{}       // holds one: the view has changed
	all      []carillon.Task     // that there are, as far as is known; run's own

	mu      sync.Mutex
	view    *view // nil: nothing is known yet
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
	var trouble string
	for ctx.Err() == nil {
		err := t.observe(ctx, runners)
		pause := t.every
		switch {
		case ctx.Err() != nil:
		case err != nil && err.Error() != trouble:
			trouble = err.Error()
			t.log.Error("The store's segments cannot be kept; the tasks that run go on.", "error", err)
		case err == nil && trouble != "":
			trouble = ""
			t.log.Info("The store's segments can be kept again.")
		}
		if err != nil {
			pause = min(pause, time.Second)
		}
		select {
		case <-time.After(pause):
		case <-t.news:
		case <-ctx.Done():
		}
	}
	t.stopAll()
}

// see takes note of what is known of the group now.
func (t *tasks) see(v view) {
	t.mu.Lock()
	same := t.view != nil && reflect.DeepEqual(*t.view, v)
	t.view = &v
	t.mu.Unlock()
	if !same {
		t.look()
	}
}

// look makes it look soon what there is to run.
func (t *tasks) look() {
	select {
	case t.news <- struct{}{}:
	default:
	}
}

// alone says whether this worker is the only one, as far as it knows.
func (t *tasks) alone() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.view != nil && t.view.alone()
}

// lanesOf are the lanes of all slots: they are known without asking.
func (t *tasks) lanesOf() []carillon.Task {
	var out []carillon.Task
	for slot := range t.store.Slots() {
		for lane := range t.lanes {
			out = append(out, carillon.Task{Kind: carillon.TaskFire, Store: t.store.Number(), Slot: slot, Number: lane})
		}
	}
	return out
}

// observe looks which segments there are, runs what is to be run, and does what has to be done about the segments.
func (t *tasks) observe(ctx, runners context.Context) error {
	segments, err := t.store.Segments(ctx)
	if err == nil || t.all == nil { // else there is what there was
		t.all = t.lanesOf()
		for _, s := range segments {
			t.all = append(t.all, t.sweep(s.Partition))
		}
	}
	t.share(runners)
	if err != nil {
		return fmt.Errorf("observe: %w", err)
	}
	var errs []error
	for _, s := range segments {
		errs = append(errs, t.keep(ctx, s))
	}
	return errors.Join(errs...)
}

// share starts and stops runners, so that this worker runs its share of all tasks.
func (t *tasks) share(ctx context.Context) {
	all := t.all
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.view == nil {
		return
	}
	if t.running == nil {
		t.running = map[carillon.Task]*runner{}
	}
	owners := t.view.owners(all)
	there := make(map[carillon.Task]bool, len(all))
	for _, task := range all {
		there[task] = true
		t.adjust(ctx, task, owners[task])
	}
	for task, r := range t.running {
		if !there[task] {
			t.leave(r) // somebody has retired it
		}
	}
}

// adjust makes the runner of a task do what its owner's name asks for. The caller holds the lock.
func (t *tasks) adjust(ctx context.Context, task carillon.Task, of string) {
	want, r := t.view.role(task, of), t.running[task]
	switch {
	case r == nil:
	case r.holds() && (want == owner || of == ""):
		r.standby.Store(false) // it goes on
		return
	case r.holds() && r.standsIn():
		return // who let it lapse may be dead, and nobody knows it yet
	case r.holds():
		t.leave(r) // it belongs to another worker that lives, who waits for it
	case want != none && r.standby.Load() == (want == standby):
		return
	default:
		t.leave(r) // it waits in the wrong way, or for nothing
	}
	if want != none {
		t.running[task] = startRunner(ctx, task, want == standby, t.newLoop, t.log)
	}
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
		if err = fault.At(fault.SegmentOpened, err); err != nil {
			return fmt.Errorf("open a segment: %w", err)
		}
		t.log.Info("A segment is full; the next one is open.", "slot", s.Slot, "segment", s.Segment, "entries", s.Entries,
			"next", next)
		t.look()
	case !s.Open && s.Entries == 0:
		done, err := t.store.RetireSegment(ctx, s.Partition)
		if done {
			err = fault.At(fault.SegmentRetired, err)
		}
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
	slices.SortFunc(out, func(a, b *tenure) int { return carillon.CompareTasks(a.task, b.task) })
	return out
}

// statuses are those of all tasks whose lease this worker holds.
func (t *tasks) statuses() []carillon.TaskStatus {
	var out []carillon.TaskStatus
	for _, tenure := range t.held() {
		out = append(out, tenure.Status())
	}
	return out
}
