package store_test

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"pgregory.net/rapid"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/store"
	"github.com/carillon-io/carillon/store/redistest"
	"github.com/carillon-io/carillon/store/storetest"
)

// The model: what a store of one slot should do, in plain memory, against what it does, for random sequences of calls.
//
// Time goes in ticks of 1000 s. Timers are due when a tick begins, and calls are made in the middle of one, so that the
// seconds that a test takes do not matter. Attempts time out between ticks.
const (
	tick          = 1000 * time.Second
	lookAhead     = 2 // ticks
	claimTicks    = 3
	modelTimeout  = claimTicks*tick + tick/2
	modelClient   = "client"
	modelMailbox  = "g"
	maxModelBatch = 4
)

// timer is what the model knows of one timer.
type timer struct {
	id          carillon.ID
	unique      carillon.Unique
	name        string
	mailbox     bool
	content     string // what the client chose when it created the timer
	payload     string
	state       carillon.State
	due         int // tick
	version     int64
	incarnation int64
	ref         uint32 // of its entry
	attempts    int
	segment     int
	claimant    store.Token
	deadline    int // the first tick at which the claim does not stand any more
	doneAt      int // tick
}

func (m *timer) alive() bool { return !m.state.Done() }

// held is an entry that the lane has read.
type held struct {
	entry  store.Entry
	firing *store.Firing // as it was fetched, maybe long ago
	taken  bool          // it was claimed with that
}

type filed struct {
	unique carillon.Unique
	ref    uint32
}

type model struct {
	*rapid.T

	store  *store.Redis
	redis  redis.UniversalClient
	base   time.Time
	now    int // tick
	timers map[carillon.ID]*timer
	ids    []carillon.ID // all there have been, in the order of creation
	queue  []filed       // entries that nobody has read
	lane   []*held
	token  store.Token
	after  string
	open   int
	sealed map[int]bool
	mails  map[string]bool // keys of what has been fired into the mailbox
	counts carillon.CountTimersResult
}

func newModel(t *rapid.T, client redis.UniversalClient) *model {
	s, err := store.Open(context.Background(), client, store.Options{
		Group: storetest.GroupPrefix + rand.Text(), Slots: 1, AllowVolatile: true,
		LookAhead: lookAhead * tick, LaneTTL: tick / 2, LeaseTTL: tick / 2,
	})
	require.NoError(t, err)
	m := &model{
		T: t, store: s, redis: client, base: s.Clock(0).Now().Truncate(tick), timers: map[carillon.ID]*timer{},
		sealed: map[int]bool{}, mails: map[string]bool{},
	}
	m.setClock()
	m.acquire()
	return m
}

func (m *model) ctx() context.Context { return context.Background() }

// at is when a tick begins.
func (m *model) at(n int) time.Time { return m.base.Add(time.Duration(n) * tick) }

// setClock puts the store's clock into the middle of the tick.
func (m *model) setClock() {
	require.NoError(m, storetest.SetShift(m.ctx(), m.store, m.redis, time.Until(m.at(m.now).Add(tick/2))))
}

func (m *model) acquire() {
	token, err := m.store.AcquireLane(m.ctx(), store.LaneID{}, rand.Text())
	require.NoError(m, err)
	m.token, m.after = token, ""
}

// pick draws one of all timers, most often a recent one.
func (m *model) pick() *timer {
	if len(m.ids) == 0 {
		m.Skip("there is no timer")
	}
	recent := m.ids[max(0, len(m.ids)-6):]
	return m.timers[rapid.SampledFrom(recent).Draw(m.T, "timer")]
}

// drawDue draws a tick, most often one that is near.
func (m *model) drawDue() int {
	return m.now + rapid.SampledFrom([]int{-2, 0, 0, 1, 1, 2, 2, 3, 4, 9}).Draw(m.T, "due")
}

func (m *model) drawPayload() string {
	size := rapid.SampledFrom([]int{1, 100, 1100, 5000}).Draw(m.T, "payload")
	return string(slices.Repeat([]byte{byte('a' + rapid.IntRange(0, 2).Draw(m.T, "filling"))}, size))
}

