package storetest

import (
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/store"
)

// events are the events of slot 0: the kind of each, and what follows.
func (f *fixture) events() []string {
	f.Helper()
	messages, err := f.redis.XRange(f.Context(), f.key("events"), "-", "+").Result()
	require.NoError(f, err)
	out := make([]string, len(messages))
	for i, m := range messages {
		out[i] = m.Values["e"].(string)
	}
	return out
}

var eventCases = []testCase{
	{"one for each change", store.Options{}, func(f *fixture) {
		l := f.lane()
		results := f.createAll(f.spec(time.Hour), f.spec(time.Hour))
		f.reschedule(results[0].TimerID, -time.Second)
		e := l.readOne()
		_, firing := l.take(e)
		require.True(f, l.complete(e, firing, store.CompleteRetry, f.in(-time.Second).UnixMilli()))
		e = l.readOne()
		_, firing = l.take(e)
		require.True(f, l.complete(e, firing, store.CompleteDead, 0))
		out, err := f.Redrive(f.Context(), carillon.RedriveTimersInput{Timers: []carillon.TimerRef{byID(results[0].TimerID)}})
		require.NoError(f, err)
		require.NoError(f, asError(out.Timers[0].Error))
		e = l.readOne()
		_, firing = l.take(e)
		require.True(f, l.complete(e, firing, store.CompleteFired, 0))
		require.NoError(f, f.cancel(byID(results[1].TimerID)))
		_, e = l.due(f.mail(0))
		l.claim(e)

		unique := func(i int) string { u := results[i].TimerID.Unique(); return string(u[:]) }
		kinds, events := "", f.events()
		for _, event := range events {
			kinds += event[:1]
		}
		require.Equal(f, "crrdrfxcf", kinds)
		require.Equal(f, results[0].Version, integer(events[0][1:7]), "a creation names its first version")
		require.Len(f, events[0], 1+6+2*(9+6))
		require.Equal(f, unique(0), events[0][7:16])
		require.Equal(f, results[0].FireAt.UnixMilli(), integer(events[0][16:22]))
		require.Equal(f, unique(1), events[0][22:31])
		require.Equal(f, unique(0), events[1][1:10])
		require.Len(f, events[1], 1+9+6+6)
		require.Len(f, events[2], 1+9+6+6)
		require.Equal(f, "d"+unique(0), events[3])
		require.Equal(f, "f"+unique(0), events[5])
		require.Equal(f, "x"+unique(1), events[6])
		require.True(f, strings.HasPrefix(events[8], "f"))
	}},
	{"none for what changed nothing", store.Options{}, func(f *fixture) {
		spec := f.named("n", time.Hour)
		f.create(spec)
		f.create(spec)
		require.Error(f, f.cancel(byName("never")))
		require.Len(f, f.events(), 1)
	}},
	{"no more than so many", store.Options{EventLimit: 10}, func(f *fixture) {
		for range 400 {
			f.create(f.spec(time.Hour))
		}
		require.Less(f, len(f.events()), 300) // Redis trims whole nodes of 100 entries
	}},
}
