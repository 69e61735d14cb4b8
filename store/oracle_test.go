package store_test

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/store"
)

// The oracle: what a store should do, in plain memory. It knows nothing of scripts, headers and keys: only what a timer is, what
// may become of it, and who may say so.
//
// Time goes in ticks of 1000 s. Timers are due when a tick begins, and calls are made in the middle of one, so that the
// seconds that a test takes do not matter. Attempts time out between ticks.
const (
	tick       = 1000 * time.Second
	tickMillis = int64(tick / time.Millisecond)
	lookAhead  = 2 // ticks
)

// oracle is a group: what is the same for all its slots, and its slots.
type oracle struct {
	base         time.Time // when tick 0 begins
	now          int       // tick
	queueLimit   int
	mailboxLimit int
	slots        []*slotOracle
}

// at is when a tick begins.
func (o *oracle) at(n int) time.Time { return o.base.Add(time.Duration(n) * tick) }

// tickOf is the tick that a time lies in. Two times of one tick are told apart where it matters only.
func (o *oracle) tickOf(ms int64) int {
	const long = 1_000_000 // ticks, so that the division rounds down
	return int((ms-o.base.UnixMilli()+long*tickMillis)/tickMillis) - long
}

// timerOracle is a timer that has a record: one that is pending, due, being fired, or dead.
type timerOracle struct {
	id          carillon.ID
	client      string
	name        string
	mailbox     bool
	content     string // what the client chose when it created the timer
	payload     string
	due         int64 // ms
	version     int64
	incarnation int64
	ref         uint32 // of its entry
	segment     int
	attempts    int
	dead        bool
	indexed     bool // its entry lies in the index, else in the fire queue
	claim       *claimOracle
	stray       int // the first tick at which no delivery of a holder that was replaced can arrive any more
}

// claimOracle is a claim on a timer.
type claimOracle struct {
	token    store.Token
	deadline int // the first tick at which it does not stand any more
}

func (t *timerOracle) unique() carillon.Unique { return t.id.Unique() }

// entryOracle is an entry of the fire queue.
type entryOracle struct {
	id     string // as Redis has named it; it is learnt when the queue is looked at
	unique carillon.Unique
	ref    uint32
	token  store.Token // of the consumer who has read it; empty: nobody has
}

// mailOracle is a message in a mailbox.
type mailOracle struct {
	unique      carillon.Unique
	incarnation int64
}

// doneOracle is what became of a timer.
type doneOracle struct {
	state carillon.State
	tick  int
}

// slotOracle is what a slot keeps.
type slotOracle struct {
	*oracle

	number  int
	version int64
	timers  map[carillon.Unique]*timerOracle
	queue   []*entryOracle
	boxes   map[string][]mailOracle // by client
	fired   map[mailOracle]bool     // what has ever been put into a mailbox
	done    map[carillon.Unique]doneOracle
	leases  map[int]*leaseOracle // of lanes
	open    int
	sealed  []int
	events  []string

	created, firedCount, cancelled int64
}

func newSlotOracle(o *oracle, number, lanes int) *slotOracle {
	s := &slotOracle{
		oracle: o, number: number, timers: map[carillon.Unique]*timerOracle{}, boxes: map[string][]mailOracle{},
		fired: map[mailOracle]bool{}, done: map[carillon.Unique]doneOracle{}, leases: map[int]*leaseOracle{},
	}
	for n := range lanes {
		s.leases[n] = &leaseOracle{drains: map[store.Token]int{}}
	}
	return s
}

// state is what a timer is doing.
func (t *timerOracle) state() carillon.State {
	switch {
	case t.dead:
		return carillon.StateDead
	case t.claim != nil:
		return carillon.StateFiring
	case t.indexed:
		return carillon.StatePending
	default:
		return carillon.StateDue
	}
}

// tooLate says that a delivery is under way, or may still arrive.
func (s *slotOracle) tooLate(t *timerOracle) bool {
	return t.claim != nil && t.claim.deadline > s.now || t.stray > s.now
}

// urgent is what the second half of the queue is kept for.
func (s *slotOracle) urgent(t *timerOracle) bool { return s.tickOf(t.due) <= s.now }

// room is how many entries the queue takes. The second half of it is kept for what is urgent.
func (s *slotOracle) room(urgent bool) int {
	free := s.queueLimit - len(s.queue)
	if !urgent {
		free -= s.queueLimit / 2
	}
	return free
}

// file puts a timer's new entry where it belongs.
func (s *slotOracle) file(t *timerOracle, room int) {
	t.ref, t.claim = uint32(t.version&0xffffff), nil
	t.indexed = s.tickOf(t.due) > s.now+lookAhead || room <= 0
	if !t.indexed {
		s.queue = append(s.queue, &entryOracle{unique: t.unique(), ref: t.ref})
	}
}

// next draws a version.
func (s *slotOracle) next() int64 {
	s.version++
	return s.version
}

// stands is the timer that an entry stands for, or nil if it is stale.
func (s *slotOracle) stands(e *entryOracle) *timerOracle {
	t := s.timers[e.unique]
	if t == nil || t.dead || t.ref != e.ref {
		return nil
	}
	return t
}

