package storetest

import (
	"context"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/store"
)

func ids(entries []store.Entry) []string {
	out := make([]string, len(entries))
	for i, e := range entries {
		out[i] = e.ID
	}
	return out
}

// fill puts n due timers into the queue.
func (f *fixture) fill(n int) {
	f.Helper()
	specs := make([]carillon.TimerSpec, n)
	for i := range specs {
		specs[i] = f.spec(-time.Second)
	}
	f.createAll(specs...)
}

// needsRealStreams skips a test that the embedded Redis cannot serve: it forgets less than it should of an entry that
// was deleted while a consumer held it. No script of the store deletes one in that way.
func (f *fixture) needsRealStreams() {
	if f.Info().Embedded {
		f.Skip("the embedded Redis keeps deleted entries pending")
	}
}

var laneCases = []testCase{
	{"read in order, each entry once", store.Options{}, func(f *fixture) {
		f.fill(25)
		l := f.lane()
		var got []string
		for {
			entries, err := f.Read(f.Context(), l.id, l.token, l.after, 10)
			require.NoError(f, err)
			if len(entries) == 0 {
				break
			}
			require.LessOrEqual(f, len(entries), 10)
			l.after = entries[len(entries)-1].ID
			got = append(got, ids(entries)...)
		}
		require.Len(f, got, 25)
		require.Empty(f, l.read())
	}},
	{"an answer that was lost comes again", store.Options{}, func(f *fixture) {
		f.fill(5)
		l := f.lane()
		first, err := f.Read(f.Context(), l.id, l.token, "", 2)
		require.NoError(f, err)
		require.Len(f, first, 2)
		after := first[1].ID
		_, err = f.Read(Lost(f.Context()), l.id, l.token, after, 2)
		require.Error(f, err)
		second, err := f.Read(f.Context(), l.id, l.token, after, 10)
		require.NoError(f, err)
		require.Len(f, second, 3, "the two of the lost answer, and a new one")
		require.Empty(f, func() []store.Entry { l.after = second[2].ID; return l.read() }())
	}},
	{"a read that runs twice", store.Options{}, func(f *fixture) {
		f.fill(5)
		l := f.lane()
		entries, err := f.Read(Twice(f.Context()), l.id, l.token, "", 3)
		require.NoError(f, err)
		require.Len(f, entries, 3)
		l.after = entries[2].ID
		require.Len(f, l.read(), 2)
	}},
	{"an entry that was lost and is gone", store.Options{}, func(f *fixture) {
		f.needsRealStreams()
		f.fill(3)
		l := f.lane()
		all, err := f.Read(f.Context(), l.id, l.token, "", 10)
		require.NoError(f, err)
		require.NoError(f, f.redis.XDel(f.Context(), f.key("fire"), all[1].ID).Err())
		again, err := f.Read(f.Context(), l.id, l.token, "", 10)
		require.NoError(f, err)
		require.Equal(f, []string{all[0].ID, all[2].ID}, ids(again))
		// The record of the removed entry would have none: it goes too.
		require.NoError(f, f.cancel(byID(carillon.NewID(0, 0, all[1].Unique))))
	}},
	{"two lanes share a queue", store.Options{}, func(f *fixture) {
		f.fill(20)
		a, b := f.laneOf(f.Redis, store.LaneID{Lane: 0}), f.laneOf(f.process(), store.LaneID{Lane: 1})
		first, err := a.store.Read(f.Context(), a.id, a.token, "", 12)
		require.NoError(f, err)
		second := b.read()
		require.Len(f, first, 12)
		require.Len(f, second, 8)
		require.NotSubset(f, ids(first), ids(second)[:1])
		lanes := f.partitions().Lanes
		require.Len(f, lanes, 2)
		require.EqualValues(f, 12, lanes[0].Held)
		require.EqualValues(f, 8, lanes[1].Held)
		require.EqualValues(f, 20, lanes[1].Queue)
	}},
	{"adopt what a dead holder left behind", store.Options{}, func(f *fixture) {
		f.fill(10)
		dead := f.lane()
		left, err := f.Read(f.Context(), dead.id, dead.token, "", 7)
		require.NoError(f, err)
		claimed := left[0]
		_, firing := dead.take(claimed)
		f.lapse()
		l := f.laneOf(f.process(), store.LaneID{})
		require.ElementsMatch(f, ids(left), ids(l.adopt()))
		require.Empty(f, l.adopt())
		l.after = left[len(left)-1].ID
		require.Len(f, l.read(), 3, "what nobody had read")
		out, again := l.take(claimed)
		require.Equal(f, 2, out.Attempt)
		require.Equal(f, firing.Version, again.Version)
		require.True(f, l.complete(claimed, again, store.CompleteFired, 0))
		consumers, err := f.redis.XInfoConsumers(f.Context(), f.key("fire"), "fire").Result()
		require.NoError(f, err)
		require.Len(f, consumers, 1, "the dead one's name is gone")
	}},
	{"adopt in several rounds, of several holders", store.Options{}, func(f *fixture) {
		f.fill(23)
		var left []string
		for _, n := range []int{9, 1, 7} {
			l := f.lane()
			entries, err := f.Read(f.Context(), l.id, l.token, "", n)
			require.NoError(f, err)
			left = append(left, ids(entries)...)
			f.lapse()
		}
		l := f.lane()
		var got []string
		for rounds := 0; ; rounds++ {
			require.Less(f, rounds, 50, "it never ends")
			entries, more, err := f.Adopt(f.Context(), l.id, l.token, 4)
			require.NoError(f, err)
			require.LessOrEqual(f, len(entries), 4)
			got = append(got, ids(entries)...)
			if !more {
				break
			}
		}
		require.ElementsMatch(f, left, got)
	}},
	{"adopt does not rob a live lane", store.Options{}, func(f *fixture) {
		f.fill(10)
		other := f.laneOf(f.Redis, store.LaneID{Lane: 11})
		entries, err := f.Read(f.Context(), other.id, other.token, "", 5)
		require.NoError(f, err)
		other.after = entries[4].ID
		l := f.laneOf(f.process(), store.LaneID{Lane: 1})
		require.Empty(f, l.adopt())
		require.Len(f, l.read(), 5)
		out, _ := other.claim(entries...)
		require.Equal(f, store.ClaimTaken, out[0].Status)
	}},
	{"adopt what is gone meanwhile", store.Options{}, func(f *fixture) {
		f.needsRealStreams()
		f.fill(3)
		dead := f.lane()
		left := dead.read()
		require.NoError(f, f.redis.XDel(f.Context(), f.key("fire"), left[0].ID).Err())
		f.lapse()
		l := f.lane()
		require.Equal(f, ids(left[1:]), ids(l.adopt()))
		require.NoError(f, f.cancel(byID(carillon.NewID(0, 0, left[0].Unique))))
	}},
	{"an adopt whose answer was lost", store.Options{}, func(f *fixture) {
		f.fill(6)
		dead := f.lane()
		left := dead.read()
		f.lapse()
		l := f.lane()
		_, _, err := f.Adopt(Lost(f.Context()), l.id, l.token, 4)
		require.Error(f, err)
		rest := l.adopt()
		require.Len(f, rest, 2)
		require.ElementsMatch(f, ids(left), ids(l.read()), "a lane that has not read yet gets all of its own")
	}},
	{"drop", store.Options{}, func(f *fixture) {
		f.fill(2)
		l := f.lane()
		entries := l.read()
		for _, e := range entries {
			require.NoError(f, f.cancel(byID(carillon.NewID(0, 0, e.Unique))))
		}
		require.Equal(f, []*store.Firing{nil, nil}, l.fetch(entries...))
		require.NoError(f, f.Drop(Twice(f.Context()), l.id, l.token, entries))
		require.NoError(f, f.Drop(f.Context(), l.id, l.token, nil))
		require.Zero(f, f.queueEntries())
	}},
	{"fetch more than one call takes", store.Options{}, func(f *fixture) {
		f.fill(store.MaxScriptTimers + 10)
		l := f.lane()
		entries := l.read()
		for i, firing := range l.fetch(entries...) {
			require.Equal(f, entries[i].Unique, firing.TimerID.Unique())
		}
	}},
	{"what a lane sees", store.Options{}, func(f *fixture) {
		l := f.lane()
		small := f.spec(-time.Second)
		small.Payload, small.Labels, small.Name = payload("x"), map[string]string{"a": "b"}, "n"
		small.Target = carillon.ToSignal("w", "s")
		out := f.create(small)
		firing := l.fetchOne(l.readOne())
		require.Equal(f, out.TimerID, firing.TimerID)
		require.Equal(f, client, firing.ClientID)
		require.Equal(f, out.Version, firing.Version)
		require.Equal(f, out.Version, firing.Incarnation)
		require.Equal(f, out.FireAt.UnixMilli(), firing.Due)
		require.Equal(f, small.Target, firing.Target)
		require.Equal(f, small.Labels, firing.Labels)
		require.Equal(f, "n", firing.Name)
		require.False(f, firing.PayloadApart)
		require.False(f, firing.Mailbox)
		large := f.mail(-time.Second)
		large.Payload = payloadOf(2000)
		f.create(large)
		firing = l.fetchOne(l.readOne())
		require.True(f, firing.PayloadApart)
		require.True(f, firing.Mailbox)
	}},
	{"wait", store.Options{}, func(f *fixture) {
		after, err := f.Wait(f.Context(), 0, "", 10*time.Millisecond)
		require.NoError(f, err)
		require.Contains(f, []string{"", "0"}, after, "nothing came")
		f.fill(1)
		after, err = f.Wait(f.Context(), 0, after, time.Minute)
		require.NoError(f, err)
		type answer struct {
			after string
			err   error
		}
		woken := make(chan answer, 1)
		go func() {
			next, err := f.Wait(f.Context(), 0, after, time.Minute)
			woken <- answer{next, err}
		}()
		f.fill(1)
		got := <-woken
		require.NoError(f, got.err)
		require.NotEqual(f, after, got.after)
		require.Equal(f, f.lane().read()[1].ID, got.after)
	}},
	{"a wait ends with its context and with its store", store.Options{}, func(f *fixture) {
		ctx, cancel := context.WithCancel(f.Context())
		other := f.process()
		ended := make(chan error, 2)
		go func() { _, err := f.Wait(ctx, 0, "", time.Minute); ended <- err }()
		go func() { _, err := other.Wait(f.Context(), 0, "", time.Minute); ended <- err }()
		cancel()
		require.NoError(f, other.Close())
		require.Error(f, <-ended)
		require.Error(f, <-ended)
	}},
}
