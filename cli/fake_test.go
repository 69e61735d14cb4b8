package cli

import (
	"bytes"
	"context"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/starter"
)

// epoch is the time of the tests.
var epoch = time.Date(2030, 1, 31, 12, 0, 0, 0, time.UTC)

func testID(n uint64) carillon.ID { return carillon.NewID(0, 3, carillon.MintedUnique(1, n)) }

// fakeTimers is a client in memory: it notes what it is asked, and answers what it was told to.
type fakeTimers struct {
	mu        sync.Mutex
	closed    bool
	specs     []carillon.TimerSpec
	requests  []string
	cancelled []carillon.TimerRef
	redriven  []carillon.TimerRef
	moved     []carillon.RescheduleTimerInput
	filters   []carillon.ListTimersInput
	described int

	listed     []carillon.TimerInfo
	infos      []carillon.TimerInfo // Describe answers one after the other; the last one stays
	errs       map[carillon.TimerRef]*carillon.Error
	err        error // of everything but Close
	listErr    error // after what is listed
	count      carillon.CountTimersResult
	partitions carillon.ListPartitionsResult
	group      carillon.DescribeGroupResult
	looks      []carillon.DescribeGroupInput
	drains     []carillon.DrainWorkerInput
	hang       bool // Count gives no answer
}

var _ starter.Timers = (*fakeTimers)(nil)

func (f *fakeTimers) Create(_ context.Context, t carillon.TimerSpec) (carillon.CreateResult, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.specs = append(f.specs, t)
	return carillon.CreateResult{TimerID: testID(1), Version: 7, FireAt: epoch.Add(time.Minute)}, f.err
}

func (f *fakeTimers) CreateAll(ctx context.Context, t []carillon.TimerSpec) ([]carillon.CreateResult, error) {
	return f.CreateRequest(ctx, "", t)
}

func (f *fakeTimers) CreateRequest(
	_ context.Context,
	id string,
	t []carillon.TimerSpec,
) ([]carillon.CreateResult, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests = append(f.requests, id)
	f.specs = append(f.specs, t...)
	out := make([]carillon.CreateResult, len(t))
	for i, spec := range t {
		if err := spec.Validate(epoch); err != nil {
			out[i].Error = carillon.AsError(err)
			continue
		}
		out[i] = carillon.CreateResult{TimerID: testID(uint64(i)), Version: 1, FireAt: spec.FireAt}
	}
	return out, f.err
}

func (f *fakeTimers) Cancel(_ context.Context, ref carillon.TimerRef) error { return f.err }

func (f *fakeTimers) CancelAll(_ context.Context, refs []carillon.TimerRef) ([]carillon.CancelResult, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cancelled = append(f.cancelled, refs...)
	out := make([]carillon.CancelResult, len(refs))
	for i, ref := range refs {
		out[i] = carillon.CancelResult{TimerID: ref.TimerID, Error: f.errs[ref]}
		if out[i].Error == nil {
			f.listed = slices.DeleteFunc(f.listed, func(t carillon.TimerInfo) bool { return t.TimerID == ref.TimerID })
		}
	}
	return out, f.err
}

func (f *fakeTimers) Reschedule(
	_ context.Context, in carillon.RescheduleTimerInput,
) (carillon.RescheduleTimerResult, error) {
	f.moved = append(f.moved, in)
	return carillon.RescheduleTimerResult{TimerID: testID(1), Version: 8, FireAt: epoch.Add(time.Hour)}, f.err
}

func (f *fakeTimers) Redrive(_ context.Context, refs []carillon.TimerRef) ([]carillon.CreateResult, error) {
	f.redriven = append(f.redriven, refs...)
	out := make([]carillon.CreateResult, len(refs))
	for i, ref := range refs {
		out[i] = carillon.CreateResult{TimerID: ref.TimerID, Error: f.errs[ref]}
	}
	return out, f.err
}

func (f *fakeTimers) Describe(_ context.Context, ref carillon.TimerRef) (carillon.TimerInfo, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return carillon.TimerInfo{}, f.err
	}
	if f.described >= len(f.infos) {
		return carillon.TimerInfo{}, carillon.Errorf(carillon.TypeNotFound, "there is no timer %s", ref.TimerID)
	}
	f.described++
	return f.infos[f.described-1], nil
}

