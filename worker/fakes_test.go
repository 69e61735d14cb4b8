package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.uber.org/goleak"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeLoops makes loops that take their lease at once and hold it until they are told otherwise.
type fakeLoops struct {
	mu       sync.Mutex
	made     int
	released []carillon.Task // in the order of their release
	held     bool            // somebody else has all leases: loops wait
	slow     chan struct{}   // what a stopping loop waits for; nil: nothing
	last     map[carillon.Task]*fakeLoop
}

func (f *fakeLoops) new(task carillon.Task, standby bool) loop {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.made++
	l := &fakeLoop{f: f, task: task, standby: standby, epoch: f.made, fail: make(chan error, 1), lapse: make(chan struct{})}
	if f.last == nil {
		f.last = map[carillon.Task]*fakeLoop{}
	}
	f.last[task] = l
	return l
}

func (f *fakeLoops) of(task carillon.Task) *fakeLoop {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last[task]
}

type fakeLoop struct {
	f     *fakeLoops
	task  carillon.Task
	epoch int
	fail  chan error

	standby bool
	lapse   chan struct{} // closed: a standby gets the lease

	mu    sync.Mutex
	lease string
}

func (l *fakeLoop) setLease(lease string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lease = lease
}

func (l *fakeLoop) Run(ctx context.Context) error {
	l.f.mu.Lock()
	held, slow := l.f.held, l.f.slow
	l.f.mu.Unlock()
	if held {
		<-ctx.Done()
		return nil
	}
	if l.standby {
		select {
		case <-l.lapse:
		case <-ctx.Done():
			return nil
		}
	}
	l.setLease(fmt.Sprintf("%d:%s", l.epoch, l.task))
	defer l.setLease("")
	select {
	case err := <-l.fail:
		return err
	case <-ctx.Done():
	}
	if slow != nil {
		<-slow
	}
	l.f.mu.Lock()
	defer l.f.mu.Unlock()
	l.f.released = append(l.f.released, l.task)
	return nil
}

func (l *fakeLoop) Status() carillon.TaskStatus {
	l.mu.Lock()
	defer l.mu.Unlock()
	return carillon.TaskStatus{Task: l.task, Worker: "w", Lease: l.lease}
}

// fakeGroup is a roster that the test writes.
type fakeGroup struct {
	mu          sync.Mutex
	roster      carillon.Roster // Now and the worker itself are filled in
	assignments carillon.Assignments
	err         error
	beats       []carillon.Member
	reads       int // of the assignments
	left        []string
}

func (f *fakeGroup) setRoster(r carillon.Roster, a carillon.Assignments) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.roster, f.assignments = r, a
}

func (f *fakeGroup) heartbeats() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.beats)
}

func (f *fakeGroup) assignmentReads() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.reads
}

func (f *fakeGroup) leavers() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.left)
}

func (f *fakeGroup) setHeartbeatError(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *fakeGroup) Heartbeat(_ context.Context, m carillon.Member, _ string) (carillon.Roster, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return carillon.Roster{}, f.err
	}
	f.beats = append(f.beats, m)
	out := f.roster
	out.Now = time.Now()
	out.Members = append([]carillon.Member{m}, f.roster.Members...)
	return out, nil
}

func (f *fakeGroup) Leave(_ context.Context, worker, _ string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.left = append(f.left, worker)
	return nil
}

func (f *fakeGroup) Assignments(context.Context) (carillon.Assignments, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reads++
	out := carillon.Assignments{}
	maps.Copy(out, f.assignments)
	return out, nil
}

func (f *fakeGroup) Roster(ctx context.Context) (carillon.Roster, error) {
	return carillon.Roster{}, errors.ErrUnsupported
}

func (f *fakeGroup) SetDraining(context.Context, string, bool) error { return errors.ErrUnsupported }

func (f *fakeGroup) BeginControl(context.Context) (int64, error) { return 0, errors.ErrUnsupported }

func (f *fakeGroup) Observed(context.Context, int64) error { return errors.ErrUnsupported }

func (f *fakeGroup) Decide(context.Context, carillon.Decision) error { return errors.ErrUnsupported }

