package firing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/activities/target"
	"github.com/carillon-io/carillon/internal/fault"
	"github.com/carillon-io/carillon/internal/lease"
	"github.com/carillon-io/carillon/store"
)

// Options say what to fire, and how.
type Options struct {
	// Store and Lane are required.
	Store store.Store
	Lane  store.LaneID
	// Worker is the id of the worker, for those who look at leases. It must not hold a colon.
	Worker string
	// Deliverer delivers to every target but mailboxes. Required.
	Deliverer target.Deliverer
	// Concurrency is how many deliveries are under way at the most. 0: 64.
	Concurrency int
	// HandOver is how long a lane that is told to stop goes on firing while it waits for somebody to take over. 0: 1 s;
	// negative: it stops at once.
	HandOver time.Duration
	// Alone says that there is nobody to hand over to: the lane then stops at once. Nil: there may be somebody.
	Alone func() bool
	// Standby makes the lane wait until the lease has lapsed: it takes none from a holder that is leaving, who waits for the
	// one that the lane is meant for.
	Standby bool
	// Logger receives what goes wrong. Nil: none.
	Logger *slog.Logger
}

// Lane is one consumer of a slot's fire queue.
type Lane struct {
	o     Options
	task  carillon.Task
	clock *store.Clock

	mu     sync.Mutex
	status carillon.TaskStatus
}

// New makes a Lane. Run runs it.
func New(o Options) *Lane {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Concurrency <= 0 {
		o.Concurrency = 64
	}
	if o.HandOver == 0 {
		o.HandOver = 2 * lease.Poll
	}
	task := carillon.Task{Kind: carillon.TaskFire, Store: o.Store.Number(), Slot: o.Lane.Slot, Number: o.Lane.Lane}
	o.Logger = o.Logger.With("task", task.String())
	return &Lane{
		o: o, task: task, clock: o.Store.Clock(o.Lane.Slot), status: carillon.TaskStatus{Task: task, Worker: o.Worker},
	}
}

// Status says what the lane is doing.
func (l *Lane) Status() carillon.TaskStatus {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.status
}

func (l *Lane) update(f func(*carillon.TaskStatus)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(&l.status)
}

// failed takes note of what went wrong. Nothing is lost by it: it is tried again.
func (l *Lane) failed(err error) {
	l.o.Logger.Warn("firing", "error", err)
	now := l.clock.Now()
	l.update(func(st *carillon.TaskStatus) { st.LastError, st.LastErrorAt = err.Error(), now })
}

// Run waits for the lease on the lane and fires until ctx ends. Then it goes on until somebody takes over, or for
// Options.HandOver, finishes what is being delivered, and returns nil. It returns store.ErrLeaseLost when somebody else has
// taken the lease without having been asked to.
func (l *Lane) Run(ctx context.Context) error {
	for {
		token, err := lease.Acquire(ctx, l.clock, l.o.Worker, l.o.Standby, func(owner string) (store.Token, error) {
			if l.o.Standby {
				return l.o.Store.AcquireLapsedLane(ctx, l.o.Lane, owner)
			}
			return l.o.Store.AcquireLane(ctx, l.o.Lane, owner)
		}, l.failed)
		if ctx.Err() != nil {
			if err == nil {
				l.release(ctx, token)
			}
			return nil
		}
		if err != nil {
			return err
		}
		l.update(func(st *carillon.TaskStatus) {
			*st = carillon.TaskStatus{Task: l.task, Worker: l.o.Worker, Lease: string(token), Since: l.clock.Now()}
		})
		if err = fault.At(fault.LaneAcquired, nil); err == nil {
			err = l.serve(ctx, token)
		}
		l.update(func(st *carillon.TaskStatus) { st.Lease, st.Held = "", 0 })
		if !errors.Is(err, errAdopt) {
			return err
		}
		// An answer to adopt was lost, and with it entries that are now the token's own: another token adopts them.
		l.release(ctx, token)
	}
}

// errAdopt says that it is not known what has been adopted.
var errAdopt = errors.New("adopt")

