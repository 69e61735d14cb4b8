// Package startertest has a timer service in memory, for the tests of the clients: it answers every operation as a
// store does, remembers request ids, and fails where a test wants it to.
package startertest

import (
	"context"
	"encoding/binary"
	"sort"
	"strconv"
	"sync"
	"time"

	"github.com/carillon-io/carillon"
)

// Memory keeps timers in memory.
type Memory struct {
	// Before is called before an operation is carried out, After when it has been, with its name and its request id
	// ("" for those that only read). What they return is the operation's error: after After, the answer is lost.
	Before, After func(operation, requestID string) error

	mu       sync.Mutex
	timers   map[carillon.ID]*carillon.TimerInfo
	answers  map[string]any
	requests []carillon.CreateTimersInput
	next     uint64
	version  int64
	draining bool
}

// NewMemory makes an empty Memory.
func NewMemory() *Memory {
	return &Memory{timers: map[carillon.ID]*carillon.TimerInfo{}, answers: map[string]any{}}
}

// Requests are the CreateTimers operations that have been asked for, repeated ones included.
func (m *Memory) Requests() []carillon.CreateTimersInput {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]carillon.CreateTimersInput(nil), m.requests...)
}

// Timers is how many there are.
func (m *Memory) Timers() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.timers)
}

// run carries out an operation, or gives the answer that the same request id has got before.
func run[Out any](m *Memory, operation, requestID string, f func() (Out, error)) (out Out, err error) {
	if m.Before != nil {
		if err := m.Before(operation, requestID); err != nil {
			return out, err
		}
	}
	m.mu.Lock()
	if known, ok := m.answers[requestID]; ok && requestID != "" {
		out = known.(Out)
	} else if out, err = f(); err == nil && requestID != "" {
		m.answers[requestID] = out
	}
	m.mu.Unlock()
	if err == nil && m.After != nil {
		err = m.After(operation, requestID)
	}
	return out, err
}

// Create creates timers.
func (m *Memory) Create(ctx context.Context, in carillon.CreateTimersInput) (carillon.CreateTimersResult, error) {
	kept := in
	kept.Timers = append([]carillon.TimerSpec(nil), in.Timers...)
	m.mu.Lock()
	m.requests = append(m.requests, kept)
	m.mu.Unlock()
	return run(m, carillon.OpCreateTimers, in.RequestID, func() (carillon.CreateTimersResult, error) {
		now := time.Now().UTC()
		out := carillon.CreateTimersResult{Timers: make([]carillon.CreateResult, len(in.Timers))}
		for i := range in.Timers {
			spec := &in.Timers[i]
			if err := spec.Validate(now); err != nil {
				out.Timers[i].Error = carillon.AsError(err)
				continue
			}
			if spec.Name == "taken" {
				out.Timers[i].Error = carillon.Errorf(carillon.TypeAlreadyExists, "there is one of that name")
				continue
			}
			m.next++
			m.version++
			var unique carillon.Unique
			binary.BigEndian.PutUint64(unique[1:], m.next)
			t := &carillon.TimerInfo{
				TimerID: carillon.NewID(0, 0, unique), ClientID: spec.ClientID, Name: spec.Name, State: carillon.StatePending,
				Version: m.version, FireAt: time.UnixMilli(spec.Due(now)).UTC(), CreatedAt: now, Target: spec.Target,
				Retry: spec.Retry, Labels: spec.Labels, Payload: spec.Payload,
			}
			m.timers[t.TimerID] = t
			out.Timers[i] = carillon.CreateResult{TimerID: t.TimerID, Version: t.Version, FireAt: t.FireAt}
		}
		return out, nil
	})
}

func (m *Memory) find(ref carillon.TimerRef) (*carillon.TimerInfo, *carillon.Error) {
	if t := m.timers[ref.TimerID]; t != nil {
		return t, nil
	}
	for _, t := range m.timers {
		if ref.Name != "" && t.Name == ref.Name && t.ClientID == ref.ClientID {
			return t, nil
		}
	}
	return nil, carillon.Errorf(carillon.TypeNotFound, "there is no such timer")
}

// Cancel cancels timers.
func (m *Memory) Cancel(ctx context.Context, in carillon.CancelTimersInput) (carillon.CancelTimersResult, error) {
	return run(m, carillon.OpCancelTimers, in.RequestID, func() (carillon.CancelTimersResult, error) {
		out := carillon.CancelTimersResult{Timers: make([]carillon.CancelResult, len(in.Timers))}
		for i, ref := range in.Timers {
			t, err := m.find(ref)
			if err != nil {
				out.Timers[i] = carillon.CancelResult{TimerID: ref.TimerID, Error: err}
				continue
			}
			t.State = carillon.StateCancelled
			out.Timers[i].TimerID = t.TimerID
		}
		return out, nil
	})
}

// Reschedule moves a timer to another time.
func (m *Memory) Reschedule(
	ctx context.Context, in carillon.RescheduleTimerInput,
) (carillon.RescheduleTimerResult, error) {
	return run(m, carillon.OpRescheduleTimer, in.RequestID, func() (carillon.RescheduleTimerResult, error) {
		t, err := m.find(in.TimerRef)
		if err != nil {
			return carillon.RescheduleTimerResult{}, err
		}
		if in.ExpectedVersion != 0 && in.ExpectedVersion != t.Version {
			return carillon.RescheduleTimerResult{}, carillon.Errorf(carillon.TypeConflict, "the version is %d", t.Version)
		}
		m.version++
		t.Version = m.version
		t.FireAt = in.FireAt
		if in.FireAt.IsZero() {
			t.FireAt = time.Now().UTC().Add(in.Delay)
		}
		return carillon.RescheduleTimerResult{TimerID: t.TimerID, Version: t.Version, FireAt: t.FireAt}, nil
	})
}

