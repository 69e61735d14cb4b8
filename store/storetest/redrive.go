package storetest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/store"
)

var redriveCases = []testCase{
	{"another series of attempts", store.Options{}, func(f *fixture) {
		l := f.lane()
		spec := f.spec(0)
		spec.Payload = payloadOf(2000)
		id := l.dead(spec)
		before := f.describe(byID(id))
		require.Equal(f, carillon.StateDead, before.State)
		require.Equal(f, "no answer", before.LastError)
		require.Equal(f, 1, before.Attempts)
		alive := f.create(f.named("n", time.Hour))
		refs := []carillon.TimerRef{byID(id), byName("n"), byName("never"), {}}
		in := carillon.RedriveTimersInput{RequestID: "r", Timers: refs}
		out, err := f.Redrive(f.Context(), in)
		require.NoError(f, err)
		require.NoError(f, asError(out.Timers[0].Error))
		require.Equal(f, id, out.Timers[0].TimerID)
		require.ErrorIs(f, out.Timers[1].Error, carillon.ErrNotFound)
		require.ErrorIs(f, out.Timers[2].Error, carillon.ErrNotFound)
		require.ErrorIs(f, out.Timers[3].Error, carillon.ErrInvalidArgument)
		require.Equal(f, alive.Version, f.describe(byName("n")).Version)
		again, err := f.Redrive(f.Context(), in)
		require.NoError(f, err)
		require.Equal(f, out.Timers[0], again.Timers[0])
		n := f.count()
		require.Zero(f, n.Dead)
		require.EqualValues(f, 2, n.Pending)
		e := l.readOne()
		answer, firing := l.take(e)
		require.Equal(f, 1, answer.Attempt)
		require.Equal(f, out.Timers[0].Version, firing.Incarnation)
		require.Len(f, answer.Payload, 2000)
		require.True(f, l.complete(e, firing, store.CompleteFired, 0))
	}},
	{"the script runs twice", store.Options{}, func(f *fixture) {
		l := f.lane()
		id := l.dead(f.spec(0))
		out, err := f.Redrive(Twice(f.Context()), carillon.RedriveTimersInput{Timers: []carillon.TimerRef{byID(id)}})
		require.NoError(f, err)
		require.NoError(f, asError(out.Timers[0].Error))
		l.readOne()
	}},
}
