package commit

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"
)

// ErrClosed is the answer to calls that come after Close.
var ErrClosed = errors.New("closed")

// LeftError says that a caller's context ended before its answer came.
type LeftError struct {
	// Sent says that the item was in an operation already: it may have been carried out. If not, it never will be.
	Sent  bool
	cause error
}

// Error implements error.
func (e *LeftError) Error() string {
	if e.Sent {
		return fmt.Sprintf("%v before the answer came", e.cause)
	}
	return fmt.Sprintf("%v before it was sent", e.cause)
}

// Unwrap gives the error of the caller's context.
func (e *LeftError) Unwrap() error { return e.cause }

// Options bound the operations of a Committer. All but Linger are required.
type Options struct {
	// MaxItems is how many items one operation takes.
	MaxItems int
	// MaxBytes is how large the items of one operation may be together, by the sizes that the callers say. An item that
	// is larger goes alone.
	MaxBytes int
	// MaxInFlight is how many operations may be under way at once. A second one begins only when a whole one is
	// waiting.
	MaxInFlight int
	// Linger is how long an operation that is not full waits for more items. 0: not at all.
	Linger time.Duration
}

// Func carries out one operation: it gives one answer per item, in order, or one error for all. It must not keep the
// slice.
type Func[T, R any] func(items []T) ([]R, error)

// Committer groups calls. Its methods may be called from many goroutines at once.
type Committer[T, R any] struct {
	options Options
	commit  Func[T, R]

	mu sync.Mutex
	// The calls that wait for an operation to take them: a list, since a caller that leaves goes out of its middle.
	head, tail *call[T, R]
	items      int
	bytes      int
	// inFlight operators are running; starting of them have not taken their items yet.
	inFlight  int
	starting  int
	lingering int
	closed    bool
	idle      sync.Cond // no operator is running

	full    chan struct{} // ends a linger: a whole operation is waiting
	closing chan struct{} // ends all of them

	calls   sync.Pool
	batches sync.Pool
}

// call is one item with its caller.
type call[T, R any] struct {
	item       T
	size       int
	prev, next *call[T, R]
	queued     bool

	result R
	err    error
	done   chan struct{} // has room for the one token that says that result and err are set
}

// batch is what one operator works with; it is used again, so that an operation allocates nothing per item.
type batch[T, R any] struct {
	items []T
	calls []*call[T, R]
}

// New makes a Committer.
func New[T, R any](options Options, commit Func[T, R]) *Committer[T, R] {
	c := &Committer[T, R]{
		options: options, commit: commit, full: make(chan struct{}, 1), closing: make(chan struct{}),
	}
	c.idle.L = &c.mu
	c.calls.New = func() any { return &call[T, R]{done: make(chan struct{}, 1)} }
	c.batches.New = func() any { return &batch[T, R]{} }
	return c
}

// Do has the item carried out together with those of other callers, and gives its own answer. size is the item's
// share of Options.MaxBytes. If the context ends first, the error is a *LeftError: the others are not harmed.
func (c *Committer[T, R]) Do(ctx context.Context, item T, size int) (R, error) {
	var none R
	if err := ctx.Err(); err != nil {
		return none, &LeftError{cause: err}
	}
	k := c.newCall(item, size)
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		c.free(k)
		return none, ErrClosed
	}
	c.push(k)
	c.start()
	c.mu.Unlock()
	return c.wait(ctx, k)
}

// DoAll is Do for n items, with a bounded number of them under way: item gives the i-th with its size, and answer
// receives the answers in order. Both are called from the caller's goroutine.
func (c *Committer[T, R]) DoAll(
	ctx context.Context, n int, item func(i int) (T, int), answer func(i int, result R, err error),
) {
	// Enough to keep every operator busy, and a whole operation waiting behind them.
	window := min(n, c.options.MaxItems*(c.options.MaxInFlight+1))
	ring := make([]*call[T, R], window)
	sent := 0
	var refused error
	for answered := range n {
		if room := min(window-(sent-answered), n-sent); room > 0 && (sent == answered || room >= c.options.MaxItems) {
			if refused = c.submit(ctx, ring, sent, room, item); refused == nil {
				sent += room
			}
		}
		if sent == answered {
			var none R
			answer(answered, none, refused)
			sent++
			continue
		}
		result, err := c.wait(ctx, ring[answered%window])
		answer(answered, result, err)
	}
}

// submit queues items from..from+n, all at once, so that the first does not go alone; or none, and says why.
func (c *Committer[T, R]) submit(
	ctx context.Context, ring []*call[T, R], from, n int, item func(i int) (T, int),
) error {
	if err := ctx.Err(); err != nil {
		return &LeftError{cause: err}
	}
	for i := from; i < from+n; i++ {
		ring[i%len(ring)] = c.newCall(item(i))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrClosed
	}
	for i := from; i < from+n; i++ {
		c.push(ring[i%len(ring)])
	}
	c.start()
	return nil
}

// Close waits until every call has its answer. Calls that come later are answered with ErrClosed.
func (c *Committer[T, R]) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.closed = true
		close(c.closing)
	}
	for c.inFlight > 0 {
		c.idle.Wait()
	}
}

func (c *Committer[T, R]) newCall(item T, size int) *call[T, R] {
	k := c.calls.Get().(*call[T, R])
	k.item, k.size = item, size
	return k
}

