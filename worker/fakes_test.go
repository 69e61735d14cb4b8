package worker

import (
	"context"
	"fmt"
	"log/slog"
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

func (f *fakeLoops) new(task carillon.Task) loop {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.made++
	l := &fakeLoop{f: f, task: task, epoch: f.made, fail: make(chan error, 1)}
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

// fakeSegments is a store's segments.
type fakeSegments struct {
	mu       sync.Mutex
	slots    int
	segments []store.Segment
	err      error
	opened   []store.Partition
	retired  []store.Partition
}

func (f *fakeSegments) Number() int { return 0 }
func (f *fakeSegments) Slots() int  { return f.slots }

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

// fakeTemporal takes signals.
type fakeTemporal struct {
	mu      sync.Mutex
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
