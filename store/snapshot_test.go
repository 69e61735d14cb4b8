package store_test

import (
	"fmt"
	"maps"
	"strconv"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/store"
	"github.com/carillon-io/carillon/store/storetest"
)

// What Redis keeps, compared with what the oracle knows.

func slotKey(s *store.Redis, slot int, key string) string {
	return "carillon:{" + s.Group() + ":" + strconv.Itoa(slot) + "}:" + key
}

func laneKey(lane int) string { return "lane:" + strconv.Itoa(lane) }

// snapshot is what Redis keeps of a slot.
type snapshot struct {
	records, claims, counts *redis.MapStringStringCmd
	queue, events           *redis.XMessageSliceCmd
	held                    *redis.XPendingExtCmd
	boxes                   map[string]*redis.XMessageSliceCmd
	version                 *redis.StringCmd
}

// look takes a snapshot of a slot with one round trip.
func (m *model) look(slot int) *snapshot {
	key := func(name string) string { return slotKey(m.processes[0], slot, name) }
	s := &snapshot{boxes: map[string]*redis.XMessageSliceCmd{}}
	_, err := m.redis.Pipelined(m.ctx(), func(p redis.Pipeliner) error {
		s.records, s.claims, s.counts = p.HGetAll(m.ctx(), key("rec")), p.HGetAll(m.ctx(), key("inflight")), p.HGetAll(m.ctx(), key("count"))
		s.queue, s.events = p.XRange(m.ctx(), key("fire"), "-", "+"), p.XRange(m.ctx(), key("events"), "-", "+")
		s.held = p.XPendingExt(m.ctx(), &redis.XPendingExtArgs{Stream: key("fire"), Group: "fire", Start: "-", End: "+", Count: 10_000})
		for _, client := range modelClients {
			s.boxes[client] = p.XRange(m.ctx(), key("mbox:"+client), "-", "+")
		}
		s.version = p.Get(m.ctx(), key("ver")) // last: it may be absent, which the pipeline reports
		return nil
	})
	if err != nil {
		require.ErrorIs(m, err, redis.Nil)
	}
	return s
}

// check compares everything.
func (m *model) check() {
	for _, s := range m.slots {
		got := m.look(s.number)
		m.checkRecords(s, got)
		m.checkQueue(s, got)
		m.checkBoxes(s, got)
		m.checkCounts(s, got)
	}
	m.checkAnswers()
	found, err := storetest.Violations(m.ctx(), m.redis, m.processes[0].Group())
	require.NoError(m, err)
	require.Empty(m, found)
}

// facts are what a record and its claim say, to be compared.
type facts struct {
	version, incarnation, due int64
	ref                       uint32
	segment, attempts, stray  int
	dead                      bool
	client                    string
	token                     store.Token // of who has claimed it
}

func (t *timerOracle) facts() facts {
	f := facts{
		version: t.version, incarnation: t.incarnation, due: t.due, ref: t.ref, segment: t.segment, attempts: t.attempts,
		stray: t.stray, dead: t.dead, client: t.client,
	}
	if t.claim != nil {
		f.token = t.claim.token
	}
	return f
}

// readFacts reads a record and its claim, as store/lua/common.lua describes them.
func (m *model) readFacts(r, claim string) facts {
	const dead, named, stray = 1, 4, 16
	flags, end := r[18], 28+int(r[27])
	f := facts{
		version: number(r[0:6]), incarnation: number(r[9:15]), due: number(r[19:25]), ref: uint32(number(r[6:9])),
		segment: int(number(r[15:18])), attempts: int(number(r[25:27])), dead: flags&dead != 0, client: r[28:end],
	}
	if flags&stray != 0 {
		if flags&named != 0 {
			end += 8
		}
		f.stray = m.tickOf(number(r[end : end+6]))
	}
	if claim != "" {
		f.token = store.Token(claim[12:])
	}
	return f
}

func (m *model) checkRecords(s *slotOracle, got *snapshot) {
	want, have := map[string]facts{}, map[string]facts{}
	for unique, t := range s.timers {
		want[fmt.Sprintf("%x", unique)] = t.facts()
	}
	for unique, r := range got.records.Val() {
		have[fmt.Sprintf("%x", unique)] = m.readFacts(r, got.claims.Val()[unique])
	}
	require.Equal(m, want, have, "slot %d", s.number)
	version := int64(0)
	if got.version.Err() == nil {
		version, _ = got.version.Int64()
	}
	require.Equal(m, s.version, version)
}

