// Package check judges a run: it takes what clients asked for and what receivers got, and says for each timer which promise
// of Carillon was kept and which was not. Every end-to-end test ends with it. The command carillon-check does the same with
// a run that somebody else has made and written down; see Asked and Received for the form.
package check

import (
	"fmt"
	"sort"
	"strings"
	"time"
)

// Report is what became of the timers of a run.
type Report struct {
	Created   int `json:"created"`
	Fired     int `json:"fired"`
	Cancelled int `json:"cancelled"`
	// Lost timers were never received, and not cancelled. Early ones were received before they were due; by how much at
	// the worst is EarlyBy. Duplicates were received more than once, Unexpected after their cancel or without having been
	// asked for.
	Lost       int           `json:"lost"`
	Early      int           `json:"early"`
	Duplicates int           `json:"duplicates"`
	Unexpected int           `json:"unexpected"`
	EarlyBy    time.Duration `json:"early_by_ns"`
	P50        time.Duration `json:"p50_ns"`
	P99        time.Duration `json:"p99_ns"`
	Max        time.Duration `json:"max_ns"`
	// Broken are the promises that were not kept, in words: the first of them.
	Broken []string `json:"-"`
}

// Report judges the run by what was received alone. tolerance is how far the clock of the receivers may be off from the
// store's: the error of its measurement.
func (l *Ledger) Report(tolerance time.Duration) Report { return l.report(tolerance, nil, nil) }

// report adds up what is found about each timer, and hands it to visit.
func (l *Ledger) report(tolerance time.Duration, stored *Stored, visit func(Verdict)) Report {
	l.mu.Lock()
	defer l.mu.Unlock()
	var r Report
	for id, a := range l.timers {
		flaws := a.judge(id, tolerance, stored)
		r.add(a, flaws)
		if visit != nil {
			visit(newVerdict(id, a, stored.state(id), flaws))
		}
	}
	r.P50, r.P99, r.Max = l.at(50), l.at(99), l.at(100)
	sort.Strings(r.Broken)
	return r
}

func (r *Report) add(a *account, flaws []flaw) {
	tooEarly, strange := false, false
	for _, f := range flaws {
		switch f.kind {
		case lost, otherTime:
			r.Lost++
		case early, ahead:
			tooEarly = true
			r.EarlyBy = max(r.EarlyBy, f.by)
		case stranger:
			strange = true
			r.Unexpected++
		case cancelledAndFired:
			r.Unexpected++
		}
		// What repeats itself too often is only counted.
		const most = 20
		if len(r.Broken) < most {
			r.Broken = append(r.Broken, f.String())
		}
	}
	if tooEarly {
		r.Early++
	}
	if strange {
		return
	}
	r.Created++
	if a.cancelled {
		r.Cancelled++
	}
	if a.received > 0 {
		r.Fired++
	}
	if a.received > 1 && !a.cancelled {
		r.Duplicates++
	}
}

// String prints the report in one line, and the broken promises below it.
func (r Report) String() string {
	line := fmt.Sprintf("created %d, fired %d, cancelled %d, lost %d, early %d, duplicates %d, unexpected %d, lateness p50 %s p99 %s max %s",
		r.Created, r.Fired, r.Cancelled, r.Lost, r.Early, r.Duplicates, r.Unexpected, r.P50, r.P99, r.Max)
	return strings.Join(append([]string{line}, r.Broken...), "\n")
}
