package store_test

import (
	"context"
	"slices"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/store"
	"github.com/carillon-io/carillon/store/storetest"
)

// What lanes do in the model test.

// laneRun is a holder of a lane, as it sees itself.
type laneRun struct {
	id    store.LaneID
	store *store.Redis
	token store.Token
	after string
	held  []*held
}

// held is an entry that a lane has read.
type held struct {
	entry  *entryOracle
	due    int64
	firing *store.Firing // as it was fetched, maybe long ago
	taken  bool          // it is being delivered
}

func (h *held) asEntry() store.Entry {
	return store.Entry{ID: h.entry.id, Unique: h.entry.unique, Ref: h.entry.ref, Due: h.due}
}

func (l *laneRun) forget(gone map[*held]bool) {
	l.held = slices.DeleteFunc(l.held, func(h *held) bool { return gone[h] })
}

func (m *model) leaseOf(l *laneRun) *leaseOracle { return m.slots[l.id.Slot].leases[l.id.Lane] }

// holder draws a lane that somebody holds. If nobody does, somebody takes it.
func (m *model) holder() *laneRun {
	i := rapid.IntRange(0, len(m.lanes)-1).Draw(m.T, "lane")
	if m.leaseOf(m.lanes[i]).token == "" {
		m.acquire(i)
	}
	return m.lanes[i]
}

// holding is a holder that holds entries.
func (m *model) holding() *laneRun {
	l := m.holder()
	if len(l.held) == 0 {
		m.Skip("the lane holds nothing")
	}
	return l
}

// acquire has another process take a lane, and adopt what earlier holders have left behind.
func (m *model) acquire(i int) {
	before := m.lanes[i]
	l := &laneRun{id: before.id, store: m.process()}
	owner := m.unused("owner")
	_, token := calls(m, m.network(), func() store.Token { return "" }, func(ctx context.Context) (store.Token, error) {
		return l.store.AcquireLane(ctx, l.id, owner)
	})
	l.token = token
	m.leaseOf(l).take(token, m.now)
	m.lanes[i] = l
	if before.token != "" {
		m.former = append(m.former, before)
		m.former = m.former[max(0, len(m.former)-4):]
	}
	m.adopt(l)
}

// adopt takes over what earlier holders have left behind. What an answer held that was lost comes with the first read, for the
// lane has not read yet.
func (m *model) adopt(l *laneRun) {
	s := m.slots[l.id.Slot]
	orphans := map[string]*entryOracle{}
	for _, e := range s.orphans(l.id.Lane, l.token) {
		orphans[e.id] = e
	}
	limit := rapid.SampledFrom([]int{1, 2, 100}).Draw(m.T, "limit")
	if m.network() == loses {
		_, _, err := l.store.Adopt(storetest.Lost(m.ctx()), l.id, l.token, limit)
		require.ErrorIs(m, err, storetest.ErrLost)
		require.NoError(m, l.store.ReleaseLane(m.ctx(), l.id, l.token)) // as a lane does: another token adopts them
		m.leaseOf(l).release(l.token, m.now)
		token, err := l.store.AcquireLane(m.ctx(), l.id, m.unused("owner"))
		require.NoError(m, err)
		m.leaseOf(l).take(token, m.now)
		l.token = token
	}
	for more := true; more; {
		var entries []store.Entry
		var err error
		entries, more, err = l.store.Adopt(m.ctx(), l.id, l.token, limit)
		require.NoError(m, err)
		require.LessOrEqual(m, len(entries), limit)
		for _, e := range entries {
			o := orphans[e.ID]
			require.NotNil(m, o, "entry %s is nobody's who held this lane", e.ID)
			require.Equal(m, o.unique, e.Unique)
			delete(orphans, e.ID)
			o.token = l.token
			l.held = append(l.held, &held{entry: o, due: e.Due})
			if earlierID(l.after, e.ID) {
				l.after = e.ID
			}
		}
	}
	require.Empty(m, orphans, "all is adopted, whatever its age")
}

