package firing

import (
	"container/heap"

	"github.com/carillon-io/carillon/store"
)

// item is an entry that a lane holds.
type item struct {
	entry  store.Entry
	at     int64         // when to look at it, in milliseconds of the store's clock
	firing *store.Firing // nil: not fetched yet
}

// itemHeap holds items, the earliest on top.
type itemHeap []*item

func (h itemHeap) Len() int           { return len(h) }
func (h itemHeap) Less(i, j int) bool { return h[i].at < h[j].at }
func (h itemHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface; add is what to call.
func (h *itemHeap) Push(x any) { *h = append(*h, x.(*item)) } //nolint:forcetypeassert // heap.Push gives what add gave it

// Pop implements heap.Interface; take is what to call.
func (h *itemHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return x
}

func (h *itemHeap) add(i *item) { heap.Push(h, i) }

func (h *itemHeap) take() *item { return heap.Pop(h).(*item) } //nolint:forcetypeassert // only items are in it

// due says whether the top has to be looked at by the given time.
func (h itemHeap) due(by int64) bool { return len(h) > 0 && h[0].at <= by }

// next is when the top has to be looked at, or the given time if there is none before it.
func (h itemHeap) next(otherwise int64) int64 {
	if len(h) == 0 {
		return otherwise
	}
	return min(h[0].at, otherwise)
}

// inflight is a lane's in-flight map: all the entries that it holds, each in one of three places.
type inflight struct {
	held map[string]bool // by entry id: an entry that is read once more is known
	// far are not fetched yet, near are; ready are due and wait for a free delivery.
	far, near itemHeap
	ready     []*item
}

func newInflight() *inflight { return &inflight{held: map[string]bool{}} }

// add takes an entry up unless it is held already.
func (m *inflight) add(e store.Entry) {
	if m.held[e.ID] {
		return
	}
	m.held[e.ID] = true
	m.far.add(&item{entry: e, at: e.Due})
}

// forget drops an entry: it has been worked off.
func (m *inflight) forget(e store.Entry) { delete(m.held, e.ID) }

// takeFar takes up to n entries that are due by the given time and not fetched yet.
func (m *inflight) takeFar(by int64, n int) []*item {
	var out []*item
	for len(out) < n && m.far.due(by) {
		out = append(out, m.far.take())
	}
	return out
}

// takeDue takes what can be claimed now, up to n entries and so many bytes of payload: timers that go to a mailbox, and as many
// others as there are free deliveries. Those that find none free wait in ready, where they are out of the others' way.
func (m *inflight) takeDue(by int64, n, free int, bytes int) []*item {
	var out []*item
	for len(out) < n && free > 0 && len(m.ready) > 0 && bytes > 0 {
		i := m.ready[0]
		m.ready[0] = nil
		m.ready = m.ready[1:]
		free--
		bytes -= i.firing.PayloadSize
		out = append(out, i)
	}
	for len(out) < n && m.near.due(by) && bytes > 0 {
		i := m.near.take()
		if !i.firing.Mailbox {
			if free == 0 {
				m.ready = append(m.ready, i)
				continue
			}
			free--
		}
		bytes -= i.firing.PayloadSize
		out = append(out, i)
	}
	return out
}
