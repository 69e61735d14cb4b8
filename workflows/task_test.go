package workflows_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/workflows"
)

const group = "test"

var (
	sweep = carillon.Task{Kind: carillon.TaskSweep, Slot: 3, Number: 1}
	fire  = carillon.Task{Kind: carillon.TaskFire, Slot: 3, Number: 0}
	began = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
)

// assignment is the n-th assignment of a task, to a worker.
func assignment(worker string, n int) carillon.Assignment {
	return carillon.Assignment{
		Worker: worker, TaskQueue: carillon.WorkerTaskQueue(group, worker),
		Lease: worker + ":" + string(rune('0'+n)), Since: began.Add(time.Duration(n) * time.Minute),
	}
}

// taskEnv is the environment of one task's workflow; its attachments are answered by attach.
type taskEnv struct {
	*testsuite.TestWorkflowEnvironment
	t        *testing.T
	task     carillon.Task
	attached []string // worker and lease of each attachment
	queues   []string // and its task queue
}

// answer says how an attachment goes: after how long, and with what.
type answer struct {
	after  time.Duration
	result carillon.AttachResult
	err    error
}

// quietEnv is an environment that logs nothing.
func quietEnv() *testsuite.TestWorkflowEnvironment {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	return suite.NewTestWorkflowEnvironment()
}

// newTask makes an environment whose n-th attachment is answered by answers[n]; those behind the last go on for hours.
func newTask(t *testing.T, task carillon.Task, answers ...answer) *taskEnv {
	t.Helper()
	env := &taskEnv{TestWorkflowEnvironment: quietEnv(), t: t, task: task}
	env.SetStartTime(began)
	env.SetTestTimeout(time.Minute)
	workflows.Register(env)
	env.SetStartWorkflowOptions(client.StartWorkflowOptions{
		ID: carillon.TaskWorkflowID(group, task), TaskQueue: carillon.TaskQueue(group),
	})
	name := task.Kind.Activity()
	env.RegisterActivityWithOptions(func(context.Context, carillon.AttachInput) (carillon.AttachResult, error) {
		return carillon.AttachResult{}, errors.New("not mocked")
	}, activity.RegisterOptions{Name: name})
	env.SetOnActivityStartedListener(func(info *activity.Info, _ context.Context, args converter.EncodedValues) {
		var in carillon.AttachInput
		require.NoError(t, args.Get(&in))
		require.Equal(t, task, in.Task)
		env.attached = append(env.attached, in.Lease)
		env.queues = append(env.queues, info.TaskQueue)
	})
	for _, a := range answers {
		env.OnActivity(name, mock.Anything, mock.Anything).Return(a.result, a.err).After(a.after).Once()
	}
	env.OnActivity(name, mock.Anything, mock.Anything).
		Return(carillon.AttachResult{Reason: carillon.EndRunnerDone}, nil).After(23 * time.Hour)
	return env
}

// at calls f at a time after the start.
func (e *taskEnv) at(after time.Duration, f func()) { e.RegisterDelayedCallback(f, after) }

// assign sends an assignment.
func (e *taskEnv) assign(after time.Duration, a carillon.Assignment) {
	e.at(after, func() { e.SignalWorkflow(carillon.SignalAssign, a) })
}

// retireAt ends the workflow.
func (e *taskEnv) retireAt(after time.Duration) {
	e.at(after, func() { e.SignalWorkflow(carillon.SignalRetire, nil) })
}

func (e *taskEnv) state() carillon.TaskWorkflowState {
	e.t.Helper()
	value, err := e.QueryWorkflow(carillon.QueryState)
	require.NoError(e.t, err)
	var s carillon.TaskWorkflowState
	require.NoError(e.t, value.Get(&s))
	return s
}

// run runs the workflow to its end.
func (e *taskEnv) run(in carillon.TaskWorkflowInput) error {
	e.ExecuteWorkflow(e.task.Kind.Workflow(), in)
	require.True(e.t, e.IsWorkflowCompleted())
	return e.GetWorkflowError()
}

func (e *taskEnv) result() carillon.TaskWorkflowState {
	e.t.Helper()
	var s carillon.TaskWorkflowState
	require.NoError(e.t, e.GetWorkflowResult(&s))
	return s
}

func input(task carillon.Task) carillon.TaskWorkflowInput {
	return carillon.TaskWorkflowInput{Group: group, Task: task}
}

