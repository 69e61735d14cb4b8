// Package sweeping holds the loop of a sweeper: it moves the index entries of one virtual partition to the fire queue
// before they are due.
//
// A sweeper that dies harms nobody: what it has moved is in the queue, what it has not moved is in the index, and the next
// holder of the lease comes by long before the look-ahead is used up. Two sweepers at once would do no harm either, since a
// sweep is one script: the lease saves work.
package sweeping

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/internal/fault"
	"github.com/carillon-io/carillon/internal/lease"
	"github.com/carillon-io/carillon/store"
)

// batch is how many entries one sweep moves at the most: a script that holds Redis for about a millisecond.
const batch = 1000

// fullWait is how long to wait for room in a fire queue that is at its limit.
const fullWait = 50 * time.Millisecond

// Options say what to sweep.
type Options struct {
	// Store and Partition are required.
	Store     store.Store
	Partition store.Partition
	// Worker is the id of the worker, for those who look at leases. It must not hold a colon.
	Worker string
	// Standby makes the sweeper wait until the lease has lapsed, where it would ask for it often.
	Standby bool
	// Logger receives what goes wrong. Nil: none.
	Logger *slog.Logger
}

// Sweeper sweeps one virtual partition.
type Sweeper struct {
	o    Options
	task carillon.Task

	mu     sync.Mutex
	status carillon.TaskStatus
}

// New makes a Sweeper. Run runs it.
func New(o Options) *Sweeper {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	task := carillon.Task{
		Kind: carillon.TaskSweep, Store: o.Store.Number(), Slot: o.Partition.Slot, Number: o.Partition.Segment,
	}
	o.Logger = o.Logger.With("task", task.String())
	return &Sweeper{o: o, task: task, status: carillon.TaskStatus{Task: task, Worker: o.Worker}}
}

// Status says what the sweeper is doing.
func (s *Sweeper) Status() carillon.TaskStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}

func (s *Sweeper) update(f func(*carillon.TaskStatus)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.status)
}

// Run waits for the lease on the partition and sweeps it until ctx ends; then it hands the lease back and returns nil. It
// returns store.ErrLeaseLost when somebody else has taken the lease.
func (s *Sweeper) Run(ctx context.Context) error {
	clock := s.o.Store.Clock(s.o.Partition.Slot)
	token, err := lease.Acquire(ctx, clock, s.o.Worker, s.o.Standby, func(owner string) (store.Token, error) {
		return s.o.Store.AcquireSweep(ctx, s.o.Partition, owner)
	}, s.failed)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}
	s.update(func(st *carillon.TaskStatus) {
		*st = carillon.TaskStatus{Task: s.task, Worker: s.o.Worker, Lease: string(token), Since: clock.Now()}
	})
	defer s.update(func(st *carillon.TaskStatus) { st.Lease = "" })
	if err := fault.At(fault.SweepAcquired, nil); err != nil {
		return err
	}
	if err := s.sweep(ctx, clock, token); err != nil {
		return err
	}
	release, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	err = s.o.Store.ReleaseSweep(release, s.o.Partition, token)
	if err = fault.At(fault.SweepReleased, err); err != nil {
		s.o.Logger.Warn("the lease could not be handed back; it lapses by itself", "error", err)
	}
	return nil
}

// failed takes note of what went wrong. Nothing is lost by it: it is tried again.
func (s *Sweeper) failed(err error) {
	s.o.Logger.Warn("sweeping", "error", err)
	now := s.o.Store.Clock(s.o.Partition.Slot).Now()
	s.update(func(st *carillon.TaskStatus) { st.LastError, st.LastErrorAt = err.Error(), now })
}

// sweep moves entries until ctx ends; it fails only when the lease is lost.
func (s *Sweeper) sweep(ctx context.Context, clock *store.Clock, token store.Token) error {
	o := s.o.Store.Options()
	longest := min(o.LookAhead, o.LeaseTTL) / 2 // so that the lease is renewed well before it lapses
	wait := lease.Backoff()
	for {
		r, err := s.o.Store.Sweep(ctx, s.o.Partition, token, batch)
		if r.Moved > 0 {
			err = fault.At(fault.SweepMoved, err)
		}
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it has been told to stop: that is how it ends
		}
		var pause time.Duration
		switch {
		case errors.Is(err, store.ErrLeaseLost):
			return fmt.Errorf("sweep %s: %w", s.task, err)
		case err != nil:
			s.failed(err)
			pause = wait.NextBackOff()
		default:
			wait.Reset()
			s.update(func(st *carillon.TaskStatus) { st.Moved, st.NextDue = st.Moved+int64(r.Moved), r.NextDue })
			pause = pauseAfter(r, clock.Now(), o.LookAhead, longest)
		}
		if pause == 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// pauseAfter is how long to wait after a sweep.
func pauseAfter(r store.SweepResult, now time.Time, lookAhead, longest time.Duration) time.Duration {
	switch {
	case r.More:
		return 0
	case r.QueueFull:
		return fullWait
	case r.NextDue.IsZero():
		return longest
	default:
		return min(max(r.NextDue.Add(-lookAhead).Sub(now), time.Millisecond), longest)
	}
}
