package storetest

import (
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/store"
)

var createCases = []testCase{
	{"each its own answer", store.Options{Slots: 4}, func(f *fixture) {
		specs := []carillon.TimerSpec{f.spec(time.Hour), f.spec(time.Hour), f.named("n", time.Hour), f.spec(time.Hour)}
		specs[1].ClientID = ""
		specs[3].Delay = time.Second // and fire_at
		out := f.createAll(specs...)
		require.NoError(f, asError(out[0].Error))
		require.ErrorIs(f, out[1].Error, carillon.ErrInvalidArgument)
		require.Equal(f, "client_id", out[1].Error.Field)
		require.NoError(f, asError(out[2].Error))
		require.Equal(f, carillon.NamedID(0, 4, client, "n"), out[2].TimerID)
		require.ErrorIs(f, out[3].Error, carillon.ErrInvalidArgument)
		require.Equal(f, "fire_at", out[3].Error.Field)
		require.Equal(f, specs[0].FireAt, out[0].FireAt)
		require.Positive(f, out[0].Version)
		require.EqualValues(f, 2, f.count().Created)
	}},
	{"nothing asked for", store.Options{}, func(f *fixture) {
		require.Empty(f, f.createAll())
		require.Zero(f, f.count())
	}},
	{"more than one call takes", store.Options{Slots: 4}, func(f *fixture) {
		specs := make([]carillon.TimerSpec, 2*store.MaxScriptTimers+7)
		for i := range specs {
			specs[i] = f.spec(time.Hour + time.Duration(i)*time.Millisecond)
		}
		seen := map[carillon.ID]bool{}
		for i, r := range f.createAll(specs...) {
			require.NoError(f, asError(r.Error))
			require.Equal(f, specs[i].FireAt, r.FireAt, "the answers are not in the order of the input")
			require.False(f, seen[r.TimerID])
			seen[r.TimerID] = true
		}
		require.EqualValues(f, len(specs), f.count().Pending)
	}},
	{"the same request again", store.Options{Slots: 4}, func(f *fixture) {
		in := carillon.CreateTimersInput{RequestID: "again", Timers: make([]carillon.TimerSpec, store.MaxScriptTimers+3)}
		for i := range in.Timers {
			in.Timers[i] = f.mail(time.Hour)
		}
		in.Timers[1], in.Timers[4] = f.named("n", time.Hour), f.named("m", time.Hour)
		first, err := f.Create(f.Context(), in)
		require.NoError(f, err)
		second, err := f.Create(f.Context(), in)
		require.NoError(f, err)
		require.Equal(f, first, second)
		third, err := f.process().Create(f.Context(), in) // it mints other ids
		require.NoError(f, err)
		require.Equal(f, first, third)
		require.EqualValues(f, len(in.Timers), f.count().Created)
	}},
	{"another input under the same request", store.Options{}, func(f *fixture) {
		in := carillon.CreateTimersInput{RequestID: "r", Timers: []carillon.TimerSpec{f.spec(time.Hour)}}
		_, err := f.Create(f.Context(), in)
		require.NoError(f, err)
		in.Timers = append(in.Timers, f.spec(time.Hour))
		_, err = f.Create(f.Context(), in)
		require.ErrorIs(f, err, carillon.ErrInvalidArgument)
		require.ErrorContains(f, err, "request_id")
	}},
	{"a request id that is too long", store.Options{}, func(f *fixture) {
		_, err := f.Create(f.Context(), carillon.CreateTimersInput{RequestID: strings.Repeat("r", carillon.MaxRequestID+1)})
		require.ErrorIs(f, err, carillon.ErrInvalidArgument)
	}},
	{"a create whose answer was lost", store.Options{Slots: 2}, func(f *fixture) {
		specs := []carillon.TimerSpec{f.spec(time.Hour), f.named("n", time.Hour)}
		in := carillon.CreateTimersInput{RequestID: "r", Timers: specs}
		_, err := f.Create(Lost(f.Context()), in)
		require.ErrorIs(f, err, carillon.ErrUnavailable)
		out, err := f.process().Create(f.Context(), in)
		require.NoError(f, err)
		require.False(f, out.Timers[1].Existing)
		require.EqualValues(f, 2, f.count().Created)
	}},
	{"the script runs twice", store.Options{Slots: 2}, func(f *fixture) {
		specs := []carillon.TimerSpec{f.spec(time.Hour), f.named("n", time.Hour), f.spec(0)}
		out, err := f.Create(Twice(f.Context()), carillon.CreateTimersInput{Timers: specs})
		require.NoError(f, err)
		for _, r := range out.Timers {
			require.NoError(f, asError(r.Error))
			require.False(f, r.Existing)
		}
		require.EqualValues(f, 3, f.count().Created)
	}},
	{"index or queue", store.Options{LookAhead: time.Minute}, func(f *fixture) {
		soon, late := f.create(f.spec(30*time.Second)), f.create(f.spec(90*time.Second))
		require.Equal(f, carillon.StateDue, f.state(soon.TimerID))
		require.Equal(f, carillon.StatePending, f.state(late.TimerID))
		require.EqualValues(f, 1, f.indexEntries())
		require.EqualValues(f, 1, f.queueEntries())
	}},
	{"a full queue", store.Options{QueueLimit: 2}, func(f *fixture) {
		specs := []carillon.TimerSpec{f.spec(time.Second), f.spec(time.Second), f.spec(time.Second)}
		f.createAll(specs...)
		f.create(f.spec(time.Second))
		require.EqualValues(f, 2, f.queueEntries())
		require.EqualValues(f, 2, f.indexEntries())
	}},
	{"far in the past", store.Options{QueueLimit: 1}, func(f *fixture) {
		spec := f.spec(0)
		spec.FireAt = time.Unix(-1_000_000, 0)
		for range 2 { // one goes to the queue, one to the index
			out := f.create(spec)
			require.Equal(f, time.UnixMilli(0).UTC(), out.FireAt)
		}
		l := f.lane()
		e := l.readOne()
		_, firing := l.take(e)
		require.True(f, l.complete(e, firing, store.CompleteFired, 0))
		require.Equal(f, 1, f.sweep(store.Partition{}).Moved)
		l.take(l.readOne())
	}},
	{"a delay counts by the store's clock", store.Options{}, func(f *fixture) {
		f.advance(-1000 * time.Hour)
		spec := f.spec(0)
		spec.FireAt, spec.Delay = time.Time{}, 10*time.Minute
		before := f.now()
		out := f.create(spec)
		require.WithinRange(f, out.FireAt, before.Add(10*time.Minute-time.Second), f.now().Add(10*time.Minute+time.Second))
		require.WithinDuration(f, before, f.describe(byID(out.TimerID)).CreatedAt, time.Second)
	}},
	{"at the edges of windows", store.Options{}, func(f *fixture) {
		hour := f.now().Truncate(time.Hour).Add(5 * time.Hour)
		at := []time.Time{hour.Add(-time.Millisecond), hour, hour.Add(time.Hour - time.Millisecond), hour.Add(time.Hour)}
		specs := make([]carillon.TimerSpec, len(at))
		for i := range at {
			specs[i] = f.spec(0)
			specs[i].FireAt = at[i]
		}
		f.createAll(specs...)
		windows, err := f.redis.ZCard(f.Context(), f.key("win:0")).Result()
		require.NoError(f, err)
		require.EqualValues(f, 3, windows)
	}},
	{"one batch in many windows", store.Options{}, func(f *fixture) {
		specs := make([]carillon.TimerSpec, 200)
		for i := range specs {
			specs[i] = f.spec(time.Duration(i+1) * 90 * time.Minute)
		}
		f.createAll(specs...)
		require.EqualValues(f, len(specs), f.indexEntries())
	}},
	{"what is finer than a millisecond is rounded up", store.Options{}, func(f *fixture) {
		spec := f.spec(time.Hour)
		whole := spec.FireAt
		spec.FireAt = whole.Add(time.Microsecond)
		require.Equal(f, whole.Add(time.Millisecond), f.create(spec).FireAt)
	}},
	{"payloads of any size", store.Options{}, func(f *fixture) {
		for _, size := range []int{0, 64, 1023, 1024, 1025, carillon.MaxPayload} {
			spec := f.spec(time.Hour)
			if size > 0 {
				spec.Payload = payloadOf(size)
			}
			out := f.create(spec)
			info := f.describe(byID(out.TimerID))
			require.Equal(f, spec.Payload.GetData(), info.Payload.GetData(), "%d bytes", size)
			require.Equal(f, spec.Payload.GetMetadata(), info.Payload.GetMetadata(), "%d bytes", size)
		}
		apart, err := f.redis.HLen(f.Context(), f.key("body")).Result()
		require.NoError(f, err)
		require.EqualValues(f, 2, apart, "payloads over 1 KiB lie apart, smaller ones do not")
	}},
	{"a payload over the limit", store.Options{}, func(f *fixture) {
		specs := []carillon.TimerSpec{f.spec(time.Hour), f.spec(time.Hour)}
		specs[0].Payload = payloadOf(carillon.MaxPayload + 1)
		out := f.createAll(specs...)
		require.ErrorIs(f, out[0].Error, carillon.ErrInvalidArgument)
		require.Equal(f, "payload", out[0].Error.Field)
		require.NoError(f, asError(out[1].Error))
	}},
	{"many large payloads", store.Options{}, func(f *fixture) {
		specs := make([]carillon.TimerSpec, 20) // 4 MiB: more than one script call takes
		for i := range specs {
			specs[i] = f.spec(time.Hour)
			specs[i].Payload = payloadOf(200 << 10)
		}
		for _, r := range f.createAll(specs...) {
			require.NoError(f, asError(r.Error))
		}
		require.EqualValues(f, len(specs), f.count().Pending)
	}},
	{"everything that a client chooses is kept", store.Options{}, func(f *fixture) {
		spec := f.named("n", time.Hour)
		spec.Labels = map[string]string{"order": "17", "empty": ""}
		spec.Retry = &carillon.RetryPolicy{MaximumAttempts: 3, InitialInterval: carillon.Duration(time.Minute)}
		spec.Target = carillon.Target{Signal: &carillon.SignalTarget{Namespace: "ns", WorkflowID: "w", SignalName: "s"}}
		spec.Payload = payload("x")
		out := f.create(spec)
		info := f.describe(byID(out.TimerID))
		require.Equal(f, spec.Labels, info.Labels)
		require.Equal(f, spec.Retry, info.Retry)
		require.Equal(f, spec.Target, info.Target)
		require.Equal(f, spec.Name, info.Name)
		require.Equal(f, client, info.ClientID)
		require.Equal(f, out.Version, info.Version)
		require.Equal(f, out.FireAt, info.FireAt)
		require.Zero(f, info.Attempts)
		require.WithinDuration(f, f.now(), info.CreatedAt, 10*time.Second)
	}},
	{"a name of bytes that Lua could stumble over", store.Options{}, func(f *fixture) {
		spec := f.mail(time.Hour)
		spec.ClientID = strings.Repeat("ü%{}\"'", 20)
		out := f.create(spec)
		require.Equal(f, spec.ClientID, f.describe(byID(out.TimerID)).ClientID)
		n, err := f.Count(f.Context(), carillon.CountTimersInput{ClientID: spec.ClientID})
		require.NoError(f, err)
		require.EqualValues(f, 1, n.Pending)
	}},
}