func (l *Lane) release(ctx context.Context, token store.Token) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	err := l.o.Store.ReleaseLane(ctx, l.o.Lane, token)
	if err = fault.At(fault.LaneReleased, err); err != nil {
		l.o.Logger.Warn("the lease could not be handed back; it lapses by itself", "error", err)
	}
}

// serve fires under a lease. ctx tells it to stop in good order.
func (l *Lane) serve(ctx context.Context, token store.Token) error {
	work, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	s := &server{
		lane: l, token: token, work: work, lose: cancel, held: newInflight(), incoming: make(chan []store.Entry), quit: make(chan struct{}),
		delivered: make(chan outcome, l.o.Concurrency), freed: make(chan []outcome), free: l.o.Concurrency,
		lost: make(chan error, 1),
	}
	if err := s.adopt(work); err != nil {
		return err
	}
	var reading, completing sync.WaitGroup
	reading.Go(func() { s.read(work) })
	completing.Go(func() { s.complete(work) })

	err := s.loop(ctx, work)
	close(s.quit) // the reader stops: no entry is taken any more
	reading.Wait()
	if err == nil || errors.Is(err, errRelieved) {
		if err == nil {
			l.release(ctx, token)
		} else {
			_ = fault.At(fault.LaneRelieved, nil) // no answer can be lost here
		}
		// What is being delivered is completed under the old token.
		s.drain()
		err = nil
	} else {
		cancel(err) // somebody else delivers it all again: what is under way had better end
		s.drain()
	}
	close(s.delivered)
	completing.Wait()
	return err
}

// server is a lane while it holds the lease.
type server struct {
	lane  *Lane
	token store.Token
	work  context.Context         // of everything that is done under the lease
	lose  context.CancelCauseFunc // ends work: the lease is lost
	after string                  // the greatest entry id that the lane has got

	held      *inflight // owned by loop
	free      int       // deliveries that may begin; owned by loop
	count     int       // deliveries under way; owned by loop
	deliverer sync.WaitGroup

	incoming  chan []store.Entry
	quit      chan struct{}
	lost      chan error // what the reader says when the lease is lost
	delivered chan outcome
	freed     chan []outcome
}

// adopt takes over what earlier holders have left behind.
func (s *server) adopt(ctx context.Context) error {
	for more := true; more; {
		var entries []store.Entry
		var err error
		entries, more, err = s.lane.o.Store.Adopt(ctx, s.lane.o.Lane, s.token, store.MaxScriptTimers)
		if len(entries) > 0 {
			err = fault.At(fault.LaneAdopted, err)
		}
		if errors.Is(err, store.ErrLeaseLost) {
			return err
		}
		if err != nil {
			s.lane.failed(err)
			return errAdopt
		}
		for _, e := range entries {
			s.held.add(e)
			s.after = maxID(s.after, e.ID) // what is new lies behind it
		}
	}
	return nil
}

// readLimit is how many entries one read takes.
const readLimit = 1000

// read takes entries from the fire queue, ahead of their time, and renews the lease. While the map is full it only renews.
func (s *server) read(ctx context.Context) {
	l := s.lane
	o := l.o.Store.Options()
	limit := 2 * o.QueueLimit  // so that what is due never waits behind what is not
	pause := o.LaneTTL * 2 / 5 // two in a row may fail
	wait := lease.Backoff()
	news := s.watch(ctx)
	defer news.stop()
	for {
		select {
		case <-s.quit:
			return
		case <-ctx.Done():
			return
		default:
		}
		n := readLimit
		if int(l.heldNow()) >= limit {
			n = 0
		}
		entries, err := l.o.Store.Read(ctx, l.o.Lane, s.token, s.after, n)
		if len(entries) > 0 {
			err = fault.At(fault.LaneRead, err)
		} else {
			err = fault.At(fault.LaneRenewed, err)
		}
		if errors.Is(err, store.ErrLeaseLost) {
			s.lost <- err // whether it was expected, the loop knows
			return
		}
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			l.failed(err)
			s.sleep(ctx, wait.NextBackOff())
			continue
		}
		wait.Reset()
		if len(entries) > 0 {
			for _, e := range entries {
				s.after = maxID(s.after, e.ID)
			}
			select {
			case s.incoming <- entries:
			case <-s.quit:
				return
			case <-ctx.Done():
				return
			}
			continue
		}
		if n == 0 {
			s.sleep(ctx, pause/10)
			continue
		}
		if err := news.await(s.after, pause); err != nil {
			l.failed(err)
			s.sleep(ctx, wait.NextBackOff())
		}
	}
}

