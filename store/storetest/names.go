package storetest

import (
	"strconv"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/store"
)

var nameCases = []testCase{
	{"the same content is the same timer", store.Options{Slots: 2}, func(f *fixture) {
		spec := f.named("n", time.Hour)
		spec.Payload, spec.Labels = payloadOf(2000), map[string]string{"a": "1", "b": "2", "c": "3"}
		first := f.create(spec)
		require.False(f, first.Existing)
		second := f.create(spec)
		require.True(f, second.Existing)
		second.Existing = false
		require.Equal(f, first, second)
		require.EqualValues(f, 1, f.count().Created)
	}},
	{"another content is refused", store.Options{}, func(f *fixture) {
		spec := f.named("n", time.Hour)
		first := f.create(spec)
		changes := map[string]func(*carillon.TimerSpec){
			"time":    func(s *carillon.TimerSpec) { s.FireAt = s.FireAt.Add(time.Millisecond) },
			"payload": func(s *carillon.TimerSpec) { s.Payload = payload("other") },
			"large":   func(s *carillon.TimerSpec) { s.Payload = payloadOf(2000) },
			"target":  func(s *carillon.TimerSpec) { s.Target = carillon.ToMailbox() },
			"labels":  func(s *carillon.TimerSpec) { s.Labels = map[string]string{"a": "b"} },
			"retry":   func(s *carillon.TimerSpec) { s.Retry = &carillon.RetryPolicy{MaximumAttempts: 2} },
			"delay":   func(s *carillon.TimerSpec) { s.FireAt, s.Delay = time.Time{}, time.Hour },
		}
		for what, change := range changes {
			other := spec
			change(&other)
			out := f.createAll(other)[0]
			require.ErrorIs(f, out.Error, carillon.ErrAlreadyExists, what)
			require.Equal(f, first.TimerID, out.TimerID)
		}
		require.Equal(f, first.FireAt, f.describe(byName("n")).FireAt)
	}},
	{"reject", store.Options{}, func(f *fixture) {
		spec := f.named("n", time.Hour)
		spec.OnConflict = carillon.ConflictReject
		f.create(spec)
		require.ErrorIs(f, f.createAll(spec)[0].Error, carillon.ErrAlreadyExists)
	}},
	{"keep", store.Options{}, func(f *fixture) {
		spec := f.named("n", time.Hour)
		spec.OnConflict = carillon.ConflictKeep
		first := f.create(spec)
		spec.FireAt = f.in(2 * time.Hour)
		second := f.create(spec)
		require.True(f, second.Existing)
		require.Equal(f, first.FireAt, second.FireAt)
		require.Equal(f, first.Version, second.Version)
	}},
	{"replace", store.Options{}, func(f *fixture) {
		spec := f.named("n", time.Hour)
		spec.OnConflict, spec.Payload = carillon.ConflictReplace, payloadOf(3000)
		first := f.create(spec)
		spec.FireAt, spec.Payload, spec.Target = f.in(2*time.Hour), payload("new"), carillon.ToMailbox()
		second := f.create(spec)
		require.Equal(f, first.TimerID, second.TimerID)
		require.False(f, second.Existing)
		require.Greater(f, second.Version, first.Version)
		require.Equal(f, spec.FireAt, second.FireAt)
		info := f.describe(byName("n"))
		require.Equal(f, spec.Payload.Data, info.Payload.Data)
		require.Equal(f, carillon.KindMailbox, info.Target.Kind())
		require.Equal(f, second.Version, info.Version)
		require.Equal(f, second.FireAt, info.FireAt)
		require.EqualValues(f, 1, f.count().Created)

		spec.OnConflict = carillon.ConflictDefault
		require.True(f, f.create(spec).Existing, "what was replaced has the content of what replaced it")
	}},
	{"replace again under the same request", store.Options{}, func(f *fixture) {
		f.create(f.named("n", time.Hour))
		spec := f.named("n", 2*time.Hour)
		spec.OnConflict = carillon.ConflictReplace
		in := carillon.CreateTimersInput{RequestID: "r", Timers: []carillon.TimerSpec{spec}}
		first, err := f.Create(Twice(f.Context()), in)
		require.NoError(f, err)
		second, err := f.process().Create(f.Context(), in)
		require.NoError(f, err)
		require.Equal(f, first, second)
	}},
	{"replace as a debounce in the queue", store.Options{LookAhead: time.Minute}, func(f *fixture) {
		spec := f.named("n", time.Second)
		spec.OnConflict = carillon.ConflictReplace
		f.create(spec)
		for i := range 20 {
			spec.FireAt = f.in(2*time.Second + time.Duration(i)*time.Millisecond)
			f.create(spec)
		}
		require.EqualValues(f, 1, f.queueEntries(), "a timer that is put off over and over does not pile up entries")
	}},
	{"replace what is being fired", store.Options{}, func(f *fixture) {
		l := f.lane()
		spec := f.named("n", 0)
		_, e := l.due(spec)
		l.take(e)
		spec = f.named("n", time.Hour)
		spec.OnConflict = carillon.ConflictReplace
		require.ErrorIs(f, f.createAll(spec)[0].Error, carillon.ErrTooLate)
	}},
	{"the same name twice in one batch", store.Options{Slots: 2}, func(f *fixture) {
		one, other, replaced := f.named("n", time.Hour), f.named("n", 2*time.Hour), f.named("n", 3*time.Hour)
		replaced.OnConflict = carillon.ConflictReplace
		specs := []carillon.TimerSpec{one, one, other, replaced, f.spec(time.Hour)}
		in := carillon.CreateTimersInput{RequestID: "r", Timers: specs}
		out, err := f.Create(f.Context(), in)
		require.NoError(f, err)
		require.False(f, out.Timers[0].Existing)
		require.True(f, out.Timers[1].Existing)
		require.ErrorIs(f, out.Timers[2].Error, carillon.ErrAlreadyExists)
		require.NoError(f, asError(out.Timers[3].Error))
		require.Equal(f, replaced.FireAt, f.describe(byName("n")).FireAt)
		again, err := f.Create(f.Context(), in)
		require.NoError(f, err)
		require.Equal(f, out, again)
	}},
	{"of different clients", store.Options{Slots: 4}, func(f *fixture) {
		one, other := f.named("n", time.Hour), f.named("n", time.Hour)
		other.ClientID = "other"
		require.NotEqual(f, f.create(one).TimerID, f.create(other).TimerID)
	}},
	{"many names in many slots", store.Options{Slots: 8}, func(f *fixture) {
		specs := make([]carillon.TimerSpec, 600)
		for i := range specs {
			specs[i] = f.named("n"+strconv.Itoa(i), time.Hour)
		}
		for i, r := range f.createAll(specs...) {
			require.NoError(f, asError(r.Error))
			require.Equal(f, carillon.NamedID(0, 8, client, specs[i].Name), r.TimerID)
		}
		for _, r := range f.createAll(specs...) {
			require.True(f, r.Existing)
		}
	}},
	{"free again when it was fired", store.Options{}, func(f *fixture) {
		l := f.lane()
		first, e := l.due(f.named("n", 0))
		old := l.fetchOne(e)
		_, firing := l.take(e)
		require.True(f, l.complete(e, firing, store.CompleteFired, 0))
		out := f.create(f.named("n", time.Second))
		require.Equal(f, first, out.TimerID)
		require.False(f, out.Existing)
		firing = l.fetchOne(l.readOne())
		require.Greater(f, firing.Incarnation, old.Incarnation, "a name that is used again is another timer")
	}},
	{"free again when it was cancelled", store.Options{}, func(f *fixture) {
		first := f.create(f.named("n", time.Hour))
		require.NoError(f, f.cancel(byName("n")))
		second := f.create(f.named("n", time.Hour))
		require.False(f, second.Existing)
		require.Greater(f, second.Version, first.Version)
	}},
	{"free again when it is dead", store.Options{}, func(f *fixture) {
		l := f.lane()
		spec := f.named("n", 0)
		spec.Payload = payloadOf(2000)
		l.dead(spec)
		require.EqualValues(f, 1, f.count().Dead)
		out := f.create(f.named("n", time.Hour))
		require.False(f, out.Existing)
		require.Equal(f, carillon.StatePending, f.state(out.TimerID))
		n := f.count()
		require.Zero(f, n.Dead)
		require.EqualValues(f, 2, n.Created)
	}},
	{"an old queue entry does not fire the next timer", store.Options{LookAhead: time.Minute}, func(f *fixture) {
		l := f.lane()
		f.create(f.named("n", 30*time.Second))
		old := l.readOne()
		stale := l.fetchOne(old)
		require.NoError(f, f.cancel(byName("n")))
		out := f.create(f.named("n", 50*time.Second))
		f.advance(35 * time.Second) // the old one's time
		require.Nil(f, l.fetch(old)[0])
		require.Equal(f, store.ClaimGone, l.claimWith(old, stale).Status)
		fresh := l.readOne()
		answer, _ := l.claim(fresh)
		require.Equal(f, store.ClaimHold, answer[0].Status)
		require.Equal(f, out.FireAt.UnixMilli(), answer[0].Due)
		f.advance(20 * time.Second)
		l.take(fresh)
	}},
	{"an old queue entry that nobody has read", store.Options{LookAhead: time.Minute}, func(f *fixture) {
		spec := f.named("n", 30*time.Second)
		spec.Target = carillon.ToMailbox()
		f.create(spec)
		require.NoError(f, f.cancel(byName("n")))
		spec.FireAt = f.in(50 * time.Second)
		f.create(spec)
		require.EqualValues(f, 2, f.queueEntries())
		l := f.lane()
		entries := l.read()
		f.advance(35 * time.Second)
		firings := l.fetch(entries...)
		require.Nil(f, firings[0])
		require.NotNil(f, firings[1])
		require.NoError(f, f.Drop(f.Context(), l.id, l.token, entries[:1]))
		require.Equal(f, store.ClaimHold, l.claimWith(entries[1], firings[1]).Status)
		require.EqualValues(f, 1, f.queueEntries())
	}},
}
