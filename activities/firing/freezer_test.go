package firing_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/carillon-io/carillon/activities/firing"
	"github.com/carillon-io/carillon/activities/target"
	"github.com/carillon-io/carillon/store"
)

// freezer is a store whose lane calls stand still, or fail, between freeze and thaw.
type freezer struct {
	*store.Redis
	fail error // nil: they stand still

	mu     sync.Mutex
	thawed chan struct{}
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
