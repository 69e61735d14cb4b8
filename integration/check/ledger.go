package check

import (
	"fmt"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/carillon-io/carillon"
)

// Effects says how often a receiver may get a timer.
type Effects int

const (
	// ExactlyOnce is what mailboxes promise, and what every target sees while nothing fails.
	ExactlyOnce Effects = iota
	// AtLeastOnce is what a target sees that cannot deduplicate, when lanes die.
	AtLeastOnce
)

// MarshalText implements encoding.TextMarshaler.
func (e Effects) MarshalText() ([]byte, error) {
	if e == AtLeastOnce {
		return []byte("at_least_once"), nil
	}
	return []byte("exactly_once"), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (e *Effects) UnmarshalText(text []byte) error {
	switch string(text) {
	case "exactly_once":
		*e = ExactlyOnce
	case "at_least_once":
		*e = AtLeastOnce
	default:
		return fmt.Errorf("effects are exactly_once or at_least_once, not %q", text)
	}
	return nil
}

// Ledger is the record of a run. Its methods may be called from many goroutines at once.
type Ledger struct {
	mu       sync.Mutex
	asked    []Asked
	received []Received
	timers   map[carillon.ID]*account
	lateness *hdrhistogram.Histogram // µs
}

// account is what is known of one timer.
type account struct {
	due       time.Time
	cancelled bool
	effects   Effects
	received  int
	early     time.Duration // before the time that the receiver was told
	// told are the earliest and the latest due time that receivers were told.
	toldFirst, toldLast time.Time
}

// NewLedger makes an empty ledger.
func NewLedger() *Ledger {
	return &Ledger{
		timers:   map[carillon.ID]*account{},
		lateness: hdrhistogram.New(1, time.Hour.Microseconds(), 3),
	}
}

// Asked records an acknowledged create, or an acknowledged reschedule to another time.
func (l *Ledger) Asked(id carillon.ID, due time.Time, effects Effects) {
	l.ask(Asked{TimerID: id, FireAt: due, Effects: effects})
}

// Cancelled records an acknowledged cancel: the timer must not fire any more.
func (l *Ledger) Cancelled(id carillon.ID) { l.ask(Asked{TimerID: id, Cancelled: true}) }

func (l *Ledger) ask(a Asked) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = append(l.asked, a)
	account := l.account(a.TimerID)
	if a.Cancelled {
		account.cancelled = true
		return
	}
	account.due, account.effects = a.FireAt, a.Effects
}

// account finds a timer's account; a receiver can be faster than the answer to the create.
func (l *Ledger) account(id carillon.ID) *account {
	a := l.timers[id]
	if a == nil {
		a = &account{}
		l.timers[id] = a
	}
	return a
}

// Received records that a receiver got the timer, with the due time that it was told and when that was, by the store's clock.
func (l *Ledger) Received(id carillon.ID, due, at time.Time) {
	l.receive(Received{TimerID: id, FireAt: due, ReceivedAt: at})
}

func (l *Ledger) receive(r Received) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.received = append(l.received, r)
	a := l.account(r.TimerID)
	if a.received == 0 || r.FireAt.Before(a.toldFirst) {
		a.toldFirst = r.FireAt
	}
	if r.FireAt.After(a.toldLast) {
		a.toldLast = r.FireAt
	}
	a.received++
	late := r.ReceivedAt.Sub(r.FireAt)
	if late < 0 {
		a.early = max(a.early, -late)
	}
	_ = l.lateness.RecordValue(min(max(late.Microseconds(), 1), time.Hour.Microseconds())) // it is within its bounds
}

// Count is how many timers have been received at least once.
func (l *Ledger) Count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, a := range l.timers {
		if a.received > 0 {
			n++
		}
	}
	return n
}

func (l *Ledger) at(quantile float64) time.Duration {
	return time.Duration(l.lateness.ValueAtQuantile(quantile)) * time.Microsecond
}
