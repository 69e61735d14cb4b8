package activities_test

import (
	"context"
	"errors"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/activities"
	"github.com/carillon-io/carillon/store"
	"github.com/carillon-io/carillon/workflows/plan"
)

// fakeCoordination is what a store keeps of a group with two slots. Its time is that of the synctest bubble.
type fakeCoordination struct {
	store.Coordination // what is not below is not asked for

	mu          sync.Mutex
	err         error
	members     []carillon.Member
	segments    []store.Segment
	control     carillon.Control
	assignments carillon.Assignments
	observed    []time.Time
	asked       map[string]int
	each        func(*fakeCoordination) // is called when the roster is asked for
}

func newCoordination(workers ...string) *fakeCoordination {
	f := &fakeCoordination{control: carillon.Control{Epoch: 5}, asked: map[string]int{}}
	for _, id := range workers {
		f.members = append(f.members, carillon.Member{Worker: id})
	}
	for slot := range f.Slots() {
		f.segments = append(f.segments, store.Segment{Partition: store.Partition{Slot: slot, Segment: 7}, Open: true})
	}
	return f
}

func (f *fakeCoordination) Group() string { return "g" }
func (f *fakeCoordination) Number() int   { return 3 }
func (f *fakeCoordination) Slots() int    { return 2 }

// ask counts a call, and says how it goes.
func (f *fakeCoordination) ask(what string) error {
	f.asked[what]++
	return f.err
}

func (f *fakeCoordination) Segments(context.Context) ([]store.Segment, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]store.Segment(nil), f.segments...), f.ask("segments")
}

func (f *fakeCoordination) Roster(context.Context) (carillon.Roster, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.each != nil {
		f.each(f)
	}
	return carillon.Roster{Now: time.Now(), Members: f.members, Control: f.control}, f.ask("roster")
}

func (f *fakeCoordination) Assignments(context.Context) (carillon.Assignments, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.assignments), f.ask("assignments")
}

func (f *fakeCoordination) BeginControl(context.Context) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.control = carillon.Control{Epoch: f.control.Epoch + 1}
	return f.control.Epoch, f.ask("begin")
}

func (f *fakeCoordination) Observed(_ context.Context, epoch int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if epoch != f.control.Epoch {
		return staleDecision()
	}
	f.observed = append(f.observed, time.Now())
	return f.ask("observed")
}

func (f *fakeCoordination) Decide(_ context.Context, d carillon.Decision) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if d.Epoch < f.control.Epoch || d.Epoch == f.control.Epoch && d.Number <= f.control.Number {
		return staleDecision()
	}
	f.control.Epoch, f.control.Number, f.control.DecidedAt = d.Epoch, d.Number, time.Now()
	f.assignments = d.Assignments
	return f.ask("decide")
}

func staleDecision() error {
	return carillon.Errorf(carillon.TypeConflict, "decide: %w", store.ErrStaleDecision)
}

// settled makes the assignments those that the plan wants.
func (f *fakeCoordination) settled() *fakeCoordination {
	o := carillon.Observation{Roster: carillon.Roster{Members: f.members}}
	for slot := range f.Slots() {
		o.Tasks = append(o.Tasks, carillon.Task{Kind: carillon.TaskFire, Store: 3, Slot: slot},
			carillon.Task{Kind: carillon.TaskSweep, Store: 3, Slot: slot, Number: 7})
	}
	f.assignments = plan.Decide(o.Tasks, f.members, nil).Assignments
	return f
}

func coordinationEnv(f *fakeCoordination) *testsuite.TestActivityEnvironment {
	env := quietEnv()
	(&activities.Coordination{Store: f, Due: plan.Due}).Register(env)
	return env
}

// observe observes as the coordinator of epoch 5 whose last decision was the given one.
func observe(env *testsuite.TestActivityEnvironment, number int64) (o carillon.Observation, err error) {
	in := carillon.ObserveInput{Group: "g", Epoch: 5, Number: number}
	value, err := env.ExecuteActivity(carillon.ActivityObserve, in)
	if err != nil {
		return o, err
	}
	return o, value.Get(&o)
}

func TestObserveReturnsAtOnceWhatIsDue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newCoordination("one", "two")
		began := time.Now()
		o, err := observe(coordinationEnv(f), 0)
		require.NoError(t, err)
		require.Zero(t, time.Since(began))
		require.Equal(t, []carillon.Task{
			{Kind: carillon.TaskFire, Store: 3, Slot: 0},
			{Kind: carillon.TaskFire, Store: 3, Slot: 1},
			{Kind: carillon.TaskSweep, Store: 3, Slot: 0, Number: 7},
			{Kind: carillon.TaskSweep, Store: 3, Slot: 1, Number: 7},
		}, o.Tasks)
		require.Len(t, o.Roster.Members, 2)
		require.Empty(t, f.observed, "who decides says so by deciding")
	})
}

