package store_test

import (
	"context"
	"fmt"
	"slices"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"pgregory.net/rapid"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/store/storetest"
)

// What clients do in the model test.

const maxModelBatch = 4

// pick draws one of all timers: a recent one, or one that a lane holds.
func (m *model) pick() carillon.ID {
	if len(m.ids) == 0 {
		m.Skip("there is no timer")
	}
	var held []carillon.ID
	for _, l := range m.lanes {
		for _, h := range l.held {
			held = append(held, carillon.NewID(0, l.id.Slot, h.entry.unique))
		}
	}
	if len(held) > 0 && rapid.Bool().Draw(m.T, "held") {
		return rapid.SampledFrom(held).Draw(m.T, "timer")
	}
	return rapid.SampledFrom(m.ids[max(0, len(m.ids)-6):]).Draw(m.T, "timer")
}

// slotOf is the slot that an id names.
func (m *model) slotOf(id carillon.ID) *slotOracle { return m.slots[id.Slot()] }

// timer is the timer of an id, or nil if it is done.
func (m *model) timer(id carillon.ID) *timerOracle { return m.slotOf(id).timers[id.Unique()] }

// drawDue draws a tick, most often one that is near.
func (m *model) drawDue() int {
	return m.now + rapid.SampledFrom([]int{-2, 0, 0, 1, 1, 2, 2, 3, 4, 9}).Draw(m.T, "due")
}

func (m *model) drawPayload() string {
	size := rapid.SampledFrom([]int{1, 100, 1100, 5000}).Draw(m.T, "payload")
	return string(slices.Repeat([]byte{byte('a' + rapid.IntRange(0, 2).Draw(m.T, "filling"))}, size))
}

func (m *model) drawSpec(named bool) carillon.TimerSpec {
	spec := carillon.TimerSpec{
		ClientID: rapid.SampledFrom(modelClients).Draw(m.T, "client"), FireAt: m.at(m.drawDue()),
		Target: carillon.ToWebhook("https://example.com"), Payload: &commonpb.Payload{Data: []byte(m.drawPayload())},
	}
	if rapid.Bool().Draw(m.T, "mailbox") {
		spec.Target = carillon.ToMailbox()
	}
	if named {
		spec.Name = rapid.SampledFrom([]string{"a", "b", "c"}).Draw(m.T, "name")
		spec.OnConflict = rapid.SampledFrom([]carillon.OnConflict{
			carillon.ConflictDefault, carillon.ConflictReject, carillon.ConflictKeep, carillon.ConflictReplace,
		}).Draw(m.T, "on conflict")
	}
	return spec
}

func contentOf(s carillon.TimerSpec) string {
	return fmt.Sprint(s.FireAt.UnixMilli(), s.Target.Kind(), string(s.Payload.Data))
}

// timerOf is the timer that a client asks for.
func timerOf(id carillon.ID, s carillon.TimerSpec) *timerOracle {
	return &timerOracle{
		id: id, client: s.ClientID, name: s.Name, mailbox: s.Target.Mailbox != nil, content: contentOf(s),
		payload: string(s.Payload.Data), due: s.FireAt.UnixMilli(),
	}
}

func errType(err error) carillon.ErrorType {
	if err == nil {
		return ""
	}
	return carillon.AsError(err).Type
}

func typeOf(err *carillon.Error) carillon.ErrorType {
	if err == nil {
		return ""
	}
	return err.Type
}

func (m *model) create() {
	named := rapid.Bool().Draw(m.T, "named") // those without a name travel apart, and so have no order among the others
	specs := make([]carillon.TimerSpec, rapid.IntRange(1, maxModelBatch).Draw(m.T, "timers"))
	for i := range specs {
		specs[i] = m.drawSpec(named)
	}
	in := carillon.CreateTimersInput{RequestID: m.unused("create"), Timers: specs}
	s, ctx := m.process(), m.ctx()
	switch m.network() {
	case repeats:
		ctx = storetest.Twice(ctx)
	case loses:
		_, err := s.Create(storetest.Lost(ctx), in)
		require.ErrorIs(m, err, storetest.ErrLost)
	}
	out, err := s.Create(ctx, in)
	require.NoError(m, err)
	if named {
		m.createdNames(specs, out.Timers)
		return
	}
	var timers []*timerOracle
	for i, spec := range specs {
		timers = append(timers, timerOf(out.Timers[i].TimerID, spec))
		require.Equal(m, out.Timers[0].TimerID.Slot(), out.Timers[i].TimerID.Slot())
	}
	m.slotOf(timers[0].id).create(timers)
	for i, t := range timers {
		m.created(t, out.Timers[i])
	}
}

