package storetest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/store"
)

// listQueue goes through the fire queue of slot 0, some entries at a time.
func (f *fixture) listQueue(s *store.Redis, limit int) []carillon.ID {
	f.Helper()
	var out []carillon.ID
	for after, rounds := "", 0; ; rounds++ {
		require.Less(f, rounds, 1000, "it never ends")
		entries, next, err := s.Queue(f.Context(), 0, after, limit)
		require.NoError(f, err)
		for _, e := range entries {
			require.Equal(f, e.Unique, e.TimerID.Unique())
			out = append(out, e.TimerID)
		}
		if next == "" {
			return out
		}
		after = next
	}
}

var queueCases = []testCase{
	{"in one order for everybody", store.Options{}, func(f *fixture) {
		var want []carillon.ID
		for i := range 25 {
			want = append(want, f.create(f.spec(time.Duration(25-i)*100*time.Millisecond)).TimerID)
		}
		other := f.process()
		for _, limit := range []int{1, 5, 7, 1000} {
			require.Equal(f, want, f.listQueue(f.Redis, limit))
			require.Equal(f, want, f.listQueue(other, limit))
		}
		f.lane().read()
		require.Equal(f, want, f.listQueue(f.Redis, 10), "reading takes nothing out")
	}},
	{"what does not stand any more is left out", store.Options{LookAhead: time.Minute}, func(f *fixture) {
		var all []carillon.ID
		for range 6 {
			all = append(all, f.create(f.spec(20*time.Second)).TimerID)
		}
		require.NoError(f, f.cancel(byID(all[0])))
		require.NoError(f, f.cancel(byID(all[1])))
		f.reschedule(all[2], time.Hour)
		f.reschedule(all[3], 10*time.Second) // has a newer entry, behind the others
		f.reschedule(all[4], 30*time.Second) // keeps its entry
		for _, limit := range []int{1, 2, 100} {
			require.Equal(f, []carillon.ID{all[4], all[5], all[3]}, f.listQueue(f.Redis, limit))
		}
	}},
	{"bad input", store.Options{}, func(f *fixture) {
		for _, c := range []struct{ slot, limit int }{{-1, 1}, {1, 1}, {0, 0}, {0, carillon.MaxPageSize + 1}} {
			_, _, err := f.Queue(f.Context(), c.slot, "", c.limit)
			require.ErrorIs(f, err, carillon.ErrInvalidArgument)
		}
	}},
}