func (m *model) claimed(t *timer) bool { return t.state == carillon.StateFiring && m.now < t.deadline }

// file puts a timer's new entry where it belongs.
func (m *model) file(t *timer) {
	t.ref, t.claimant, t.deadline = uint32(t.version&0xffffff), "", 0
	if t.due <= m.now+lookAhead {
		t.state = carillon.StateDue
		m.queue = append(m.queue, filed{t.unique, t.ref})
		return
	}
	t.state = carillon.StatePending
}

// refile is what a reschedule does to the entry of a timer.
func (m *model) refile(t *timer, before int) {
	t.segment = m.open
	if t.state == carillon.StateDue && t.due <= m.now+lookAhead && t.due >= before {
		return // its entry stays good
	}
	m.file(t)
}

func (m *model) done(t *timer, state carillon.State) {
	t.state, t.doneAt = state, m.now
	switch state {
	case carillon.StateFired:
		m.counts.Fired++
	case carillon.StateCancelled:
		m.counts.Cancelled++
	}
}

func errType(err error) carillon.ErrorType {
	if err == nil {
		return ""
	}
	return carillon.AsError(err).Type
}

func (m *model) create() {
	n := rapid.IntRange(1, maxModelBatch).Draw(m.T, "timers")
	specs := make([]carillon.TimerSpec, n)
	dues := make([]int, n)
	named := rapid.Bool().Draw(m.T, "named") // those without a name travel apart, and so have no order among the others
	for i := range specs {
		dues[i] = m.drawDue()
		text := m.drawPayload()
		specs[i] = carillon.TimerSpec{
			ClientID: modelClient, FireAt: m.at(dues[i]), Target: carillon.ToWebhook("https://example.com"),
			Payload: &commonpb.Payload{Data: []byte(text)},
		}
		if rapid.Bool().Draw(m.T, "mailbox") {
			specs[i].Target = carillon.ToMailbox()
		}
		if named {
			specs[i].Name = rapid.SampledFrom([]string{"a", "b", "c"}).Draw(m.T, "name")
			specs[i].OnConflict = rapid.SampledFrom([]carillon.OnConflict{
				carillon.ConflictDefault, carillon.ConflictReject, carillon.ConflictKeep, carillon.ConflictReplace,
			}).Draw(m.T, "on conflict")
		}
	}
	in := carillon.CreateTimersInput{RequestID: rand.Text(), Timers: specs}
	ctx := m.ctx()
	switch rapid.IntRange(0, 5).Draw(m.T, "network") {
	case 0:
		ctx = storetest.Twice(ctx)
	case 1:
		_, err := m.store.Create(storetest.Lost(ctx), in)
		require.Error(m, err)
	}
	out, err := m.store.Create(ctx, in)
	require.NoError(m, err)
	if named {
		m.createdNames(specs, dues, out.Timers)
		return
	}
	for i := range specs {
		m.created(specs[i], dues[i], out.Timers[i])
	}
}

// createdNames takes named timers in the order in which the store does: a script call for each run of names that are
// all different, and after each call what it has to replace.
func (m *model) createdNames(specs []carillon.TimerSpec, dues []int, out []carillon.CreateResult) {
	var chunk []int
	names := map[string]bool{}
	flush := func() {
		fresh := map[int]bool{}
		for _, i := range chunk {
			id := carillon.NamedID(0, 1, modelClient, specs[i].Name)
			if t := m.timers[id]; t == nil || !t.alive() || t.state == carillon.StateDead {
				m.created(specs[i], dues[i], out[i])
				fresh[i] = true
			}
		}
		for _, i := range chunk {
			if !fresh[i] {
				m.conflict(specs[i], dues[i], out[i])
			}
		}
		chunk, names = nil, map[string]bool{}
	}
	for i := range specs {
		if names[specs[i].Name] {
			flush()
		}
		names[specs[i].Name] = true
		chunk = append(chunk, i)
	}
	flush()
}

