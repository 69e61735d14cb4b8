package storetest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/store"
)

var countCases = []testCase{
	{"all states", store.Options{}, func(f *fixture) {
		l := f.lane()
		l.dead(f.spec(0))
		_, e := l.due(f.spec(0))
		_, firing := l.take(e)
		require.True(f, l.complete(e, firing, store.CompleteFired, 0))
		_, e = l.due(f.spec(0))
		l.take(e)
		f.create(f.spec(time.Second))
		f.create(f.spec(time.Hour))
		f.create(f.named("n", time.Hour))
		require.NoError(f, f.cancel(byName("n")))
		require.Equal(f, carillon.CountTimersResult{
			Pending: 3, Due: 1, Firing: 1, Dead: 1, Created: 6, Fired: 1, Cancelled: 1,
		}, f.count())
	}},
	{"of one client in all slots", store.Options{Slots: 4}, func(f *fixture) {
		for i, name := range []string{"a", "b", "c", "d", "e", "f"} {
			spec := f.named(name, time.Hour)
			if i >= 4 {
				spec.ClientID = "other"
			}
			f.create(spec)
		}
		for id, want := range map[string]int64{client: 4, "other": 2, "nobody": 0} {
			out, err := f.Count(f.Context(), carillon.CountTimersInput{ClientID: id})
			require.NoError(f, err)
			require.Equal(f, carillon.CountTimersResult{Pending: want}, out)
		}
	}},
}
