package worker

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon"
)

// place is a membership over fakes, running.
type place struct {
	group *fakeGroup
	stop  func() // and wait

	mu    sync.Mutex
	views []view
	idles int
}

func startMembership(t *testing.T) *place {
	t.Helper()
	p := &place{group: &fakeGroup{}}
	m := &membership{
		store: p.group, self: func() carillon.Member { return carillon.Member{Worker: "w"} }, nonce: "n", log: quiet(),
		seen: func(v view) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.views = append(p.views, v)
		},
		idle: func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.idles++
		},
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { m.run(ctx) })
	p.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
	t.Cleanup(p.stop)
	return p
}

func (p *place) idled() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.idles
}

func (p *place) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.views)
}

func (p *place) last() view {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.views[len(p.views)-1]
}

func TestMembershipHeartbeatsAndLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := startMembership(t)
		pass(10*time.Second + time.Millisecond)
		require.Equal(t, 11, p.group.heartbeats())
		require.Equal(t, 1, p.group.reads, "no decision, nothing to read again")
		require.Equal(t, 11, p.idled(), "nobody controls")
		require.False(t, p.last().controlled)
		last := p.last()
		require.True(t, last.alone())
		p.stop()
		require.Equal(t, []string{"w"}, p.group.leavers())
	})
}

func TestMembershipReadsWhatWasDecided(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := startMembership(t)
		synctest.Wait()
		idles := p.idled()
		assigned := carillon.Assignments{fireTask(0, 0): "other"}
		p.group.setRoster(carillon.Roster{
			Members: members("other"), Control: carillon.Control{Epoch: 1, Number: 1, DecidedAt: time.Now()},
		}, assigned)
		pass(time.Second)
		require.Equal(t, assigned, p.last().assigned)
		require.True(t, p.last().controlled)
		last := p.last()
		require.False(t, last.alone())
		require.Equal(t, 2, p.group.assignmentReads())
		pass(3 * time.Second)
		require.Equal(t, 2, p.group.assignmentReads())
		require.Equal(t, idles, p.idled())
		pass(carillon.ControlTTL)
		require.False(t, p.last().controlled, "the decision is old, and nobody has looked since")
		require.Equal(t, assigned, p.last().assigned, "but it is where all begin from")
		require.Greater(t, p.idled(), idles)
	})
}

func TestMembershipWhileTheStoreIsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := startMembership(t)
		synctest.Wait()
		before := p.count()
		p.group.setHeartbeatError(errors.New("away"))
		pass(10 * time.Second)
		require.Equal(t, before, p.count(), "what was known stands")
		p.group.setHeartbeatError(nil)
		pass(time.Second)
		require.Greater(t, p.count(), before)
	})
}

// Another process lives under the same id: this one lets go of everything.
func TestMembershipOfTheSameIDTwice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := startMembership(t)
		synctest.Wait()
		p.group.setHeartbeatError(carillon.Errorf(carillon.TypeAlreadyExists, "a worker w lives"))
		pass(time.Second)
		v := p.last()
		all := []carillon.Task{fireTask(0, 0), fireTask(0, 1), sweepTask(0, 0)}
		for task, of := range v.owners(all) {
			require.Equal(t, none, v.role(task, of))
			require.NotEmpty(t, of, "it is somebody else's")
		}
	})
}

func TestCallACoordinator(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		temporal := &fakeTemporal{err: errors.New("away")}
		c := newCaller(temporal, "g", quiet())
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { c.run(ctx) })
		pass(time.Minute)
		require.Empty(t, temporal.started(), "nobody has asked")
		c.call()
		pass(callJitter)
		temporal.setError(nil)
		c.call()
		c.call()
		pass(time.Second)
		require.Len(t, temporal.started(), 1, "however often it is asked")
		require.Equal(t, "carillon/g/coordinator", temporal.started()[0].ID)
		c.call()
		pass(carillon.ControlTTL + callJitter)
		require.Len(t, temporal.started(), 2)
		cancel()
		running.Wait()
	})
}