func contentOfSpec(s carillon.TimerSpec) string {
	return fmt.Sprint(s.FireAt.UnixMilli(), s.Target.Kind(), string(s.Payload.Data))
}

func (m *model) created(spec carillon.TimerSpec, due int, out carillon.CreateResult) {
	require.Nil(m, out.Error)
	require.False(m, out.Existing)
	require.True(m, m.at(due).Equal(out.FireAt))
	t := &timer{
		id: out.TimerID, unique: out.TimerID.Unique(), name: spec.Name, mailbox: spec.Target.Mailbox != nil,
		content: contentOfSpec(spec), payload: string(spec.Payload.Data), due: due, version: out.Version,
		incarnation: out.Version, segment: m.open,
	}
	old := m.timers[t.id]
	if old == nil {
		m.ids = append(m.ids, t.id)
	} else if old.state == carillon.StateDead { // a dead timer does not hold its name
		m.counts.Cancelled++
	}
	m.timers[t.id] = t
	m.counts.Created++
	m.file(t)
}

func (m *model) conflict(spec carillon.TimerSpec, due int, out carillon.CreateResult) {
	t := m.timers[carillon.NamedID(0, 1, modelClient, spec.Name)]
	require.Equal(m, t.id, out.TimerID)
	same := t.content == contentOfSpec(spec)
	switch {
	case spec.OnConflict == carillon.ConflictKeep, spec.OnConflict == carillon.ConflictDefault && same:
		require.Nil(m, out.Error)
		require.True(m, out.Existing)
		require.Equal(m, t.version, out.Version)
	case spec.OnConflict != carillon.ConflictReplace:
		require.NotNil(m, out.Error)
		require.Equal(m, carillon.TypeAlreadyExists, out.Error.Type)
	case m.claimed(t):
		require.NotNil(m, out.Error)
		require.Equal(m, carillon.TypeTooLate, out.Error.Type)
	default:
		require.Nil(m, out.Error)
		require.Greater(m, out.Version, t.version)
		before := t.due
		t.version, t.incarnation, t.attempts, t.due = out.Version, out.Version, 0, due
		t.mailbox, t.payload, t.content = spec.Target.Mailbox != nil, string(spec.Payload.Data), contentOfSpec(spec)
		m.refile(t, before)
	}
}

func (m *model) cancel() {
	t := m.pick()
	out, err := m.store.Cancel(m.ctx(), carillon.CancelTimersInput{Timers: []carillon.TimerRef{{TimerID: t.id}}})
	require.NoError(m, err)
	switch got := out.Timers[0].Error; {
	case t.state == carillon.StateFired || t.state == carillon.StateCancelled:
		require.Equal(m, carillon.TypeNotFound, got.Type)
	case m.claimed(t):
		require.Equal(m, carillon.TypeTooLate, got.Type)
	default:
		require.Nil(m, got)
		m.done(t, carillon.StateCancelled)
	}
}

func (m *model) reschedule() {
	t := m.pick()
	due := m.drawDue()
	ref := carillon.TimerRef{TimerID: t.id}
	in := carillon.RescheduleTimerInput{RequestID: rand.Text(), TimerRef: ref, FireAt: m.at(due)}
	payload := ""
	if rapid.Bool().Draw(m.T, "new payload") {
		payload = m.drawPayload()
		in.Payload = &commonpb.Payload{Data: []byte(payload)}
	}
	versions := []int64{0, 0, t.version, max(t.version-1, 1), t.version + 1}
	in.ExpectedVersion = rapid.SampledFrom(versions).Draw(m.T, "expected")
	ctx := m.ctx()
	if rapid.Bool().Draw(m.T, "twice") {
		ctx = storetest.Twice(ctx)
	}
	out, err := m.store.Reschedule(ctx, in)
	switch {
	case t.state.Done():
		require.Equal(m, carillon.TypeNotFound, errType(err))
	case in.ExpectedVersion != 0 && in.ExpectedVersion != t.version:
		require.Equal(m, carillon.TypeConflict, errType(err))
	case m.claimed(t):
		require.Equal(m, carillon.TypeTooLate, errType(err))
	default:
		require.NoError(m, err)
		require.Greater(m, out.Version, t.version)
		before := t.due
		t.version, t.due = out.Version, due
		if t.attempts > 0 {
			t.incarnation, t.attempts = t.version, 0
		}
		if payload != "" {
			t.payload = payload
		}
		m.refile(t, before)
	}
}

