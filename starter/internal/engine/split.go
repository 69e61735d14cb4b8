package engine

import (
	"sync"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/carillon-io/carillon"
)

// Size is an upper bound of what a timer adds to the binary form of CreateTimersInput, in bytes. It decides where
// requests and the batches of workflows are split, and repeated requests and replayed workflows rely on that: it must
// never change.
func Size(t *carillon.TimerSpec) int {
	const (
		perField = 6   // a tag and a length
		fixed    = 160 // the fields that are numbers, and the messages around
	)
	n := fixed + 4*perField + len(t.ClientID) + len(t.Name) + len(t.OnConflict)
	if t.Payload != nil {
		n += perField + proto.Size(t.Payload)
	}
	for k, v := range t.Labels {
		n += 3*perField + len(k) + len(v)
	}
	if s := t.Target.Signal; s != nil {
		n += 4*perField + len(s.Namespace) + len(s.WorkflowID) + len(s.RunID) + len(s.SignalName)
	}
	if s := t.Target.Start; s != nil {
		n += 4*perField + len(s.Namespace) + len(s.WorkflowID) + len(s.WorkflowType) + len(s.TaskQueue)
	}
	if w := t.Target.Webhook; w != nil {
		n += perField + len(w.URL)
		for k, v := range w.Headers {
			n += 3*perField + len(k) + len(v)
		}
	}
	return n
}

// RefSize is an upper bound of what a reference adds to the JSON of an operation. Like Size, it must never change.
func RefSize(r carillon.TimerRef) int {
	return len(`{"timer_id":"","client_id":"","name":""},`) + carillon.IDLength + jsonSize(r.ClientID) + jsonSize(r.Name)
}

// jsonSize counts what may be escaped as what it becomes then.
func jsonSize(s string) int {
	n := len(s)
	for _, c := range []byte(s) {
		switch {
		case c < 0x20, c == '"', c == '\\', c == '<', c == '>', c == '&', c >= 0x80:
			n += 5
		}
	}
	return n
}

// Range is a part of a slice: From up to, but not including, To.
type Range struct{ From, To int }

// Split cuts a slice of things of these sizes into parts of at most maxItems and maxBytes, by position. What is
// larger than maxBytes is a part of its own. Like Size, it must never change.
func Split(sizes []int, maxItems, maxBytes int) []Range {
	var parts []Range
	from, bytes := 0, 0
	for i, size := range sizes {
		if i > from && (i-from == maxItems || bytes+size > maxBytes) {
			parts = append(parts, Range{from, i})
			from, bytes = i, 0
		}
		bytes += size
	}
	if from < len(sizes) {
		parts = append(parts, Range{from, len(sizes)})
	}
	return parts
}

// parallel calls f for 0..n-1, as many at once as operations may be in flight, and gives the first error in that
// order. An error does not keep the others from being called.
func (e *Engine) parallel(n int, f func(i int) error) error {
	var mu sync.Mutex
	var first error
	place := n
	var group errgroup.Group
	group.SetLimit(e.options.MaxInFlight)
	for i := range n {
		group.Go(func() error {
			if err := f(i); err != nil {
				mu.Lock()
				defer mu.Unlock()
				if i < place {
					first, place = err, i
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return first
}
