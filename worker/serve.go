package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	sdkworker "go.temporal.io/sdk/worker"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/activities"
	"github.com/carillon-io/carillon/workflows/plan"
)

// attachLinger spreads the ends of the attachments of a worker that stops.
const attachLinger = 2 * time.Second

// server keeps one worker of the Temporal SDK running: it starts it as soon as Temporal answers, and makes another one
// when it has failed.
type server struct {
	queue string
	log   *slog.Logger
	// reachable says whether Temporal answers.
	reachable func(context.Context) error
	// build makes a worker, which calls fatal at most once, when it has failed.
	build func(fatal func(error)) sdkWorker
}

// sdkWorker is what a server needs of a worker of the SDK.
type sdkWorker interface {
	Start() error
	Stop()
}

// probeTimeout bounds one attempt to reach Temporal.
const probeTimeout = 10 * time.Second

// run serves until ctx is done; then it stops the worker, waits for it, and returns nil. It fails if Temporal's first
// answer is that the configuration is wrong.
func (s *server) run(ctx context.Context) error {
	wait := retryWait(30 * time.Second)
	for away, connected := false, false; ctx.Err() == nil; {
		fatal := make(chan error, 1)
		w, err := s.start(ctx, func(err error) { fatal <- err })
		if err == nil {
			connected, away = true, false
			wait.Reset()
			s.log.Info("The task queue is served.", "task_queue", s.queue)
			select {
			case <-ctx.Done():
			case err = <-fatal:
				s.log.Error("The task queue is no longer served; trying again.", "task_queue", s.queue, "error", err)
			}
			w.Stop()
		} else if ctx.Err() == nil {
			if !connected && misconfigured(err) {
				return fmt.Errorf("task queue %s: %w", s.queue, err)
			}
			if !away {
				s.log.Warn("Temporal cannot be reached; the tasks go on, and it is tried again.", "task_queue", s.queue, "error",
					err)
			}
			away = true
		}
		if ctx.Err() == nil {
			sleep(ctx, wait.NextBackOff())
		}
	}
	return nil
}

// start makes a worker and starts it. The SDK's own start cannot be interrupted, so it is not begun before Temporal
// answers.
func (s *server) start(ctx context.Context, fatal func(error)) (sdkWorker, error) {
	probe, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	if err := s.reachable(probe); err != nil {
		return nil, err
	}
	w := s.build(fatal)
	if err := w.Start(); err != nil {
		w.Stop()
		return nil, err
	}
	return w, nil
}

// reachable asks Temporal for what every server answers, whatever the namespace.
func reachable(c client.Client) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := c.WorkflowService().GetSystemInfo(ctx, &workflowservice.GetSystemInfoRequest{})
		var old *serviceerror.Unimplemented
		if errors.As(err, &old) {
			return nil
		}
		return err
	}
}

// misconfigured says whether an answer of Temporal will be the same tomorrow.
func misconfigured(err error) bool {
	var (
		namespace *serviceerror.NamespaceNotFound
		denied    *serviceerror.PermissionDenied
		invalid   *serviceerror.InvalidArgument
	)
	return errors.As(err, &namespace) || errors.As(err, &denied) || errors.As(err, &invalid)
}

// operationsServer serves the group's task queue: workflows, and the operations that clients ask for.
func (w *Worker) operationsServer() *server {
	queue := carillon.TaskQueue(w.options.Group)
	return &server{
		queue: queue, log: w.options.Logger, reachable: reachable(w.options.Temporal),
		build: func(fatal func(error)) sdkWorker {
			o := w.sdkOptions(fatal)
			o.MaxConcurrentActivityExecutionSize = w.options.OperationConcurrency
			s := sdkworker.New(w.options.Temporal, queue, o)
			Register(s, w.store)
			w.registerCoordination(s)
			return s
		},
	}
}

// registerCoordination registers what the group's coordinator asks for; it does so on the group's task queue.
func (w *Worker) registerCoordination(r activities.Registry) {
	(&activities.Coordination{Store: w.group, Due: plan.Due, Lanes: w.options.LanesPerSlot}).Register(r)
}

// attachServer serves the worker's own task queue, where activities arrive that attach to its runners.
func (w *Worker) attachServer() *server {
	queue := carillon.WorkerTaskQueue(w.options.Group, w.options.WorkerID)
	return &server{
		queue: queue, log: w.options.Logger, reachable: reachable(w.options.Temporal),
		build: func(fatal func(error)) sdkWorker {
			o := w.sdkOptions(fatal)
			o.DisableWorkflowWorker = true
			o.MaxConcurrentActivityExecutionSize = maxAttached
			s := sdkworker.New(w.options.Temporal, queue, o)
			(&activities.Attach{Runners: w.tasks, Linger: attachLinger}).Register(s)
			return s
		},
	}
}

// maxAttached is how many activities can be attached at the same time: they wait, and cost next to nothing.
const maxAttached = 100_000

func (w *Worker) sdkOptions(fatal func(error)) sdkworker.Options {
	return sdkworker.Options{
		Identity:                    w.identity(),
		WorkerStopTimeout:           w.options.StopTimeout,
		OnFatalError:                fatal,
		DisableRegistrationAliasing: true,
		// It names the build in histories. Without UseVersioning it decides nothing.
		DeploymentOptions: sdkworker.DeploymentOptions{
			Version: sdkworker.WorkerDeploymentVersion{DeploymentName: "carillon", BuildID: w.options.buildID},
		},
	}
}

func (w *Worker) identity() string {
	return fmt.Sprintf("carillon/%s/%s", w.options.Group, w.options.WorkerID)
}
