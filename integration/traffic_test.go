package integration_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/integration/check"
	"github.com/carillon-io/carillon/integration/harness"
	"github.com/carillon-io/carillon/starter"
)

// traffic is a small load that goes on until it is told to end: creates, through Temporal and straight to the store, cancels and
// reschedules, for mailboxes and for a webhook that refuses every other timer once. Half of the timers are due within the
// look-ahead of trafficLookAhead, the others pass through the index.
type traffic struct {
	t    *testing.T
	g    *harness.Group
	hook *httptest.Server

	stop    chan struct{}
	running sync.WaitGroup

	asked, cancelled, rescheduled, refused atomic.Int64

	mu   sync.Mutex
	seen map[string]bool // webhook ids
}

const (
	trafficLookAhead = time.Second
	trafficClient    = "traffic"
)

func startTraffic(t *testing.T, g *harness.Group) *traffic {
	t.Helper()
	l := &traffic{t: t, g: g, stop: make(chan struct{}), seen: map[string]bool{}}
	l.hook = httptest.NewServer(http.HandlerFunc(l.receive))
	t.Cleanup(l.hook.Close)
	g.ReadMailbox(t, trafficClient)
	l.every(100*time.Millisecond, l.createDirectly)
	for caller := range 4 {
		l.every(600*time.Millisecond, func(round int) { l.createThroughTemporal(caller, round) })
	}
	l.every(200*time.Millisecond, l.changeDirectly)
	for range 2 {
		l.every(800*time.Millisecond, l.changeThroughTemporal)
	}
	t.Cleanup(l.end)
	return l
}

// every calls f again and again until the traffic ends.
func (l *traffic) every(pause time.Duration, f func(round int)) {
	l.running.Go(func() {
		tick := time.NewTicker(pause)
		defer tick.Stop()
		for round := 0; ; round++ {
			f(round)
			select {
			case <-tick.C:
			case <-l.stop:
				return
			}
		}
	})
}

// end ends the load; what has been asked for may still be on its way. It may be called more than once.
func (l *traffic) end() {
	l.mu.Lock()
	select {
	case <-l.stop:
	default:
		close(l.stop)
	}
	l.mu.Unlock()
	l.running.Wait()
}

// verify ends the load, waits until everything has fired, and judges the run.
func (l *traffic) verify() check.Report {
	l.t.Helper()
	l.end()
	r := l.g.Verify(l.t, int(l.asked.Load()-l.cancelled.Load()))
	created, cancelled, fired := l.g.CountAll(l.t)
	require.Equal(l.t, l.asked.Load(), created, "no create that was tried again has made timers twice")
	require.Equal(l.t, l.cancelled.Load(), cancelled)
	require.Equal(l.t, l.asked.Load()-l.cancelled.Load(), fired)
	require.Positive(l.t, l.rescheduled.Load())
	require.Positive(l.t, l.cancelled.Load())
	require.Positive(l.t, l.refused.Load())
	return r
}