func (s *server) sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-s.quit:
	case <-ctx.Done():
	}
}

func (l *Lane) heldNow() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.status.Held
}

// errRelieved says that somebody has taken over from a lane that was leaving.
var errRelieved = errors.New("relieved")

const (
	// fetchAhead is how long before its time a record is fetched.
	fetchAhead = 500 // ms
	// claimBytes bounds the payloads of one claim: Redis serves nobody else meanwhile.
	claimBytes = 1 << 20
)

// loop owns the in-flight map. It ends with nil when the lane has been told to stop and nobody has taken over in time, with
// errRelieved when somebody has, and with store.ErrLeaseLost.
func (s *server) loop(stop, work context.Context) error {
	l := s.lane
	leaving := stop.Done()
	var handOver <-chan time.Time
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	always := make(chan struct{})
	close(always)
	var busy <-chan struct{} // there is more to do at once
	wait := lease.Backoff()
	for {
		err := s.step(work)
		if cause := context.Cause(work); cause != nil {
			err = cause
		}
		select {
		case err = <-s.lost:
		default:
		}
		switch {
		case errors.Is(err, store.ErrLeaseLost):
			if handOver != nil {
				return errRelieved
			}
			return fmt.Errorf("lane %s: %w", l.task, err)
		case err != nil:
			l.failed(err)
			busy = nil
			timer.Reset(wait.NextBackOff())
		default:
			wait.Reset()
			busy = nil
			if pause := s.pause(); pause > 0 {
				timer.Reset(pause)
			} else {
				busy = always
			}
		}
		s.report()
		select {
		case <-busy:
		case entries := <-s.incoming:
			for _, e := range entries {
				s.held.add(e)
			}
		case outcomes := <-s.freed:
			s.settle(outcomes)
		case err := <-s.lost:
			s.lost <- err // for the next round
		case <-timer.C:
		case <-work.Done():
		case <-leaving:
			leaving = nil
			if l.o.HandOver < 0 || l.o.Alone != nil && l.o.Alone() {
				return nil
			}
			err := l.o.Store.LeaveLane(work, l.o.Lane, s.token)
			if err = fault.At(fault.LaneLeaving, err); err != nil {
				if errors.Is(err, store.ErrLeaseLost) {
					return fmt.Errorf("lane %s: %w", l.task, err)
				}
				return nil // Redis is away: there is nothing to hand over
			}
			handOver = time.After(l.o.HandOver)
		case <-handOver:
			return nil
		}
	}
}

// pause is how long there is nothing to do.
func (s *server) pause() time.Duration {
	if len(s.held.ready) > 0 && s.free > 0 {
		return 0
	}
	now := s.lane.clock.NowMilli()
	const idle = 1000
	next := s.held.near.next(now + idle)
	if at := s.held.far.next(now+idle+fetchAhead) - fetchAhead; at < next {
		next = at
	}
	return s.lane.clock.Until(next)
}

// report keeps the status up to date.
func (s *server) report() {
	held := int64(len(s.held.held))
	var next time.Time
	if at := s.held.near.next(s.held.far.next(0)); at > 0 {
		next = time.UnixMilli(at).UTC()
	}
	s.lane.update(func(st *carillon.TaskStatus) { st.Held, st.NextDue = held, next })
}

