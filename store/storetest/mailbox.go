package storetest

import (
	"fmt"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/store"
)

// mailbox is the client's mailbox, read by one consumer.
type mailbox struct {
	*fixture
	*store.Mailbox

	consumer string
}

func (f *fixture) mailbox(group string) *mailbox {
	f.Helper()
	box, err := f.Mailbox(f.Context(), client, group)
	require.NoError(f, err)
	return &mailbox{fixture: f, Mailbox: box, consumer: "consumer"}
}

func (m *mailbox) as(consumer string) *mailbox { return &mailbox{m.fixture, m.Mailbox, consumer} }

func (m *mailbox) len() int {
	m.Helper()
	n, err := m.Mailbox.Len(m.Context())
	require.NoError(m, err)
	return int(n)
}

func (m *mailbox) readSome(limit int) []store.Message {
	m.Helper()
	out, err := m.Mailbox.Read(m.Context(), m.consumer, limit, 0)
	require.NoError(m, err)
	return out
}

func (m *mailbox) read() []store.Message { m.Helper(); return m.readSome(1000) }

func (m *mailbox) resume() []store.Message {
	m.Helper()
	out, err := m.Mailbox.Resume(m.Context(), m.consumer, 1000)
	require.NoError(m, err)
	return out
}

func (m *mailbox) ack(messages ...store.Message) {
	m.Helper()
	require.NoError(m, m.Mailbox.Ack(m.Context(), messages...))
}

// keysOfMessages are the idempotency keys.
func keysOfMessages(messages []store.Message) []string {
	out := make([]string, len(messages))
	for i := range messages {
		out[i] = messages[i].Key()
	}
	return out
}

// fireMail fires so many timers into the mailbox, through all slots.
func (f *fixture) fireMail(n int) {
	f.Helper()
	specs := make([]carillon.TimerSpec, n)
	for i := range specs {
		specs[i] = f.mail(-time.Second)
		specs[i].Name = fmt.Sprintf("%d %d", f.count().Created, i)
		specs[i].Payload = payloadOf(500 + 10*i)
	}
	f.createAll(specs...)
	for slot := range f.Slots() {
		id := store.LaneID{Slot: slot}
		l := f.laneOf(f.Redis, id)
		entries := l.read()
		if len(entries) > 0 {
			answers, _ := l.claim(entries...)
			for _, a := range answers {
				require.Equal(f, store.ClaimFired, a.Status)
			}
		}
		require.NoError(f, f.ReleaseLane(f.Context(), id, l.token))
	}
}