// receive is the webhook. It refuses every other timer at its first attempt.
func (l *traffic) receive(w http.ResponseWriter, r *http.Request) {
	at := l.g.Store.Clock(0).Now()
	id, err := carillon.ParseID(r.Header.Get("Carillon-Timer-Id"))
	due, dueErr := time.Parse(time.RFC3339Nano, r.Header.Get("Carillon-Fire-At"))
	if !check.NoError(l.t, errors.Join(err, dueErr)) {
		return
	}
	key := r.Header.Get("Webhook-Id")
	l.mu.Lock()
	first := !l.seen[key]
	l.seen[key] = true
	refuse := first && len(l.seen)%2 == 0
	l.mu.Unlock()
	if refuse {
		l.refused.Add(1)
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	l.g.Ledger.Received(id, due, at)
}

// spec is a timer for the mailbox or, if it is asked for, for the webhook.
func (l *traffic) spec(delay time.Duration, webhook bool) carillon.TimerSpec {
	spec := carillon.TimerSpec{ClientID: trafficClient, Delay: delay, Target: carillon.ToMailbox()}
	if webhook {
		spec.Target = carillon.Target{Webhook: &carillon.WebhookTarget{URL: l.hook.URL, Timeout: carillon.Duration(time.Second)}}
		spec.Retry = &carillon.RetryPolicy{InitialInterval: carillon.Duration(100 * time.Millisecond), MaximumAttempts: 100}
	}
	return spec
}

// note writes down what was answered to a create. All of it must have been accepted.
func (l *traffic) note(specs []carillon.TimerSpec, results []carillon.CreateResult) {
	for i, r := range results {
		if !check.True(l.t, r.Error == nil, "create: %v", r.Error) {
			continue
		}
		effects := check.ExactlyOnce
		if specs[i].Target.Mailbox == nil {
			effects = check.AtLeastOnce
		}
		l.asked.Add(1)
		l.g.Ledger.Asked(r.TimerID, r.FireAt, effects)
	}
}

func (l *traffic) createDirectly(int) {
	specs := []carillon.TimerSpec{
		l.spec(50*time.Millisecond, false), l.spec(300*time.Millisecond, true), l.spec(800*time.Millisecond, false),
		l.spec(1500*time.Millisecond, false), l.spec(2500*time.Millisecond, true), l.spec(4*time.Second, false),
	}
	l.createWith(l.g.Direct, specs)
}

func (l *traffic) createWith(timers starter.Timers, specs []carillon.TimerSpec) []carillon.CreateResult {
	results, err := timers.CreateAll(context.Background(), specs)
	if !check.NoError(l.t, err) {
		return nil
	}
	l.note(specs, results)
	return results
}

// createThroughTemporal asks until there is an answer, under the same request id. Timers with names lie in several slots: the
// create takes several scripts.
func (l *traffic) createThroughTemporal(caller, round int) {
	request := fmt.Sprintf("%d-%d", caller, round)
	specs := []carillon.TimerSpec{l.spec(500*time.Millisecond, false), l.spec(2*time.Second, true)}
	for i := range 4 {
		named := l.spec(time.Duration(i+1)*500*time.Millisecond, i%2 == 0)
		named.Name = fmt.Sprintf("%s-%d", request, i)
		specs = append(specs, named)
	}
	var results []carillon.CreateResult
	if l.untilAnswered("create", func(ctx context.Context) (err error) {
		results, err = l.g.Timers.CreateRequest(ctx, request, specs)
		return err
	}) {
		l.note(specs, results)
	}
}

// untilAnswered repeats an operation as long as nobody has carried it out, and says whether it has succeeded.
func (l *traffic) untilAnswered(what string, ask func(context.Context) error) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for {
		err := ask(ctx)
		if err == nil {
			return true
		}
		if errors.Is(err, carillon.ErrTooLate) || errors.Is(err, carillon.ErrNotFound) {
			return false
		}
		if !errors.Is(err, carillon.ErrUnavailable) || ctx.Err() != nil {
			return check.NoError(l.t, fmt.Errorf("%s: %w", what, err))
		}
	}
}

func (l *traffic) changeDirectly(int) { l.change(l.g.Direct, 900*time.Millisecond) }

func (l *traffic) changeThroughTemporal(int) { l.change(l.g.Timers, 3*time.Second) }

// change creates two timers, cancels one and puts the other off. Either may come too late.
func (l *traffic) change(timers starter.Timers, delay time.Duration) {
	results := l.createWith(l.g.Direct, []carillon.TimerSpec{l.spec(delay, false), l.spec(delay, false)})
	if len(results) != 2 {
		return
	}
	l.cancel(timers, results[0].TimerID)
	var moved carillon.RescheduleTimerResult
	in := carillon.RescheduleTimerInput{
		TimerRef: carillon.TimerRef{TimerID: results[1].TimerID}, FireAt: results[1].FireAt.Add(time.Second),
	}
	if l.untilAnswered("reschedule", func(ctx context.Context) (err error) {
		moved, err = timers.Reschedule(ctx, in)
		return err
	}) {
		l.rescheduled.Add(1)
		l.g.Ledger.Asked(moved.TimerID, moved.FireAt, check.ExactlyOnce)
	}
}

func (l *traffic) cancel(timers starter.Timers, id carillon.ID) {
	ref := carillon.TimerRef{TimerID: id}
	done := l.untilAnswered("cancel", func(ctx context.Context) error { return timers.Cancel(ctx, ref) })
	if !done { // it has fired, or an attempt has cancelled it whose answer was lost
		info, err := l.g.Direct.Describe(context.Background(), ref)
		done = check.NoError(l.t, err) && info.State == carillon.StateCancelled
	}
	if done {
		l.cancelled.Add(1)
		l.g.Ledger.Cancelled(id)
	}
}