func (m *model) redrive() {
	t := m.pick()
	out, err := m.store.Redrive(m.ctx(), carillon.RedriveTimersInput{Timers: []carillon.TimerRef{{TimerID: t.id}}})
	require.NoError(m, err)
	if t.state != carillon.StateDead {
		require.Equal(m, carillon.TypeNotFound, out.Timers[0].Error.Type)
		return
	}
	require.Nil(m, out.Timers[0].Error)
	t.version, t.incarnation = out.Timers[0].Version, out.Timers[0].Version
	t.attempts, t.due, t.segment = 0, m.now, m.open // within this tick: as good as its beginning
	m.file(t)
}

func (m *model) sweep() {
	limit := rapid.SampledFrom([]int{1, 2, 100}).Draw(m.T, "limit")
	segments := append(slices.Collect(maps.Keys(m.sealed)), m.open)
	slices.Sort(segments)
	for _, segment := range segments {
		p := store.Partition{Segment: segment}
		token, err := m.store.AcquireSweep(m.ctx(), p, "sweeper")
		require.NoError(m, err)
		var want []*timer
		next := 0
		for _, t := range m.timers {
			switch {
			case t.state != carillon.StatePending || t.segment != segment:
			case t.due <= m.now+lookAhead:
				want = append(want, t)
			case next == 0 || t.due < next:
				next = t.due
			}
		}
		slices.SortFunc(want, func(a, b *timer) int {
			return cmp.Or(cmp.Compare(a.due, b.due), slices.Compare(a.unique[:], b.unique[:]))
		})
		moved := 0
		for {
			out, err := m.store.Sweep(m.ctx(), p, token, limit)
			require.NoError(m, err)
			require.LessOrEqual(m, out.Moved, limit)
			require.False(m, out.QueueFull)
			moved += out.Moved
			if !out.More {
				require.Equal(m, next == 0, out.NextDue.IsZero())
				if next != 0 {
					require.True(m, m.at(next).Equal(out.NextDue))
				}
				break
			}
		}
		require.Equal(m, len(want), moved)
		for _, t := range want {
			t.state = carillon.StateDue
			m.queue = append(m.queue, filed{t.unique, t.ref})
		}
		require.NoError(m, m.store.ReleaseSweep(m.ctx(), p, token))
	}
}

func (m *model) read() {
	limit := rapid.SampledFrom([]int{1, 3, 100, 100}).Draw(m.T, "limit")
	if rapid.IntRange(0, 4).Draw(m.T, "network") == 0 {
		_, err := m.store.Read(storetest.Lost(m.ctx()), store.LaneID{}, m.token, m.after, limit)
		require.Error(m, err)
	}
	entries, err := m.store.Read(m.ctx(), store.LaneID{}, m.token, m.after, limit)
	require.NoError(m, err)
	require.Len(m, entries, min(limit, len(m.queue)))
	for i, e := range entries {
		want := m.queue[i]
		require.Equal(m, want, filed{e.Unique, e.Ref})
		m.lane = append(m.lane, &held{entry: e})
		m.after = e.ID
	}
	m.queue = m.queue[len(entries):]
}

// stands says whether an entry is the one of a timer that is not done.
func (m *model) stands(e store.Entry) (*timer, bool) {
	t := m.timers[carillon.NewID(0, 0, e.Unique)]
	return t, t.alive() && t.ref == e.Ref && t.state != carillon.StatePending
}

