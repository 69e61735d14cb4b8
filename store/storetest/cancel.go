package storetest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/store"
)

var cancelCases = []testCase{
	{"pending", store.Options{}, func(f *fixture) {
		spec := f.spec(time.Hour)
		spec.Payload = payloadOf(2000)
		id := f.create(spec).TimerID
		require.NoError(f, f.cancel(byID(id)))
		require.Zero(f, f.indexEntries())
		require.Equal(f, carillon.StateCancelled, f.state(id))
		n := f.count()
		require.Zero(f, n.Pending)
		require.EqualValues(f, 1, n.Cancelled)
	}},
	{"in the queue", store.Options{}, func(f *fixture) {
		l := f.lane()
		id := f.create(f.mail(time.Second)).TimerID
		e := l.readOne()
		firing := l.fetchOne(e)
		require.NoError(f, f.cancel(byID(id)))
		f.advance(5 * time.Second)
		require.Nil(f, l.fetch(e)[0])
		require.Equal(f, store.ClaimGone, l.claimWith(e, firing).Status)
		require.Zero(f, f.queueEntries(), "a claim that finds nothing drops the entry")
		require.Zero(f, f.mailbox("g").len())
	}},
	{"dead", store.Options{}, func(f *fixture) {
		l := f.lane()
		spec := f.spec(0)
		spec.Payload = payloadOf(2000)
		id := l.dead(spec)
		require.NoError(f, f.cancel(byID(id)))
		require.Zero(f, f.count().Dead)
		require.Equal(f, carillon.StateCancelled, f.state(id))
	}},
	{"too late while it is claimed", store.Options{}, func(f *fixture) {
		l := f.lane()
		id, e := l.due(f.spec(0))
		_, firing := l.take(e)
		require.ErrorIs(f, f.cancel(byID(id)), carillon.ErrTooLate)
		require.Equal(f, carillon.StateFiring, f.state(id))
		f.advance(claimTimeout - 10*time.Second)
		require.ErrorIs(f, f.cancel(byID(id)), carillon.ErrTooLate)
		f.advance(11 * time.Second)
		require.NoError(f, f.cancel(byID(id)), "the deadline of its attempt has passed")
		require.False(f, l.complete(e, firing, store.CompleteFired, 0), "a cancel that was acknowledged stands")
		require.Equal(f, carillon.StateCancelled, f.state(id))
		n := f.count()
		require.EqualValues(f, 1, n.Cancelled)
		require.Zero(f, n.Fired)
	}},
	{"the deadlines of all claims count", store.Options{}, func(f *fixture) {
		first := f.lane()
		id, e := first.due(f.spec(0))
		first.take(e) // until now + 30 s
		f.lapse()
		second := f.lane()
		require.Len(f, second.adopt(), 1)
		out, err := f.Claim(f.Context(), second.id, second.token, []store.Claim{
			{Entry: e, Firing: second.fetchOne(e), Timeout: time.Second},
		})
		require.NoError(f, err)
		require.Equal(f, store.ClaimTaken, out[0].Status)
		f.advance(5 * time.Second)
		require.ErrorIs(f, f.cancel(byID(id)), carillon.ErrTooLate)
		f.advance(claimTimeout)
		require.NoError(f, f.cancel(byID(id)))
	}},
	{"a stray delivery outlives its claim", store.Options{}, func(f *fixture) {
		spec := f.spec(0)
		spec.Name = "n"
		first := f.lane()
		id, e := first.due(spec)
		first.take(e) // until now + 30 s; it freezes in the middle of the delivery
		f.lapse()
		second := f.lane()
		require.Len(f, second.adopt(), 1)
		_, firing := second.take(e)
		require.True(f, second.complete(e, firing, store.CompleteRetry, f.in(time.Second).UnixMilli()))
		require.Equal(f, carillon.StateDue, f.state(id))

		tooLate := func() {
			f.Helper()
			require.ErrorIs(f, f.cancel(byID(id)), carillon.ErrTooLate)
			_, err := f.Reschedule(f.Context(), carillon.RescheduleTimerInput{TimerRef: byID(id), FireAt: f.in(time.Hour)})
			require.ErrorIs(f, err, carillon.ErrTooLate)
		}
		tooLate()
		f.advance(2 * time.Second)
		e = second.readOne()
		_, firing = second.take(e)
		require.True(f, second.complete(e, firing, store.CompleteRetry, f.in(-time.Second).UnixMilli()), "the next attempt forgets nothing either")
		tooLate()
		f.advance(claimTimeout)
		_, err := f.Reschedule(f.Context(), carillon.RescheduleTimerInput{TimerRef: byID(id), FireAt: f.in(time.Hour)})
		require.NoError(f, err)
		info := f.describe(byID(id))
		require.Equal(f, "n", info.Name)
		require.Equal(f, carillon.StatePending, info.State)
		require.NoError(f, f.cancel(byID(id)))
	}},
	{"a stray delivery of a timer that was given up", store.Options{}, func(f *fixture) {
		first := f.lane()
		id, e := first.due(f.spec(0))
		first.take(e)
		f.lapse()
		second := f.lane()
		require.Len(f, second.adopt(), 1)
		_, firing := second.take(e)
		require.True(f, second.complete(e, firing, store.CompleteDead, 0))
		require.Equal(f, carillon.StateDead, f.state(id))
		require.ErrorIs(f, f.cancel(byID(id)), carillon.ErrTooLate)
		f.advance(claimTimeout)
		require.NoError(f, f.cancel(byID(id)))
	}},
	{"by name", store.Options{Slots: 4}, func(f *fixture) {
		f.create(f.named("n", time.Hour))
		require.NoError(f, f.cancel(byName("n")))
		require.ErrorIs(f, f.cancel(byName("n")), carillon.ErrNotFound)
		require.ErrorIs(f, f.cancel(byName("never")), carillon.ErrNotFound)
	}},
	{"each its own answer", store.Options{Slots: 4}, func(f *fixture) {
		a, b := f.create(f.spec(time.Hour)), f.create(f.named("n", time.Hour))
		elsewhere := carillon.NewID(7, 0, a.TimerID.Unique())
		noSlot := carillon.NewID(0, 9, a.TimerID.Unique())
		refs := []carillon.TimerRef{
			byID(a.TimerID), byID(a.TimerID), byName("n"), {}, byID(elsewhere), byID(noSlot), {TimerID: b.TimerID, Name: "n"},
		}
		out, err := f.Cancel(f.Context(), carillon.CancelTimersInput{Timers: refs})
		require.NoError(f, err)
		require.NoError(f, asError(out.Timers[0].Error))
		require.ErrorIs(f, out.Timers[1].Error, carillon.ErrNotFound)
		require.NoError(f, asError(out.Timers[2].Error))
		require.Equal(f, b.TimerID, out.Timers[2].TimerID)
		require.ErrorIs(f, out.Timers[3].Error, carillon.ErrInvalidArgument)
		require.ErrorIs(f, out.Timers[4].Error, carillon.ErrNotFound)
		require.ErrorIs(f, out.Timers[5].Error, carillon.ErrNotFound)
		require.ErrorIs(f, out.Timers[6].Error, carillon.ErrInvalidArgument)
	}},
	{"the same request again", store.Options{Slots: 2}, func(f *fixture) {
		refs := []carillon.TimerRef{byName("never")}
		for range 5 {
			refs = append(refs, byID(f.create(f.spec(time.Hour)).TimerID))
		}
		in := carillon.CancelTimersInput{RequestID: "r", Timers: refs}
		_, err := f.Cancel(Lost(f.Context()), in)
		require.ErrorIs(f, err, carillon.ErrUnavailable)
		first, err := f.process().Cancel(f.Context(), in)
		require.NoError(f, err)
		require.ErrorIs(f, first.Timers[0].Error, carillon.ErrNotFound)
		for _, r := range first.Timers[1:] {
			require.NoError(f, asError(r.Error))
		}
		require.EqualValues(f, 5, f.count().Cancelled)
	}},
	{"the script runs twice", store.Options{}, func(f *fixture) {
		a, b := f.create(f.spec(time.Hour)), f.create(f.spec(time.Second))
		refs := []carillon.TimerRef{byID(a.TimerID), byID(b.TimerID)}
		out, err := f.Cancel(Twice(f.Context()), carillon.CancelTimersInput{Timers: refs})
		require.NoError(f, err)
		require.NoError(f, asError(out.Timers[0].Error))
		require.NoError(f, asError(out.Timers[1].Error))
		require.EqualValues(f, 2, f.count().Cancelled)
	}},
	{"more than one call takes", store.Options{}, func(f *fixture) {
		specs := make([]carillon.TimerSpec, store.MaxScriptTimers+20)
		for i := range specs {
			specs[i] = f.spec(time.Duration(i+60) * time.Minute)
		}
		var refs []carillon.TimerRef
		for _, r := range f.createAll(specs...) {
			refs = append(refs, byID(r.TimerID))
		}
		out, err := f.Cancel(f.Context(), carillon.CancelTimersInput{Timers: refs})
		require.NoError(f, err)
		for _, r := range out.Timers {
			require.NoError(f, asError(r.Error))
		}
		require.EqualValues(f, len(refs), f.count().Cancelled)
		require.Zero(f, f.indexEntries())
	}},
	{"while it is put off over and over", store.Options{}, func(f *fixture) {
		id := f.create(f.spec(time.Hour)).TimerID
		done := make(chan error, 1)
		go func() {
			other := f.Redis
			var err error
			for i := 0; err == nil && i < 100; i++ {
				_, err = other.Reschedule(f.Context(), carillon.RescheduleTimerInput{
					TimerRef: byID(id), Delay: time.Hour + time.Duration(i)*time.Second,
				})
			}
			done <- err
		}()
		f.eventually("the cancel wins", func() bool { // or is told to try again
			out, err := f.Cancel(f.Context(), carillon.CancelTimersInput{Timers: []carillon.TimerRef{byID(id)}})
			return err == nil && out.Timers[0].Error == nil
		})
		if err := <-done; err != nil {
			require.ErrorIs(f, err, carillon.ErrNotFound)
		}
		require.Zero(f, f.indexEntries())
	}},
}
