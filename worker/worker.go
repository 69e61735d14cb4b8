package worker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"go.temporal.io/api/workflowservice/v1"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/activities"
	"github.com/carillon-io/carillon/activities/target"
	"github.com/carillon-io/carillon/store"
)

// Worker is a worker of a group. New makes one; it runs once.
type Worker struct {
	options   Options
	store     store.Store
	group     groupStore
	tasks     *tasks
	member    *membership
	caller    *caller
	announcer *announcer
	servers   servers
	close     func() error // what New has opened

	start, stop sync.Once
	started     bool
	failed      chan error    // a failure that is the configuration's
	stopRunners func()        // begins to stop what needs no Temporal, and operations
	stopAttach  func()        // stops the worker's own task queue
	runners     chan struct{} // closed when all leases are handed back, and operations are no longer served
	done        chan struct{} // closed when everything has ended
	stopErr     error
}

// servers keep the workers of the Temporal SDK running.
type servers struct {
	operations func(context.Context) error // nil: somebody else serves the group's task queue
	attach     func(context.Context) error
}

// New checks the options and opens the store; Redis has to be there. Run or Start starts the worker.
//
// It fails with carillon.ErrInvalidArgument, naming what is wrong and the remedy, and with carillon.ErrUnavailable if
// Redis does not answer.
func New(ctx context.Context, options Options) (*Worker, error) {
	o, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	s, err := store.Open(ctx, o.Redis, o.Store)
	if err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	w := &Worker{options: o, store: s}
	targets, err := target.New(target.Options{
		Temporal:        func() workflowservice.WorkflowServiceClient { return o.Temporal.WorkflowService() },
		Namespace:       o.Namespace,
		Identity:        w.identity(),
		TemporalTimeout: o.TemporalTimeout,
		Webhook:         o.Webhook,
	})
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	w.close = func() error {
		targets.Close()
		return s.Close()
	}
	w.assemble(s, newLoops(s, o.WorkerID, targets, o.Concurrency, w.alone, o.Logger), o.Temporal)
	w.servers = servers{operations: w.operationsServer().run, attach: w.attachServer().run}
	return w, nil
}

// assemble puts the parts together that need no connection.
func (w *Worker) assemble(s groupStore, newLoop newLoop, temporal temporalClient) {
	o := w.options
	w.group = s
	w.tasks = &tasks{
		store: s, newLoop: newLoop, lanes: o.LanesPerSlot, capacity: o.SegmentCapacity, every: o.ObserveInterval,
		log: o.Logger, news: make(chan struct{}, 1),
	}
	w.caller = newCaller(temporal, o.Group, o.Logger)
	w.member = &membership{
		store: s, self: w.self, nonce: rand.Text(), log: o.Logger, seen: w.tasks.see,
		idle: w.caller.call,
	}
	w.announcer = &announcer{
		temporal: temporal, group: o.Group, worker: o.WorkerID, every: announceEvery, log: o.Logger, held: w.tasks.held,
	}
	w.tasks.retired = w.announcer.retire
	w.failed = make(chan error, 1)
	w.runners = make(chan struct{})
	w.done = make(chan struct{})
}

// groupStore is what a worker needs of a store, but for its loops.
type groupStore interface {
	taskStore
	activities.CoordinationStore
}

// temporalClient is what a worker needs of a Temporal client, but for its servers.
type temporalClient interface {
	signaller
	workflowStarter
}

func (w *Worker) alone() bool { return w.tasks.alone() }

// self is what the worker says of itself with every heartbeat.
func (w *Worker) self() carillon.Member {
	o := w.options
	m := carillon.Member{Worker: o.WorkerID, Capacity: o.Capacity, Zone: o.Zone, Labels: o.Labels, Version: o.buildID}
	for _, t := range w.tasks.statuses() {
		m.Holds = append(m.Holds, t.Task)
	}
	return m
}

// ID is the worker's id within its group.
func (w *Worker) ID() string { return w.options.WorkerID }

// Group is the group that the worker serves.
func (w *Worker) Group() string { return w.options.Group }

// Store is the store that the worker has opened. It is closed when the worker has stopped.
func (w *Worker) Store() store.Store { return w.store }

// Tasks are the tasks whose leases the worker holds.
func (w *Worker) Tasks() []carillon.TaskStatus { return w.tasks.statuses() }