func TestTaskAttachesToTheWorkerThatHasTheLease(t *testing.T) {
	t.Parallel()
	for _, task := range []carillon.Task{sweep, fire} {
		t.Run(string(task.Kind), func(t *testing.T) {
			t.Parallel()
			a := assignment("one", 1)
			status := carillon.TaskStatus{Task: task, Worker: "one", Lease: a.Lease, Moved: 5, Fired: 7, Retried: 2, Dead: 1}
			env := newTask(t, task, answer{
				time.Hour,
				carillon.AttachResult{Reason: carillon.EndRunnerDone, Status: status},
				nil,
			})
			env.assign(time.Second, a)
			env.at(time.Minute, func() { require.Equal(t, &a, env.state().Attached) })
			env.at(2*time.Hour, func() {
				s := env.state()
				require.Nil(t, s.Attached)
				require.Equal(t, carillon.EndRunnerDone, s.LastEnd.Reason)
				require.Equal(t, a, s.LastEnd.Assignment)
				require.Equal(t, status, *s.LastEnd.Status)
				require.Equal(t, began.Add(time.Hour+time.Second), s.LastEnd.At.UTC())
			})
			env.retireAt(3 * time.Hour)
			require.NoError(t, env.run(input(task)))
			require.Equal(t, []string{a.Lease}, env.attached)
			require.Equal(t, []string{a.TaskQueue}, env.queues)
			s := env.result()
			require.EqualValues(t, 1, s.Attaches)
			require.Equal(t, []int64{5, 7, 2, 1}, []int64{s.Moved, s.Fired, s.Retried, s.Dead})
		})
	}
}

func TestTaskIgnoresRepeatedAndOlderAssignments(t *testing.T) {
	t.Parallel()
	env := newTask(t, sweep)
	env.assign(time.Second, assignment("one", 2))
	env.assign(2*time.Second, assignment("one", 2))
	env.assign(3*time.Second, assignment("two", 1))
	env.retireAt(time.Minute)
	require.NoError(t, env.run(input(sweep)))
	require.Equal(t, []string{"one:2"}, env.attached)
	require.Equal(t, carillon.EndRetired, env.result().LastEnd.Reason)
}

func TestTaskIsSupersededByANewerAssignment(t *testing.T) {
	t.Parallel()
	env := newTask(t, sweep)
	env.assign(time.Second, assignment("one", 1))
	env.assign(time.Minute, assignment("two", 2))
	env.at(2*time.Minute, func() {
		s := env.state()
		require.Equal(t, "two", s.Attached.Worker)
		require.Equal(t, "one", s.LastEnd.Worker)
		require.Equal(t, carillon.EndSuperseded, s.LastEnd.Reason)
	})
	// The same worker again, under a new lease, is another assignment.
	env.assign(3*time.Minute, assignment("two", 3))
	env.retireAt(4 * time.Minute)
	require.NoError(t, env.run(input(sweep)))
	require.Equal(t, []string{"one:1", "two:2", "two:3"}, env.attached)
}

func TestTaskTakesTheLatestOfManySignals(t *testing.T) {
	t.Parallel()
	env := newTask(t, sweep)
	env.at(time.Second, func() {
		for _, n := range []int{1, 4, 2, 3} {
			env.SignalWorkflowSkippingWorkflowTask(carillon.SignalAssign, assignment("one", n))
		}
		env.SignalWorkflow(carillon.SignalAssign, assignment("two", 0))
	})
	env.retireAt(time.Minute)
	require.NoError(t, env.run(input(sweep)))
	require.Equal(t, []string{"one:4"}, env.attached)
}

func TestTaskRefusesWhatIsNoAssignment(t *testing.T) {
	t.Parallel()
	env := newTask(t, sweep)
	foreign := assignment("one", 1)
	foreign.TaskQueue = carillon.WorkerTaskQueue("other", "one")
	nobody := assignment("one", 1)
	nobody.Worker = ""
	unleased := assignment("one", 1)
	unleased.Lease = ""
	for i, a := range []carillon.Assignment{nobody, unleased, foreign} {
		env.assign(time.Duration(i+1)*time.Second, a)
	}
	env.at(10*time.Second, func() { env.SignalWorkflow(carillon.SignalAssign, "no assignment at all") })
	env.retireAt(time.Minute)
	require.NoError(t, env.run(input(sweep)))
	require.Empty(t, env.attached)
	s := env.result()
	require.EqualValues(t, 3, s.Refused)
	require.Contains(t, s.LastRefusal, "task_queue")
}

func TestTaskRecordsHowAttachmentsFail(t *testing.T) {
	t.Parallel()
	timeout := temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START, nil)
	for name, c := range map[string]struct {
		err    error
		reason carillon.EndReason
		text   string
	}{
		"worker gone": {timeout, carillon.EndUnreachable, "ScheduleToStart"},
		"cancelled":   {temporal.NewCanceledError(), carillon.EndDetached, "cancelled"},
		"failed":      {temporal.NewApplicationError("it broke", "Broken"), carillon.EndFailed, "it broke"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := newTask(t, sweep, answer{5 * time.Second, carillon.AttachResult{}, c.err})
			env.assign(time.Second, assignment("one", 1))
			env.at(time.Minute, func() {
				end := env.state().LastEnd
				require.Equal(t, c.reason, end.Reason)
				require.Contains(t, end.Error, c.text)
				require.Nil(t, end.Status)
			})
			// The worker asks again, under the same lease: it is attached again.
			env.assign(2*time.Minute, assignment("one", 1))
			env.retireAt(3 * time.Minute)
			require.NoError(t, env.run(input(sweep)))
			require.Equal(t, []string{"one:1", "one:1"}, env.attached)
		})
	}
}

