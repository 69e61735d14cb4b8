package check

import (
	"fmt"
	"time"

	"github.com/carillon-io/carillon"
)

// Invariant is one of the promises that every run is judged by, with its number.
type Invariant int

// The invariants.
const (
	NotEarly      Invariant = 1
	OneState      Invariant = 2
	OneEntry      Invariant = 3
	Fenced        Invariant = 4
	Leased        Invariant = 5
	Durable       Invariant = 6
	StayCancelled Invariant = 7
)

// Invariants are all of them.
func Invariants() []Invariant {
	return []Invariant{NotEarly, OneState, OneEntry, Fenced, Leased, Durable, StayCancelled}
}

// String says what is promised.
func (i Invariant) String() string {
	switch i {
	case NotEarly:
		return "nothing fires early"
	case OneState:
		return "each accepted timer is in one state, is received as often as promised, and the counters agree"
	case OneEntry:
		return "a pending timer has one entry of its current version, in its place"
	case Fenced:
		return "a write with an old token changes nothing"
	case Leased:
		return "a lane and a partition have one lease, and are not without one for long"
	case Durable:
		return "an acknowledged timer is not lost"
	case StayCancelled:
		return "a cancelled timer does not fire"
	default:
		return fmt.Sprintf("invariant %d", int(i))
	}
}

// flawKind is a way of breaking a promise.
type flawKind int

const (
	stranger flawKind = iota
	cancelledAndFired
	cancelledAndKept
	lost
	otherTime
	double
	unfinished
	early
	ahead
)

// flaw is one promise that was not kept, about one timer. It becomes words only if somebody asks: a run that goes on may have
// many for a while.
type flaw struct {
	kind     flawKind
	id       carillon.ID
	received int
	by       time.Duration
	state    carillon.State
}

func (f flaw) invariant() Invariant {
	switch f.kind {
	case cancelledAndFired, cancelledAndKept:
		return StayCancelled
	case lost, otherTime:
		return Durable
	case early, ahead:
		return NotEarly
	default:
		return OneState
	}
}

func (f flaw) String() string {
	switch f.kind {
	case stranger:
		return fmt.Sprintf("%s was received and never asked for", f.id)
	case cancelledAndFired:
		return fmt.Sprintf("%s fired after its cancel was acknowledged", f.id)
	case cancelledAndKept:
		return fmt.Sprintf("%s is %s after its cancel was acknowledged", f.id, f.state)
	case lost:
		if f.state != "" {
			return fmt.Sprintf("%s is lost: the store says %s, and nobody received it", f.id, f.state)
		}
		return fmt.Sprintf("%s is lost", f.id)
	case otherTime:
		return fmt.Sprintf("%s is lost: it was received for an earlier time only, and was put off by %s", f.id, f.by)
	case double:
		return fmt.Sprintf("%s was received %d times", f.id, f.received)
	case unfinished:
		return fmt.Sprintf("%s was received and is still %s", f.id, f.state)
	case ahead:
		return fmt.Sprintf("%s was fired for a time that is %s before the one that was asked for", f.id, f.by)
	default:
		return fmt.Sprintf("%s was early by %s", f.id, f.by)
	}
}

// judge says which promises about the timer were not kept. tolerance is how far the receivers' clock may be off.
func (a *account) judge(id carillon.ID, tolerance time.Duration, stored *Stored) []flaw {
	var flaws []flaw
	add := func(kind flawKind, by time.Duration, state carillon.State) {
		flaws = append(flaws, flaw{kind: kind, id: id, received: a.received, by: by, state: state})
	}
	if a.due.IsZero() {
		add(stranger, 0, "")
		return flaws
	}
	state := stored.state(id)
	live := state != "" && state != carillon.StateFired && state != carillon.StateCancelled
	switch {
	case a.cancelled && a.received > 0:
		add(cancelledAndFired, 0, state)
	case a.cancelled && live:
		add(cancelledAndKept, 0, state)
	case a.cancelled:
	case a.received == 0 && !live && state != carillon.StateCancelled: // the answer to a cancel may have been lost
		add(lost, 0, state)
	case a.received == 0:
	case a.effects == ExactlyOnce && live:
		add(unfinished, 0, state)
	case a.effects == ExactlyOnce && a.received > 1:
		add(double, 0, state)
	case a.effects == AtLeastOnce && a.toldLast.Before(a.due) && !live:
		add(otherTime, a.due.Sub(a.toldLast), state)
	}
	if a.early > tolerance {
		add(early, a.early, state)
	}
	// A receiver that is not deduplicated may have seen an attempt before the timer was put off.
	if a.received > 0 && a.effects == ExactlyOnce && a.toldFirst.Before(a.due) {
		add(ahead, a.due.Sub(a.toldFirst), state)
	}
	return flaws
}