// Run starts the worker, and stops it in good order when ctx is done; it returns nil then. It fails when the first
// answer of Temporal is that the configuration is wrong (no such namespace, no permission), and when the worker does
// not stop within Options.StopTimeout.
func (w *Worker) Run(ctx context.Context) error {
	if err := w.Start(); err != nil {
		return err
	}
	var failure error
	select {
	case <-ctx.Done():
	case failure = <-w.failed:
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.options.StopTimeout)
	defer cancel()
	return errors.Join(failure, w.Stop(stop))
}

// Start starts the worker and returns at once. Failures of the kind that Run returns come from Failed.
func (w *Worker) Start() error {
	err := errors.New("carillon: the worker has been started before, or stopped")
	w.start.Do(func() {
		err = nil
		w.launch()
	})
	return err
}

// Failed receives the error that Run would fail with while it runs.
func (w *Worker) Failed() <-chan error { return w.failed }

// launch starts all parts. They stop in two steps: first the leases are handed back, and clients are served no more;
// then, when the activities that are attached have heard how the runners ended, the rest.
func (w *Worker) launch() {
	w.started = true
	w.print()
	first, stopFirst := context.WithCancel(context.Background())
	second, stopSecond := context.WithCancel(context.Background())
	w.stopRunners, w.stopAttach = stopFirst, stopSecond

	var runners, rest sync.WaitGroup
	runners.Go(func() { w.tasks.run(first) })
	runners.Go(func() { w.member.run(first) })
	runners.Go(func() { w.caller.run(first) })
	runners.Go(func() { w.announcer.run(first) })
	serve := func(ctx context.Context, run func(context.Context) error) func() {
		return func() {
			if err := run(ctx); err != nil {
				w.fail(err)
			}
		}
	}
	if w.servers.operations != nil {
		rest.Go(serve(first, w.servers.operations))
	}
	rest.Go(serve(second, w.servers.attach))
	go func() {
		runners.Wait()
		close(w.runners)
		<-first.Done()
		stopSecond()
		rest.Wait()
		if w.close != nil {
			w.stopErr = w.close()
		}
		close(w.done)
	}()
}

// fail reports a failure that is the configuration's. The first one counts.
func (w *Worker) fail(err error) {
	hint := fmt.Errorf("temporal refuses this worker (check the namespace %q, the address and the credentials): %w",
		w.options.Namespace, err)
	select {
	case w.failed <- hint:
	default:
	}
}

// Stop stops the worker: it takes on nothing more, finishes what is claimed, hands back its leases, stops serving
// Temporal, and closes what New has opened. ctx bounds the wait; what has not ended then goes on ending by itself. It
// may be called more than once.
func (w *Worker) Stop(ctx context.Context) error {
	w.start.Do(func() { // it never ran
		if w.close != nil {
			w.stopErr = w.close()
		}
		close(w.done)
	})
	w.stop.Do(func() {
		if w.started {
			w.options.Logger.Info("Carillon's worker stops.")
			w.stopRunners()
		}
	})
	select {
	case <-w.done:
		return w.stopErr
	case <-ctx.Done():
	}
	select {
	case <-w.runners:
		return fmt.Errorf("the worker has handed back its leases, but Temporal still waits: %w", ctx.Err())
	default:
		return fmt.Errorf("the worker has not finished what it had claimed: %w", ctx.Err())
	}
}

// print says what runs, with all defaults filled in, and without anything secret: clients are not printed.
func (w *Worker) print() {
	o := w.options
	so := w.store.Options()
	o.Logger.Info("Carillon's worker starts.",
		"namespace", o.Namespace,
		"task_queue", carillon.TaskQueue(o.Group),
		"store", w.store.Number(),
		"slots", w.store.Slots(),
		"lanes_per_slot", o.LanesPerSlot,
		"concurrency", o.Concurrency,
		"segment_capacity", o.SegmentCapacity,
		"operation_concurrency", o.OperationConcurrency,
		"observe_interval", o.ObserveInterval,
		"stop_timeout", o.StopTimeout,
		slog.Group("store_options",
			"look_ahead", so.LookAhead, "queue_limit", so.QueueLimit, "lease_ttl", so.LeaseTTL, "lane_ttl", so.LaneTTL,
			"mailbox_limit", so.MailboxLimit, "mailbox_retention", so.MailboxRetention),
		"build", o.buildID)
}
