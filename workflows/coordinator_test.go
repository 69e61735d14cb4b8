package workflows_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/workflows"
	"github.com/carillon-io/carillon/workflows/plan"
)

var (
	errAway  = carillon.ToTemporal(carillon.Errorf(carillon.TypeUnavailable, "the store is away"))
	errStale = carillon.ToTemporal(carillon.Errorf(carillon.TypeConflict, "store: the decision is stale"))
)

// coordinatorEnv is the environment of a coordinator. Its group is what see says; what it decides is in assigned.
type coordinatorEnv struct {
	*testsuite.TestWorkflowEnvironment
	t        *testing.T
	began    int
	observed []carillon.ObserveInput
	assigned []carillon.AssignInput
	attempts map[string]int
}

// sight is the answer to one Observe, after some time.
type sight struct {
	after time.Duration
	o     carillon.Observation
	err   error
}

// newCoordinator makes an environment whose n-th observation is sights[n]; the one behind the last goes on for hours.
func newCoordinator(t *testing.T, sights ...sight) *coordinatorEnv {
	t.Helper()
	env := &coordinatorEnv{TestWorkflowEnvironment: quietEnv(), t: t, attempts: map[string]int{}}
	env.SetStartTime(began)
	env.SetTestTimeout(time.Minute)
	workflows.Register(env)
	env.SetStartWorkflowOptions(client.StartWorkflowOptions{
		ID: carillon.CoordinatorWorkflowID(group), TaskQueue: carillon.TaskQueue(group),
	})
	unmocked := errors.New("not mocked")
	begin := func(context.Context, carillon.BeginControlInput) (*carillon.BeginControlResult, error) {
		return nil, unmocked
	}
	env.RegisterActivityWithOptions(begin, activity.RegisterOptions{Name: carillon.ActivityBeginControl})
	env.RegisterActivityWithOptions(func(context.Context, carillon.ObserveInput) (*carillon.Observation, error) {
		return nil, unmocked
	}, activity.RegisterOptions{Name: carillon.ActivityObserve})
	env.RegisterActivityWithOptions(func(context.Context, carillon.AssignInput) error {
		return unmocked
	}, activity.RegisterOptions{Name: carillon.ActivityAssign})
	env.SetOnActivityStartedListener(func(info *activity.Info, _ context.Context, args converter.EncodedValues) {
		env.attempts[info.ActivityType.Name]++
		require.Equal(t, carillon.TaskQueue(group), info.TaskQueue)
		if info.Attempt > 1 {
			return
		}
		switch info.ActivityType.Name {
		case carillon.ActivityBeginControl:
			env.began++
		case carillon.ActivityObserve:
			var in carillon.ObserveInput
			require.NoError(t, args.Get(&in))
			require.Equal(t, 10*time.Second, info.HeartbeatTimeout)
			env.observed = append(env.observed, in)
		case carillon.ActivityAssign:
			var in carillon.AssignInput
			require.NoError(t, args.Get(&in))
			env.assigned = append(env.assigned, in)
		}
	})
	for _, s := range sights {
		env.OnActivity(carillon.ActivityObserve, mock.Anything, mock.Anything).Return(&s.o, s.err).After(s.after).Once()
	}
	env.OnActivity(carillon.ActivityObserve, mock.Anything, mock.Anything).
		Return(&carillon.Observation{}, nil).After(23 * time.Hour).Maybe()
	return env
}

// begins says which epoch begins.
func (e *coordinatorEnv) begins(epoch int64) {
	e.OnActivity(carillon.ActivityBeginControl, mock.Anything, carillon.BeginControlInput{Group: group}).
		Return(&carillon.BeginControlResult{Epoch: epoch}, nil).Maybe()
}

// writes makes decisions succeed.
func (e *coordinatorEnv) writes() {
	e.OnActivity(carillon.ActivityAssign, mock.Anything, mock.Anything).Return(nil).Maybe()
}

func (e *coordinatorEnv) state() (s carillon.CoordinatorState) {
	e.t.Helper()
	value, err := e.QueryWorkflow(carillon.QueryState)
	require.NoError(e.t, err)
	require.NoError(e.t, value.Get(&s))
	return s
}