// created compares the answer to a timer that is new.
func (m *model) created(t *timerOracle, out carillon.CreateResult) {
	if _, known := m.names[t.id]; !known {
		m.ids = append(m.ids, t.id)
		m.names[t.id] = carillon.TimerRef{TimerID: t.id}
		if t.name != "" {
			m.names[t.id] = carillon.TimerRef{ClientID: t.client, Name: t.name}
		}
	}
	require.Equal(m, carillon.CreateResult{
		TimerID: t.id, Version: t.version, FireAt: out.FireAt,
	}, out)
	require.Equal(m, t.due, out.FireAt.UnixMilli())
}

// createdNames takes named timers in the order in which the store does, slot by slot: a script call for each run of names
// that are all different, and after each call what it has to replace.
func (m *model) createdNames(specs []carillon.TimerSpec, out []carillon.CreateResult) {
	for _, s := range m.slots {
		var chunk []int
		ids := map[carillon.ID]bool{}
		for i, spec := range specs {
			id := carillon.NamedID(0, len(m.slots), spec.ClientID, spec.Name)
			if id.Slot() != s.number {
				continue
			}
			if ids[id] {
				m.createdChunk(s, chunk, specs, out)
				chunk, ids = nil, map[carillon.ID]bool{}
			}
			ids[id] = true
			chunk = append(chunk, i)
		}
		m.createdChunk(s, chunk, specs, out)
	}
}

func (m *model) createdChunk(s *slotOracle, chunk []int, specs []carillon.TimerSpec, out []carillon.CreateResult) {
	var fresh []*timerOracle
	var freshOut, taken []int
	for _, i := range chunk {
		id := carillon.NamedID(0, len(m.slots), specs[i].ClientID, specs[i].Name)
		if old := s.timers[id.Unique()]; old == nil || old.dead {
			fresh, freshOut = append(fresh, timerOf(id, specs[i])), append(freshOut, i)
		} else {
			taken = append(taken, i)
		}
	}
	s.create(fresh)
	for k, t := range fresh {
		m.created(t, out[freshOut[k]])
	}
	for _, i := range taken {
		m.conflict(s, specs[i], out[i])
	}
}

// conflict compares the answer to a timer whose name is taken.
func (m *model) conflict(s *slotOracle, spec carillon.TimerSpec, out carillon.CreateResult) {
	id := carillon.NamedID(0, len(m.slots), spec.ClientID, spec.Name)
	t := s.timers[id.Unique()]
	require.Equal(m, id, out.TimerID)
	switch same := t.content == contentOf(spec); {
	case spec.OnConflict == carillon.ConflictKeep, spec.OnConflict == carillon.ConflictDefault && same:
		require.Nil(m, out.Error)
		require.True(m, out.Existing)
	case spec.OnConflict != carillon.ConflictReplace:
		require.Equal(m, carillon.TypeAlreadyExists, typeOf(out.Error))
		return
	default:
		want := s.move(id, move{due: spec.FireAt.UnixMilli(), anew: true, replaces: true, with: func(t *timerOracle) {
			t.mailbox, t.payload, t.content = spec.Target.Mailbox != nil, string(spec.Payload.Data), contentOf(spec)
		}})
		require.Equal(m, want, typeOf(out.Error))
		if want != "" {
			return
		}
	}
	require.Equal(m, t.version, out.Version)
	require.Equal(m, t.due, out.FireAt.UnixMilli())
}

func (m *model) cancel() {
	var in carillon.CancelTimersInput
	in.RequestID = m.unused("cancel")
	ids := make([]carillon.ID, rapid.IntRange(1, 3).Draw(m.T, "timers"))
	for i := range ids {
		ids[i] = m.pick()
		in.Timers = append(in.Timers, m.names[ids[i]])
	}
	s := m.process()
	want, got := calls(m, m.network(), once(func() []carillon.ErrorType {
		out := make([]carillon.ErrorType, len(ids))
		for _, s := range m.slots {
			var mine []carillon.ID
			var at []int
			for i, id := range ids {
				if id.Slot() == s.number {
					mine, at = append(mine, id), append(at, i)
				}
			}
			for k, answer := range s.cancel(mine) {
				out[at[k]] = answer
			}
		}
		return out
	}), func(ctx context.Context) ([]carillon.ErrorType, error) {
		out, err := s.Cancel(ctx, in)
		types := make([]carillon.ErrorType, len(out.Timers))
		for i, answer := range out.Timers {
			types[i] = typeOf(answer.Error)
		}
		return types, err
	})
	require.Equal(m, want, got)
}