func TestTaskRenewsByItselfAndCountsOnce(t *testing.T) {
	t.Parallel()
	a := assignment("one", 1)
	status := func(moved int64) carillon.TaskStatus {
		return carillon.TaskStatus{Task: sweep, Worker: "one", Lease: a.Lease, Moved: moved}
	}
	env := newTask(t, sweep,
		answer{20 * time.Hour, carillon.AttachResult{Reason: carillon.EndRenew, Status: status(100)}, nil},
		answer{20 * time.Hour, carillon.AttachResult{Reason: carillon.EndRunnerDone, Status: status(130)}, nil})
	env.assign(time.Second, a)
	env.retireAt(60 * time.Hour)
	require.NoError(t, env.run(input(sweep)))
	require.Equal(t, []string{a.Lease, a.Lease}, env.attached)
	require.EqualValues(t, 130, env.result().Moved)
}

func TestTaskContinuesAsNewEarly(t *testing.T) {
	t.Parallel()
	env := newTask(t, sweep)
	for i := range 9 {
		env.assign(time.Duration(i+1)*time.Second, assignment("one", i))
		env.assign(time.Duration(i+1)*time.Second+500*time.Millisecond, assignment("two", i))
	}
	// The end of an earlier run is already counted in; the assignment that comes with the last attachment is carried
	// along.
	in := input(sweep)
	in.State = carillon.TaskWorkflowState{Attaches: 40, Moved: 11}
	for i := range 3 {
		env.assign(time.Duration(20+i)*time.Second, assignment("tri", 10+i))
	}
	err := env.run(in)
	var next *workflow.ContinueAsNewError
	require.ErrorAs(t, err, &next)
	require.Equal(t, carillon.WorkflowSweeper, next.WorkflowType.Name)
	var carried carillon.TaskWorkflowInput
	require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(next.Input, &carried))
	require.Equal(t, sweep, carried.Task)
	require.Equal(t, group, carried.Group)
	require.EqualValues(t, 60, carried.State.Attaches)
	require.EqualValues(t, 11, carried.State.Moved)
	require.Nil(t, carried.State.Attached)
	require.Equal(t, "tri:<", carried.Next.Lease)

	// The run that continues it attaches at once.
	env = newTask(t, sweep)
	env.retireAt(time.Minute)
	require.NoError(t, env.run(carried))
	require.Equal(t, []string{"tri:<"}, env.attached)
	require.EqualValues(t, 61, env.result().Attaches)
}

func TestTaskContinuesAsNewWhenItsHistoryGrows(t *testing.T) {
	t.Parallel()
	a := assignment("one", 5)
	env := newTask(t, sweep)
	env.assign(time.Second, a)
	env.at(time.Minute, func() { env.SetContinueAsNewSuggested(true) })
	env.assign(2*time.Minute, a) // one signal too many
	err := env.run(input(sweep))
	var next *workflow.ContinueAsNewError
	require.ErrorAs(t, err, &next)
	var carried carillon.TaskWorkflowInput
	require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(next.Input, &carried))
	require.Equal(t, a, *carried.Next)
}

func TestTaskEndsWhenRetired(t *testing.T) {
	t.Parallel()
	env := newTask(t, sweep)
	env.retireAt(time.Second)
	require.NoError(t, env.run(input(sweep)))
	require.Empty(t, env.attached)
}

func TestTaskCanBeCancelled(t *testing.T) {
	t.Parallel()
	env := newTask(t, sweep)
	env.assign(time.Second, assignment("one", 1))
	env.at(time.Minute, env.CancelWorkflow)
	err := env.run(input(sweep))
	var canceled *temporal.CanceledError
	require.ErrorAs(t, err, &canceled)
}

func TestTaskChecksItsInput(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		id    string
		in    carillon.TaskWorkflowInput
		field string
	}{
		"group": {carillon.TaskWorkflowID(group, sweep), carillon.TaskWorkflowInput{Group: "a b", Task: sweep}, "group"},
		"kind":  {carillon.TaskWorkflowID(group, sweep), input(fire), "task.kind"},
		"id":    {"my-own-id", input(sweep), "workflow_id"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := newTask(t, sweep)
			env.SetStartWorkflowOptions(client.StartWorkflowOptions{ID: c.id, TaskQueue: carillon.TaskQueue(group)})
			err := carillon.FromTemporal(env.run(c.in))
			require.ErrorIs(t, err, carillon.ErrInvalidArgument)
			var ours *carillon.Error
			require.ErrorAs(t, err, &ours)
			require.Equal(t, c.field, ours.Field)
		})
	}
}