// number reads a big-endian integer.
func number(b string) (n int64) {
	for _, c := range []byte(b) {
		n = n<<8 | int64(c)
	}
	return n
}

// checkQueue compares the fire queue, entry by entry and in its order, and who has read which entry. New entries get the names
// that Redis has given them.
func (m *model) checkQueue(s *slotOracle, got *snapshot) {
	holders := map[string]string{}
	for _, p := range got.held.Val() {
		holders[p.ID] = p.Consumer
	}
	require.Len(m, got.queue.Val(), len(s.queue))
	for i, x := range got.queue.Val() {
		e := s.queue[i]
		if e.id == "" {
			e.id = x.ID
		}
		raw, _ := x.Values["e"].(string)
		require.Len(m, raw, 18)
		have := &entryOracle{
			id: x.ID, unique: carillon.Unique([]byte(raw[:9])), ref: uint32(number(raw[9:12])), token: store.Token(holders[x.ID]),
		}
		require.Equal(m, e, have)
	}
}

func (m *model) checkBoxes(s *slotOracle, got *snapshot) {
	for client, box := range got.boxes {
		var have []mailOracle
		for _, x := range box.Val() {
			head, _ := x.Values["h"].(string)
			raw, _ := x.Values["r"].(string)
			have = append(have, mailOracle{carillon.Unique([]byte(head[:9])), number(raw[9:15])})
			require.GreaterOrEqual(m, number(head[9:15]), number(raw[19:25]), "a timer was fired early")
		}
		require.Equal(m, s.boxes[client], have, "mailbox of %s", client)
	}
}

func (m *model) checkCounts(s *slotOracle, got *snapshot) {
	want, clients := s.count()
	have := map[string]int64{}
	for field, text := range got.counts.Val() {
		n, err := strconv.ParseInt(text, 10, 64)
		require.NoError(m, err)
		if n != 0 {
			have[field] = n
		}
	}
	all := map[string]int64{
		"pending": want.Pending, "created": want.Created, "fired": want.Fired, "cancelled": want.Cancelled, "dead": want.Dead,
	}
	for client, n := range clients {
		all["c:"+client] = n
	}
	maps.DeleteFunc(all, func(_ string, n int64) bool { return n == 0 })
	require.Equal(m, all, have)
}

// checkAnswers asks what a client would ask: how many there are, and, of a few timers each time, how they are doing.
func (m *model) checkAnswers() {
	m.steps++
	s := m.processes[m.steps%2]
	var want carillon.CountTimersResult
	for _, slot := range m.slots {
		n, _ := slot.count()
		want.Pending, want.Created, want.Fired = want.Pending+n.Pending, want.Created+n.Created, want.Fired+n.Fired
		want.Cancelled, want.Dead = want.Cancelled+n.Cancelled, want.Dead+n.Dead
	}
	got, err := s.Count(m.ctx(), carillon.CountTimersInput{})
	require.NoError(m, err)
	got.Due, got.Firing = 0, 0
	require.Equal(m, want, got)
	for i := range min(3, len(m.ids)) {
		m.checkTimer(s, m.ids[(3*m.steps+i)%len(m.ids)])
	}
}

func (m *model) checkTimer(s *store.Redis, id carillon.ID) {
	out, err := s.Describe(m.ctx(), carillon.DescribeTimerInput{TimerRef: carillon.TimerRef{TimerID: id}})
	info, t := out.Timer, m.timer(id)
	if t == nil {
		if done := m.slotOf(id).done[id.Unique()]; done.tick == m.now { // at other times it may be forgotten
			require.NoError(m, err)
			require.Equal(m, done.state, info.State)
		}
		return
	}
	require.NoError(m, err)
	require.Equal(m, []any{t.state(), t.version, t.attempts, t.due, t.name, t.payload},
		[]any{info.State, info.Version, info.Attempts, info.FireAt.UnixMilli(), info.Name, string(info.Payload.GetData())})
}

// checkEvents compares the events of the whole run: one entry for each script call that changed something.
func (m *model) checkEvents() {
	for _, s := range m.slots {
		var have []string
		for _, x := range m.look(s.number).events.Val() {
			e, _ := x.Values["e"].(string)
			have = append(have, e)
		}
		if len(s.events) < 500 { // then nothing has been trimmed
			require.Equal(m, s.events, have)
		}
	}
}
