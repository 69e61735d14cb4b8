package check

import (
	"slices"
	"strings"
	"time"

	"github.com/carillon-io/carillon"
)

// Breach is a promise that was not kept.
type Breach struct {
	Invariant Invariant `json:"invariant"`
	What      string    `json:"what"`
}

// Verdict is what is found about one timer. All invariants hold that are judged and not in Broken.
type Verdict struct {
	TimerID carillon.ID `json:"timer_id"`
	// State is what the store says; empty: it was not asked, or does not know the timer any more.
	State    carillon.State `json:"state,omitempty"`
	Received int            `json:"received"`
	Broken   []Breach       `json:"broken,omitempty"`
}

func newVerdict(id carillon.ID, a *account, state carillon.State, flaws []flaw) Verdict {
	v := Verdict{TimerID: id, State: state, Received: a.received}
	for _, f := range flaws {
		v.Broken = append(v.Broken, Breach{f.invariant(), f.String()})
	}
	return v
}

// Finding is what is found about one invariant.
type Finding struct {
	Invariant Invariant `json:"invariant"`
	Promise   string    `json:"promise"`
	// Judged says that the run shows whether it holds. What nobody can see from outside has tests of its own.
	Judged bool `json:"judged"`
	// Broken counts breaches: of timers, and of the store.
	Broken int `json:"broken"`
}

// Judgement is all that is found about a run.
type Judgement struct {
	Holds    bool      `json:"holds"`
	Findings []Finding `json:"findings"`
	Report   Report    `json:"report"`
	// Store is what the store shows by itself.
	Store []Breach `json:"store,omitempty"`
	// Timers are all that were asked for or received, those first of which something is broken.
	Timers []Verdict `json:"timers"`
}

// Judge judges the run by what was received and, unless stored is nil, by what the store says. tolerance is as for Report.
func (l *Ledger) Judge(tolerance time.Duration, stored *Stored) Judgement {
	var j Judgement
	j.Report = l.report(tolerance, stored, func(v Verdict) { j.Timers = append(j.Timers, v) })
	slices.SortFunc(j.Timers, func(a, b Verdict) int {
		if good := len(a.Broken) == 0; good != (len(b.Broken) == 0) {
			if good {
				return 1
			}
			return -1
		}
		return strings.Compare(a.TimerID.String(), b.TimerID.String())
	})
	broken := map[Invariant]int{}
	for _, v := range j.Timers {
		for _, b := range v.Broken {
			broken[b.Invariant]++
		}
	}
	if stored != nil {
		j.Store = stored.breaches(j.Report)
	}
	for _, b := range j.Store {
		broken[b.Invariant]++
	}
	j.Holds = len(broken) == 0
	for _, i := range Invariants() {
		judged := i != Fenced && i != Leased && (i != OneEntry || stored != nil)
		j.Findings = append(j.Findings, Finding{Invariant: i, Promise: i.String(), Judged: judged, Broken: broken[i]})
	}
	return j
}
