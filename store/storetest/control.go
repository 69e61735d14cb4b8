package storetest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/store"
)

func fireTask(slot, lane int) carillon.Task {
	return carillon.Task{Kind: carillon.TaskFire, Slot: slot, Number: lane}
}

// sweepTask is that of a segment of slot 0.
func sweepTask(segment int) carillon.Task {
	return carillon.Task{Kind: carillon.TaskSweep, Number: segment}
}

// begin begins an epoch.
func (f *fixture) begin() int64 {
	f.Helper()
	epoch, err := f.BeginControl(f.Context())
	require.NoError(f, err)
	return epoch
}

func (f *fixture) decide(epoch, number int64, a carillon.Assignments) error {
	return f.Decide(f.Context(), carillon.Decision{Epoch: epoch, Number: number, Assignments: a})
}

func (f *fixture) assignments() carillon.Assignments {
	f.Helper()
	a, err := f.Assignments(f.Context())
	require.NoError(f, err)
	return a
}

// stale expects that a decision was refused.
func (f *fixture) stale(err error) {
	f.Helper()
	require.ErrorIs(f, err, store.ErrStaleDecision)
	require.ErrorIs(f, err, carillon.ErrConflict)
	require.False(f, carillon.Retryable(err))
}

var controlCases = []testCase{
	haltedCase("epochs and decisions", func(f *halted) {
		require.Empty(f, f.assignments())
		require.EqualValues(f, 1, f.begin())
		c := f.roster().Control
		require.Equal(f, carillon.Control{Epoch: 1}, c)
		require.False(f, c.Controlled(f.at), "it has begun, and nothing more")
		a := carillon.Assignments{fireTask(0, 0): "a", fireTask(0, 1): "b", sweepTask(0): ""}
		require.NoError(f, f.decide(1, 1, a))
		require.Equal(f, a, f.assignments())
		c = f.roster().Control
		require.Equal(f, carillon.Control{Epoch: 1, Number: 1, DecidedAt: f.at.Truncate(time.Millisecond)}, c)
		require.True(f, c.Controlled(f.at))
		require.Equal(f, c, f.beat("a").Control, "every heartbeat brings it")
		a = carillon.Assignments{fireTask(0, 0): "b"}
		require.NoError(f, f.decide(1, 5, a), "numbers may be left out")
		require.Equal(f, a, f.assignments(), "a decision is about all tasks")
		require.NoError(f, f.decide(1, 6, nil))
		require.Empty(f, f.assignments())
		require.EqualValues(f, 6, f.roster().Control.Number)
	}),
	haltedCase("what is stale is refused", func(f *halted) {
		a, b := carillon.Assignments{fireTask(0, 0): "a"}, carillon.Assignments{fireTask(0, 0): "b"}
		old := f.begin()
		require.NoError(f, f.decide(old, 7, a))
		f.stale(f.decide(old, 6, b))
		f.stale(f.decide(old, 7, b)) // the same number, and something else
		f.stale(f.decide(old, 7, nil))
		epoch := f.begin()
		require.Equal(f, old+1, epoch)
		require.Equal(f, a, f.assignments(), "what was decided stands until something else is")
		f.stale(f.decide(old, 8, b))
		f.stale(f.decide(old, 7, a)) // it would be the same, but its author has been replaced
		f.stale(f.Observed(f.Context(), old))
		require.Equal(f, a, f.assignments())
		require.NoError(f, f.decide(epoch, 1, b))
		f.stale(f.decide(old, 1000, a))
		require.Equal(f, b, f.assignments())
		require.Equal(f, epoch, f.roster().Control.Epoch)
		require.EqualValues(f, 1, f.roster().Control.Number)
	}),
	haltedCase("the same decision again", func(f *halted) {
		a := carillon.Assignments{fireTask(0, 0): "a", sweepTask(0): "b"}
		epoch := f.begin()
		require.NoError(f, f.decide(epoch, 1, a))
		f.advance(time.Minute)
		require.NoError(f, f.decide(epoch, 1, maps.Clone(a)))
		require.Equal(f, a, f.assignments())
		require.False(f, f.roster().Control.Controlled(f.at),
			"somebody frozen who says again what he said before is not at work")
	}),
	haltedCase("observing keeps control", func(f *halted) {
		epoch := f.begin()
		require.NoError(f, f.Observed(f.Context(), epoch))
		c := f.roster().Control
		require.Equal(f, f.at.Truncate(time.Millisecond), c.ObservedAt)
		require.Zero(f, c.DecidedAt)
		require.NoError(f, f.decide(epoch, 1, nil))
		for range 5 {
			f.advance(carillon.ControlTTL - time.Second)
			require.True(f, f.roster().Control.Controlled(f.at))
			require.NoError(f, f.Observed(f.Context(), epoch))
		}
		f.advance(carillon.ControlTTL)
		require.False(f, f.roster().Control.Controlled(f.at), "nobody is at work")
		require.NoError(f, f.Observed(f.Context(), epoch))
		require.True(f, f.roster().Control.Controlled(f.at), "it is back")
		f.stale(f.Observed(f.Context(), epoch+1)) // nobody has begun it
	}),
	haltedCase("many begin at once", func(f *halted) {
		const n = 20
		type answer struct {
			epoch int64
			err   error
		}
		answers := make(chan answer, n)
		for range n {
			go func() {
				epoch, err := f.BeginControl(f.Context())
				answers <- answer{epoch, err}
			}()
		}
		seen := map[int64]bool{}
		for range n {
			a := <-answers
			require.NoError(f, a.err)
			require.False(f, seen[a.epoch], "epoch %d is two coordinators'", a.epoch)
			seen[a.epoch] = true
		}
		require.EqualValues(f, n, f.roster().Control.Epoch)
		require.NoError(f, f.Observed(f.Context(), n))
		f.stale(f.Observed(f.Context(), n-1))
	}),
	haltedCase("many decide at once", func(f *halted) {
		const n = 20
		epoch := f.begin()
		want := func(i int) carillon.Assignments {
			return carillon.Assignments{fireTask(0, 0): fmt.Sprint("w", i), fireTask(0, 1): fmt.Sprint("w", i)}
		}
		won := make([]error, n)
		var wg sync.WaitGroup
		for i := range n { // two each want the same number
			wg.Go(func() { won[i] = f.decide(epoch, int64(1+i/2), want(i)) })
		}
		wg.Wait()
		last := f.roster().Control.Number
		require.EqualValues(f, n/2, last, "the greatest number wins, whenever it came")
		winners := 0
		for i, err := range won {
			if err != nil {
				f.stale(err)
				continue
			}
			if int64(1+i/2) == last {
				winners++
				require.Equal(f, want(i), f.assignments())
			}
		}
		require.Equal(f, 1, winners)
	}),
	haltedCase("decisions that are carried out twice or whose answers are lost", func(f *halted) {
		a := carillon.Assignments{fireTask(0, 0): "a"}
		require.NoError(f, f.decide(f.begin(), 1, nil))
		epoch, err := f.BeginControl(Twice(f.Context()))
		require.NoError(f, err)
		require.EqualValues(f, 3, epoch, "one was begun in vain")
		require.NoError(f, f.Observed(Twice(f.Context()), epoch))
		require.NoError(f, f.Decide(Twice(f.Context()), carillon.Decision{Epoch: epoch, Number: 1, Assignments: a}))
		require.Equal(f, a, f.assignments())

		_, err = f.BeginControl(Lost(f.Context()))
		require.ErrorIs(f, err, ErrLost)
		epoch = f.begin()
		require.EqualValues(f, 5, epoch)
		require.ErrorIs(f, f.Observed(Lost(f.Context()), epoch), ErrLost)
		lost := carillon.Decision{Epoch: epoch, Number: 1, Assignments: carillon.Assignments{fireTask(0, 0): "b"}}
		require.ErrorIs(f, f.Decide(Lost(f.Context()), lost), ErrLost)
		require.Equal(f, lost.Assignments, f.assignments(), "it was carried out")
		require.NoError(f, f.Decide(f.Context(), lost), "so that asking again finds it")
	}),
	haltedCase("what somebody else has written among the assignments", func(f *halted) {
		a := carillon.Assignments{fireTask(0, 0): "a"}
		epoch := f.begin()
		require.NoError(f, f.decide(epoch, 1, a))
		key := f.groupKey("assignments")
		rubbish := []string{"", "fire", "fire/0/0", "fire/0/0/00", "fire/0/0/-1", "fly/0/0/0", "fire/0/0/0/0", "\xff", "\xfe"}
		for i, field := range rubbish {
			require.NoError(f, f.redis.HSet(f.Context(), key, field, fmt.Sprint("w", i)).Err())
		}
		require.NoError(f, f.redis.HSet(f.Context(), key, "fire/0/0/0", "an orphan's, no id", "fire/0/9/9", "\xff").Err())
		got := f.assignments()
		data, err := json.Marshal(got)
		require.NoError(f, err)
		var told carillon.Assignments
		require.NoError(f, json.Unmarshal(data, &told))
		require.Equal(f, got, told, "a coordinator is told of them as JSON")
		require.Len(f, got, 2+len(rubbish), "each of them makes the assignments differ")
		require.False(f, maps.Equal(a, got))
		require.Equal(f, "an orphan's, no id", got[fireTask(0, 0)])
		for task := range got {
			if task.Slot == 0 && task != fireTask(0, 0) {
				_, err := carillon.ParseTask(task.String())
				require.Error(f, err, "what is no task is taken for none")
				require.Negative(f, task.Store)
			}
		}
		require.NoError(f, f.decide(epoch, 2, a))
		require.Equal(f, a, f.assignments())
		require.Equal(f, []string{"fire/0/0/0"}, f.redis.HKeys(f.Context(), key).Val())
	}),
	haltedCase("control that Redis has lost", func(f *halted) {
		// What that means: the group goes on by itself until somebody controls it. The coordinator whose epoch was lost may
		// decide, or begins another one. Epochs begin again: one that is older and was frozen meanwhile is refused only once
		// the present one is greater, and whoever it outdoes begins a greater one. Leases keep tasks from running twice.
		a, b := carillon.Assignments{fireTask(0, 0): "a"}, carillon.Assignments{fireTask(0, 0): "b"}
		f.begin()
		f.begin()
		epoch := f.begin()
		require.NoError(f, f.decide(epoch, 4, a))
		f.beat("a")
		require.NoError(f, f.redis.Del(f.Context(), f.groupKey("control"), f.groupKey("assignments")).Err())
		r := f.beat("a")
		require.Zero(f, r.Control)
		require.False(f, r.Control.Controlled(r.Now))
		require.Empty(f, f.assignments())
		f.stale(f.Observed(f.Context(), epoch)) // else nobody would run what nobody is assigned
		require.NoError(f, f.decide(epoch, 5, a))
		require.Equal(f, a, f.assignments())
		require.NoError(f, f.Observed(f.Context(), epoch))

		require.NoError(f, f.redis.Del(f.Context(), f.groupKey("control"), f.groupKey("members")).Err())
		require.Equal(f, []string{"a"}, rosterIDs(f.beat("a")), "a worker is there again with its next heartbeat")
		f.stale(f.Observed(f.Context(), epoch))
		again := f.begin()
		require.EqualValues(f, 1, again)
		require.NoError(f, f.decide(again, 1, b))
		require.NoError(f, f.decide(epoch, 6, a), "the old one, thawed")
		f.stale(f.decide(again, 2, b))
		again = f.begin()
		require.Greater(f, again, epoch)
		require.NoError(f, f.decide(again, 1, b))
		f.stale(f.decide(epoch, 7, a))
	}),
	haltedCase("five thousand tasks", func(f *halted) {
		a := carillon.Assignments{}
		m := worker("w0")
		for i := range 5000 {
			task := fireTask(i/2, i%2)
			a[task] = fmt.Sprint("w", i%3)
			if i%3 == 0 {
				m.Holds = append(m.Holds, task)
			}
		}
		epoch := f.begin()
		require.NoError(f, f.decide(epoch, 1, a))
		require.Equal(f, a, f.assignments())
		f.stale(f.decide(epoch, 1, carillon.Assignments{}))
		a[fireTask(0, 0)] = "w2"
		f.stale(f.decide(epoch, 1, a)) // one task makes another decision
		require.NoError(f, f.decide(epoch, 2, a))
		require.Equal(f, a, f.assignments())
		r, err := f.Heartbeat(f.Context(), m, "n")
		require.NoError(f, err)
		require.Equal(f, m.Holds, r.Members[0].Holds)
		require.NoError(f, f.decide(epoch, 3, carillon.Assignments{fireTask(0, 0): "w1"}))
		require.Len(f, f.assignments(), 1)
	}),
	haltedCase("bad decisions", func(f *halted) {
		a := carillon.Assignments{fireTask(0, 0): "a"}
		epoch := f.begin()
		require.NoError(f, f.decide(epoch, 1, a))
		many := carillon.Assignments{}
		for i := range store.MaxTasks + 1 {
			many[fireTask(0, i)] = "a"
		}
		for field, bad := range map[string][]carillon.Decision{
			"epoch":       {{Epoch: 0, Number: 1}, {Epoch: -1, Number: 1}, {Epoch: 1 << 53, Number: 1}},
			"number":      {{Epoch: epoch, Number: 0}, {Epoch: epoch, Number: -2}, {Epoch: epoch, Number: 1 << 60}},
			"assignments": {{Epoch: epoch, Number: 2, Assignments: many}},
			"task": {
				{Epoch: epoch, Number: 2, Assignments: carillon.Assignments{{Kind: "fly"}: "a"}},
				{Epoch: epoch, Number: 2, Assignments: carillon.Assignments{fireTask(-1, 0): "a"}},
			},
			"worker": {{Epoch: epoch, Number: 2, Assignments: carillon.Assignments{fireTask(0, 0): "a b"}}},
		} {
			for _, d := range bad {
				err := f.Decide(f.Context(), d)
				require.ErrorIs(f, err, carillon.ErrInvalidArgument, field)
				require.Equal(f, field, carillon.AsError(err).Field)
			}
		}
		require.ErrorIs(f, f.Observed(f.Context(), 0), carillon.ErrInvalidArgument)
		require.Equal(f, a, f.assignments())
		require.EqualValues(f, 1, f.roster().Control.Number)
	}),
	haltedCase("control that somebody else has written", func(f *halted) {
		rubbish := []any{"epoch", "x", "number", "y", "decided", "z"}
		require.NoError(f, f.redis.HSet(f.Context(), f.groupKey("control"), rubbish...).Err())
		require.Zero(f, f.roster().Control)
		f.stale(f.Observed(f.Context(), 1))
		require.EqualValues(f, 1, f.begin())
		require.NoError(f, f.decide(1, 1, nil))
		require.True(f, f.roster().Control.Controlled(f.at))
	}),
	{"control while the store is away", store.Options{}, func(f *fixture) {
		ctx, cancel := context.WithCancel(f.Context())
		cancel()
		_, err := f.Heartbeat(ctx, worker("a"), "n")
		require.ErrorIs(f, err, context.Canceled)
		_, err = f.Assignments(ctx)
		require.ErrorIs(f, err, context.Canceled)
		require.ErrorIs(f, f.Decide(ctx, carillon.Decision{Epoch: 1, Number: 1}), context.Canceled)
	}},
}