// run runs the workflow to its end, which is at the latest after a time.
func (e *coordinatorEnv) run(in carillon.CoordinatorInput, limit time.Duration) error {
	e.RegisterDelayedCallback(e.CancelWorkflow, limit)
	e.ExecuteWorkflow(carillon.WorkflowCoordinator, in)
	require.True(e.t, e.IsWorkflowCompleted())
	return e.GetWorkflowError()
}

func (e *coordinatorEnv) requireCancelled(err error) {
	e.t.Helper()
	var canceled *temporal.CanceledError
	require.ErrorAs(e.t, err, &canceled)
}

// see is a group of two slots at a time, with the assignments that it has.
func see(second int, a carillon.Assignments, ids ...string) carillon.Observation {
	o := carillon.Observation{Assignments: a}
	o.Roster.Now = began.Add(time.Duration(second) * time.Second)
	for _, id := range ids {
		o.Roster.Members = append(o.Roster.Members, carillon.Member{Worker: id, Zone: "north", Seen: o.Roster.Now})
	}
	for slot := range 2 {
		o.Tasks = append(o.Tasks,
			carillon.Task{Kind: carillon.TaskFire, Slot: slot}, carillon.Task{Kind: carillon.TaskSweep, Slot: slot})
	}
	carillon.SortTasks(o.Tasks)
	return o
}

// planned are the assignments that follow from what is seen.
func planned(o carillon.Observation) carillon.Assignments {
	return plan.Decide(o.Tasks, o.Roster.Members, o.Assignments).Assignments
}

var coordinate = carillon.CoordinatorInput{Group: group}

func TestCoordinatorDecides(t *testing.T) {
	t.Parallel()
	first := see(1, nil, "one", "two")
	second := see(60, planned(first), "one", "two")
	third := see(70, planned(first), "two", "three")
	env := newCoordinator(t, sight{0, first, nil}, sight{time.Minute, second, nil}, sight{10 * time.Second, third, nil})
	env.begins(7)
	env.writes()
	env.RegisterDelayedCallback(func() {
		s := env.state()
		require.EqualValues(t, 7, s.Epoch)
		require.EqualValues(t, 1, s.Number)
		require.Equal(t, planned(first), s.Assignments)
		require.Equal(t, first.Roster.Now, s.ObservedAt)
		require.Equal(t, 2, s.Workers[0].Tasks)
		require.Equal(t, "north", s.Workers[0].Zone)
	}, 30*time.Second)
	env.RegisterDelayedCallback(func() {
		s := env.state()
		require.EqualValues(t, 2, s.Number)
		require.EqualValues(t, 3, s.Observations)
		require.Equal(t, 4, s.Tasks)
		require.Zero(t, s.Unassigned)
		require.Len(t, s.Decisions, 2)
		last := s.Decisions[1]
		require.Equal(t, third.Roster.Now, last.At)
		require.Equal(t, 2, last.Moved)
		require.Equal(t, map[carillon.MoveReason]int{carillon.MoveDead: 2}, last.Reasons)
		require.Len(t, last.Moves, 2)
		require.Equal(t, "three", last.Moves[0].To)
		require.Empty(t, s.LastError)
	}, time.Hour)
	env.requireCancelled(env.run(coordinate, 2*time.Hour))

	require.Equal(t, 1, env.began)
	require.Equal(t, []carillon.AssignInput{
		{Group: group, Epoch: 7, Number: 1, Assignments: planned(first)},
		{Group: group, Epoch: 7, Number: 2, Assignments: planned(third)},
	}, env.assigned)
	require.Equal(t, []carillon.ObserveInput{
		{Group: group, Epoch: 7, Once: true},
		{Group: group, Epoch: 7, Number: 1},
		{Group: group, Epoch: 7, Number: 1},
		{Group: group, Epoch: 7, Number: 2},
	}, env.observed)
}

