package storetest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/store"
)

var describeCases = []testCase{
	{"in each state", store.Options{}, func(f *fixture) {
		l := f.lane()
		spec := f.named("n", time.Hour)
		spec.Payload = payloadOf(2000)
		id := f.create(spec).TimerID
		require.Equal(f, carillon.StatePending, f.state(id))
		f.reschedule(id, 2*time.Second)
		require.Equal(f, carillon.StateDue, f.state(id))
		f.advance(3 * time.Second)
		e := l.readOne()
		require.Equal(f, carillon.StateDue, f.state(id))
		_, firing := l.take(e)
		info := f.describe(byName("n"))
		require.Equal(f, carillon.StateFiring, info.State)
		require.Equal(f, 1, info.Attempts)
		require.Equal(f, spec.Payload.Data, info.Payload.Data)
		require.True(f, l.complete(e, firing, store.CompleteFired, 0))
		info = f.describe(byName("n"))
		require.Equal(f, carillon.StateFired, info.State)
		require.Equal(f, id, info.TimerID)
		require.Equal(f, client, info.ClientID)
		require.Equal(f, 1, info.Attempts)
		require.Equal(f, firing.Version, info.Version)
		require.Equal(f, firing.Due, info.FireAt.UnixMilli())
		require.WithinDuration(f, f.now(), info.DoneAt, 10*time.Second)
		require.Nil(f, info.Payload)
	}},
	{"cancelled", store.Options{}, func(f *fixture) {
		id := f.create(f.spec(time.Hour)).TimerID
		require.NoError(f, f.cancel(byID(id)))
		info := f.describe(byID(id))
		require.Equal(f, carillon.StateCancelled, info.State)
		require.WithinDuration(f, f.now(), info.DoneAt, 10*time.Second)
	}},
	{"the latest of a name", store.Options{}, func(f *fixture) {
		f.create(f.named("n", time.Hour))
		require.NoError(f, f.cancel(byName("n")))
		f.advance(2 * time.Minute)
		l := f.lane()
		_, e := l.due(f.named("n", 0))
		_, firing := l.take(e)
		require.True(f, l.complete(e, firing, store.CompleteFired, 0))
		require.Equal(f, carillon.StateFired, f.describe(byName("n")).State)
	}},
	{"what is not there", store.Options{}, func(f *fixture) {
		for _, ref := range []carillon.TimerRef{
			byName("never"), byID(carillon.NewID(0, 3, carillon.Unique{1})), byID(carillon.NewID(9, 0, carillon.Unique{1})),
		} {
			_, err := f.Describe(f.Context(), carillon.DescribeTimerInput{TimerRef: ref})
			require.ErrorIs(f, err, carillon.ErrNotFound)
		}
		_, err := f.Describe(f.Context(), carillon.DescribeTimerInput{})
		require.ErrorIs(f, err, carillon.ErrInvalidArgument)
	}},
	{"outcomes are kept for their time", store.Options{OutcomeTTL: 50 * time.Millisecond}, func(f *fixture) {
		id := f.create(f.spec(time.Hour)).TimerID
		require.NoError(f, f.cancel(byID(id)))
		f.eventually("the outcome is forgotten", func() bool {
			_, err := f.Describe(f.Context(), carillon.DescribeTimerInput{TimerRef: byID(id)})
			return carillon.ErrNotFound.Is(err) || err != nil && carillon.AsError(err).Type == carillon.TypeNotFound
		})
		require.EqualValues(f, 1, f.count().Cancelled)
	}},
	{"outcomes are capped", store.Options{OutcomeLimit: 3}, func(f *fixture) {
		// All within one minute of the store's clock.
		f.advance(time.Until(time.Now().Truncate(time.Minute).Add(time.Minute + time.Second)))
		l := f.lane()
		specs := make([]carillon.TimerSpec, 6)
		for i := range specs {
			specs[i] = f.mail(-time.Second)
		}
		results := f.createAll(specs...)
		require.NoError(f, f.cancel(byID(results[0].TimerID)))
		for i, status := range func() []store.ClaimResult { out, _ := l.claim(l.read()[1:]...); return out }() {
			require.Equal(f, store.ClaimFired, status.Status, i)
		}
		known := 0
		for _, r := range results {
			if _, err := f.Describe(f.Context(), carillon.DescribeTimerInput{TimerRef: byID(r.TimerID)}); err == nil {
				known++
			}
		}
		require.Equal(f, 3, known)
		require.EqualValues(f, 5, f.count().Fired)
	}},
	{"answers of requests are kept for their time", store.Options{RequestTTL: 50 * time.Millisecond}, func(f *fixture) {
		in := carillon.CreateTimersInput{RequestID: "r", Timers: []carillon.TimerSpec{f.spec(time.Hour)}}
		first, err := f.Create(f.Context(), in)
		require.NoError(f, err)
		f.eventually("the answer is forgotten", func() bool {
			out, err := f.Create(f.Context(), in)
			require.NoError(f, err)
			return out.Timers[0].TimerID != first.Timers[0].TimerID
		})
	}},
}
