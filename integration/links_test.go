package integration_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/integration/check"
	"github.com/carillon-io/carillon/integration/harness"
	"github.com/carillon-io/carillon/starter"
	"github.com/carillon-io/carillon/store"
	"github.com/carillon-io/carillon/worker"
)

// Links between worker, Redis, Temporal and client hang, stall, reset and slow down: delays are bounded, nothing is lost or
// double, everybody goes on when the link is whole again, and no goroutine is left behind by anybody.
func TestLinksThatFail(t *testing.T) {
	longer(t)
	before := ours()
	var running sync.WaitGroup
	for name, test := range map[string]func(*testing.T){
		"RedisHangs":            func(t *testing.T) { redisLinkIsCut(t, (*harness.Link).Hang) },
		"RedisAnswersTooLate":   func(t *testing.T) { redisLinkIsCut(t, (*harness.Link).Stall) },
		"RedisLinkResets":       redisLinkResets,
		"RedisIsFarAway":        redisIsFarAway,
		"TemporalHangs":         func(t *testing.T) { temporalLinkIsCut(t, (*harness.Link).Hang) },
		"TemporalIsHeldUp":      func(t *testing.T) { temporalLinkIsCut(t, (*harness.Link).Stall) },
		"ClientLosesTemporal":   clientLosesTemporal,
		"TemporalResetsWorkers": temporalLinkResets,
	} {
		running.Go(func() { t.Run(name, test) }) // all at once, however few processors there are: they wait most of the time
	}
	running.Wait()
	noLeaks(t, before)
}

// rounds is how often a link fails in one test.
func rounds() int {
	if faults() {
		return 40
	}
	return 6
}

// startBehindRedisLink starts a worker of the test's own process that reaches Redis by a link, and waits for its leases.
func startBehindRedisLink(t *testing.T, g *harness.Group, id string, before func(*harness.Link)) *harness.Link {
	t.Helper()
	link, url := g.LinkToRedis(t)
	if before != nil {
		before(link)
	}
	redisClient, err := store.Connect(url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, redisClient.Close()) })
	g.StartWorker(t, func(o *worker.Options) {
		o.WorkerID, o.Redis, o.Webhook.AllowPrivate = id, redisClient, true
	})
	g.WaitForLanes(t, id)
	return link
}

// startBehindTemporalLink starts a worker that reaches Temporal by a link.
func startBehindTemporalLink(t *testing.T, g *harness.Group) *harness.Link {
	t.Helper()
	link := g.LinkToTemporal(t)
	far := harness.Dial(t, client.Options{HostPort: link.Address()})
	g.StartWorker(t, func(o *worker.Options) {
		o.WorkerID, o.Temporal, o.TemporalTimeout, o.Webhook.AllowPrivate = "far", far, 2*time.Second, true
	})
	g.WaitForLanes(t, "far")
	return link
}

func firedAtLeast(t *testing.T, g *harness.Group, n int) {
	t.Helper()
	harness.Eventually(t, "timers fire", func() bool { return g.Ledger.Count() >= n })
}

// A worker's link to Redis is cut for longer than its leases: another worker takes over within the lease of a lane, what the
// first one has sent, if it arrives at all, changes nothing any more, and later it takes its turn again.
func redisLinkIsCut(t *testing.T, cut func(*harness.Link)) {
	const n, more = 1500, 100
	g := harness.NewGroup(t, store.Options{Slots: 4}, starterOptions)
	hooks := startWebhooks(t, g)
	link := startBehindRedisLink(t, g, "first", nil)
	second := g.StartWorker(t, func(o *worker.Options) { o.WorkerID, o.Webhook.AllowPrivate = "second", true })
	g.ReadMailbox(t, "client")

	ask(t, g, spread(g.Store.Clock(0).Now().Add(time.Second), n, 10*time.Second, hooks.URL))
	firedAtLeast(t, g, n/3)
	before := leases(g)
	cut(link)
	g.WaitForLanes(t, "second") // with the partitions, whose leases last longest
	firedAtLeast(t, g, n*2/3)
	link.Heal()
	firedAtLeast(t, g, n)
	for task, token := range leases(g) {
		if store.Token(token).Worker() == "first" { // it has its share again, by leases that it has asked for since
			require.NotEqual(t, before[task], token, task)
		}
	}

	require.NoError(t, second.Stop(t.Context()))
	g.WaitForLanes(t, "first")
	ask(t, g, spread(g.Store.Clock(0).Now(), more, time.Second, hooks.URL))
	r := g.Verify(t, n+more)
	require.LessOrEqual(t, r.Max, 10*time.Second, "a lane's lease of 1.5 s, a poll of 0.5 s, and room for a slow machine")
}

// A worker's link to Redis resets again and again under load.
func redisLinkResets(t *testing.T) {
	n := 300 * rounds()
	g := harness.NewGroup(t, store.Options{Slots: 4}, starterOptions)
	hooks := startWebhooks(t, g)
	link := startBehindRedisLink(t, g, "worker", nil)
	g.ReadMailbox(t, "client")
	ask(t, g, spread(g.Store.Clock(0).Now().Add(time.Second), n, time.Duration(rounds())*time.Second, hooks.URL))
	resetRepeatedly(link, func(round int) { firedAtLeast(t, g, round*n/(rounds()+1)) })
	r := g.Verify(t, n)
	require.LessOrEqual(t, r.Max, 10*time.Second, "the longest wait after an error is 1 s")
}

