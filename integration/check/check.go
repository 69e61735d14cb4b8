// Package check judges a run: it takes what clients asked for and what receivers got, and says for each timer which promise
// of Carillon was kept and which was not. Every end-to-end test ends with it.
package check

import (
	"fmt"
	"sort"
	"strings"
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

// Ledger is the record of a run. Its methods may be called from many goroutines at once.
type Ledger struct {
	mu       sync.Mutex
	timers   map[carillon.ID]*account
	lateness *hdrhistogram.Histogram // µs
}

type account struct {
	due       time.Time
	cancelled bool
	effects   Effects
	received  int
	early     time.Duration
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
	l.mu.Lock()
	defer l.mu.Unlock()
	l.account(id).due, l.account(id).effects = due, effects
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

// Cancelled records an acknowledged cancel: the timer must not fire any more.
func (l *Ledger) Cancelled(id carillon.ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.account(id).cancelled = true
}

// Received records that a receiver got the timer, with the due time that it was told and when that was, by the store's clock.
func (l *Ledger) Received(id carillon.ID, due, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.account(id)
	a.received++
	late := at.Sub(due)
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

// Report is what became of the timers of a run.
type Report struct {
	Created, Fired, Cancelled int
	// Lost timers were never received, and not cancelled. Early ones were received before they were due; by how much at
	// the worst is EarlyBy. Duplicates were received more than once, Unexpected after their cancel or without having been
	// asked for.
	Lost, Early, Duplicates, Unexpected int
	EarlyBy                             time.Duration
	P50, P99, Max                       time.Duration
	// Broken are the promises that were not kept, in words.
	Broken []string
}

// Report judges the run. tolerance is how far the clock of the receivers may be off from the store's: the error of its
// measurement.
func (l *Ledger) Report(tolerance time.Duration) Report {
	l.mu.Lock()
	defer l.mu.Unlock()
	var r Report
	for id, a := range l.timers {
		switch {
		case a.due.IsZero():
			r.Unexpected++
			r.broken("%s was received and never asked for", id)
			continue
		case a.cancelled && a.received > 0:
			r.Unexpected++
			r.broken("%s fired after its cancel was acknowledged", id)
		case !a.cancelled && a.received == 0:
			r.Lost++
			r.broken("%s is lost", id)
		case a.received > 1:
			r.Duplicates++
			if a.effects == ExactlyOnce {
				r.broken("%s was received %d times", id, a.received)
			}
		}
		if a.early > tolerance {
			r.Early++
			r.EarlyBy = max(r.EarlyBy, a.early)
			r.broken("%s was early by %s", id, a.early)
		}
		r.Created++
		if a.cancelled {
			r.Cancelled++
		}
		if a.received > 0 {
			r.Fired++
		}
	}
	r.P50, r.P99, r.Max = l.at(50), l.at(99), l.at(100)
	sort.Strings(r.Broken)
	return r
}

func (l *Ledger) at(quantile float64) time.Duration {
	return time.Duration(l.lateness.ValueAtQuantile(quantile)) * time.Microsecond
}

// broken says which promise was not kept; what repeats itself too often is only counted.
func (r *Report) broken(format string, args ...any) {
	const most = 20
	if len(r.Broken) < most {
		r.Broken = append(r.Broken, fmt.Sprintf(format, args...))
	}
}

// String prints the report in one line, and the broken promises below it.
func (r Report) String() string {
	line := fmt.Sprintf("created %d, fired %d, cancelled %d, lost %d, early %d, duplicates %d, unexpected %d, lateness p50 %s p99 %s max %s",
		r.Created, r.Fired, r.Cancelled, r.Lost, r.Early, r.Duplicates, r.Unexpected, r.P50, r.P99, r.Max)
	return strings.Join(append([]string{line}, r.Broken...), "\n")
}
