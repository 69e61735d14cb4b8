package storetest

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/store"
)

// listAll goes through all pages and counts how often each timer was returned.
func (f *fixture) listAll(in carillon.ListTimersInput) map[carillon.ID]int {
	f.Helper()
	out := map[carillon.ID]int{}
	for range 10_000 {
		page, err := f.List(f.Context(), in)
		require.NoError(f, err)
		if in.PageSize > 0 {
			require.LessOrEqual(f, len(page.Timers), in.PageSize)
		}
		for i := range page.Timers {
			require.Nil(f, page.Timers[i].Payload)
			out[page.Timers[i].TimerID]++
		}
		if page.NextCursor == "" {
			return out
		}
		require.NotEqual(f, in.Cursor, page.NextCursor, "the listing does not get on")
		in.Cursor = page.NextCursor
	}
	f.Fatal("the listing does not end")
	return nil
}

var listCases = []testCase{
	{"filters", store.Options{Slots: 1}, func(f *fixture) {
		l := f.lane()
		dead := l.dead(f.spec(0))
		firing, e := l.due(f.spec(0))
		l.take(e)
		due := f.create(f.spec(time.Second)).TimerID
		pending := f.create(f.spec(time.Hour)).TimerID
		spec := f.spec(2 * time.Hour)
		spec.ClientID = "other"
		other := f.create(spec).TimerID
		gone := f.create(f.spec(time.Hour)).TimerID
		require.NoError(f, f.cancel(byID(gone)))

		states := func(s ...carillon.State) []carillon.State { return s }
		for name, c := range map[string]struct {
			in   carillon.ListTimersInput
			want []carillon.ID
		}{
			"all":     {carillon.ListTimersInput{}, []carillon.ID{firing, due, pending, other}},
			"client":  {carillon.ListTimersInput{ClientID: "other"}, []carillon.ID{other}},
			"nobody":  {carillon.ListTimersInput{ClientID: "nobody"}, nil},
			"pending": {carillon.ListTimersInput{States: states(carillon.StatePending)}, []carillon.ID{pending, other}},
			"due":     {carillon.ListTimersInput{States: states(carillon.StateDue)}, []carillon.ID{due}},
			"firing":  {carillon.ListTimersInput{States: states(carillon.StateFiring)}, []carillon.ID{firing}},
			"dead":    {carillon.ListTimersInput{States: states(carillon.StateDead)}, []carillon.ID{dead}},
			"dead, due": {
				carillon.ListTimersInput{States: states(carillon.StateDead, carillon.StateDue)}, []carillon.ID{dead, due},
			},
			"due before": {carillon.ListTimersInput{DueBefore: spec.FireAt}, []carillon.ID{firing, due, pending}},
			"due from":   {carillon.ListTimersInput{DueFrom: spec.FireAt}, []carillon.ID{other}},
			"due range": {
				carillon.ListTimersInput{DueFrom: f.in(time.Minute), DueBefore: f.in(90 * time.Minute)},
				[]carillon.ID{pending},
			},
		} {
			require.ElementsMatch(f, c.want, slices.Collect(maps.Keys(f.listAll(c.in))), name)
			c.in.PageSize = 1
			require.ElementsMatch(f, c.want, slices.Collect(maps.Keys(f.listAll(c.in))), name)
		}
	}},
	{"pages", store.Options{Slots: 4}, func(f *fixture) {
		f.needsStillSlots()
		want := map[carillon.ID]int{}
		for _, n := range []int{500, 100, 1} {
			specs := make([]carillon.TimerSpec, n)
			for i := range specs {
				specs[i] = f.spec(time.Hour)
				specs[i].Labels = map[string]string{"text": "long enough that Redis keeps the hash as a hash table"}
			}
			for _, r := range f.createAll(specs...) {
				want[r.TimerID] = 1
			}
		}
		for _, size := range []int{0, 23, 100, carillon.MaxPageSize} {
			require.Equal(f, want, f.listAll(carillon.ListTimersInput{PageSize: size}), "page size %d", size)
		}
	}},
	{"timers that stay are not missed while others go", store.Options{}, func(f *fixture) {
		f.needsStillSlots()
		specs := make([]carillon.TimerSpec, 2000)
		for i := range specs {
			specs[i] = f.spec(time.Hour)
			specs[i].Labels = map[string]string{"text": "long enough that Redis keeps the hash as a hash table"}
			specs[i].ClientID = "goes"
			if i%4 == 0 {
				specs[i].ClientID = "stays"
			}
		}
		var going []carillon.TimerRef
		stays := map[carillon.ID]bool{}
		for i, r := range f.createAll(specs...) {
			if specs[i].ClientID == "stays" {
				stays[r.TimerID] = true
			} else {
				going = append(going, byID(r.TimerID))
			}
		}
		in := carillon.ListTimersInput{PageSize: 60}
		for {
			page, err := f.List(f.Context(), in)
			require.NoError(f, err)
			for i := range page.Timers {
				delete(stays, page.Timers[i].TimerID)
			}
			if in.Cursor = page.NextCursor; in.Cursor == "" {
				break
			}
			n := min(len(going), 100)
			_, err = f.Cancel(f.Context(), carillon.CancelTimersInput{Timers: going[:n]})
			require.NoError(f, err)
			going = going[n:]
		}
		require.Empty(f, stays, "these were there all the time and have not been returned")
	}},
	{"timers that stay are not missed while others come", store.Options{}, func(f *fixture) {
		f.needsStillSlots()
		stays := map[carillon.ID]bool{}
		batch := func(n int) []carillon.CreateResult {
			specs := make([]carillon.TimerSpec, n)
			for i := range specs {
				specs[i] = f.spec(time.Hour)
				specs[i].Labels = map[string]string{"text": "long enough that Redis keeps the hash as a hash table"}
			}
			return f.createAll(specs...)
		}
		for _, r := range batch(600) {
			stays[r.TimerID] = true
		}
		in := carillon.ListTimersInput{PageSize: 60}
		for pages := 0; ; pages++ {
			require.Less(f, pages, 1000, "the listing does not end")
			page, err := f.List(f.Context(), in)
			require.NoError(f, err)
			for i := range page.Timers {
				delete(stays, page.Timers[i].TimerID)
			}
			if in.Cursor = page.NextCursor; in.Cursor == "" {
				break
			}
			if pages < 15 {
				batch(60)
			}
		}
		require.Empty(f, stays, "these were there all the time and have not been returned")
	}},
	{"a filter that matches little", store.Options{}, func(f *fixture) {
		f.needsStillSlots()
		specs := make([]carillon.TimerSpec, 1500)
		for i := range specs {
			specs[i] = f.spec(time.Hour)
		}
		specs[700].ClientID = "needle"
		id := f.createAll(specs...)[700].TimerID
		require.Equal(f, map[carillon.ID]int{id: 1}, f.listAll(carillon.ListTimersInput{ClientID: "needle"}))
	}},
	{"bad input", store.Options{}, func(f *fixture) {
		f.create(f.spec(time.Hour))
		for field, in := range map[string][]carillon.ListTimersInput{
			"cursor":     {{Cursor: "?"}, {Cursor: "eyJzIjo5fQ"}, {Cursor: "eyJzIjotMX0"}, {Cursor: "bnVsbA="}, {Cursor: "W10"}},
			"page_size":  {{PageSize: -1}, {PageSize: carillon.MaxPageSize + 1}},
			"states":     {{States: []carillon.State{carillon.StateFired}}, {States: []carillon.State{"odd"}}},
			"due_before": {{DueFrom: f.in(time.Hour), DueBefore: f.in(time.Minute)}},
		} {
			for _, input := range in {
				_, err := f.List(f.Context(), input)
				require.ErrorIs(f, err, carillon.ErrInvalidArgument, fmt.Sprint(input))
				require.Equal(f, field, carillon.AsError(err).Field)
			}
		}
	}},
}