func (m *model) holding() []*held {
	if len(m.lane) == 0 {
		m.Skip("the lane holds nothing")
	}
	return m.lane
}

// fetch fetches all that the lane holds, and drops what is stale.
func (m *model) fetch() {
	hs := m.holding()
	entries := make([]store.Entry, len(hs))
	for i, h := range hs {
		entries[i] = h.entry
	}
	firings, err := m.store.Fetch(m.ctx(), store.LaneID{}, entries)
	require.NoError(m, err)
	var stale []store.Entry
	var rest []*held
	for i, h := range hs {
		t, stands := m.stands(h.entry)
		require.Equal(m, stands, firings[i] != nil)
		if !stands {
			stale = append(stale, h.entry)
			continue
		}
		require.Equal(m, t.version, firings[i].Version)
		require.Equal(m, t.incarnation, firings[i].Incarnation)
		require.Equal(m, t.attempts, firings[i].Attempts)
		require.Equal(m, t.mailbox, firings[i].Mailbox)
		if !h.taken {
			h.firing = firings[i]
		}
		rest = append(rest, h)
	}
	require.NoError(m, m.store.Drop(m.ctx(), store.LaneID{}, m.token, stale))
	m.lane = rest
}

// claim claims some of what the lane has fetched.
func (m *model) claim() {
	var chosen []*held
	for _, h := range m.holding() {
		if h.firing != nil && rapid.IntRange(0, 3).Draw(m.T, "claim") > 0 {
			chosen = append(chosen, h)
		}
	}
	if len(chosen) == 0 {
		m.Skip("nothing to claim")
	}
	claims := make([]store.Claim, len(chosen))
	for i, h := range chosen {
		claims[i] = store.Claim{Entry: h.entry, Firing: h.firing, Timeout: modelTimeout}
	}
	out, err := m.store.Claim(m.ctx(), store.LaneID{}, m.token, claims)
	require.NoError(m, err)
	gone := map[*held]bool{}
	for i, h := range chosen {
		t, stands := m.stands(h.entry)
		got := out[i]
		switch {
		case !stands:
			require.Equal(m, store.ClaimGone, got.Status)
			gone[h] = true
		case t.due > m.now:
			require.Equal(m, store.ClaimHold, got.Status)
			require.Equal(m, m.at(t.due).UnixMilli(), got.Due)
			h.firing, h.taken = nil, false
		case t.version != h.firing.Version:
			require.Equal(m, store.ClaimChanged, got.Status)
			h.firing, h.taken = nil, false
		case t.mailbox:
			require.Equal(m, store.ClaimFired, got.Status)
			m.mails[fmt.Sprintf("%s-%d", t.id, t.incarnation)] = true
			m.done(t, carillon.StateFired)
			gone[h] = true
		default:
			require.Equal(m, store.ClaimTaken, got.Status)
			if t.claimant != m.token {
				t.attempts++
			}
			require.Equal(m, t.attempts, got.Attempt)
			p, err := carillon.UnmarshalPayload(got.Payload)
			require.NoError(m, err)
			require.Equal(m, t.payload, string(p.GetData()))
			t.state, t.claimant, t.deadline = carillon.StateFiring, m.token, max(t.deadline, m.now+claimTicks+1)
			h.taken = true
		}
	}
	m.lane = slices.DeleteFunc(m.lane, func(h *held) bool { return gone[h] })
}

// work is what a lane does all the time: it reads, fetches and claims.
func (m *model) work() {
	m.read()
	m.fetch()
	m.claim()
}