// takeOver asks for a lane: who asks gets it if its lease has lapsed, or if its holder is leaving.
func (m *model) takeOver() {
	i := rapid.IntRange(0, len(m.lanes)-1).Draw(m.T, "lane")
	l := m.lanes[i]
	lease := m.leaseOf(l)
	if lease.live(m.now) && !lease.leaving {
		_, err := m.process().AcquireLane(m.ctx(), l.id, m.unused("owner"))
		require.ErrorIs(m, err, store.ErrLeaseHeld)
		return
	}
	m.acquire(i)
}

// leave has a holder say that it is about to go.
func (m *model) leave() {
	l := m.holder()
	calls(m, m.network(), func() bool {
		lease := m.leaseOf(l)
		lease.renew(l.token, m.now)
		lease.leaving = true
		return true
	}, func(ctx context.Context) (bool, error) { return true, l.store.LeaveLane(ctx, l.id, l.token) })
}

// release hands a lane back.
func (m *model) release() {
	l := m.holder()
	calls(m, m.network(), func() bool {
		m.leaseOf(l).release(l.token, m.now)
		return true
	}, func(ctx context.Context) (bool, error) { return true, l.store.ReleaseLane(ctx, l.id, l.token) })
}

// failover loses the lease of a lane, so that its epoch begins anew. Who held it finds its token refused.
func (m *model) failover() {
	l := m.holder()
	key := slotKey(m.processes[0], l.id.Slot, laneKey(l.id.Lane))
	require.NoError(m, m.redis.Del(m.ctx(), key).Err())
	m.slots[l.id.Slot].leases[l.id.Lane] = &leaseOracle{drains: map[store.Token]int{}}
}

// oldHolder is a lane that was frozen, cut off, or has handed its lease over, and goes on: nothing that it does counts, but
// for completing what it was delivering when it handed over.
func (m *model) oldHolder() {
	if len(m.former) == 0 {
		m.Skip("no holder has been replaced")
	}
	l := rapid.SampledFrom(m.former).Draw(m.T, "holder")
	if m.leaseOf(l).token == "" {
		m.Skip("nobody has replaced it")
	}
	refused := func(err error) { require.ErrorIs(m, err, store.ErrLeaseLost) }
	switch what := rapid.IntRange(0, 5).Draw(m.T, "what"); {
	case what == 0:
		_, err := l.store.Read(m.ctx(), l.id, l.token, l.after, 100)
		refused(err)
	case what == 1:
		_, _, err := l.store.Adopt(m.ctx(), l.id, l.token, 100)
		refused(err)
	case what == 2:
		refused(l.store.LeaveLane(m.ctx(), l.id, l.token))
	case len(l.held) == 0:
		require.NoError(m, l.store.ReleaseLane(m.ctx(), l.id, l.token), "too late to hand back")
	case what == 3:
		refused(l.store.Drop(m.ctx(), l.id, l.token, []store.Entry{l.held[0].asEntry()}))
	default:
		h := rapid.SampledFrom(l.held).Draw(m.T, "entry")
		if h.firing == nil {
			m.Skip("it has not been fetched")
		}
		if what == 4 {
			_, err := l.store.Claim(m.ctx(), l.id, l.token, []store.Claim{{Entry: h.asEntry(), Firing: h.firing, Timeout: tick}})
			refused(err)
			return
		}
		m.completeAs(l, []*held{h})
	}
}

func (m *model) read() {
	l := m.holder()
	limit := rapid.SampledFrom([]int{0, 1, 3, 100, 100}).Draw(m.T, "limit")
	want, got := calls(m, m.network(), func() []*entryOracle {
		return m.slots[l.id.Slot].read(l.id.Lane, l.token, l.after, limit)
	}, func(ctx context.Context) ([]store.Entry, error) {
		return l.store.Read(ctx, l.id, l.token, l.after, limit)
	})
	require.Len(m, got, len(want))
	for i, e := range got {
		require.Equal(m, []any{want[i].id, want[i].unique, want[i].ref}, []any{e.ID, e.Unique, e.Ref})
		l.held = append(l.held, &held{entry: want[i], due: e.Due})
		l.after = e.ID
	}
}

