package storetest

import (
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/store"
)

var completeCases = []testCase{
	{"fired", store.Options{}, func(f *fixture) {
		l := f.lane()
		spec := f.spec(0)
		spec.Payload = payloadOf(2000)
		id, e := l.due(spec)
		_, firing := l.take(e)
		require.True(f, l.complete(e, firing, store.CompleteFired, 0))
		require.Equal(f, carillon.StateFired, f.state(id))
		require.False(f, l.complete(e, firing, store.CompleteFired, 0))
		n := f.count()
		require.EqualValues(f, 1, n.Fired)
		require.Zero(f, n.Pending+n.Due+n.Firing)
	}},
	{"retry soon", store.Options{}, func(f *fixture) {
		l := f.lane()
		spec := f.named("n", 0)
		spec.Payload = payloadOf(2000)
		id, e := l.due(spec)
		_, firing := l.take(e)
		at := f.in(2 * time.Second)
		require.True(f, l.complete(e, firing, store.CompleteRetry, at.UnixMilli()))
		info := f.describe(byID(id))
		require.Equal(f, carillon.StateDue, info.State)
		require.Equal(f, at, info.FireAt)
		require.Equal(f, "no answer", info.LastError)
		require.Equal(f, 1, info.Attempts)
		require.Equal(f, "n", info.Name)
		require.Greater(f, info.Version, firing.Version)
		next := l.readOne()
		answer, again := l.claim(next)
		require.Equal(f, store.ClaimHold, answer[0].Status)
		require.Equal(f, firing.Incarnation, again[0].Incarnation, "it is the same delivery")
		f.advance(3 * time.Second)
		out, _ := l.take(next)
		require.Equal(f, 2, out.Attempt)
		require.Len(f, out.Payload, 2000)
	}},
	{"retry later", store.Options{}, func(f *fixture) {
		l := f.lane()
		id, e := l.due(f.spec(0))
		_, firing := l.take(e)
		require.True(f, l.complete(e, firing, store.CompleteRetry, f.in(time.Hour).UnixMilli()))
		require.Equal(f, carillon.StatePending, f.state(id))
		require.EqualValues(f, 1, f.indexEntries())
		require.Zero(f, f.queueEntries())
		f.reschedule(id, 2*time.Hour)
		f.advance(3 * time.Hour)
		require.Equal(f, 1, f.sweep(store.Partition{}).Moved)
		out, _ := l.take(l.readOne())
		require.Equal(f, 1, out.Attempt, "a reschedule begins anew")
	}},
	{"retry into a full queue", store.Options{QueueLimit: 1}, func(f *fixture) {
		l := f.lane()
		_, e := l.due(f.spec(0))
		_, firing := l.take(e)
		f.create(f.spec(time.Second))
		require.EqualValues(f, 1, f.queueEntries())
		require.True(f, l.complete(e, firing, store.CompleteRetry, f.in(-time.Second).UnixMilli()))
		require.EqualValues(f, 2, f.indexEntries())
	}},
	{"deferred", store.Options{}, func(f *fixture) {
		l := f.lane()
		id, e := l.due(f.spec(0))
		for range 3 {
			out, firing := l.take(e)
			require.Equal(f, 1, out.Attempt, "it costs no attempt")
			require.True(f, l.complete(e, firing, store.CompleteDefer, f.in(-time.Second).UnixMilli()))
			e = l.readOne()
		}
		require.Zero(f, f.describe(byID(id)).Attempts)
	}},
	{"dead", store.Options{}, func(f *fixture) {
		l := f.lane()
		spec := f.named("n", 0)
		spec.Payload = payloadOf(2000)
		id, e := l.due(spec)
		_, firing := l.take(e)
		require.True(f, l.complete(e, firing, store.CompleteDead, 0))
		info := f.describe(byName("n"))
		require.Equal(f, id, info.TimerID)
		require.Equal(f, carillon.StateDead, info.State)
		require.Equal(f, "no answer", info.LastError)
		require.Equal(f, spec.Payload.Data, info.Payload.Data)
		n := f.count()
		require.EqualValues(f, 1, n.Dead)
		require.Zero(f, n.Pending)
	}},
	{"a mailbox timer that is given up", store.Options{MailboxLimit: 1}, func(f *fixture) {
		l := f.lane()
		f.createAll(f.mail(-time.Second), f.mail(-time.Second))
		entries := l.read()
		_, firings := l.claim(entries...)
		require.True(f, l.complete(entries[1], firings[1], store.CompleteDead, 0))
		info := f.describe(byID(firings[1].TimerID))
		require.Equal(f, carillon.StateDead, info.State)
		require.Equal(f, carillon.KindMailbox, info.Target.Kind())
	}},
	{"an error that is long or not text", store.Options{}, func(f *fixture) {
		l := f.lane()
		for _, text := range []string{strings.Repeat("ü", 10_000), "\xff\xfe"} {
			id, e := l.due(f.spec(0))
			_, firing := l.take(e)
			out, err := f.Complete(f.Context(), l.id, l.token, []store.Completion{{
				Entry: e, Firing: firing, Kind: store.CompleteDead, Error: text,
			}})
			require.NoError(f, err)
			require.Equal(f, []bool{true}, out)
			require.Less(f, len(f.describe(byID(id)).LastError), 1000)
		}
	}},
	{"a batch of all kinds", store.Options{}, func(f *fixture) {
		f.fill(5)
		l := f.lane()
		entries := l.read()
		_, firings := l.claim(entries...)
		require.NoError(f, f.redis.HDel(f.Context(), f.key("inflight"), string(entries[4].Unique[:])).Err())
		at := f.in(90 * time.Minute).UnixMilli()
		kinds := []store.CompletionKind{store.CompleteFired, store.CompleteRetry, store.CompleteDead, store.CompleteDefer}
		var all []store.Completion
		for i, kind := range kinds {
			all = append(all, store.Completion{
				Entry: entries[i], Firing: firings[i], Kind: kind, RetryAt: at + int64(i)*time.Hour.Milliseconds(), Error: "e",
			})
		}
		out, err := f.Complete(f.Context(), l.id, l.token, all)
		require.NoError(f, err)
		require.Equal(f, []bool{true, true, true, true}, out)
		for i, want := range []carillon.State{
			carillon.StateFired, carillon.StatePending, carillon.StateDead, carillon.StatePending,
		} {
			require.Equal(f, want, f.state(firings[i].TimerID), "timer %d", i)
		}
	}},
	{"one timer twice in a batch", store.Options{}, func(f *fixture) {
		l := f.lane()
		for _, kind := range []store.CompletionKind{store.CompleteFired, store.CompleteDead, store.CompleteRetry} {
			_, e := l.due(f.spec(0))
			_, firing := l.take(e)
			c := store.Completion{Entry: e, Firing: firing, Kind: kind, RetryAt: f.in(time.Hour).UnixMilli()}
			out, err := f.Complete(f.Context(), l.id, l.token, []store.Completion{c, c})
			require.NoError(f, err)
			require.Equal(f, []bool{true, false}, out)
			CheckInvariants(f, f.Redis, f.redis)
		}
	}},
	{"what was never claimed", store.Options{}, func(f *fixture) {
		l := f.lane()
		_, e := l.due(f.spec(0))
		firing := l.fetchOne(e)
		require.False(f, l.complete(e, firing, store.CompleteFired, 0))
		require.EqualValues(f, 1, f.queueEntries(), "nothing was written: the entry is still there")
		l.take(e)
	}},
	{"by a holder that was replaced", store.Options{}, func(f *fixture) {
		first := f.lane()
		id, e := first.due(f.spec(0))
		_, firing := first.take(e)
		f.lapse()
		second := f.laneOf(f.process(), store.LaneID{})
		require.Len(f, second.adopt(), 1)
		for _, kind := range []store.CompletionKind{store.CompleteFired, store.CompleteRetry, store.CompleteDead} {
			_, err := f.Complete(f.Context(), first.id, first.token, []store.Completion{{Entry: e, Firing: firing, Kind: kind}})
			require.ErrorIs(f, err, store.ErrLeaseLost)
		}
		require.False(f, second.complete(e, firing, store.CompleteFired, 0), "the claim is the first one's")
		out, again := second.take(e)
		require.Equal(f, 2, out.Attempt)
		require.True(f, second.complete(e, again, store.CompleteFired, 0))
		require.Equal(f, carillon.StateFired, f.state(id))
		require.EqualValues(f, 1, f.count().Fired)
	}},
	{"after the deadline, if nobody asked meanwhile", store.Options{}, func(f *fixture) {
		l := f.lane()
		_, e := l.due(f.spec(0))
		_, firing := l.take(e)
		f.advance(2 * claimTimeout)
		require.True(f, l.complete(e, firing, store.CompleteFired, 0))
	}},
	{"an answer that was lost", store.Options{}, func(f *fixture) {
		l := f.lane()
		for _, kind := range []store.CompletionKind{store.CompleteFired, store.CompleteRetry, store.CompleteDead} {
			_, e := l.due(f.spec(0))
			_, firing := l.take(e)
			c := []store.Completion{{Entry: e, Firing: firing, Kind: kind, RetryAt: f.in(time.Hour).UnixMilli()}}
			_, err := f.Complete(Lost(f.Context()), l.id, l.token, c)
			require.Error(f, err)
			_, err = f.Complete(f.Context(), l.id, l.token, c)
			require.NoError(f, err)
		}
		n := f.count()
		require.EqualValues(f, 1, n.Fired)
		require.EqualValues(f, 1, n.Dead)
		require.EqualValues(f, 1, n.Pending)
	}},
	{"the script runs twice", store.Options{}, func(f *fixture) {
		l := f.lane()
		f.fill(2)
		entries := l.read()
		_, firings := l.claim(entries...)
		_, err := f.Complete(Twice(f.Context()), l.id, l.token, []store.Completion{
			{Entry: entries[0], Firing: firings[0], Kind: store.CompleteFired},
			{Entry: entries[1], Firing: firings[1], Kind: store.CompleteRetry, RetryAt: f.in(-time.Second).UnixMilli()},
		})
		require.NoError(f, err)
		require.EqualValues(f, 1, f.count().Fired)
		e := l.readOne()
		out, _ := l.take(e)
		require.Equal(f, 2, out.Attempt)
	}},
}