var mailboxCases = []testCase{
	{"what a message says", store.Options{}, func(f *fixture) {
		l := f.lane()
		for _, size := range []int{0, 100, 5000} {
			spec := f.mail(0)
			spec.Name, spec.Labels, spec.Payload = fmt.Sprint("n", size), map[string]string{"a": "b"}, nil
			if size > 0 {
				spec.Payload = payloadOf(size)
			}
			id, e := l.due(spec)
			firing := l.fetchOne(e)
			require.Equal(f, store.ClaimFired, l.claimWith(e, firing).Status)
			box := f.mailbox("g")
			messages := box.read()
			require.Len(f, messages, 1)
			m := messages[0]
			require.Equal(f, id, m.Timer.TimerID)
			require.Equal(f, client, m.Timer.ClientID)
			require.Equal(f, spec.Name, m.Timer.Name)
			require.Equal(f, spec.Labels, m.Timer.Labels)
			require.Equal(f, carillon.StateFired, m.Timer.State)
			require.Equal(f, spec.Payload.GetData(), m.Timer.Payload.GetData())
			require.Equal(f, spec.Payload.GetMetadata(), m.Timer.Payload.GetMetadata())
			require.Equal(f, firing.Due, m.Timer.FireAt.UnixMilli())
			require.Equal(f, firing.Version, m.Timer.Version)
			require.Equal(f, firing.Incarnation, m.Incarnation)
			require.Equal(f, 1, m.Timer.Attempts)
			require.GreaterOrEqual(f, m.Timer.DoneAt, m.Timer.FireAt)
			require.Equal(f, fmt.Sprintf("%s-%d", id, firing.Incarnation), m.Key())
			box.ack(m)
		}
	}},
	{"consumers share", store.Options{Slots: 2}, func(f *fixture) {
		f.fireMail(20)
		a := f.mailbox("g").as("a")
		b := a.as("b")
		first, second := a.readSome(3), b.read()
		require.Len(f, first, 6, "so many from each slot")
		require.Len(f, second, 14)
		require.Empty(f, a.read())
		keys := map[string]bool{}
		for _, k := range append(keysOfMessages(first), keysOfMessages(second)...) {
			require.False(f, keys[k], "%s was read twice", k)
			keys[k] = true
		}
		require.Equal(f, 20, a.len())
		a.ack(first...)
		a.ack(first...) // gone already
		require.Equal(f, 14, a.len())
		a.ack()
	}},
	{"a consumer that crashed resumes", store.Options{Slots: 2}, func(f *fixture) {
		f.fireMail(10)
		a := f.mailbox("g").as("a")
		got := a.read()
		a.ack(got[:4]...)
		restarted := f.mailbox("g").as("a")
		require.ElementsMatch(f, keysOfMessages(got[4:]), keysOfMessages(restarted.resume()))
		require.Empty(f, restarted.as("b").resume())
		restarted.ack(got[4:]...)
		require.Empty(f, restarted.resume())
	}},
	{"another consumer takes over", store.Options{Slots: 2}, func(f *fixture) {
		f.fireMail(6)
		a := f.mailbox("g").as("a")
		got := a.read()
		b := a.as("b")
		none, err := b.Mailbox.Claim(f.Context(), "b", time.Hour, 100)
		require.NoError(f, err)
		require.Empty(f, none, "they are not idle")
		taken, err := b.Mailbox.Claim(f.Context(), "b", 0, 100)
		require.NoError(f, err)
		require.ElementsMatch(f, keysOfMessages(got), keysOfMessages(taken))
		require.Empty(f, a.resume())
		require.Len(f, b.resume(), 6)
	}},
	{"a group that comes later sees what is there", store.Options{}, func(f *fixture) {
		f.fireMail(3)
		one := f.mailbox("one").read()
		require.Len(f, one, 3)
		require.Equal(f, keysOfMessages(one), keysOfMessages(f.mailbox("two").read()))
	}},
	{"read waits for a message", store.Options{Slots: 2}, func(f *fixture) {
		box := f.mailbox("g")
		none, err := box.Mailbox.Read(f.Context(), "a", 10, 10*time.Millisecond)
		require.NoError(f, err)
		require.Empty(f, none)
		type answer struct {
			messages []store.Message
			err      error
		}
		got := make(chan answer, 1)
		go func() {
			messages, err := box.Mailbox.Read(f.Context(), "a", 10, time.Minute)
			got <- answer{messages, err}
		}()
		f.fireMail(1)
		a := <-got
		require.NoError(f, a.err)
		require.Len(f, a.messages, 1)
	}},
	{"retention", store.Options{MailboxRetention: time.Hour}, func(f *fixture) {
		f.fireMail(100)
		box := f.mailbox("g")
		require.Equal(f, 100, box.len())
		f.advance(2 * time.Hour)
		require.Equal(f, 100, box.len(), "they go when the next one comes")
		f.fireMail(1)
		require.Less(f, box.len(), 60) // Redis trims whole nodes
	}},
	{"a mailbox that Redis has lost is made anew", store.Options{}, func(f *fixture) {
		box := f.mailbox("g")
		require.NoError(f, f.redis.Del(f.Context(), f.key("mbox:"+client)).Err())
		_, err := box.Mailbox.Read(f.Context(), "a", 10, 0)
		require.ErrorIs(f, err, carillon.ErrUnavailable)
		f.fireMail(1)
		require.Len(f, box.read(), 1)
	}},
	{"one slot of a mailbox that Redis has lost", store.Options{Slots: 4}, func(f *fixture) {
		box := f.mailbox("g")
		require.NoError(f, f.redis.Del(f.Context(), slotKey(f.Redis, 3, "mbox:"+client)).Err())
		_, err := box.Mailbox.Resume(f.Context(), "a", 10)
		require.ErrorIs(f, err, carillon.ErrUnavailable)
		require.Empty(f, box.resume())
	}},
	{"bad input", store.Options{}, func(f *fixture) {
		for _, c := range [][2]string{{"", "g"}, {client, ""}, {client, "a b"}, {"\xff", "g"}} {
			_, err := f.Mailbox(f.Context(), c[0], c[1])
			require.ErrorIs(f, err, carillon.ErrInvalidArgument)
		}
		err := f.mailbox("g").Mailbox.Ack(f.Context(), store.Message{Slot: 9, ID: "0-1"})
		require.ErrorIs(f, err, carillon.ErrInvalidArgument)
	}},
}