func TestObserveWatchesWhileNothingIsDue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newCoordination("one", "two").settled()
		env := coordinationEnv(f)
		var beats atomic.Int32
		env.SetOnActivityHeartbeatListener(func(_ *activity.Info, details converter.EncodedValues) {
			var s carillon.ObserveStatus
			if details.Get(&s) == nil && s.Workers == 2 && s.Tasks == 4 && !s.At.IsZero() {
				beats.Add(1)
			}
		})
		began := time.Now()
		o, err := observe(env, 0)
		require.NoError(t, err)
		require.Equal(t, time.Minute, time.Since(began))
		require.Equal(t, f.assignments, o.Assignments)
		require.GreaterOrEqual(t, len(f.observed), 60, "each second")
		for i := range f.observed[1:] {
			require.Equal(t, time.Second, f.observed[i+1].Sub(f.observed[i]))
		}
		require.LessOrEqual(t, f.asked["segments"], 13, "segments cost a command for each slot")
		require.Positive(t, beats.Load(), "the environment thins them out")
	})
}

// A coordinator that has just begun wants to show what there is, also if nothing is due.
func TestObserveLooksOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newCoordination("one", "two").settled()
		began := time.Now()
		in := carillon.ObserveInput{Group: "g", Epoch: 5, Once: true}
		value, err := coordinationEnv(f).ExecuteActivity(carillon.ActivityObserve, in)
		require.NoError(t, err)
		require.Zero(t, time.Since(began))
		var o carillon.Observation
		require.NoError(t, value.Get(&o))
		require.Equal(t, f.assignments, o.Assignments)
		require.Len(t, f.observed, 1)
	})
}

func TestObserveNotices(t *testing.T) {
	t.Parallel()
	stray := carillon.Task{Kind: "by hand", Store: -1}
	for name, c := range map[string]struct {
		change func(*fakeCoordination)
		within time.Duration
	}{
		"a death":   {func(f *fakeCoordination) { f.members = f.members[1:] }, time.Second},
		"a join":    {func(f *fakeCoordination) { f.members = append(f.members, carillon.Member{Worker: "x"}) }, time.Second},
		"an orphan": {func(f *fakeCoordination) { f.assignments[firstTask(f)] = "" }, 5 * time.Second},
		"a stray":   {func(f *fakeCoordination) { f.assignments[stray] = "one" }, 5 * time.Second},
		"a segment": {func(f *fakeCoordination) { f.segments = append(f.segments, segmentOf(1, 8)) }, 5 * time.Second},
		"a drainage": {func(f *fakeCoordination) {
			f.members = []carillon.Member{f.members[0], {Worker: "two", Draining: true}}
		}, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newCoordination("one", "two").settled()
				began := time.Now()
				f.each = func(f *fakeCoordination) {
					if time.Since(began) == 7*time.Second {
						c.change(f)
					}
				}
				o, err := observe(coordinationEnv(f), 0)
				require.NoError(t, err)
				require.True(t, plan.Due(o))
				require.LessOrEqual(t, time.Since(began), 7*time.Second+c.within)
				require.GreaterOrEqual(t, time.Since(began), 7*time.Second)
			})
		})
	}
}

func firstTask(f *fakeCoordination) carillon.Task { return plan.TasksOf(f.assignments, "one")[0] }

func segmentOf(slot, n int) store.Segment {
	return store.Segment{Partition: store.Partition{Slot: slot, Segment: n}}
}

// Before it says that something is due it looks again at what it has not looked at for a while.
func TestObserveIsNotMisledByWhatItRemembers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newCoordination("one", "two").settled()
		began := time.Now()
		f.each = func(f *fakeCoordination) {
			if time.Since(began) == 7*time.Second { // a worker joins, and a decision that gives it a share is there already
				f.members = append(f.members, carillon.Member{Worker: "x"})
				f.settled()
			}
		}
		_, err := observe(coordinationEnv(f), 0)
		require.NoError(t, err)
		require.Equal(t, time.Minute, time.Since(began))
	})
}

func TestObserveLeavesASecondBetweenDecisions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newCoordination("one")
		f.control.Number, f.control.DecidedAt = 4, time.Now()
		began := time.Now()
		_, err := observe(coordinationEnv(f), 4)
		require.NoError(t, err)
		require.Equal(t, time.Second, time.Since(began))
		require.Len(t, f.observed, 1)

		// A time ahead of the store's clock, which has stepped back, does not keep it from deciding.
		f.control.DecidedAt = time.Now().Add(time.Hour)
		began = time.Now()
		_, err = observe(coordinationEnv(f), 4)
		require.NoError(t, err)
		require.Zero(t, time.Since(began))
	})
}

func TestObserveDecidesNothingWithoutWorkers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newCoordination("one").settled()
		f.members = nil
		began := time.Now()
		_, err := observe(coordinationEnv(f), 0)
		require.NoError(t, err)
		require.Equal(t, time.Minute, time.Since(began))
	})
}