// Heartbeats that are all late at once must not take all tasks from those who run them.
func TestCoordinatorDecidesNothingWithoutWorkers(t *testing.T) {
	t.Parallel()
	all := planned(see(1, nil, "one"))
	env := newCoordinator(t, sight{time.Minute, see(60, all), nil})
	env.begins(1)
	env.RegisterDelayedCallback(func() { require.Equal(t, all, env.state().Assignments) }, time.Hour)
	env.requireCancelled(env.run(coordinate, 2*time.Hour))
	require.Empty(t, env.assigned)
}

// The environment gives up after ten attempts where no limit is set; that there is none shows in the recorded
// histories.
func TestCoordinatorOutlastsTheStore(t *testing.T) {
	t.Parallel()
	const most = 9
	sights := slices.Repeat([]sight{{0, carillon.Observation{}, errAway}}, most)
	env := newCoordinator(t, append(sights, sight{0, see(1, nil, "one"), nil})...)
	env.OnActivity(carillon.ActivityBeginControl, mock.Anything, mock.Anything).
		Return(&carillon.BeginControlResult{}, errAway).Times(most)
	env.begins(3)
	env.writes()
	env.requireCancelled(env.run(coordinate, 10*time.Hour))
	require.Equal(t, most+1, env.attempts[carillon.ActivityBeginControl])
	require.Equal(t, most+2, env.attempts[carillon.ActivityObserve])
	require.Len(t, env.assigned, 1)
}

// A decision that cannot be written for long is old: the coordinator looks again, and its next decision has another
// number, since nobody knows whether this one was written after all.
func TestCoordinatorLooksAgainWhenADecisionCannotBeWritten(t *testing.T) {
	t.Parallel()
	env := newCoordinator(t, sight{0, see(1, nil, "one"), nil}, sight{0, see(60, nil, "one", "two"), nil})
	env.begins(3)
	env.OnActivity(carillon.ActivityAssign, mock.Anything, mock.Anything).Return(errAway).Times(8)
	env.writes()
	env.requireCancelled(env.run(coordinate, time.Hour))
	require.Equal(t, 9, env.attempts[carillon.ActivityAssign])
	require.Len(t, env.assigned, 2)
	require.EqualValues(t, 1, env.assigned[0].Number)
	require.EqualValues(t, 2, env.assigned[1].Number)
	require.Equal(t, planned(see(60, nil, "one", "two")), env.assigned[1].Assignments)
	s := env.state()
	require.Contains(t, s.Decisions[0].Error, "away")
	require.Empty(t, s.Decisions[1].Error)
	require.Contains(t, s.LastError, "away")
	require.False(t, s.LastErrorAt.IsZero())
}

func TestCoordinatorEndsWhenItIsStale(t *testing.T) {
	t.Parallel()
	t.Run("when it looks", func(t *testing.T) {
		t.Parallel()
		env := newCoordinator(t, sight{0, see(1, nil, "one"), nil}, sight{0, carillon.Observation{}, errStale})
		env.begins(3)
		env.writes()
		require.NoError(t, env.run(coordinate, time.Hour))
		env.requireStaleResult()
	})
	t.Run("when it decides", func(t *testing.T) {
		t.Parallel()
		env := newCoordinator(t, sight{0, see(1, nil, "one"), nil})
		env.begins(3)
		env.OnActivity(carillon.ActivityAssign, mock.Anything, mock.Anything).Return(errStale).Once()
		require.NoError(t, env.run(coordinate, time.Hour))
		env.requireStaleResult()
		require.Contains(t, env.state().Decisions[0].Error, "stale")
	})
}

func (e *coordinatorEnv) requireStaleResult() {
	e.t.Helper()
	var s carillon.CoordinatorState
	require.NoError(e.t, e.GetWorkflowResult(&s))
	require.EqualValues(e.t, 3, s.Epoch)
	require.EqualValues(e.t, 1, s.Number)
	require.Contains(e.t, s.LastError, "stale")
	require.Equal(e.t, 1, e.began, "it begins no other epoch")
}