// free lets a call be used again. Nobody else may know it any more.
func (c *Committer[T, R]) free(k *call[T, R]) {
	var item T
	var result R
	k.item, k.result, k.err = item, result, nil
	c.calls.Put(k)
}

// wait gives the answer to a call that is queued.
func (c *Committer[T, R]) wait(ctx context.Context, k *call[T, R]) (R, error) {
	select {
	case <-k.done:
	case <-ctx.Done():
		var none R
		c.mu.Lock()
		queued := k.queued
		if queued {
			c.remove(k)
		}
		c.mu.Unlock()
		if queued {
			c.free(k)
			return none, &LeftError{cause: ctx.Err()}
		}
		select {
		case <-k.done: // the answer came at the same time
		default:
			// The operator still knows the call: it is left to the garbage collector.
			return none, &LeftError{Sent: true, cause: ctx.Err()}
		}
	}
	result, err := k.result, k.err
	c.free(k)
	return result, err
}

// push appends a call to the queue. The lock is held.
func (c *Committer[T, R]) push(k *call[T, R]) {
	k.queued, k.prev, k.next = true, c.tail, nil
	if c.tail == nil {
		c.head = k
	} else {
		c.tail.next = k
	}
	c.tail = k
	c.items++
	c.bytes += k.size
}

// remove takes a call out of the queue. The lock is held.
func (c *Committer[T, R]) remove(k *call[T, R]) {
	if k.prev == nil {
		c.head = k.next
	} else {
		k.prev.next = k.next
	}
	if k.next == nil {
		c.tail = k.prev
	} else {
		k.next.prev = k.prev
	}
	k.queued, k.prev, k.next = false, nil, nil
	c.items--
	c.bytes -= k.size
}

// waiting says whether enough is queued for n whole operations. The lock is held.
func (c *Committer[T, R]) waiting(n int) bool {
	return c.items >= n*c.options.MaxItems || c.bytes >= n*c.options.MaxBytes
}

// start starts as many operators as the queue calls for. The lock is held.
func (c *Committer[T, R]) start() {
	for c.items > 0 && (c.inFlight == 0 || c.inFlight < c.options.MaxInFlight && c.waiting(c.starting+1)) {
		c.inFlight++
		c.starting++
		go c.operate()
	}
	if c.lingering > 0 && c.waiting(1) {
		select {
		case c.full <- struct{}{}:
		default:
		}
	}
}

// operate carries out one operation after the other, as long as there is something to do. It has been counted in
// inFlight and in starting.
func (c *Committer[T, R]) operate() {
	b := c.batches.Get().(*batch[T, R])
	defer c.batches.Put(b)
	for {
		c.linger()
		c.take(b)
		if len(b.calls) > 0 {
			results, err := c.commit(b.items)
			c.deliver(b, results, err)
			c.gather()
		}
		if !c.again() {
			return
		}
	}
}

// again decides whether an operator goes on. While others are running, it does so for a whole operation only: what is
// less can wait for the next of them, and grow.
func (c *Committer[T, R]) again() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.items == 0 || c.inFlight > 1 && !c.waiting(c.starting+1) {
		c.inFlight--
		if c.inFlight == 0 {
			c.idle.Broadcast()
		}
		return false
	}
	c.starting++
	return true
}

// linger waits for more items, if it is asked to.
func (c *Committer[T, R]) linger() {
	if c.options.Linger <= 0 {
		return
	}
	c.mu.Lock()
	enough := c.waiting(c.starting)
	if !enough {
		c.lingering++
		select { // what came too late for the linger before is not for this one
		case <-c.full:
		default:
		}
	}
	c.mu.Unlock()
	if enough {
		return
	}
	timer := time.NewTimer(c.options.Linger)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.full:
	case <-c.closing:
	}
	c.mu.Lock()
	c.lingering--
	c.mu.Unlock()
}

// take moves the oldest items from the queue into the batch: as many as one operation may have.
func (c *Committer[T, R]) take(b *batch[T, R]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.starting--
	for bytes := 0; c.head != nil && len(b.calls) < c.options.MaxItems; {
		k := c.head
		bytes += k.size
		if len(b.calls) > 0 && bytes > c.options.MaxBytes {
			break
		}
		c.remove(k)
		b.calls = append(b.calls, k)
		b.items = append(b.items, k.item)
	}
}

// deliver answers the callers of a batch, and empties it.
func (c *Committer[T, R]) deliver(b *batch[T, R], results []R, err error) {
	if err == nil && len(results) != len(b.calls) {
		err = fmt.Errorf("%d answers came for %d items", len(results), len(b.calls))
	}
	for i, k := range b.calls {
		if err != nil {
			k.err = err
		} else {
			k.result = results[i]
		}
		k.done <- struct{}{}
	}
	clear(b.items)
	clear(b.calls)
	b.items, b.calls = b.items[:0], b.calls[:0]
}

// gather lets the callers run that have just been answered, since many call again at once: without it, the next
// operation would take the first of them alone, and the others would have to wait for the one after that.
func (c *Committer[T, R]) gather() {
	for before := c.length(); before < c.options.MaxItems; {
		runtime.Gosched()
		now := c.length()
		if now <= before {
			return
		}
		before = now
	}
}

func (c *Committer[T, R]) length() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.items
}