// Redrive gives dead timers another series of attempts.
func (m *Memory) Redrive(ctx context.Context, in carillon.RedriveTimersInput) (carillon.RedriveTimersResult, error) {
	return run(m, carillon.OpRedriveTimers, in.RequestID, func() (carillon.RedriveTimersResult, error) {
		out := carillon.RedriveTimersResult{Timers: make([]carillon.CreateResult, len(in.Timers))}
		for i, ref := range in.Timers {
			t, err := m.find(ref)
			if err != nil {
				out.Timers[i] = carillon.CreateResult{TimerID: ref.TimerID, Error: err}
				continue
			}
			out.Timers[i] = carillon.CreateResult{TimerID: t.TimerID, Version: t.Version, FireAt: t.FireAt}
		}
		return out, nil
	})
}

// Describe tells what is known about a timer.
func (m *Memory) Describe(ctx context.Context, in carillon.DescribeTimerInput) (carillon.DescribeTimerResult, error) {
	return run(m, carillon.OpDescribeTimer, "", func() (carillon.DescribeTimerResult, error) {
		t, err := m.find(in.TimerRef)
		if err != nil {
			return carillon.DescribeTimerResult{}, err
		}
		return carillon.DescribeTimerResult{Timer: *t}, nil
	})
}

// List gives a page of timers; every second page is empty.
func (m *Memory) List(ctx context.Context, in carillon.ListTimersInput) (carillon.ListTimersResult, error) {
	return run(m, carillon.OpListTimers, "", func() (carillon.ListTimersResult, error) {
		all := make([]carillon.TimerInfo, 0, len(m.timers))
		for _, t := range m.timers {
			if in.ClientID == "" || in.ClientID == t.ClientID {
				all = append(all, *t)
			}
		}
		sort.Slice(all, func(i, j int) bool { return all[i].TimerID.String() < all[j].TimerID.String() })
		size := in.PageSize
		if size == 0 {
			size = 100
		}
		page := 0
		if in.Cursor != "" {
			var err error
			if page, err = strconv.Atoi(in.Cursor); err != nil {
				return carillon.ListTimersResult{}, carillon.InvalidArgument("cursor", "%q is none", in.Cursor)
			}
		}
		out := carillon.ListTimersResult{Timers: []carillon.TimerInfo{}}
		from := min(page/2*size, len(all))
		to := min(from+size, len(all))
		if page%2 == 1 {
			out.Timers = all[from:to]
		}
		if page%2 == 0 || to < len(all) {
			out.NextCursor = strconv.Itoa(page + 1)
		}
		return out, nil
	})
}

// Count counts timers.
func (m *Memory) Count(ctx context.Context, in carillon.CountTimersInput) (carillon.CountTimersResult, error) {
	return run(m, carillon.OpCountTimers, "", func() (carillon.CountTimersResult, error) {
		var out carillon.CountTimersResult
		for _, t := range m.timers {
			if t.State == carillon.StatePending && (in.ClientID == "" || in.ClientID == t.ClientID) {
				out.Pending++
			}
		}
		return out, nil
	})
}

// ListPartitions lists one partition and one lane.
func (m *Memory) ListPartitions(ctx context.Context) (carillon.ListPartitionsResult, error) {
	return run(m, carillon.OpListPartitions, "", func() (carillon.ListPartitionsResult, error) {
		return carillon.ListPartitionsResult{
			Partitions: []carillon.PartitionInfo{{State: "open", Entries: int64(len(m.timers))}},
			Lanes:      []carillon.LaneInfo{{Lane: 0}},
		}, nil
	})
}

// DescribeGroup tells of one worker and its two tasks.
func (m *Memory) DescribeGroup(
	ctx context.Context, in carillon.DescribeGroupInput,
) (carillon.DescribeGroupResult, error) {
	return run(m, carillon.OpDescribeGroup, "", func() (carillon.DescribeGroupResult, error) {
		out := carillon.DescribeGroupResult{Workers: []carillon.WorkerInfo{{Member: m.worker(), Sweep: 1, Fire: 1}}}
		if !in.WithoutTasks {
			out.Tasks = []carillon.TaskInfo{
				{Task: carillon.Task{Kind: carillon.TaskFire}, Worker: Worker},
				{Task: carillon.Task{Kind: carillon.TaskSweep}, Worker: Worker},
			}
		}
		return out, nil
	})
}

// Worker is the id of the one worker that there is.
const Worker = "memory"

func (m *Memory) worker() carillon.Member {
	return carillon.Member{Worker: Worker, Draining: m.draining}
}

// DrainWorker drains the one worker, or takes that back.
func (m *Memory) DrainWorker(
	ctx context.Context, in carillon.DrainWorkerInput,
) (carillon.DrainWorkerResult, error) {
	return run(m, carillon.OpDrainWorker, "", func() (carillon.DrainWorkerResult, error) {
		switch {
		case in.Worker != Worker:
			return carillon.DrainWorkerResult{}, carillon.Errorf(carillon.TypeNotFound, "no worker %q", in.Worker)
		case !in.Undo && !in.EvenLast:
			return carillon.DrainWorkerResult{}, carillon.InvalidArgument("even_last", "it is the last one")
		}
		m.draining = !in.Undo
		return carillon.DrainWorkerResult{Worker: m.worker()}, nil
	})
}
