package worker

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	sdkworker "go.temporal.io/sdk/worker"

	"github.com/carillon-io/carillon"
)

// PluginName is the name of the plugin, as the Temporal SDK knows it.
const PluginName = "carillon"

// Plugin makes a worker of the Temporal SDK a worker of Carillon too. NewPlugin makes one.
//
//	plugin, err := carillonworker.NewPlugin(carillonworker.Options{Temporal: c, Redis: r})
//	...
//	w := worker.New(c, "my-queue", worker.Options{Plugins: []worker.Plugin{plugin}})
//
// When the worker starts, the plugin opens the store, registers Carillon's workflows and operations with it (so that
// its own task queue answers CreateTimers and the others), and starts all that Worker runs. When the worker stops, that
// is stopped first. Several workers of one process may share a plugin: the first to start brings Carillon up, the last
// to stop takes it down.
type Plugin struct {
	sdkworker.PluginBase
	options Options

	mu     sync.Mutex
	queues map[string]string // of the workers that it is configured for, by their instance keys
	users  map[string]bool   // those of them that run
	worker *Worker           // nil: none of them runs
}

var _ sdkworker.Plugin = (*Plugin)(nil)

// NewPlugin makes a plugin. It fails with carillon.ErrInvalidArgument, naming the option; that Redis is there is
// checked when the worker starts.
func NewPlugin(options Options) (*Plugin, error) {
	o, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	options.WorkerID = o.WorkerID // it stays the same if the plugin is brought up again
	return &Plugin{options: options, queues: map[string]string{}, users: map[string]bool{}}, nil
}

// Name implements worker.Plugin.
func (p *Plugin) Name() string { return PluginName }

// Worker is what the plugin runs; nil while no worker that has the plugin runs.
func (p *Plugin) Worker() *Worker {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.worker
}

// ConfigureWorker implements worker.Plugin.
func (p *Plugin) ConfigureWorker(_ context.Context, o sdkworker.PluginConfigureWorkerOptions) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queues[o.WorkerInstanceKey] = o.TaskQueue
	return nil
}

// StartWorker implements worker.Plugin.
func (p *Plugin) StartWorker(
	ctx context.Context, o sdkworker.PluginStartWorkerOptions,
	next func(context.Context, sdkworker.PluginStartWorkerOptions) error,
) error {
	w, err := p.enter(ctx, o.WorkerInstanceKey)
	if err != nil {
		return fmt.Errorf("carillon: %w", err)
	}
	Register(o.WorkerRegistry, w.store)
	if p.serves(o.WorkerInstanceKey, w) {
		w.registerCoordination(o.WorkerRegistry)
	}
	if err := next(ctx, o); err != nil {
		p.leave(ctx, o.WorkerInstanceKey)
		return err
	}
	return nil
}

// StopWorker implements worker.Plugin.
func (p *Plugin) StopWorker(
	ctx context.Context, o sdkworker.PluginStopWorkerOptions, next func(context.Context,
		sdkworker.PluginStopWorkerOptions),
) {
	p.leave(ctx, o.WorkerInstanceKey)
	next(ctx, o)
}

// serves says whether a worker that has the plugin serves the group's task queue.
func (p *Plugin) serves(key string, w *Worker) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.servesLocked(key, w)
}

func (p *Plugin) servesLocked(key string, w *Worker) bool {
	return p.queues[key] == carillon.TaskQueue(w.Group())
}

// enter brings Carillon up if it is not.
func (p *Plugin) enter(ctx context.Context, key string) (*Worker, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.worker == nil {
		w, err := New(ctx, p.options)
		if err != nil {
			return nil, err
		}
		if p.servesLocked(key, w) {
			w.servers.operations = nil // the user's worker serves it
		}
		if err := w.Start(); err != nil {
			return nil, err
		}
		go watch(w)
		p.worker = w
	}
	p.users[key] = true
	return p.worker, nil
}

// watch says what went wrong: the worker that has the plugin cannot be failed from outside.
func watch(w *Worker) {
	select {
	case err := <-w.Failed():
		w.options.Logger.Error("Carillon is not visible in Temporal.", "error", err)
	case <-w.done:
	}
}

// leave takes Carillon down if nobody else uses it.
func (p *Plugin) leave(ctx context.Context, key string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.users, key)
	if p.worker == nil || len(p.users) > 0 {
		return
	}
	w := p.worker
	p.worker = nil
	ctx, cancel := context.WithTimeout(ctx, w.options.StopTimeout)
	defer cancel()
	if err := w.Stop(ctx); err != nil { // the SDK has no place for it
		w.options.Logger.Log(ctx, slog.LevelError, "Carillon's worker did not stop in time.", "error", err)
	}
}
