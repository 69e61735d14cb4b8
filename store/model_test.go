package store_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/store"
	"github.com/carillon-io/carillon/store/redistest"
	"github.com/carillon-io/carillon/store/storetest"
)

// The model test: random sequences of calls, by two processes, on a network that repeats calls and loses answers, on a clock
// that steps. Each call is made of the store and of the oracle; after each, everything that Redis keeps is compared with what the
// oracle knows, and with itself.
//
// What is drawn is all that chance has to do with it, so that rapid can repeat a failure and shrink it: rapid prints the seed
// (-rapid.seed), and more checks are had by -rapid.checks.

const (
	modelMailbox = "g"
	firstTick    = 100 // so that a clock that steps back does not come before the oracle's first tick
)

var modelClients = []string{"client", "other"}

type model struct {
	*rapid.T
	*oracle

	redis     redis.UniversalClient
	processes []*store.Redis
	started   time.Time // what the shift of the store's clock is counted from
	lanes     []*laneRun
	former    []*laneRun // holders that have been replaced, and do not know it
	sweepers  []sweeperRun
	ids       []carillon.ID // all there have been, in the order of creation
	names     map[carillon.ID]carillon.TimerRef
	serial    int // of requests and of owners
	steps     int
}

func newModel(t *rapid.T, client redis.UniversalClient) *model {
	o := &oracle{
		queueLimit:   rapid.SampledFrom([]int{250_000, 8}).Draw(t, "queue limit"),
		mailboxLimit: rapid.SampledFrom([]int{100_000, 2}).Draw(t, "mailbox limit"),
	}
	m := &model{T: t, oracle: o, redis: client, started: time.Now(), names: map[carillon.ID]carillon.TimerRef{}}
	slots, lanes := rapid.SampledFrom([]int{1, 2}).Draw(t, "slots"), rapid.SampledFrom([]int{1, 2}).Draw(t, "lanes")
	options := store.Options{
		Group: storetest.GroupPrefix + rand.Text(), Slots: slots, AllowVolatile: true, LookAhead: lookAhead * tick,
		LaneTTL: tick / 2, LeaseTTL: tick / 2, QueueLimit: o.queueLimit, MailboxLimit: o.mailboxLimit,
	}
	for range 2 {
		s, err := store.Open(context.Background(), client, options)
		require.NoError(t, err)
		m.processes = append(m.processes, s)
	}
	o.now = firstTick
	o.base = m.processes[0].Clock(0).Now().Truncate(tick).Add(-firstTick * tick)
	for slot := range slots {
		o.slots = append(o.slots, newSlotOracle(o, slot, lanes))
		for lane := range lanes {
			m.lanes = append(m.lanes, &laneRun{id: store.LaneID{Slot: slot, Lane: lane}})
		}
	}
	m.setClock()
	return m
}

func (m *model) ctx() context.Context { return context.Background() }

// setClock puts the store's clock into the middle of the tick, and as much later as the test has taken until now: what
// happens later in the test has the later time, if the tick is the same.
func (m *model) setClock() {
	require.NoError(m, storetest.SetShift(m.ctx(), m.processes[0], m.redis, m.at(m.now).Add(tick/2).Sub(m.started)))
	require.NoError(m, storetest.LearnClock(m.ctx(), m.processes[1]))
}

func (m *model) close() {
	for _, s := range m.processes {
		require.NoError(m, s.Close())
	}
}

// process draws one of the processes.
func (m *model) process() *store.Redis { return m.processes[rapid.IntRange(0, 1).Draw(m.T, "process")] }

// unused makes a text that has not been used before.
func (m *model) unused(prefix string) string {
	m.serial++
	return fmt.Sprint(prefix, m.serial)
}

// network is what the network does to a call.
type network int

const (
	fine network = iota
	repeats
	loses // the answer: the caller asks again
)

func (m *model) network() network {
	return rapid.SampledFrom([]network{fine, fine, fine, repeats, loses}).Draw(m.T, "network")
}

// calls makes a call of the store, and has the oracle make it as often as its script has run. Both answers are of the last run.
func calls[W, G any](m *model, n network, oracle func() W, call func(context.Context) (G, error)) (want W, got G) {
	ctx := m.ctx()
	want = oracle()
	switch n {
	case repeats:
		want, ctx = oracle(), storetest.Twice(ctx)
	case loses:
		want = oracle()
		_, err := call(storetest.Lost(ctx))
		require.ErrorIs(m, err, storetest.ErrLost)
	}
	got, err := call(ctx)
	require.NoError(m, err)
	return want, got
}

// once is for requests with an id: however often they are made, they are heard once.
func once[T any](oracle func() T) func() T {
	var answer T
	heard := false
	return func() T {
		if !heard {
			answer, heard = oracle(), true
		}
		return answer
	}
}

// advance lets time pass.
func (m *model) advance() {
	m.now += rapid.IntRange(1, 3).Draw(m.T, "ticks")
	m.setClock()
}

// stepBack is what an operator or a bad time server does to the clock of the store.
func (m *model) stepBack() {
	m.now -= rapid.IntRange(1, 2).Draw(m.T, "ticks")
	m.setClock()
}

func (m *model) actions() map[string]func(*rapid.T) {
	all := map[string]func(*rapid.T){"": func(*rapid.T) { m.check() }}
	for name, action := range map[string]func(){
		"create": m.create, "create too": m.create,
		"cancel": m.cancel, "reschedule": m.reschedule, "reschedule fetched": m.rescheduleFetched, "redrive": m.redrive,
		"sweep": m.sweep, "old sweeper": m.oldSweeper, "segments": m.segments,
		"read": m.read, "fetch": m.fetch, "claim": m.claim, "complete": m.complete, "complete more": m.complete,
		"work": m.work, "work too": m.work, "work more": m.work,
		"take over": m.takeOver, "take over too": m.takeOver, "leave": m.leave, "release": m.release, "old holder": m.oldHolder, "failover": m.failover,
		"advance": m.advance, "advance more": m.advance, "step back": m.stepBack, "read mail": m.readMail,
	} {
		all[name] = func(*rapid.T) { action() }
	}
	return all
}

func runModel(t *testing.T, client redis.UniversalClient) {
	t.Helper()
	client.AddHook(storetest.Faults{})
	rapid.Check(t, func(rt *rapid.T) {
		m := newModel(rt, client)
		defer m.close()
		for range 2 { // of 30 steps each, on average
			rt.Repeat(m.actions())
		}
		m.checkEvents()
		if !rt.Failed() {
			m.forget()
		}
	})
}

// forget removes the group's keys, so that the next check does not look through them.
func (m *model) forget() {
	keys, err := m.redis.Keys(m.ctx(), "carillon:{"+m.processes[0].Group()+"*").Result()
	require.NoError(m, err)
	if len(keys) > 0 {
		require.NoError(m, errors.Join(m.redis.Del(m.ctx(), keys...).Err()))
	}
}

func TestModelEmbedded(t *testing.T) {
	t.Parallel()
	runModel(t, connector("redis://"+redistest.Embedded(t).Addr())(t))
}

func TestModelRedis(t *testing.T) {
	t.Parallel()
	runModel(t, redistest.Start(t, redistest.Options{Fsync: "no"}).Client())
}