// fakeSegments is a store's segments.
type fakeSegments struct {
	fakeGroup

	mu       sync.Mutex
	slots    int
	segments []store.Segment
	err      error
	opened   []store.Partition
	retired  []store.Partition
}

func (f *fakeSegments) Group() string { return "g" }
func (f *fakeSegments) Number() int   { return 0 }
func (f *fakeSegments) Slots() int    { return f.slots }

func (f *fakeSegments) set(segments ...store.Segment) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.segments = segments
}

func (f *fakeSegments) setError(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *fakeSegments) Segments(context.Context) ([]store.Segment, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]store.Segment(nil), f.segments...), f.err
}

func (f *fakeSegments) OpenSegment(_ context.Context, slot, sealing int) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.opened = append(f.opened, store.Partition{Slot: slot, Segment: sealing})
	for i := range f.segments {
		if f.segments[i].Slot == slot {
			f.segments[i].Open = false
		}
	}
	f.segments = append(f.segments, segment(slot, sealing+1, true, 0))
	return sealing + 1, nil
}

func (f *fakeSegments) RetireSegment(_ context.Context, p store.Partition) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.retired = append(f.retired, p)
	for i, s := range f.segments {
		if s.Partition == p {
			f.segments = append(f.segments[:i], f.segments[i+1:]...)
			return true, nil
		}
	}
	return false, nil
}

func segment(slot, n int, open bool, entries int64) store.Segment {
	return store.Segment{Partition: store.Partition{Slot: slot, Segment: n}, Open: open, Entries: entries}
}

func sweepTask(slot, segment int) carillon.Task {
	return carillon.Task{Kind: carillon.TaskSweep, Slot: slot, Number: segment}
}

func fireTask(slot, lane int) carillon.Task {
	return carillon.Task{Kind: carillon.TaskFire, Slot: slot, Number: lane}
}

// fakeTemporal takes signals, and starts of workflows.
type fakeTemporal struct {
	mu      sync.Mutex
	starts  []client.StartWorkflowOptions
	err     error
	calls   int
	assigns []assigned
	retires []string
}

type assigned struct {
	at         time.Time
	id         string
	workflow   string
	assignment carillon.Assignment
	options    client.StartWorkflowOptions
	input      carillon.TaskWorkflowInput
}

func (f *fakeTemporal) setError(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *fakeTemporal) SignalWithStartWorkflow(
	_ context.Context, id, signal string, arg any, options client.StartWorkflowOptions, workflow any, args ...any,
) (client.WorkflowRun, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	if f.err != nil {
		return nil, f.err
	}
	if signal != carillon.SignalAssign {
		return nil, fmt.Errorf("signal %q", signal)
	}
	f.assigns = append(f.assigns, assigned{
		at: time.Now(), id: id, workflow: workflow.(string), assignment: arg.(carillon.Assignment), options: options,
		input: args[0].(carillon.TaskWorkflowInput),
	})
	return nil, nil
}

func (f *fakeTemporal) ExecuteWorkflow(
	_ context.Context, o client.StartWorkflowOptions, _ any, _ ...any,
) (client.WorkflowRun, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return nil, f.err
	}
	f.starts = append(f.starts, o)
	return nil, nil
}

func (f *fakeTemporal) started() []client.StartWorkflowOptions {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.starts)
}

func (f *fakeTemporal) SignalWorkflow(_ context.Context, id, _, signal string, _ any) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	if f.err != nil {
		return f.err
	}
	if signal != carillon.SignalRetire {
		return fmt.Errorf("signal %q", signal)
	}
	f.retires = append(f.retires, id)
	return nil
}

func (f *fakeTemporal) assigned() []assigned {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]assigned(nil), f.assigns...)
}

func (f *fakeTemporal) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls
}

func (f *fakeTemporal) retired() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.retires...)
}

// pass lets time pass in a synctest bubble, and what is due happen.
func pass(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // within testing/synctest: the clock is not real
	synctest.Wait()
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// eventually polls: it is for tests with real time.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, 20*time.Second, 5*time.Millisecond, what)
}
