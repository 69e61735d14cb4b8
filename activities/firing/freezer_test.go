package firing_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/carillon-io/carillon/activities/firing"
	"github.com/carillon-io/carillon/activities/target"
	"github.com/carillon-io/carillon/store"
)

// freezer is a store whose lane calls stand still, or fail, between freeze and thaw.
type freezer struct {
	*store.Redis
	fail error // nil: they stand still

	mu      sync.Mutex
	thawed  chan struct{}
	blocked chan struct{} // if not nil: the next Wait lasts long, and closes it when it begins
}

// block returns when the lane's reader is in a Wait that only an entry ends.
func (f *freezer) block() {
	blocked := make(chan struct{})
	f.mu.Lock()
	f.blocked = blocked
	f.mu.Unlock()
	<-blocked
}

func (f *freezer) freeze() (thaw func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	ch := make(chan struct{})
	f.thawed = ch
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.thawed = nil
		close(ch)
	}
}

func (f *freezer) gate() error {
	f.mu.Lock()
	ch := f.thawed
	f.mu.Unlock()
	if ch == nil {
		return nil
	}
	if f.fail != nil {
		return f.fail
	}
	<-ch
	return nil
}

func (f *freezer) Read(ctx context.Context, l store.LaneID, token store.Token, after string, limit int) ([]store.Entry, error) {
	if err := f.gate(); err != nil {
		return nil, err
	}
	return f.Redis.Read(ctx, l, token, after, limit)
}

func (f *freezer) Claim(ctx context.Context, l store.LaneID, token store.Token, c []store.Claim) ([]store.ClaimResult, error) {
	if err := f.gate(); err != nil {
		return nil, err
	}
	return f.Redis.Claim(ctx, l, token, c)
}

func (f *freezer) Complete(ctx context.Context, l store.LaneID, token store.Token, c []store.Completion) ([]bool, error) {
	if err := f.gate(); err != nil {
		return nil, err
	}
	return f.Redis.Complete(ctx, l, token, c)
}

// Wait stands still when its answer has come: what a process sees that was frozen in a blocked read.
func (f *freezer) Wait(ctx context.Context, slot int, after string, timeout time.Duration) (string, error) {
	f.mu.Lock()
	if f.blocked != nil {
		close(f.blocked)
		f.blocked, timeout = nil, deadline
	}
	f.mu.Unlock()
	seen, err := f.Redis.Wait(ctx, slot, after, timeout)
	if failed := f.gate(); failed != nil {
		return after, failed
	}
	return seen, err
}

func (f *freezer) Fetch(ctx context.Context, l store.LaneID, entries []store.Entry) ([]*store.Firing, error) {
	if err := f.gate(); err != nil {
		return nil, err
	}
	return f.Redis.Fetch(ctx, l, entries)
}

func startFrozenLane(t *testing.T, f *freezer, d target.Deliverer) (*firing.Lane, *running) {
	t.Helper()
	return startLaneWith(t, firing.Options{Store: f, Worker: "frozen", Deliverer: d, HandOver: -1})
}

// lossWatcher is a store that tells when the reader of a lane has been refused.
type lossWatcher struct {
	*store.Redis
	lost chan struct{}
	once sync.Once
}

func (w *lossWatcher) Read(ctx context.Context, l store.LaneID, token store.Token, after string, limit int) ([]store.Entry, error) {
	entries, err := w.Redis.Read(ctx, l, token, after, limit)
	if errors.Is(err, store.ErrLeaseLost) {
		w.once.Do(func() { close(w.lost) })
	}
	return entries, err
}