func TestObserveEndsWhenItIsStale(t *testing.T) {
	t.Parallel()
	for name, control := range map[string]carillon.Control{
		"a newer epoch":             {Epoch: 6},
		"an epoch that is lost":     {},
		"a decision of the future":  {Epoch: 5, Number: 4},
		"a decision that came late": {Epoch: 5, Number: 4, DecidedAt: time.Now()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newCoordination("one")
			f.control = control
			_, err := observe(coordinationEnv(f), 3)
			requireStale(t, err)
		})
	}
	t.Run("while it watches", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			f := newCoordination("one").settled()
			began := time.Now()
			f.each = func(f *fakeCoordination) {
				if time.Since(began) == 9*time.Second {
					f.control.Epoch++
				}
			}
			_, err := observe(coordinationEnv(f), 0)
			requireStale(t, err)
			require.Equal(t, 9*time.Second, time.Since(began))
		})
	})
}

func requireStale(t *testing.T, err error) {
	t.Helper()
	var app *temporal.ApplicationError
	require.ErrorAs(t, err, &app)
	require.Equal(t, string(carillon.TypeConflict), app.Type())
	require.True(t, app.NonRetryable())
	require.ErrorContains(t, err, store.ErrStaleDecision.Error())
}

func TestObserveIsPatientWithTheStore(t *testing.T) {
	t.Parallel()
	away := carillon.Errorf(carillon.TypeUnavailable, "the store is away")
	for name, c := range map[string]struct {
		err   error
		fails time.Duration // for how long
		ends  time.Duration // how long Observe lasts
	}{
		"a short absence":       {away, 3 * time.Second, time.Minute},
		"a long absence":        {away, time.Hour, 11 * time.Second},
		"an error of some kind": {errors.New("odd"), time.Hour, 11 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newCoordination("one").settled()
				began := time.Now()
				f.each = func(f *fakeCoordination) {
					f.err = nil
					if since := time.Since(began) - 7*time.Second; 0 <= since && since < c.fails {
						f.err = c.err
					}
				}
				_, err := observe(coordinationEnv(f), 0)
				require.Equal(t, c.ends, time.Since(began))
				if c.ends == time.Minute {
					require.NoError(t, err)
					return
				}
				require.ErrorIs(t, carillon.FromTemporal(err), carillon.ErrUnavailable)
				var app *temporal.ApplicationError
				require.ErrorAs(t, err, &app)
				require.False(t, app.NonRetryable(), "Temporal tries again")
			})
		})
	}
}

// A store that does not answer at all is one that fails.
func TestObserveDoesNotHang(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &hangingStore{newCoordination("one")}
		env := quietEnv()
		(&activities.Coordination{Store: f, Due: plan.Due}).Register(env)
		began := time.Now()
		_, err := observe(env, 0)
		require.ErrorIs(t, carillon.FromTemporal(err), carillon.ErrUnavailable)
		require.Equal(t, 4*time.Second, time.Since(began))
	})
}

type hangingStore struct{ *fakeCoordination }

func (*hangingStore) Assignments(ctx context.Context) (carillon.Assignments, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestObserveEndsWhenTheWorkerStops(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newCoordination("one").settled()
		env := coordinationEnv(f)
		stop := make(chan struct{})
		env.SetWorkerStopChannel(stop)
		began := time.Now()
		time.AfterFunc(7500*time.Millisecond, func() { close(stop) })
		o, err := observe(env, 0)
		require.NoError(t, err, "another worker goes on at once")
		require.Equal(t, 7500*time.Millisecond, time.Since(began))
		require.Equal(t, f.assignments, o.Assignments)
	})
}

func TestBeginControlAndAssign(t *testing.T) {
	t.Parallel()
	f := newCoordination("one")
	env := coordinationEnv(f)
	value, err := env.ExecuteActivity(carillon.ActivityBeginControl, carillon.BeginControlInput{Group: "g"})
	require.NoError(t, err)
	var begun carillon.BeginControlResult
	require.NoError(t, value.Get(&begun))
	require.EqualValues(t, 6, begun.Epoch)

	in := carillon.AssignInput{Group: "g", Epoch: 6, Number: 1, Assignments: newCoordination("one").settled().assignments}
	_, err = env.ExecuteActivity(carillon.ActivityAssign, in)
	require.NoError(t, err)
	require.Equal(t, in.Assignments, f.assignments)
	_, err = env.ExecuteActivity(carillon.ActivityAssign, in)
	requireStale(t, err)

	f.err = carillon.Errorf(carillon.TypeUnavailable, "away")
	in.Number++
	_, err = env.ExecuteActivity(carillon.ActivityAssign, in)
	require.ErrorIs(t, carillon.FromTemporal(err), carillon.ErrUnavailable)
}

// A worker of another group must not write this one's decisions.
func TestCoordinationChecksTheGroup(t *testing.T) {
	t.Parallel()
	f := newCoordination("one")
	for name, in := range map[string]any{
		carillon.ActivityBeginControl: carillon.BeginControlInput{Group: "other"},
		carillon.ActivityObserve:      carillon.ObserveInput{Group: "other", Epoch: 5},
		carillon.ActivityAssign:       carillon.AssignInput{Group: "other", Epoch: 9},
	} {
		_, err := coordinationEnv(f).ExecuteActivity(name, in)
		requireInvalid(t, err, "group")
	}
	require.Empty(t, f.asked)
}
