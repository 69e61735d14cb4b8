package worker

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nexus-rpc/sdk-go/nexus"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	sdkworker "go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/store"
	"github.com/carillon-io/carillon/store/redistest"
)

// fakeRegistry notes what is registered.
type fakeRegistry struct {
	workflows, activities map[string]bool
}

func newRegistry() *fakeRegistry {
	return &fakeRegistry{workflows: map[string]bool{}, activities: map[string]bool{}}
}

func (r *fakeRegistry) RegisterWorkflowWithOptions(_ any, o workflow.RegisterOptions) {
	r.workflows[o.Name] = true
}

func (r *fakeRegistry) RegisterActivityWithOptions(_ any, o activity.RegisterOptions) {
	r.activities[o.Name] = true
}
func (r *fakeRegistry) RegisterDynamicWorkflow(any, workflow.DynamicRegisterOptions) {}
func (r *fakeRegistry) RegisterDynamicActivity(any, activity.DynamicRegisterOptions) {}
func (r *fakeRegistry) RegisterNexusService(*nexus.Service)                          {}

func TestRegister(t *testing.T) {
	t.Parallel()
	r := newRegistry()
	Register(r, optionsStore{})
	for _, name := range []string{
		"CreateTimers", "CancelTimers", "RescheduleTimer", "DescribeTimer", "ListTimers", "CountTimers", "RedriveTimers",
		"ListPartitions", "DescribeGroup", "DrainWorker",
	} {
		require.True(t, r.workflows[name], name)
		require.True(t, r.activities[name], name)
	}
	require.True(t, r.workflows["Sweeper"])
	require.True(t, r.workflows["Firing"])
	require.True(t, r.workflows["Coordinator"])
	require.Len(t, r.workflows, 13)
	require.Len(t, r.activities, 10)
}

func TestPluginRunsWithTheWorkersThatHaveIt(t *testing.T) {
	t.Parallel()
	temporal, _ := unreachable(t)
	client, err := store.Connect(redistest.URL(t))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	p, err := NewPlugin(Options{
		Temporal: temporal, Redis: client, Group: fmt.Sprintf("plugin-%d", time.Now().UnixNano()), Logger: quiet(),
		Store: store.Options{Slots: 2, AllowVolatile: true}, ObserveInterval: 50 * time.Millisecond,
	})
	require.NoError(t, err)
	require.Equal(t, PluginName, p.Name())

	start := func(key, queue string, failure error) (*fakeRegistry, error) {
		require.NoError(t, p.ConfigureWorker(t.Context(), sdkworker.PluginConfigureWorkerOptions{
			WorkerInstanceKey: key, TaskQueue: queue,
		}))
		r := newRegistry()
		return r, p.StartWorker(t.Context(), sdkworker.PluginStartWorkerOptions{WorkerInstanceKey: key, WorkerRegistry: r},
			func(context.Context, sdkworker.PluginStartWorkerOptions) error { return failure })
	}
	stop := func(key string) {
		next := false
		p.StopWorker(t.Context(), sdkworker.PluginStopWorkerOptions{WorkerInstanceKey: key},
			func(context.Context, sdkworker.PluginStopWorkerOptions) { next = true })
		require.True(t, next)
	}

	r, err := start("a", "my-queue", nil)
	require.NoError(t, err)
	require.True(t, r.workflows[carillon.OpCreateTimers])
	require.True(t, r.activities[carillon.OpCreateTimers])
	w := p.Worker()
	require.NotNil(t, w)
	require.NotNil(t, w.servers.operations, "the user's worker serves another queue")
	eventually(t, "its tasks run", func() bool { return len(w.Tasks()) == 4 })

	_, err = start("b", "another-queue", nil)
	require.NoError(t, err)
	require.Same(t, w, p.Worker(), "two workers share it")
	_, err = start("c", "one-that-fails", errors.New("no"))
	require.EqualError(t, err, "no")
	stop("a")
	require.Same(t, w, p.Worker())
	stop("b")
	require.Nil(t, p.Worker())
	require.Empty(t, w.Tasks())

	// And again, with a worker that serves the group's queue itself.
	_, err = start("d", carillon.TaskQueue(w.Group()), nil)
	require.NoError(t, err)
	require.Nil(t, p.Worker().servers.operations)
	require.Equal(t, w.ID(), p.Worker().ID())
	stop("d")
}

func TestPluginWithoutRedis(t *testing.T) {
	t.Parallel()
	temporal, r := unreachable(t)
	p, err := NewPlugin(Options{Temporal: temporal, Redis: r, Logger: quiet()})
	require.NoError(t, err)
	err = p.StartWorker(t.Context(), sdkworker.PluginStartWorkerOptions{WorkerRegistry: newRegistry()},
		func(context.Context, sdkworker.PluginStartWorkerOptions) error { return nil })
	require.ErrorIs(t, err, carillon.ErrUnavailable)
}
