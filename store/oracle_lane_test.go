package store_test

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/store"
)

// leaseOracle is the lease on a lane.
type leaseOracle struct {
	token   store.Token
	renewed int // tick: a lease that was renewed in a tick lapses before the next one
	leaving bool
	drains  map[store.Token]int // of holders that handed it over in good order: in which tick
}

// live says that somebody holds the lease, and that it has not lapsed.
func (l *leaseOracle) live(now int) bool { return l.token != "" && now <= l.renewed }

// take gives the lease to another owner. What a holder that leaves is delivering, it may still complete.
func (l *leaseOracle) take(token store.Token, now int) {
	if l.live(now) && l.leaving {
		l.drains[l.token] = now
	}
	maps.DeleteFunc(l.drains, func(_ store.Token, t int) bool { return t < now })
	l.token, l.renewed, l.leaving = token, now, false
}

// renew says whether the token is the lease's.
func (l *leaseOracle) renew(token store.Token, now int) bool {
	if token == "" || l.token != token {
		return false
	}
	l.renewed = now
	return true
}

func (l *leaseOracle) release(token store.Token, now int) {
	if l.token == token && token != "" {
		l.token = ""
		l.renewed = math.MinInt
		l.drains[token] = now
	}
}

func (l *leaseOracle) draining(token store.Token, now int) bool {
	t, found := l.drains[token]
	return found && now <= t
}

// read says which entries a lane gets: those of its own that lie behind what it knows, then new ones.
func (s *slotOracle) read(lane int, token store.Token, after string, limit int) []*entryOracle {
	s.leases[lane].renew(token, s.now)
	var out []*entryOracle
	for _, e := range s.queue {
		if len(out) < limit && e.token == token && earlierID(after, e.id) {
			out = append(out, e)
		}
	}
	for _, e := range s.queue {
		if len(out) < limit && e.token == "" {
			e.token = token
			out = append(out, e)
		}
	}
	return out
}

// earlierID compares ids of a stream.
func earlierID(a, b string) bool { return slices.Compare(parseID(a), parseID(b)) < 0 }

func parseID(id string) []uint64 {
	ms, sequence, _ := strings.Cut(id, "-")
	m, _ := strconv.ParseUint(ms, 10, 64)
	n, _ := strconv.ParseUint(sequence, 10, 64)
	return []uint64{m, n}
}

// orphans are the entries that earlier holders of a lane have left behind.
func (s *slotOracle) orphans(lane int, token store.Token) (out []*entryOracle) {
	for _, e := range s.queue {
		if e.token != token && strings.HasPrefix(string(e.token), strconv.Itoa(lane)+":") {
			out = append(out, e)
		}
	}
	return out
}

// claimCall is a claim as a lane asks for it.
type claimCall struct {
	entry    *entryOracle
	version  int64 // as it was fetched
	deadline int   // tick
}

// claimAnswer is what becomes of it.
type claimAnswer struct {
	status  store.ClaimStatus
	due     int64 // of what is held until its time
	retry   int   // of what its last holder is delivering: the tick at which to look again
	attempt int
	payload string
}

// claim claims entries for the holder of a lane.
func (s *slotOracle) claim(lane int, token store.Token, calls []claimCall) []claimAnswer {
	lease := s.leases[lane]
	lease.renew(token, s.now)
	out, told := make([]claimAnswer, len(calls)), ""
	room := map[string]int{}
	var stale []*entryOracle
	for i, call := range calls {
		t := s.stands(call.entry)
		switch {
		case t == nil:
			out[i].status = store.ClaimGone
			stale = append(stale, call.entry)
			continue
		case s.tickOf(t.due) > s.now:
			out[i] = claimAnswer{status: store.ClaimHold, due: t.due}
			continue
		case t.version != call.version:
			out[i].status = store.ClaimChanged
			continue
		}
		others := t.claim != nil && t.claim.token != token
		if others && t.claim.deadline > s.now && lease.draining(t.claim.token, s.now) {
			out[i] = claimAnswer{status: store.ClaimHold, retry: t.claim.deadline}
			continue
		}
		if t.claim == nil || others {
			t.attempts++
		}
		out[i] = claimAnswer{status: store.ClaimTaken, attempt: t.attempts, payload: t.payload}
		if t.mailbox {
			if _, known := room[t.client]; !known {
				room[t.client] = s.mailboxLimit - len(s.boxes[t.client])
			}
			if room[t.client] > 0 {
				room[t.client]--
				out[i].status = store.ClaimFired
				mail := mailOracle{t.unique(), t.incarnation}
				s.boxes[t.client] = append(s.boxes[t.client], mail)
				s.fired[mail] = true
				s.end(t, carillon.StateFired)
				stale = append(stale, call.entry)
				told += pack(t.unique())
				continue
			}
			out[i].status = store.ClaimFull
		}
		s.claimed(t, token, call.deadline)
	}
	for _, e := range stale {
		s.drop(e)
	}
	s.event("f", told)
	return out
}

// claimed takes down a claim. What another holder has claimed may still be under way.
func (s *slotOracle) claimed(t *timerOracle, token store.Token, deadline int) {
	if c := t.claim; c != nil && c.deadline > s.now {
		if c.token == token {
			deadline = max(deadline, c.deadline)
		} else {
			t.stray = max(t.stray, c.deadline)
		}
	}
	t.claim = &claimOracle{token, deadline}
}

// completion is what a lane says became of a delivery.
type completion struct {
	entry   *entryOracle
	version int64
	kind    store.CompletionKind
	retryAt int64
}

// complete says what became of deliveries. It is nil for somebody who may not say so.
func (s *slotOracle) complete(lane int, token store.Token, completions []completion) []bool {
	lease := s.leases[lane]
	if !lease.renew(token, s.now) && !lease.draining(token, s.now) {
		return nil
	}
	out := make([]bool, len(completions))
	told := map[store.CompletionKind]string{}
	var stale []*entryOracle
	for i, c := range completions {
		t := s.stands(c.entry)
		if t == nil {
			stale = append(stale, c.entry)
			continue
		}
		if t.claim == nil || t.claim.token != token || t.version != c.version {
			continue
		}
		out[i] = true
		stale = append(stale, c.entry)
		switch c.kind {
		case store.CompleteFired:
			s.end(t, carillon.StateFired)
			told['F'] += pack(t.unique())
		case store.CompleteDead:
			t.dead, t.claim = true, nil
			told['D'] += pack(t.unique())
		default:
			if c.kind == store.CompleteDefer {
				t.attempts = max(t.attempts-1, 0)
			}
			t.version, t.due, t.segment = s.next(), c.retryAt, s.open
			s.file(t, s.room(true))
			told['R'] += pack(t.unique()) + pack48(t.version) + pack48(t.due)
		}
	}
	for _, e := range stale {
		s.drop(e)
	}
	for _, kind := range []store.CompletionKind{'F', 'R', 'D'} {
		s.event(strings.ToLower(string(rune(kind))), told[kind])
	}
	return out
}