func TestCoordinatorFailsWithWhatCannotSucceedLater(t *testing.T) {
	t.Parallel()
	refusal := carillon.ToTemporal(carillon.InvalidArgument("group", "another one"))
	env := newCoordinator(t, sight{0, carillon.Observation{}, refusal})
	env.begins(3)
	err := env.run(coordinate, time.Hour)
	require.ErrorIs(t, carillon.FromTemporal(err), carillon.ErrInvalidArgument)
	var activityError *temporal.ActivityError
	require.NotErrorAs(t, err, &activityError, "the wrapping is taken off")
}

func TestCoordinatorContinuesAsNewEarly(t *testing.T) {
	t.Parallel()
	var sights []sight
	var a carillon.Assignments
	for i := range 60 { // by turns one worker and two
		o := see(i, a, []string{"one", "two"}[:i%2+1]...)
		a = planned(o)
		sights = append(sights, sight{time.Second, o, nil})
	}
	env := newCoordinator(t, sights...)
	env.begins(4)
	env.writes()
	err := env.run(coordinate, time.Hour)
	var next *workflow.ContinueAsNewError
	require.ErrorAs(t, err, &next)
	require.Equal(t, carillon.WorkflowCoordinator, next.WorkflowType.Name)
	var carried carillon.CoordinatorInput
	require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(next.Input, &carried))
	require.Equal(t, group, carried.Group)
	require.EqualValues(t, 4, carried.State.Epoch)
	require.EqualValues(t, 60, carried.State.Number)
	require.EqualValues(t, 60, carried.State.Observations)
	require.Equal(t, a, carried.State.Assignments)
	require.Len(t, carried.State.Decisions, carillon.MaxDecisionsKept)
	require.EqualValues(t, 41, carried.State.Decisions[0].Number)

	// The run that continues it goes on under the same epoch.
	env = newCoordinator(t, sight{time.Second, see(61, a, "three"), nil})
	env.writes()
	env.requireCancelled(env.run(carried, time.Hour))
	require.Zero(t, env.began)
	require.EqualValues(t, 4, env.assigned[0].Epoch)
	require.EqualValues(t, 61, env.assigned[0].Number)
	require.Len(t, env.state().Decisions, carillon.MaxDecisionsKept)
}

func TestCoordinatorContinuesAsNewWhenItsHistoryGrows(t *testing.T) {
	t.Parallel()
	env := newCoordinator(t, sight{2 * time.Minute, see(1, nil, "one"), nil})
	env.begins(4)
	env.writes()
	env.RegisterDelayedCallback(func() { env.SetContinueAsNewSuggested(true) }, time.Minute)
	err := env.run(coordinate, time.Hour)
	var next *workflow.ContinueAsNewError
	require.ErrorAs(t, err, &next)
	require.Len(t, env.assigned, 1, "what is due is decided first")
}

func TestCoordinatorCanBeCancelled(t *testing.T) {
	t.Parallel()
	for name, limit := range map[string]time.Duration{"while it begins": time.Minute, "while it observes": time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := newCoordinator(t)
			env.OnActivity(carillon.ActivityBeginControl, mock.Anything, mock.Anything).
				Return(&carillon.BeginControlResult{Epoch: 1}, nil).After(5 * time.Minute)
			env.requireCancelled(env.run(coordinate, limit))
			require.Empty(t, env.assigned)
		})
	}
}

func TestCoordinatorChecksItsInput(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		id, group, field string
	}{
		"group": {carillon.CoordinatorWorkflowID(group), "a b", "group"},
		"id":    {"my-own-id", group, "workflow_id"},
		"other": {carillon.CoordinatorWorkflowID("other"), group, "workflow_id"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := newCoordinator(t)
			env.SetStartWorkflowOptions(client.StartWorkflowOptions{ID: c.id, TaskQueue: carillon.TaskQueue(group)})
			err := carillon.FromTemporal(env.run(carillon.CoordinatorInput{Group: c.group}, time.Hour))
			require.ErrorIs(t, err, carillon.ErrInvalidArgument)
			require.Equal(t, c.field, carillon.AsError(err).Field)
			require.Zero(t, env.began)
		})
	}
}