func (f *fakeTimers) List(_ context.Context, in carillon.ListTimersInput) iter.Seq2[carillon.TimerInfo, error] {
	f.filters = append(f.filters, in)
	return func(yield func(carillon.TimerInfo, error) bool) {
		for _, t := range slices.Clone(f.listed) {
			if !yield(t, nil) {
				return
			}
		}
		if f.listErr != nil {
			yield(carillon.TimerInfo{}, f.listErr)
		}
	}
}

func (f *fakeTimers) Count(ctx context.Context, _ carillon.CountTimersInput) (carillon.CountTimersResult, error) {
	if f.hang {
		<-ctx.Done()
		return carillon.CountTimersResult{}, ctx.Err()
	}
	return f.count, f.err
}

func (f *fakeTimers) ListPartitions(context.Context) (carillon.ListPartitionsResult, error) {
	return f.partitions, f.err
}

func (f *fakeTimers) DescribeGroup(
	_ context.Context, in carillon.DescribeGroupInput,
) (carillon.DescribeGroupResult, error) {
	f.looks = append(f.looks, in)
	out := f.group
	if in.WithoutTasks {
		out.Tasks = nil
	}
	return out, f.err
}

// DrainWorker knows the workers of the group.
func (f *fakeTimers) DrainWorker(
	_ context.Context, in carillon.DrainWorkerInput,
) (carillon.DrainWorkerResult, error) {
	f.drains = append(f.drains, in)
	at, others := -1, 0
	for i, w := range f.group.Workers {
		if w.Worker == in.Worker {
			at = i
		} else if !w.Draining {
			others++
		}
	}
	switch {
	case f.err != nil:
		return carillon.DrainWorkerResult{}, f.err
	case at < 0:
		return carillon.DrainWorkerResult{}, carillon.Errorf(
			carillon.TypeNotFound, "no living worker %q; there is: a", in.Worker)
	case !in.Undo && !in.EvenLast && others == 0:
		return carillon.DrainWorkerResult{}, carillon.InvalidArgument("even_last", "nobody could take its tasks")
	}
	f.group.Workers[at].Draining = !in.Undo
	return carillon.DrainWorkerResult{Worker: f.group.Workers[at].Member}, nil
}

func (f *fakeTimers) Close() error {
	f.closed = true
	return nil
}

// harness runs the command line in memory.
type harness struct {
	*fakeTimers
	env            map[string]string
	stdin          io.Reader
	stdout, stderr bytes.Buffer
	writer         io.Writer // instead of stdout
	terminal       bool
	to             []Connection
	connectErr     error
	program        string
}

func newHarness() *harness {
	return &harness{
		fakeTimers: &fakeTimers{errs: map[carillon.TimerRef]*carillon.Error{}}, env: map[string]string{},
		stdin: strings.NewReader(""), program: "carillon",
	}
}

func (h *harness) environment() Env {
	e := Env{
		Stdin: h.stdin, Stdout: &h.stdout, Stderr: &h.stderr,
		IsTerminal: func(any) bool { return h.terminal },
		LookupEnv: func(name string) (string, bool) {
			value, ok := h.env[name]
			return value, ok
		},
		Environ: func() []string {
			var out []string
			for k, v := range h.env {
				out = append(out, k+"="+v)
			}
			return out
		},
		Now: func() time.Time { return epoch },
		Connect: func(_ context.Context, to Connection) (starter.Timers, error) {
			h.to = append(h.to, to)
			return h.fakeTimers, h.connectErr
		},
		Version: "test",
	}
	if h.writer != nil {
		e.Stdout = h.writer
	}
	return e
}

// run runs a command line, and gives the exit code.
func (h *harness) run(ctx context.Context, args ...string) int {
	h.stdout.Reset()
	h.stderr.Reset()
	return Run(ctx, h.environment(), append([]string{h.program}, args...))
}

// fails runs a command line that must fail, with a message on standard error and nothing on standard output.
func (h *harness) fails(t *testing.T, code int, message string, args ...string) {
	t.Helper()
	got := h.run(t.Context(), args...)
	if got != code || !strings.Contains(h.stderr.String(), message) || h.stdout.Len() > 0 {
		t.Fatalf(
			"%q: exit code %d, not %d, or no %q in:\n%s\nstdout:\n%s",
			args,
			got,
			code,
			message,
			h.stderr.String(),
			h.stdout.String(),
		)
	}
}

// contextWithTimeout is the test's context, which ends after a while.
func contextWithTimeout(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithTimeout(t.Context(), d)
}
