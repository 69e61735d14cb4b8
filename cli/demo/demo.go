package demo

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	commonpb "go.temporal.io/api/common/v1"

	"github.com/carillon-io/carillon"
)

// ClientID is the client of the demo's timers, and the owner of its mailbox.
const ClientID = "demo"

// Road is how a timer is delivered.
type Road string

// The roads.
const (
	RoadSignal  Road = "signal"
	RoadMailbox Road = "mailbox"
)

// Arrival is a timer that a receiver has received.
type Arrival struct {
	Road Road
	// Number is the timer's, from its payload.
	Number int
	// Delivery tells deliveries apart: the same one, received again after a crash of the receiver, is no second one.
	Delivery string
	// At is the time of the store when it was received, Error how far that may be off.
	At    time.Time
	Error time.Duration
}

// Creator creates the timers. starter.Timers has it.
type Creator interface {
	CreateAll(ctx context.Context, timers []carillon.TimerSpec) ([]carillon.CreateResult, error)
	Count(ctx context.Context, in carillon.CountTimersInput) (carillon.CountTimersResult, error)
}

// Options of a demo.
type Options struct {
	// Creator is required.
	Creator Creator
	// Count is how many timers there are, Within when the last of them is due.
	Count  int
	Within time.Duration
	// Workflows are the ids of the workflows that are signalled.
	Workflows []string
	// Now is the store's time.
	Now func() time.Time
	// Arrivals brings what the receivers receive.
	Arrivals <-chan Arrival
	// Grace is how long is waited for timers that are late. 0: 15 s.
	Grace time.Duration
	// Progress is told several times a second. Nil: nobody.
	Progress func(Snapshot)
}

// Snapshot is how far the demo is.
type Snapshot struct {
	Elapsed           time.Duration
	Created, Fired    int
	Early, Duplicates int
	P50, P99, Max     time.Duration
	LastDue           time.Duration // until the last timer is due
}

// Result is what the demo has measured.
type Result struct {
	Created    int
	Fired      int // timers that were received
	Early      int // received before they were due
	Lost       int // not received
	Duplicates int // received more than once
	Cancelled  int
	// Lateness, in microseconds, of all and by road.
	Lateness *hdrhistogram.Histogram
	ByRoad   map[Road]*hdrhistogram.Histogram
}

// Good says whether every timer was received exactly once and none early.
func (r Result) Good() bool {
	return r.Created > 0 && r.Fired == r.Created && r.Early == 0 && r.Lost == 0 && r.Duplicates == 0
}

const (
	defaultGrace = 15 * time.Second
	// settling is how long is waited for second deliveries when all have come.
	settling = 500 * time.Millisecond
	// longest is the longest lateness that is told apart.
	longest = time.Hour
	refresh = 200 * time.Millisecond
)

// newHistogram tells lateness apart from a microsecond to an hour, three digits of it.
func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, longest.Microseconds(), 3) }

// lead is how far ahead the first timer is due: creating takes a moment, and one that is created too late is late.
func lead(count int, within time.Duration) time.Duration {
	return min(within/2, 500*time.Millisecond+time.Duration(count)*200*time.Microsecond)
}

// timers makes the demo's timers: evenly spread, by turns for one of the workflows and for the mailbox.
func timers(o Options, start time.Time) []carillon.TimerSpec {
	first := lead(o.Count, o.Within)
	specs := make([]carillon.TimerSpec, o.Count)
	for i := range specs {
		due := first
		if o.Count > 1 {
			due += time.Duration(float64(o.Within-first) * float64(i) / float64(o.Count-1))
		}
		target := carillon.ToMailbox()
		if i%2 == 0 && len(o.Workflows) > 0 {
			target = carillon.ToSignal(o.Workflows[i/2%len(o.Workflows)], SignalName)
		}
		specs[i] = carillon.TimerSpec{
			ClientID: ClientID, FireAt: start.Add(due).Truncate(time.Millisecond), Target: target, Payload: payload(i),
		}
	}
	return specs
}

func payload(number int) *commonpb.Payload {
	return &commonpb.Payload{
		Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: []byte(strconv.Itoa(number)),
	}
}

// number is the inverse of payload.
func number(p *commonpb.Payload) (int, error) {
	n, err := strconv.Atoi(string(p.GetData()))
	if err != nil {
		return 0, errors.New("a timer came that is not the demo's")
	}
	return n, nil
}