// fetch fetches all that a lane holds, and drops what is stale.
func (m *model) fetch() {
	l := m.holding()
	m.fetchAs(l, l.held)
}

func (m *model) fetchAs(l *laneRun, all []*held) {
	s := m.slots[l.id.Slot]
	entries := make([]store.Entry, len(all))
	for i, h := range all {
		entries[i] = h.asEntry()
	}
	firings, err := l.store.Fetch(m.ctx(), l.id, entries)
	require.NoError(m, err)
	gone := map[*held]bool{}
	var stale []store.Entry
	var dropped []*entryOracle
	for i, h := range all {
		t := s.stands(h.entry)
		if t == nil {
			require.Nil(m, firings[i])
			gone[h] = true
			stale, dropped = append(stale, entries[i]), append(dropped, h.entry)
			continue
		}
		f := firings[i]
		require.NotNil(m, f)
		require.Equal(m, []any{t.id, t.client, t.version, t.incarnation, t.due, t.attempts, t.mailbox},
			[]any{f.TimerID, f.ClientID, f.Version, f.Incarnation, f.Due, f.Attempts, f.Mailbox})
		if h.firing == nil { // a lane fetches once, and again if it is told that the timer has changed
			h.firing = f
		}
	}
	l.forget(gone)
	if len(stale) == 0 {
		return
	}
	calls(m, m.network(), func() bool {
		m.leaseOf(l).renew(l.token, m.now)
		for _, e := range dropped {
			s.drop(e)
		}
		return true
	}, func(ctx context.Context) (bool, error) { return true, l.store.Drop(ctx, l.id, l.token, stale) })
}

// claim claims some of what a lane has fetched, maybe once more.
func (m *model) claim() {
	l := m.holding()
	m.claimAs(l, l.held)
}

func (m *model) claimAs(l *laneRun, from []*held) {
	var chosen []*held
	for _, h := range from {
		if h.firing != nil && rapid.IntRange(0, 3).Draw(m.T, "claim") > 0 {
			chosen = append(chosen, h)
		}
	}
	if len(chosen) == 0 {
		m.Skip("nothing to claim")
	}
	claims, asked := make([]store.Claim, len(chosen)), make([]claimCall, len(chosen))
	for i, h := range chosen {
		ticks := rapid.SampledFrom([]int{1, 3}).Draw(m.T, "timeout")
		claims[i] = store.Claim{Entry: h.asEntry(), Firing: h.firing, Timeout: time.Duration(2*ticks+1) * tick / 2}
		asked[i] = claimCall{entry: h.entry, version: h.firing.Version, deadline: m.now + ticks + 1}
	}
	want, got := calls(m, m.network(), func() []claimAnswer {
		return m.slots[l.id.Slot].claim(l.id.Lane, l.token, asked)
	}, func(ctx context.Context) ([]store.ClaimResult, error) {
		return l.store.Claim(ctx, l.id, l.token, claims)
	})
	gone := map[*held]bool{}
	for i, h := range chosen {
		m.compareClaim(want[i], got[i])
		switch got[i].Status {
		case store.ClaimGone, store.ClaimFired:
			gone[h] = true
		case store.ClaimChanged:
			h.firing, h.taken = nil, false
		case store.ClaimTaken, store.ClaimFull:
			h.taken = true
		case store.ClaimHold:
		}
	}
	l.forget(gone)
}

func (m *model) compareClaim(want claimAnswer, got store.ClaimResult) {
	require.Equal(m, want.status, got.Status, "%c, not %c", got.Status, want.status)
	switch got.Status {
	case store.ClaimHold:
		if want.due != 0 {
			require.Equal(m, want.due, got.Due)
		} else {
			require.Equal(m, want.retry, m.tickOf(got.Due), "when the last holder's attempt has timed out")
		}
	case store.ClaimFull:
		require.Equal(m, want.attempt, got.Attempt)
	case store.ClaimTaken:
		require.Equal(m, want.attempt, got.Attempt)
		p, err := carillon.UnmarshalPayload(got.Payload)
		require.NoError(m, err)
		require.Equal(m, want.payload, string(p.GetData()))
	case store.ClaimGone, store.ClaimChanged, store.ClaimFired:
	}
}