// complete completes some of what the lane has claimed, and some of what it has not.
func (m *model) complete() {
	var chosen []*held
	var completions []store.Completion
	var dues []int
	for _, h := range m.holding() {
		if h.firing == nil || !rapid.Bool().Draw(m.T, "complete") {
			continue
		}
		kind := rapid.SampledFrom([]store.CompletionKind{
			store.CompleteFired, store.CompleteRetry, store.CompleteDefer, store.CompleteDead,
		}).Draw(m.T, "kind")
		due := m.drawDue()
		chosen, dues = append(chosen, h), append(dues, due)
		completions = append(completions, store.Completion{
			Entry: h.entry, Firing: h.firing, Kind: kind, RetryAt: m.at(due).UnixMilli(), Error: "failed",
		})
	}
	if len(chosen) == 0 {
		m.Skip("nothing to complete")
	}
	out, err := m.store.Complete(m.ctx(), store.LaneID{}, m.token, completions)
	require.NoError(m, err)
	gone := map[*held]bool{}
	for i, h := range chosen {
		t, stands := m.stands(h.entry)
		if !stands || t.claimant != m.token || t.version != h.firing.Version {
			require.False(m, out[i])
			gone[h] = !stands
			continue
		}
		require.True(m, out[i])
		gone[h] = true
		switch completions[i].Kind {
		case store.CompleteFired:
			m.done(t, carillon.StateFired)
		case store.CompleteDead:
			m.done(t, carillon.StateDead)
			t.claimant = ""
		default:
			if completions[i].Kind == store.CompleteDefer {
				t.attempts--
			}
			t.due, t.segment = dues[i], m.open
			t.version = m.describe(t.id).Version
			m.file(t)
		}
	}
	m.lane = slices.DeleteFunc(m.lane, func(h *held) bool { return gone[h] })
}

// advance lets time pass.
func (m *model) advance() {
	m.now += rapid.IntRange(1, 3).Draw(m.T, "ticks")
	m.setClock()
}

// takeOver lets the lane's lease lapse and another process take it.
func (m *model) takeOver() {
	m.now++
	m.setClock()
	old, before := m.token, m.lane
	m.acquire()
	if len(before) > 0 && before[0].firing != nil {
		_, err := m.store.Complete(m.ctx(), store.LaneID{}, old, []store.Completion{
			{Entry: before[0].entry, Firing: before[0].firing, Kind: store.CompleteFired},
		})
		require.ErrorIs(m, err, store.ErrLeaseLost)
	}
	limit := rapid.SampledFrom([]int{1, 2, 100}).Draw(m.T, "limit")
	m.lane = nil
	for {
		entries, more, err := m.store.Adopt(m.ctx(), store.LaneID{}, m.token, limit)
		require.NoError(m, err)
		for _, e := range entries {
			m.lane = append(m.lane, &held{entry: e})
			if earlierID(m.after, e.ID) {
				m.after = e.ID
			}
		}
		if !more {
			break
		}
	}
	want, got := map[string]bool{}, map[string]bool{}
	for _, h := range before {
		want[h.entry.ID] = true
	}
	for _, h := range m.lane {
		got[h.entry.ID] = true
	}
	require.Equal(m, want, got)
}

// earlierID compares ids of a stream.
func earlierID(a, b string) bool {
	var am, as, bm, bs int64
	_, _ = fmt.Sscanf(a, "%d-%d", &am, &as)
	_, _ = fmt.Sscanf(b, "%d-%d", &bm, &bs)
	return cmp.Or(cmp.Compare(am, bm), cmp.Compare(as, bs)) < 0
}

// segments opens a segment, and retires what is empty.
func (m *model) segments() {
	if rapid.Bool().Draw(m.T, "open") {
		next, err := m.store.OpenSegment(m.ctx(), 0, m.open)
		require.NoError(m, err)
		require.Equal(m, m.open+1, next)
		m.sealed[m.open] = true
		m.open = next
	}
	for segment := range m.sealed {
		holds := false
		for _, t := range m.timers {
			holds = holds || t.state == carillon.StatePending && t.segment == segment
		}
		retired, err := m.store.RetireSegment(m.ctx(), store.Partition{Segment: segment})
		require.NoError(m, err)
		require.Equal(m, !holds, retired)
		if retired {
			delete(m.sealed, segment)
		}
	}
}

func (m *model) describe(id carillon.ID) carillon.TimerInfo {
	out, err := m.store.Describe(m.ctx(), carillon.DescribeTimerInput{TimerRef: carillon.TimerRef{TimerID: id}})
	require.NoError(m, err)
	return out.Timer
}