// step does what has to be done now: it claims a batch of what is due, and fetches a batch of what is due soon.
func (s *server) step(ctx context.Context) error {
	now := s.lane.clock.NowMilli()
	if s.held.far.due(now) { // it came late, or is due at once
		if err := s.fetch(ctx, now); err != nil {
			return err
		}
	}
	batch := s.held.takeDue(now, store.MaxScriptTimers, s.free, claimBytes)
	if len(batch) > 0 {
		return s.claim(ctx, batch)
	}
	if s.held.far.due(now + fetchAhead) {
		return s.fetch(ctx, now+fetchAhead)
	}
	return nil
}

// fetch reads the records of entries that are due by the given time. What is gone or stale is dropped.
func (s *server) fetch(ctx context.Context, by int64) error {
	items := s.held.takeFar(by, store.MaxScriptTimers)
	entries := make([]store.Entry, len(items))
	for i, it := range items {
		entries[i] = it.entry
	}
	firings, err := s.lane.o.Store.Fetch(ctx, s.lane.o.Lane, entries)
	err = fault.At(fault.LaneFetched, err)
	if err != nil {
		for _, it := range items {
			s.held.far.add(it)
		}
		return err
	}
	var stale []store.Entry
	for i, it := range items {
		if firings[i] == nil {
			stale = append(stale, it.entry)
			continue
		}
		it.firing = firings[i]
		it.at = max(it.at, it.firing.Due) // it may have been put off meanwhile
		s.held.near.add(it)
	}
	if len(stale) == 0 {
		return nil
	}
	for _, e := range stale {
		// Should dropping fail, they are dropped when somebody reads them again.
		s.held.forget(e)
	}
	return fault.At(fault.LaneDropped, s.lane.o.Store.Drop(ctx, s.lane.o.Lane, s.token, stale))
}

// claim claims a batch and begins to deliver what was claimed.
func (s *server) claim(ctx context.Context, batch []*item) error {
	l := s.lane
	claims := make([]store.Claim, len(batch))
	for i, it := range batch {
		claims[i] = store.Claim{Entry: it.entry, Firing: it.firing, Timeout: s.attemptTime(it.firing)}
	}
	results, err := l.o.Store.Claim(ctx, l.o.Lane, s.token, claims)
	err = fault.At(fault.LaneClaimed, err)
	if err != nil {
		for _, it := range batch { // should it have happened all the same, the next claim is answered likewise
			s.held.near.add(it)
		}
		return err
	}
	var fired int64
	for i, r := range results {
		it := batch[i]
		switch r.Status {
		case store.ClaimFired:
			fired++
			s.held.forget(it.entry)
		case store.ClaimGone:
			s.held.forget(it.entry)
		case store.ClaimHold:
			it.at = r.Due
			s.held.near.add(it)
		case store.ClaimChanged:
			it.firing = nil
			s.held.far.add(it)
		case store.ClaimFull:
			s.begin(outcome{item: it, result: r, full: true})
		case store.ClaimTaken:
			s.begin(outcome{item: it, result: r})
		default:
			return fmt.Errorf("claim: status %q is unknown", r.Status)
		}
	}
	if fired > 0 {
		l.update(func(st *carillon.TaskStatus) { st.Fired += fired })
	}
	return nil
}

// settle takes back the places of deliveries that are completed.
func (s *server) settle(outcomes []outcome) {
	for _, o := range outcomes {
		s.held.forget(o.item.entry)
		s.free++
		s.count--
	}
}

// drain waits until everything that is being delivered is completed.
func (s *server) drain() {
	for s.count > 0 {
		s.settle(<-s.freed)
	}
	s.deliverer.Wait()
}

// maxID is the greater of two entry ids: <ms>-<sequence>.
func maxID(a, b string) string {
	am, as := splitID(a)
	bm, bs := splitID(b)
	if bm > am || bm == am && bs > as {
		return b
	}
	return a
}

func splitID(id string) (ms, seq uint64) {
	into := &ms
	for i := range len(id) {
		if id[i] == '-' {
			into = &seq
			continue
		}
		*into = *into*10 + uint64(id[i]-'0')
	}
	return ms, seq
}
