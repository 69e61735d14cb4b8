package activities

import (
	"cmp"
	"context"
	"math/rand/v2"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/internal/fault"
)

// DefaultHeartbeatInterval is how often an attached activity heartbeats unless Attach says otherwise.
const DefaultHeartbeatInterval = 2 * time.Minute

// Runner is a running loop of a sweeper or of a lane, under one lease.
type Runner interface {
	// Done is closed when the loop has ended.
	Done() <-chan struct{}
	// Status is what the loop says of itself.
	Status() carillon.TaskStatus
	// Attached says that an activity is attached from now on, until the returned function is called.
	Attached() (detached func())
}

// Runners are those of this process.
type Runners interface {
	// Lookup finds the runner of a task under a lease; false: this process runs none.
	Lookup(task carillon.Task, lease string) (Runner, bool)
}

// Attach are the activities that attach to a runner of this process. Register registers them.
type Attach struct {
	// Runners is required.
	Runners Runners
	// HeartbeatInterval is how often the status goes to Temporal. 0: DefaultHeartbeatInterval. It has to be well below
	// the heartbeat timeout of the workflows, which is minutes.
	HeartbeatInterval time.Duration
	// Linger is how long an attachment lasts at the most after its runner has ended; each takes a random part of it. When a
	// worker stops, all its runners end at once, and so many ends in one moment would keep Temporal from more important work.
	// 0: not at all.
	Linger time.Duration
}

// Register registers the activities under the names carillon.ActivitySweep and ActivityFire. They are served on
// carillon.WorkerTaskQueue of the group and the worker, where nobody else listens.
func (a *Attach) Register(r Registry) {
	r.RegisterActivityWithOptions(a.Sweep, activity.RegisterOptions{Name: carillon.ActivitySweep})
	r.RegisterActivityWithOptions(a.Fire, activity.RegisterOptions{Name: carillon.ActivityFire})
}

// Sweep attaches to the sweeper of a virtual partition and returns when it has ended, or when there is none. It never
// stops it.
func (a *Attach) Sweep(ctx context.Context, in carillon.AttachInput) (carillon.AttachResult, error) {
	return a.attach(ctx, in, carillon.TaskSweep)
}

// Fire attaches to a lane of a fire queue; otherwise it is as Sweep.
func (a *Attach) Fire(ctx context.Context, in carillon.AttachInput) (carillon.AttachResult, error) {
	return a.attach(ctx, in, carillon.TaskFire)
}

func (a *Attach) attach(
	ctx context.Context, in carillon.AttachInput, kind carillon.TaskKind,
) (carillon.AttachResult, error) {
	if in.Task.Kind != kind {
		return carillon.AttachResult{}, carillon.ToTemporal(carillon.InvalidArgument("task.kind",
			"%q is not what %s attaches to; that is %q", in.Task.Kind, kind.Activity(), kind))
	}
	runner, found := a.Runners.Lookup(in.Task, in.Lease)
	if !found {
		return carillon.AttachResult{Reason: carillon.EndNotRunning}, nil
	}
	detached := runner.Attached()
	defer detached()
	if err := fault.At(fault.TaskAttached, nil); err != nil {
		return carillon.AttachResult{}, err
	}
	interval := cmp.Or(max(a.HeartbeatInterval, 0), DefaultHeartbeatInterval)
	stopBeating := beat(ctx, interval, func() any { return runner.Status() })
	defer stopBeating()

	renew := time.NewTimer(renewAfter(activity.GetInfo(ctx).StartToCloseTimeout))
	defer renew.Stop()
	var reason carillon.EndReason
	select {
	case <-runner.Done():
		reason = carillon.EndRunnerDone
	case <-activity.GetWorkerStopChannel(ctx):
		reason = carillon.EndWorkerStopping
	case <-renew.C:
		reason = carillon.EndRenew
	case <-ctx.Done():
		// Whether the workflow let go, or one heartbeat failed: the runner goes on. If it is still the one that the workflow
		// wants to be attached to, its worker says so again.
		reason = carillon.EndDetached
	}
	select {
	case <-runner.Done(): // whatever else has ended too: this is what matters
		reason = carillon.EndRunnerDone
	default:
	}
	if a.Linger > 0 && reason == carillon.EndRunnerDone {
		select {
		case <-time.After(rand.N(a.Linger)):
		case <-ctx.Done():
		}
	}
	status := runner.Status()
	if status.Lease == "" { // it has let go of the lease; what it says is about that one
		status.Lease = in.Lease
	}
	return carillon.AttachResult{Reason: reason, Status: status}, nil
}

// renewAfter is how long before its time limit an attachment asks to be renewed: in time for the answer to arrive.
func renewAfter(limit time.Duration) time.Duration {
	if limit <= 0 {
		return time.Duration(1<<63 - 1)
	}
	return limit - min(limit/10, 5*time.Minute)
}