// work is what a lane does all the time: it reads, fetches and claims.
func (m *model) work() {
	l := m.holder()
	want := m.slots[l.id.Slot].read(l.id.Lane, l.token, l.after, 100)
	got, err := l.store.Read(m.ctx(), l.id, l.token, l.after, 100)
	require.NoError(m, err)
	require.Len(m, got, len(want))
	for i, e := range got {
		l.held, l.after = append(l.held, &held{entry: want[i], due: e.Due}), e.ID
	}
	if len(l.held) == 0 {
		m.Skip("the lane holds nothing")
	}
	m.fetchAs(l, slices.DeleteFunc(slices.Clone(l.held), func(h *held) bool { return h.firing != nil }))
	m.claimAs(l, slices.DeleteFunc(slices.Clone(l.held), func(h *held) bool { return h.taken }))
}

// complete completes some of what a lane has claimed, and some of what it has not.
func (m *model) complete() {
	l := m.holding()
	var chosen []*held
	for _, h := range l.held {
		if h.firing != nil && rapid.Bool().Draw(m.T, "complete") {
			chosen = append(chosen, h)
		}
	}
	if len(chosen) == 0 {
		m.Skip("nothing to complete")
	}
	m.completeAs(l, chosen)
}

func (m *model) completeAs(l *laneRun, chosen []*held) {
	s := m.slots[l.id.Slot]
	var completions []store.Completion
	var said []completion
	for _, h := range chosen {
		kind := rapid.SampledFrom([]store.CompletionKind{
			store.CompleteFired, store.CompleteRetry, store.CompleteDefer, store.CompleteDead,
		}).Draw(m.T, "kind")
		at := m.at(m.drawDue()).UnixMilli()
		completions = append(completions, store.Completion{
			Entry: h.asEntry(), Firing: h.firing, Kind: kind, RetryAt: at, Error: "failed",
		})
		said = append(said, completion{entry: h.entry, version: h.firing.Version, kind: kind, retryAt: at})
	}
	lease := m.leaseOf(l)
	if lease.token != l.token && !lease.draining(l.token, m.now) {
		_, err := l.store.Complete(m.ctx(), l.id, l.token, completions)
		require.ErrorIs(m, err, store.ErrLeaseLost)
		return
	}
	n := m.network()
	if n == loses { // an answer that another segment is open would be lost too, and nothing would have been written
		_, err := l.store.Segments(m.ctx())
		require.NoError(m, err)
	}
	want, got := calls(m, n, func() []bool { return s.complete(l.id.Lane, l.token, said) },
		func(ctx context.Context) ([]bool, error) { return l.store.Complete(ctx, l.id, l.token, completions) })
	require.Equal(m, want, got)
	gone := map[*held]bool{}
	for _, h := range chosen {
		gone[h] = s.stands(h.entry) == nil
	}
	l.forget(gone)
}

// readMail has a client read its mailbox and acknowledge it, so that there is room again.
func (m *model) readMail() {
	client := rapid.SampledFrom(modelClients).Draw(m.T, "client")
	box, err := m.process().Mailbox(m.ctx(), client, modelMailbox)
	require.NoError(m, err)
	messages, err := box.Resume(m.ctx(), "c", 100) // what an acknowledgement that was lost has left
	require.NoError(m, err)
	fresh, err := box.Read(m.ctx(), "c", 100, 0)
	require.NoError(m, err)
	messages = append(messages, fresh...)
	perSlot := map[int][]mailOracle{}
	for _, message := range messages {
		perSlot[message.Slot] = append(perSlot[message.Slot], mailOracle{message.Timer.TimerID.Unique(), message.Incarnation})
	}
	for _, s := range m.slots {
		require.Equal(m, s.boxes[client], perSlot[s.number])
		delete(s.boxes, client)
	}
	require.NoError(m, box.Ack(m.ctx(), messages...))
}
