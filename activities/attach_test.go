package activities_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.uber.org/goleak"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/activities"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeRunner is a runner that ends when the test says so.
type fakeRunner struct {
	task     carillon.Task
	lease    string
	done     chan struct{}
	attached atomic.Int32
	was      chan struct{} // closed when an activity has attached
	fired    atomic.Int64
}

func newRunner() *fakeRunner {
	return &fakeRunner{
		task: carillon.Task{Kind: carillon.TaskFire, Slot: 1}, lease: "5:w", done: make(chan struct{}),
		was: make(chan struct{}),
	}
}

func (r *fakeRunner) Done() <-chan struct{} { return r.done }

func (r *fakeRunner) Status() carillon.TaskStatus {
	return carillon.TaskStatus{Task: r.task, Worker: "w", Lease: r.lease, Fired: r.fired.Load()}
}

func (r *fakeRunner) Attached() func() {
	if r.attached.Add(1) == 1 {
		close(r.was)
	}
	return func() { r.attached.Add(-1) }
}

// Lookup makes it the only runner of its process.
func (r *fakeRunner) Lookup(task carillon.Task, lease string) (activities.Runner, bool) {
	return r, task == r.task && lease == r.lease
}

func attachEnv(r *fakeRunner) *testsuite.TestActivityEnvironment {
	env := quietEnv()
	(&activities.Attach{Runners: r}).Register(env)
	return env
}

func attach(t *testing.T, env *testsuite.TestActivityEnvironment, in carillon.AttachInput) carillon.AttachResult {
	t.Helper()
	value, err := env.ExecuteActivity(in.Task.Kind.Activity(), in)
	require.NoError(t, err)
	var out carillon.AttachResult
	require.NoError(t, value.Get(&out))
	return out
}

func TestAttachUntilTheRunnerEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // heartbeats are minutes apart
		r := newRunner()
		env := attachEnv(r)
		var beats atomic.Int32
		env.SetOnActivityHeartbeatListener(func(_ *activity.Info, details converter.EncodedValues) {
			var s carillon.TaskStatus
			if err := details.Get(&s); err != nil || s.Lease != r.lease {
				return
			}
			if beats.Add(1) == 3 { // it goes on: now let the runner end
				r.fired.Store(42)
				close(r.done)
			}
		})
		out := attach(t, env, carillon.AttachInput{Task: r.task, Lease: r.lease})
		require.Equal(t, carillon.EndRunnerDone, out.Reason)
		require.EqualValues(t, 42, out.Status.Fired)
		require.EqualValues(t, 0, r.attached.Load(), "it is detached")
	})
}

func TestAttachIsRenewedBeforeItsTimeIsUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRunner()
		began := time.Now()
		out := attach(t, attachEnv(r), carillon.AttachInput{Task: r.task, Lease: r.lease})
		require.Equal(t, carillon.EndRenew, out.Reason)
		require.Less(t, time.Since(began), 10*time.Minute, "the environment's start-to-close timeout")
		requireRunning(t, r)
	})
}

func TestAttachToNobody(t *testing.T) {
	t.Parallel()
	r := newRunner()
	out := attach(t, attachEnv(r), carillon.AttachInput{Task: r.task, Lease: "4:old"})
	require.Equal(t, carillon.AttachResult{Reason: carillon.EndNotRunning}, out)
	out = attach(t, attachEnv(r), carillon.AttachInput{Task: carillon.Task{Kind: carillon.TaskSweep}, Lease: r.lease})
	require.Equal(t, carillon.EndNotRunning, out.Reason)
}

func TestAttachChecksItsInput(t *testing.T) {
	t.Parallel()
	_, err := attachEnv(newRunner()).ExecuteActivity(carillon.ActivitySweep,
		carillon.AttachInput{Task: carillon.Task{Kind: carillon.TaskFire}})
	requireInvalid(t, err, "task.kind")
}

func TestAttachEndsWhenTheWorkerStops(t *testing.T) {
	t.Parallel()
	r := newRunner()
	env := attachEnv(r)
	stop := make(chan struct{})
	env.SetWorkerStopChannel(stop)
	go func() {
		<-r.was
		close(stop)
	}()
	out := attach(t, env, carillon.AttachInput{Task: r.task, Lease: r.lease})
	require.Equal(t, carillon.EndWorkerStopping, out.Reason)
	requireRunning(t, r)
}

// A transient heartbeat error cancels an activity's context: the runner must not notice.
func TestAttachLeavesTheRunnerAloneWhenCancelled(t *testing.T) {
	t.Parallel()
	r := newRunner()
	ctx, cancel := context.WithCancel(t.Context())
	env := attachEnv(r)
	env.SetWorkerOptions(worker.Options{BackgroundActivityContext: ctx})
	go func() {
		<-r.was
		cancel()
	}()
	value, err := env.ExecuteActivity(carillon.ActivityFire, carillon.AttachInput{Task: r.task, Lease: r.lease})
	require.NoError(t, err)
	var out carillon.AttachResult
	require.NoError(t, value.Get(&out))
	require.Equal(t, carillon.EndDetached, out.Reason)
	requireRunning(t, r)
	require.EqualValues(t, 0, r.attached.Load())
}

func requireRunning(t *testing.T, r *fakeRunner) {
	t.Helper()
	select {
	case <-r.done:
		require.Fail(t, "the runner has ended")
	default:
	}
}