// drop removes an entry from the queue.
func (s *slotOracle) drop(e *entryOracle) {
	s.queue = slices.DeleteFunc(s.queue, func(other *entryOracle) bool { return other == e })
}

// end removes a timer for good.
func (s *slotOracle) end(t *timerOracle, state carillon.State) {
	delete(s.timers, t.unique())
	s.done[t.unique()] = doneOracle{state, s.now}
	if state == carillon.StateFired {
		s.firedCount++
	} else {
		s.cancelled++
	}
}

// event takes down what a script call tells of.
func (s *slotOracle) event(kind, told string) {
	if told != "" {
		s.events = append(s.events, kind+told)
	}
}

func pack48(n int64) string {
	return string([]byte{byte(n >> 40), byte(n >> 32), byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}

func pack(unique carillon.Unique) string { return string(unique[:]) }

// create stores new timers, all of them in one call. A dead timer does not hold its name.
func (s *slotOracle) create(timers []*timerOracle) {
	told := ""
	for _, t := range timers {
		if old := s.timers[t.unique()]; old != nil {
			s.cancelled++
		}
		t.version = s.next()
		t.incarnation, t.segment = t.version, s.open
		if told == "" {
			told = pack48(t.version)
		}
		told += pack(t.unique()) + pack48(t.due)
		s.timers[t.unique()] = t
		s.created++
		s.file(t, s.room(s.urgent(t)))
	}
	s.event("c", told)
}

// cancel cancels timers, and says which error each of them meets.
func (s *slotOracle) cancel(ids []carillon.ID) []carillon.ErrorType {
	out, told := make([]carillon.ErrorType, len(ids)), ""
	for i, id := range ids {
		switch t := s.timers[id.Unique()]; {
		case t == nil:
			out[i] = carillon.TypeNotFound
		case s.tooLate(t):
			out[i] = carillon.TypeTooLate
		default:
			s.end(t, carillon.StateCancelled)
			told += pack(t.unique())
		}
	}
	s.event("x", told)
	return out
}

// move is what a reschedule, a redrive or a replace asks for.
type move struct {
	due      int64
	expected int64 // version; 0: any
	dead     bool  // it has to be dead
	anew     bool
	with     func(*timerOracle) // what else changes; nil: nothing
	replaces bool               // the content
}

// move gives a timer another time, and says which error it meets.
func (s *slotOracle) move(id carillon.ID, m move) carillon.ErrorType {
	t := s.timers[id.Unique()]
	switch {
	case t == nil || t.dead != m.dead:
		return carillon.TypeNotFound
	case m.expected != 0 && m.expected != t.version:
		return carillon.TypeConflict
	case s.tooLate(t):
		return carillon.TypeTooLate
	}
	before := t.due
	t.version, t.due, t.segment = s.next(), m.due, s.open
	if m.anew || t.attempts > 0 {
		t.incarnation, t.attempts = t.version, 0
	}
	if m.with != nil {
		m.with(t)
	}
	if m.replaces {
		t.stray = 0
	}
	// What is looked at early enough keeps its entry: it is put off at its claim.
	keeps := !t.dead && !t.indexed && t.claim == nil && s.tickOf(t.due) <= s.now+lookAhead && t.due >= before
	t.dead, t.claim = false, nil
	if !keeps {
		s.file(t, s.room(true))
	}
	s.event("r", pack(t.unique())+pack48(t.version)+pack48(t.due))
	return ""
}

// sweep moves what is due within the look-ahead to the queue, the earliest first, and says how many.
func (s *slotOracle) sweep(segment int) (moved int, full bool) {
	var due []*timerOracle
	for _, t := range s.timers {
		if t.indexed && !t.dead && t.segment == segment && s.tickOf(t.due) <= s.now+lookAhead {
			due = append(due, t)
		}
	}
	slices.SortFunc(due, func(a, b *timerOracle) int {
		au, bu := a.unique(), b.unique()
		return cmp.Or(cmp.Compare(a.due, b.due), slices.Compare(au[:], bu[:]), cmp.Compare(a.ref, b.ref))
	})
	for _, t := range due {
		if s.room(s.urgent(t)) <= 0 {
			return moved, true
		}
		t.indexed = false
		s.queue = append(s.queue, &entryOracle{unique: t.unique(), ref: t.ref})
		moved++
	}
	return moved, false
}

// nextDue is when the earliest entry of a segment is due; 0: it is empty.
func (s *slotOracle) nextDue(segment int) (due int64) {
	for _, t := range s.timers {
		if t.indexed && t.segment == segment && (due == 0 || t.due < due) {
			due = t.due
		}
	}
	return due
}

// count is what the slot counts.
func (s *slotOracle) count() (out carillon.CountTimersResult, clients map[string]int64) {
	clients = map[string]int64{}
	out.Created, out.Fired, out.Cancelled = s.created, s.firedCount, s.cancelled
	for _, t := range s.timers {
		if t.dead {
			out.Dead++
			continue
		}
		out.Pending++
		clients[t.client]++
	}
	return out, clients
}

func (t *timerOracle) String() string {
	return fmt.Sprintf("%s version %d due %d %s", t.id, t.version, t.due, t.state())
}