// check compares the store with the model, and the store with itself.
func (m *model) check() {
	counts := m.counts
	for _, t := range m.timers {
		if t.alive() {
			counts.Pending++
		}
		if t.state == carillon.StateDead {
			counts.Dead++
		}
		if t.state == carillon.StateFired || t.state == carillon.StateCancelled {
			if t.doneAt == m.now { // later it is forgotten
				require.Equal(m, t.state, m.describe(t.id).State)
			}
			continue
		}
		info := m.describe(t.id)
		require.Equal(m, t.state, info.State)
		require.Equal(m, t.version, info.Version)
		require.Equal(m, t.attempts, info.Attempts)
		require.Equal(m, t.payload, string(info.Payload.GetData()))
		if info.FireAt.Truncate(tick).Equal(info.FireAt) { // else it was redriven, and is due at once
			require.True(m, m.at(t.due).Equal(info.FireAt))
		}
	}
	got, err := m.store.Count(m.ctx(), carillon.CountTimersInput{})
	require.NoError(m, err)
	got.Due, got.Firing = 0, 0
	require.Equal(m, counts, got)
	found, err := storetest.Violations(m.ctx(), m.redis, m.store.Group())
	require.NoError(m, err)
	require.Empty(m, found)
}

// checkMail reads the mailbox: each timer that was fired into it is there once.
func (m *model) checkMail() {
	box, err := m.store.Mailbox(m.ctx(), modelClient, modelMailbox)
	require.NoError(m, err)
	messages, err := box.Read(m.ctx(), "c", 10_000, 0)
	require.NoError(m, err)
	got := map[string]bool{}
	for _, message := range messages {
		require.False(m, got[message.Key()])
		got[message.Key()] = true
	}
	require.Equal(m, m.mails, got)
}

func runModel(t *testing.T, client redis.UniversalClient) {
	t.Helper()
	client.AddHook(storetest.Faults{})
	rapid.Check(t, func(rt *rapid.T) {
		m := newModel(rt, client)
		defer func() { require.NoError(rt, m.store.Close()) }()
		rt.Repeat(map[string]func(*rapid.T){
			"create":     func(*rapid.T) { m.create() },
			"work":       func(*rapid.T) { m.work() },
			"work too":   func(*rapid.T) { m.work() },
			"work more":  func(*rapid.T) { m.work() },
			"cancel":     func(*rapid.T) { m.cancel() },
			"reschedule": func(*rapid.T) { m.reschedule() },
			"redrive":    func(*rapid.T) { m.redrive() },
			"sweep":      func(*rapid.T) { m.sweep() },
			"read":       func(*rapid.T) { m.read() },
			"fetch":      func(*rapid.T) { m.fetch() },
			"claim":      func(*rapid.T) { m.claim() },
			"complete":   func(*rapid.T) { m.complete() },
			"advance":    func(*rapid.T) { m.advance() },
			"take over":  func(*rapid.T) { m.takeOver() },
			"segments":   func(*rapid.T) { m.segments() },
			"":           func(*rapid.T) { m.check() },
		})
		m.checkMail()
		if !rt.Failed() {
			forget(rt, client, m.store)
		}
	})
}

// forget removes a group's keys, so that the next check does not look through them.
func forget(t require.TestingT, client redis.UniversalClient, s *store.Redis) {
	keys, err := client.Keys(context.Background(), "carillon:{"+s.Group()+"*").Result()
	require.NoError(t, err)
	if len(keys) > 0 {
		require.NoError(t, errors.Join(client.Del(context.Background(), keys...).Err()))
	}
}

func TestModelEmbedded(t *testing.T) {
	t.Parallel()
	runModel(t, connector("redis://"+redistest.Embedded(t).Addr())(t))
}

func TestModelRedis(t *testing.T) {
	t.Parallel()
	runModel(t, redistest.Start(t, redistest.Options{Fsync: "no"}).Client())
}