// resetRepeatedly resets the link for a while, and lets it be whole until the next round.
func resetRepeatedly(link *harness.Link, until func(round int)) {
	for round := range rounds() {
		until(round + 1)
		link.Reset()
		<-time.After(150 * time.Millisecond)
		link.Heal()
	}
}

// A worker is 100 ms away from Redis, give or take 30, by a narrow line: nothing is early, and nobody is later than some round
// trips.
func redisIsFarAway(t *testing.T) {
	const n = 800
	const roundTrip = 100 * time.Millisecond
	g := harness.NewGroup(t, store.Options{Slots: 4}, starterOptions)
	hooks := startWebhooks(t, g)
	startBehindRedisLink(t, g, "far", func(l *harness.Link) { l.Slow(roundTrip, 30*time.Millisecond, 500) })
	g.ReadMailbox(t, "client")
	ask(t, g, spread(g.Store.Clock(0).Now().Add(2*time.Second), n, 8*time.Second, hooks.URL))
	r := g.Verify(t, n)
	require.LessOrEqual(t, r.P99, 30*roundTrip, "fetch, claim and what goes before them in the queue")
	require.Zero(t, r.Duplicates)
}

// A worker's link to Temporal is cut: timers for mailboxes and webhooks do not notice, and those for Temporal wait, and lose no
// attempt.
func temporalLinkIsCut(t *testing.T, cut func(*harness.Link)) {
	const n, signals = 1000, 10
	g := harness.NewGroup(t, store.Options{Slots: 4}, starterOptions)
	hooks := startWebhooks(t, g)
	receiver := g.StartReceiver(t)
	link := startBehindTemporalLink(t, g)
	g.ReadMailbox(t, "client")

	cut(link)
	var waiting []carillon.TimerSpec
	for i := range signals {
		due := g.Store.Clock(0).Now().Add(time.Second).Truncate(time.Millisecond)
		waiting = append(waiting, carillon.TimerSpec{
			ClientID: "client", FireAt: due, Payload: payload(t, g, harness.Note{Serial: i, Due: due}),
			Target: carillon.ToSignal(receiver.ID, harness.SignalName), Retry: &carillon.RetryPolicy{MaximumAttempts: 1},
		})
	}
	signalled, err := g.Direct.CreateAll(t.Context(), waiting)
	require.NoError(t, err)
	ask(t, g, spread(g.Store.Clock(0).Now().Add(time.Second), n, 6*time.Second, hooks.URL))
	firedAtLeast(t, g, n)
	require.Empty(t, receiver.Got(), "the link was cut")
	link.Heal()

	harness.Eventually(t, "the signals have arrived", func() bool { return len(receiver.Got()) == signals })
	r := g.Verify(t, n)
	require.LessOrEqual(t, r.P99, 5*time.Second, "as if nothing had happened; with room for a slow machine")
	for _, s := range signalled {
		info, err := g.Direct.Describe(t.Context(), carillon.TimerRef{TimerID: s.TimerID})
		require.NoError(t, err)
		require.Equal(t, carillon.StateFired, info.State)
		require.Equal(t, 1, info.Attempts, "no attempt was lost")
	}
	for serial, times := range receiver.Got() {
		require.Len(t, times, 1, "signal %d was taken once", serial)
	}
}

// A worker's link to Temporal resets again and again, while clients create through Temporal.
func temporalLinkResets(t *testing.T) {
	// What was lost between server and worker is tried again after a quarter of this.
	g := harness.NewGroup(t, store.Options{Slots: 4}, starter.Options{OperationTimeout: 40 * time.Second})
	link := startBehindTemporalLink(t, g)
	createWhileItResets(t, g, g.Timers, link)
}

// A client's link to Temporal resets, and hangs for a while: it tries its creates again under their request ids, so that each
// timer is there once.
func clientLosesTemporal(t *testing.T) {
	g := harness.NewGroup(t, store.Options{Slots: 4}, starterOptions)
	g.StartWorker(t, nil)
	link := g.LinkToTemporal(t)
	timers, err := starter.New(harness.Dial(t, client.Options{HostPort: link.Address()}),
		starter.Options{Group: g.Name, Logger: harness.Logger(t), OperationTimeout: 2 * time.Minute})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, timers.Close()) })
	createWhileItResets(t, g, timers, link)
}

// createWhileItResets has several callers create timers one by one while a link resets and hangs. Each has its answer, and each
// timer is there once.
func createWhileItResets(t *testing.T, g *harness.Group, timers starter.Timers, link *harness.Link) {
	t.Helper()
	const callers = 8
	each := 10 * rounds()
	g.ReadMailbox(t, "client")
	var creating sync.WaitGroup
	for range callers {
		creating.Go(func() {
			for range each {
				created, err := timers.Create(context.Background(),
					carillon.TimerSpec{ClientID: "client", Delay: 500 * time.Millisecond, Target: carillon.ToMailbox()})
				if !check.NoError(t, err) {
					return
				}
				g.Ledger.Asked(created.TimerID, created.FireAt, check.ExactlyOnce)
			}
		})
	}
	n := callers * each
	resetRepeatedly(link, func(round int) { firedAtLeast(t, g, round*n/(rounds()+2)) })
	link.Hang()
	<-time.After(time.Second)
	link.Heal()
	creating.Wait()
	g.Verify(t, n)
	created, _, fired := g.CountAll(t)
	require.EqualValues(t, n, created, "each create has made one timer")
	require.EqualValues(t, n, fired)
}