// moved is the answer to a reschedule or a redrive.
type moved struct {
	refused carillon.ErrorType
	version int64
	due     int64
}

func (m *model) reschedule() { m.rescheduleTo(m.pick(), m.drawDue()) }

// rescheduleFetched changes a timer behind the back of a lane that has fetched it, or whose claim has timed out: it is due no
// earlier than it was, and soon, so that the lane is about to go on with what it knows.
func (m *model) rescheduleFetched() {
	var fetched []*timerOracle
	for _, l := range m.lanes {
		s := m.slots[l.id.Slot]
		for _, h := range l.held {
			if t := s.stands(h.entry); t != nil && h.firing != nil && !s.tooLate(t) && m.tickOf(t.due) <= m.now+1 {
				fetched = append(fetched, t)
			}
		}
	}
	if len(fetched) == 0 {
		m.Skip("no lane has fetched anything that is due soon")
	}
	t := rapid.SampledFrom(fetched).Draw(m.T, "fetched")
	m.rescheduleTo(t.id, max(m.tickOf(t.due), m.now+rapid.IntRange(0, 1).Draw(m.T, "due")))
}

func (m *model) rescheduleTo(id carillon.ID, due int) {
	in := carillon.RescheduleTimerInput{RequestID: m.unused("reschedule"), TimerRef: m.names[id], FireAt: m.at(due)}
	asked := move{due: in.FireAt.UnixMilli()}
	if rapid.Bool().Draw(m.T, "new payload") {
		payload := m.drawPayload()
		in.Payload = &commonpb.Payload{Data: []byte(payload)}
		asked.with, asked.replaces = func(t *timerOracle) { t.payload = payload }, true
	}
	if t := m.timer(id); t != nil {
		in.ExpectedVersion = rapid.SampledFrom([]int64{0, 0, t.version, max(t.version-1, 1), t.version + 1}).Draw(m.T, "expected")
		asked.expected = in.ExpectedVersion
	}
	s := m.process()
	want, got := calls(m, m.network(), once(func() moved {
		if refused := m.slotOf(id).move(id, asked); refused != "" {
			return moved{refused: refused}
		}
		t := m.timer(id)
		return moved{version: t.version, due: t.due}
	}), func(ctx context.Context) (moved, error) {
		out, err := s.Reschedule(ctx, in)
		if err == nil {
			return moved{version: out.Version, due: out.FireAt.UnixMilli()}, nil
		}
		return refusedOr(err)
	})
	require.Equal(m, want, got)
}

// refusedOr tells an answer from a failure of the network.
func refusedOr(err error) (moved, error) {
	if t := errType(err); t != carillon.TypeUnavailable {
		return moved{refused: t}, nil
	}
	return moved{}, err
}

func (m *model) redrive() {
	var dead []carillon.ID
	for _, id := range m.ids {
		if t := m.timer(id); t != nil && t.dead {
			dead = append(dead, id)
		}
	}
	id := m.pick() // one that is not dead is refused
	if len(dead) > 0 && rapid.IntRange(0, 4).Draw(m.T, "any") > 0 {
		id = rapid.SampledFrom(dead).Draw(m.T, "dead")
	}
	in := carillon.RedriveTimersInput{RequestID: m.unused("redrive"), Timers: []carillon.TimerRef{m.names[id]}}
	s := m.process()
	want, got := calls(m, m.network(), once(func() moved {
		asked := move{due: m.at(m.now).UnixMilli(), dead: true, anew: true} // when just, the answer tells
		if refused := m.slotOf(id).move(id, asked); refused != "" {
			return moved{refused: refused}
		}
		return moved{version: m.timer(id).version}
	}), func(ctx context.Context) (moved, error) {
		out, err := s.Redrive(ctx, in)
		if err != nil {
			return moved{}, err
		}
		answer := out.Timers[0]
		if answer.Error != nil {
			return moved{refused: answer.Error.Type}, nil //nolint:nilerr // it is the timer's answer
		}
		return moved{version: answer.Version, due: answer.FireAt.UnixMilli()}, nil
	})
	require.Equal(m, want.refused, got.refused)
	require.Equal(m, want.version, got.version)
	if want.refused == "" {
		require.Equal(m, m.now, m.tickOf(got.due), "it is due at once")
		t := m.timer(id)
		t.due = got.due
		events := m.slotOf(id).events
		events[len(events)-1] = "r" + pack(t.unique()) + pack48(t.version) + pack48(t.due)
	}
}