// Run creates the timers, waits for them, and says how it was. It fails if they cannot be created; what it measures is
// no error.
func Run(ctx context.Context, o Options) (Result, error) {
	if o.Grace == 0 {
		o.Grace = defaultGrace
	}
	if o.Progress == nil {
		o.Progress = func(Snapshot) {}
	}
	before, err := o.Creator.Count(ctx, carillon.CountTimersInput{})
	if err != nil {
		return Result{}, fmt.Errorf("count the timers: %w", err)
	}
	m := &measurement{Options: o, start: o.Now(), deliveries: map[string]bool{}, received: make([]int, o.Count)}
	m.result.Lateness = newHistogram()
	m.result.ByRoad = map[Road]*hdrhistogram.Histogram{RoadSignal: newHistogram(), RoadMailbox: newHistogram()}
	m.specs = timers(o, m.start)

	ctx, cancel := context.WithCancel(ctx)
	created := make(chan error, 1)
	var creating sync.WaitGroup
	defer creating.Wait()
	defer cancel()
	creating.Go(func() {
		answers, err := o.Creator.CreateAll(ctx, m.specs)
		for i, a := range answers {
			if a.Error != nil && err == nil {
				err = fmt.Errorf("timer %d: %w", i, a.Error)
			}
		}
		created <- err
	})
	if err := m.watch(ctx, created); err != nil {
		return m.result, err
	}
	after, err := o.Creator.Count(ctx, carillon.CountTimersInput{})
	if err != nil {
		return m.result, fmt.Errorf("count the timers: %w", err)
	}
	m.result.Cancelled = int(after.Cancelled - before.Cancelled)
	m.result.Lost = m.result.Created - m.result.Fired - m.result.Cancelled
	return m.result, nil
}

type measurement struct {
	Options
	start      time.Time
	specs      []carillon.TimerSpec
	deliveries map[string]bool
	received   []int // how often each timer was
	result     Result
}

// watch takes arrivals until all have come, or the last is overdue by the grace.
func (m *measurement) watch(ctx context.Context, created <-chan error) error {
	ticker := time.NewTicker(refresh)
	defer ticker.Stop()
	last := m.specs[len(m.specs)-1].FireAt
	give := time.NewTimer(last.Sub(m.Now()) + m.Grace)
	defer give.Stop()
	var settled <-chan time.Time
	for {
		select {
		case err := <-created:
			if err != nil {
				return fmt.Errorf("create the timers: %w", err)
			}
			m.result.Created = len(m.specs)
			created = nil
			// Creating may have taken longer than it should.
			give.Reset(max(last.Sub(m.Now()), 0) + m.Grace)
		case a := <-m.Arrivals:
			m.take(a)
		case <-ticker.C:
			m.Progress(m.snapshot(last))
		case <-settled:
			m.Progress(m.snapshot(last))
			return nil
		case <-give.C:
			if created != nil {
				return errors.New("the timers were not created in time")
			}
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
		if settled == nil && created == nil && m.result.Fired == len(m.specs) {
			settled = time.After(settling)
		}
	}
}

func (m *measurement) take(a Arrival) {
	if a.Number < 0 || a.Number >= len(m.specs) || m.deliveries[a.Delivery] {
		return
	}
	m.deliveries[a.Delivery] = true
	m.received[a.Number]++
	if m.received[a.Number] > 1 {
		m.result.Duplicates++
		return
	}
	m.result.Fired++
	late := a.At.Sub(m.specs[a.Number].FireAt)
	if late+a.Error < 0 {
		m.result.Early++
	}
	// A receiver whose clock is off by less than Error may seem to be early; the histogram begins at nothing.
	us := min(max(late, 0), longest).Microseconds()
	for _, h := range []*hdrhistogram.Histogram{m.result.Lateness, m.result.ByRoad[a.Road]} {
		if h != nil {
			_ = h.RecordValue(us) // it fails beyond the longest only
		}
	}
}

func (m *measurement) snapshot(last time.Time) Snapshot {
	h := m.result.Lateness
	now := m.Now()
	return Snapshot{
		Elapsed: now.Sub(m.start), Created: m.result.Created, Fired: m.result.Fired, Early: m.result.Early,
		Duplicates: m.result.Duplicates, LastDue: max(last.Sub(now), 0),
		P50: quantile(h, 50), P99: quantile(h, 99), Max: time.Duration(h.Max()) * time.Microsecond,
	}
}

func quantile(h *hdrhistogram.Histogram, q float64) time.Duration {
	return time.Duration(h.ValueAtQuantile(q)) * time.Microsecond
}
