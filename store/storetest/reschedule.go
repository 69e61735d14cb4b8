package storetest

import (
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/store"
)

var rescheduleCases = []testCase{
	{"pending to later and to earlier", store.Options{}, func(f *fixture) {
		first := f.create(f.spec(time.Hour))
		second := f.reschedule(first.TimerID, 5*time.Hour)
		require.Equal(f, first.TimerID, second.TimerID)
		require.Greater(f, second.Version, first.Version)
		require.EqualValues(f, 1, f.indexEntries())
		third := f.reschedule(first.TimerID, 30*time.Minute)
		require.Greater(f, third.Version, second.Version)
		info := f.describe(byID(first.TimerID))
		require.Equal(f, third.FireAt, info.FireAt)
		require.Equal(f, third.Version, info.Version)
		require.Equal(f, carillon.StatePending, info.State)
		require.EqualValues(f, 1, f.indexEntries())
	}},
	{"pending into the queue", store.Options{}, func(f *fixture) {
		id := f.create(f.spec(time.Hour)).TimerID
		f.reschedule(id, time.Second)
		require.Equal(f, carillon.StateDue, f.state(id))
		require.Zero(f, f.indexEntries())
		l := f.lane()
		e := l.readOne()
		f.advance(2 * time.Second)
		l.take(e)
	}},
	{"into a full queue", store.Options{QueueLimit: 1}, func(f *fixture) {
		f.create(f.spec(time.Second))
		id := f.create(f.spec(time.Hour)).TimerID
		f.reschedule(id, time.Second)
		require.EqualValues(f, 1, f.queueEntries())
		require.EqualValues(f, 1, f.indexEntries())
	}},
	{"queued to later within the look-ahead", store.Options{LookAhead: time.Minute}, func(f *fixture) {
		l := f.lane()
		id := f.create(f.spec(10 * time.Second)).TimerID
		e := l.readOne()
		firing := l.fetchOne(e)
		out := f.reschedule(id, 40*time.Second)
		require.EqualValues(f, 1, f.queueEntries(), "it keeps its entry")
		f.advance(15 * time.Second)
		answer := l.claimWith(e, firing)
		require.Equal(f, store.ClaimHold, answer.Status)
		require.Equal(f, out.FireAt.UnixMilli(), answer.Due)
		f.advance(30 * time.Second)
		require.Equal(f, store.ClaimChanged, l.claimWith(e, firing).Status, "what was fetched is an old version")
		_, firing = l.take(e)
		require.Equal(f, out.Version, firing.Version)
		require.True(f, l.complete(e, firing, store.CompleteFired, 0))
	}},
	{"queued to later and back", store.Options{LookAhead: time.Minute}, func(f *fixture) {
		l := f.lane()
		id := f.create(f.spec(10 * time.Second)).TimerID
		old := l.readOne()
		f.reschedule(id, 50*time.Second)
		f.reschedule(id, 20*time.Second) // before the time at which the lane may look again
		e := l.readOne()
		require.NotEqual(f, old.ID, e.ID)
		f.advance(25 * time.Second)
		require.Nil(f, l.fetch(old)[0])
		l.take(e)
	}},
	{"queued to earlier", store.Options{LookAhead: time.Minute}, func(f *fixture) {
		l := f.lane()
		id := f.create(f.mail(50 * time.Second)).TimerID
		old := l.readOne()
		firing := l.fetchOne(old)
		f.reschedule(id, 5*time.Second)
		e := l.readOne()
		f.advance(6 * time.Second)
		out, _ := l.claim(e)
		require.Equal(f, store.ClaimFired, out[0].Status)
		f.advance(time.Minute)
		require.Equal(f, store.ClaimGone, l.claimWith(old, firing).Status)
		require.Equal(f, 1, f.mailbox("g").len())
	}},
	{"queued beyond the look-ahead", store.Options{}, func(f *fixture) {
		l := f.lane()
		id := f.create(f.spec(time.Second)).TimerID
		e := l.readOne()
		firing := l.fetchOne(e)
		f.reschedule(id, time.Hour)
		require.Equal(f, carillon.StatePending, f.state(id))
		f.advance(5 * time.Second)
		require.Nil(f, l.fetch(e)[0])
		require.Equal(f, store.ClaimGone, l.claimWith(e, firing).Status)
		require.EqualValues(f, 1, f.indexEntries())
		f.advance(time.Hour)
		require.Equal(f, 1, f.sweep(store.Partition{}).Moved)
		l.take(l.readOne())
	}},
	{"expected version", store.Options{}, func(f *fixture) {
		first := f.create(f.spec(time.Hour))
		in := carillon.RescheduleTimerInput{
			TimerRef: byID(first.TimerID), Delay: 2 * time.Hour, ExpectedVersion: first.Version,
		}
		second, err := f.Reschedule(f.Context(), in)
		require.NoError(f, err)
		_, err = f.Reschedule(f.Context(), in)
		require.ErrorIs(f, err, carillon.ErrConflict)
		in.ExpectedVersion = second.Version + 1
		_, err = f.Reschedule(f.Context(), in)
		require.ErrorIs(f, err, carillon.ErrConflict)
		in.ExpectedVersion = -1
		_, err = f.Reschedule(f.Context(), in)
		require.ErrorIs(f, err, carillon.ErrInvalidArgument)
		require.Equal(f, second.Version, f.describe(byID(first.TimerID)).Version)
	}},
	{"the same request again", store.Options{}, func(f *fixture) {
		first := f.create(f.spec(time.Hour))
		in := carillon.RescheduleTimerInput{
			RequestID: "r", TimerRef: byID(first.TimerID), FireAt: f.in(2 * time.Hour), ExpectedVersion: first.Version,
		}
		_, err := f.Reschedule(Lost(f.Context()), in)
		require.ErrorIs(f, err, carillon.ErrUnavailable)
		second, err := f.process().Reschedule(f.Context(), in)
		require.NoError(f, err, "the expected version is that of before the request")
		require.Equal(f, in.FireAt, second.FireAt)
		require.Equal(f, second.Version, f.describe(byID(first.TimerID)).Version)
		require.NoError(f, f.cancel(byID(first.TimerID)))
		third, err := f.Reschedule(f.Context(), in)
		require.NoError(f, err)
		require.Equal(f, second, third)
	}},
	{"the script runs twice", store.Options{}, func(f *fixture) {
		first := f.create(f.spec(time.Hour))
		in := carillon.RescheduleTimerInput{TimerRef: byID(first.TimerID), Delay: time.Second}
		out, err := f.Reschedule(Twice(f.Context()), in)
		require.NoError(f, err)
		require.Equal(f, out.Version, f.describe(byID(first.TimerID)).Version)
		require.EqualValues(f, 1, f.queueEntries())
	}},
	{"payload", store.Options{}, func(f *fixture) {
		spec := f.named("n", time.Hour)
		spec.Labels = map[string]string{"a": "b"}
		id := f.create(spec).TimerID
		for i, p := range []*commonpb.Payload{
			payload("small"), payloadOf(3000), payloadOf(5000), nil, payload("small again"),
		} {
			before := f.describe(byID(id))
			in := carillon.RescheduleTimerInput{TimerRef: byID(id), FireAt: f.in(2 * time.Hour), Payload: p}
			_, err := f.Reschedule(f.Context(), in)
			require.NoError(f, err)
			info := f.describe(byID(id))
			want := p
			if p == nil {
				want = before.Payload
			}
			require.Equal(f, want.Data, info.Payload.Data, "change %d", i)
			require.Equal(f, spec.Labels, info.Labels)
			require.Equal(f, spec.Name, info.Name)
			require.Equal(f, spec.Target, info.Target)
		}
		_, err := f.Reschedule(f.Context(), carillon.RescheduleTimerInput{
			TimerRef: byID(id), FireAt: f.in(time.Hour), Payload: payloadOf(carillon.MaxPayload + 1),
		})
		require.ErrorIs(f, err, carillon.ErrInvalidArgument)
	}},
	{"a payload that is replaced is what is fired", store.Options{}, func(f *fixture) {
		l := f.lane()
		for _, sizes := range [][2]int{{100, 3000}, {3000, 100}, {3000, 4000}} {
			spec := f.spec(time.Hour)
			spec.Payload = payloadOf(sizes[0])
			id := f.create(spec).TimerID
			want := payloadOf(sizes[1])
			in := carillon.RescheduleTimerInput{TimerRef: byID(id), FireAt: f.in(-time.Second), Payload: want}
			_, err := f.Reschedule(f.Context(), in)
			require.NoError(f, err)
			e := l.readOne()
			out, firing := l.take(e)
			got, err := carillon.UnmarshalPayload(out.Payload)
			require.NoError(f, err)
			require.Equal(f, want.Data, got.Data)
			require.True(f, l.complete(e, firing, store.CompleteFired, 0))
		}
	}},
	{"after attempts it is another delivery", store.Options{}, func(f *fixture) {
		l := f.lane()
		id, e := l.due(f.spec(0))
		_, firing := l.take(e)
		require.True(f, l.complete(e, firing, store.CompleteRetry, f.in(time.Hour).UnixMilli()))
		require.Equal(f, 1, f.describe(byID(id)).Attempts)
		f.reschedule(id, -time.Second)
		next := l.fetchOne(l.readOne())
		require.Greater(f, next.Incarnation, firing.Incarnation)
		require.Zero(f, next.Attempts)
	}},
	{"without attempts it is the same delivery", store.Options{}, func(f *fixture) {
		l := f.lane()
		out := f.create(f.spec(time.Hour))
		f.reschedule(out.TimerID, -time.Second)
		require.Equal(f, out.Version, l.fetchOne(l.readOne()).Incarnation)
	}},
	{"too late while it is claimed", store.Options{}, func(f *fixture) {
		l := f.lane()
		id, e := l.due(f.spec(0))
		_, firing := l.take(e)
		_, err := f.Reschedule(f.Context(), carillon.RescheduleTimerInput{TimerRef: byID(id), Delay: time.Hour})
		require.ErrorIs(f, err, carillon.ErrTooLate)
		f.advance(claimTimeout + time.Second)
		f.reschedule(id, time.Hour)
		require.False(f, l.complete(e, firing, store.CompleteFired, 0))
		require.Equal(f, carillon.StatePending, f.state(id))
	}},
	{"what was claimed and never completed gets a new entry", store.Options{LookAhead: time.Minute}, func(f *fixture) {
		l := f.lane()
		id, e := l.due(f.spec(0))
		_, firing := l.take(e)
		f.advance(claimTimeout + time.Second)
		f.reschedule(id, 10*time.Second)
		require.False(f, l.complete(e, firing, store.CompleteFired, 0))
		next := l.readOne()
		require.NotEqual(f, e.ID, next.ID)
		require.EqualValues(f, 1, f.queueEntries(), "the old one went with the complete")
		f.advance(15 * time.Second)
		l.take(next)
	}},
	{"what is not there", store.Options{}, func(f *fixture) {
		l := f.lane()
		dead := l.dead(f.spec(0))
		for _, ref := range []carillon.TimerRef{byName("never"), byID(dead)} {
			_, err := f.Reschedule(f.Context(), carillon.RescheduleTimerInput{TimerRef: ref, Delay: time.Hour})
			require.ErrorIs(f, err, carillon.ErrNotFound)
		}
		require.Equal(f, carillon.StateDead, f.state(dead))
	}},
	{"bad input", store.Options{}, func(f *fixture) {
		id := f.create(f.spec(time.Hour)).TimerID
		for field, in := range map[string]carillon.RescheduleTimerInput{
			"fire_at":  {TimerRef: byID(id)},
			"delay":    {TimerRef: byID(id), Delay: -time.Second},
			"timer_id": {Delay: time.Second},
		} {
			_, err := f.Reschedule(f.Context(), in)
			require.ErrorIs(f, err, carillon.ErrInvalidArgument)
			require.Equal(f, field, carillon.AsError(err).Field)
		}
	}},
}
