package storetest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/store"
)

// sweeper takes the lease on partition 0.
func (f *fixture) sweeper() func(limit int) store.SweepResult {
	f.Helper()
	token, err := f.AcquireSweep(f.Context(), store.Partition{}, "sweeper")
	require.NoError(f, err)
	return func(limit int) store.SweepResult {
		f.Helper()
		out, err := f.Sweep(f.Context(), store.Partition{}, token, limit)
		require.NoError(f, err)
		return out
	}
}

var sweepCases = []testCase{
	{"nothing there", store.Options{}, func(f *fixture) {
		require.Equal(f, store.SweepResult{}, f.sweeper()(10))
	}},
	{"not before the look-ahead", store.Options{LookAhead: time.Minute}, func(f *fixture) {
		out := f.create(f.spec(10 * time.Minute))
		sweep := f.sweeper()
		require.Equal(f, store.SweepResult{NextDue: out.FireAt}, sweep(10))
		f.advance(8 * time.Minute)
		require.Equal(f, store.SweepResult{NextDue: out.FireAt}, sweep(10))
		f.advance(90 * time.Second)
		require.Equal(f, store.SweepResult{Moved: 1}, sweep(10))
		require.Zero(f, f.indexEntries())
		require.Equal(f, out.FireAt.UnixMilli(), f.lane().readOne().Due)
	}},
	{"earliest first, so many at a time", store.Options{}, func(f *fixture) {
		order := []int{5, 2, 8, 0, 7, 1, 9, 3, 6, 4}
		specs := make([]carillon.TimerSpec, len(order))
		for i, n := range order {
			specs[i] = f.spec(time.Hour + time.Duration(n)*time.Second)
		}
		f.createAll(specs...)
		f.advance(2 * time.Hour)
		sweep := f.sweeper()
		for _, moved := range []int{4, 4, 2} {
			out := sweep(4)
			require.Equal(f, moved, out.Moved)
			require.Equal(f, moved == 4, out.More)
			require.False(f, out.QueueFull)
		}
		var last int64
		entries := f.lane().read()
		require.Len(f, entries, len(order))
		for _, e := range entries {
			require.Greater(f, e.Due, last)
			last = e.Due
		}
	}},
	{"the queue is full", store.Options{QueueLimit: 3}, func(f *fixture) {
		specs := make([]carillon.TimerSpec, 8)
		for i := range specs {
			specs[i] = f.spec(time.Hour + time.Duration(i)*time.Second)
		}
		f.createAll(specs...)
		f.advance(2 * time.Hour)
		sweep := f.sweeper()
		require.Equal(f, store.SweepResult{Moved: 3, QueueFull: true, NextDue: specs[3].FireAt}, sweep(100))
		require.Equal(f, store.SweepResult{QueueFull: true, NextDue: specs[3].FireAt}, sweep(100))
		l := f.lane()
		for want := 5; want >= 0; want -= 3 {
			for _, e := range l.read() {
				_, firing := l.take(e)
				require.True(f, l.complete(e, firing, store.CompleteFired, 0))
			}
			out := sweep(100)
			require.Equal(f, min(want, 3), out.Moved)
			require.Equal(f, want > 3, out.QueueFull)
		}
	}},
	{"several windows", store.Options{}, func(f *fixture) {
		specs := make([]carillon.TimerSpec, 12)
		for i := range specs {
			specs[i] = f.spec(time.Duration(i+1) * 45 * time.Minute)
		}
		f.createAll(specs...)
		sweep := f.sweeper()
		require.Equal(f, specs[0].FireAt, sweep(100).NextDue)
		f.advance(20 * time.Hour)
		moved, rounds := 0, 0
		for {
			out := sweep(100)
			moved += out.Moved
			if !out.More {
				require.Zero(f, out.NextDue)
				break
			}
			if rounds++; rounds > 20 {
				f.Fatal("the sweeper never ends")
			}
		}
		require.Equal(f, len(specs), moved)
		left, err := f.redis.Exists(f.Context(), f.key("win:0")).Result()
		require.NoError(f, err)
		require.Zero(f, left, "windows that are empty are removed")
	}},
	{"no more than there is", store.Options{}, func(f *fixture) {
		for i := range 4 {
			f.create(f.spec(time.Duration(i+1) * 10 * time.Hour))
		}
		f.advance(10 * time.Hour)
		out := f.sweeper()(100)
		require.Equal(f, 1, out.Moved)
		require.False(f, out.More, "nothing is due for hours")
		require.WithinDuration(f, f.in(10*time.Hour), out.NextDue, time.Minute)
	}},
	{"windows that were emptied by cancels", store.Options{}, func(f *fixture) {
		for i := range 6 {
			id := f.create(f.spec(time.Duration(i+1) * time.Hour)).TimerID
			require.NoError(f, f.cancel(byID(id)))
		}
		last := f.create(f.spec(8 * time.Hour))
		require.Equal(f, last.FireAt, f.sweep(store.Partition{}).NextDue)
		windows, err := f.redis.ZCard(f.Context(), f.key("win:0")).Result()
		require.NoError(f, err)
		require.EqualValues(f, 1, windows)
	}},
	{"a window that comes before those it knows", store.Options{}, func(f *fixture) {
		f.create(f.spec(5 * time.Hour))
		sweep := f.sweeper()
		sweep(10)
		early := f.create(f.spec(time.Hour))
		require.Equal(f, early.FireAt, sweep(10).NextDue)
		f.advance(time.Hour)
		require.Equal(f, 1, sweep(10).Moved)
	}},
	{"entries of segments of their own", store.Options{}, func(f *fixture) {
		f.create(f.spec(time.Hour))
		f.openSegment(0, 1)
		f.create(f.spec(time.Hour))
		f.advance(2 * time.Hour)
		for segment := range 2 {
			require.Equal(f, 1, f.sweep(store.Partition{Segment: segment}).Moved)
		}
	}},
	{"the script runs twice", store.Options{}, func(f *fixture) {
		for range 3 {
			f.create(f.spec(time.Hour))
		}
		f.advance(2 * time.Hour)
		token, err := f.AcquireSweep(Twice(f.Context()), store.Partition{}, "a")
		require.NoError(f, err)
		_, err = f.Sweep(Twice(f.Context()), store.Partition{}, token, 10)
		require.NoError(f, err)
		require.EqualValues(f, 3, f.queueEntries())
	}},
	{"a token that is not the lease's", store.Options{}, func(f *fixture) {
		f.create(f.spec(time.Hour))
		f.advance(2 * time.Hour)
		_, err := f.Sweep(f.Context(), store.Partition{}, "", 10)
		require.ErrorIs(f, err, store.ErrLeaseLost, "there is no lease at all")
		old, err := f.AcquireSweep(f.Context(), store.Partition{}, "a")
		require.NoError(f, err)
		require.NoError(f, f.ReleaseSweep(f.Context(), store.Partition{}, old))
		for _, token := range []store.Token{"", old, "odd"} {
			_, err = f.Sweep(f.Context(), store.Partition{}, token, 10)
			require.ErrorIs(f, err, store.ErrLeaseLost, "token %q", token)
		}
		require.Zero(f, f.queueEntries())
	}},
}
