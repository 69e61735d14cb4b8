// Package tasks tests what Temporal shows of the tasks that workers run, on a real server.
package tasks

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	sdkworker "go.temporal.io/sdk/worker"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/integration/harness"
	"github.com/carillon-io/carillon/starter"
	"github.com/carillon-io/carillon/store"
	"github.com/carillon-io/carillon/worker"
)

const slots = 2

// all are the tasks of a group with two slots and one lane each.
func all() []carillon.Task {
	var out []carillon.Task
	for slot := range slots {
		out = append(out,
			carillon.Task{Kind: carillon.TaskFire, Slot: slot}, carillon.Task{Kind: carillon.TaskSweep, Slot: slot})
	}
	return out
}

// state asks the workflow of a task.
func state(ctx context.Context, g *harness.Group, task carillon.Task) (s carillon.TaskWorkflowState, err error) {
	value, err := g.Temporal.QueryWorkflow(ctx, carillon.TaskWorkflowID(g.Name, task), "", carillon.QueryState)
	if err != nil {
		return s, err
	}
	return s, value.Get(&s)
}

// attachedTo waits until all tasks are attached to a worker.
func attachedTo(t *testing.T, g *harness.Group, worker string) {
	t.Helper()
	for _, task := range all() {
		harness.Eventually(t, task.String()+" is attached to "+worker, func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			s, err := state(ctx, g, task)
			return err == nil && s.Attached != nil && s.Attached.Worker == worker
		})
	}
}

func TestTemporalShowsWhoRunsWhat(t *testing.T) {
	g := harness.NewGroup(t, store.Options{Slots: slots}, starter.Options{})
	start := func(id string) *worker.Worker {
		return g.StartWorker(t, func(o *worker.Options) { o.WorkerID = id })
	}
	one := start("one")
	attachedTo(t, g, "one")

	// The pending activity carries what the runner says of itself.
	fire := carillon.TaskWorkflowID(g.Name, carillon.Task{Kind: carillon.TaskFire})
	harness.Eventually(t, "a heartbeat", func() bool {
		d, err := g.Temporal.DescribeWorkflowExecution(t.Context(), fire, "")
		if err != nil || len(d.PendingActivities) != 1 || d.PendingActivities[0].HeartbeatDetails == nil {
			return false
		}
		var s carillon.TaskStatus
		require.Equal(t, carillon.ActivityFire, d.PendingActivities[0].ActivityType.Name)
		require.NoError(t, json.Unmarshal(d.PendingActivities[0].HeartbeatDetails.Payloads[0].Data, &s))
		return s.Worker == "one" && s.Lease != ""
	})

	// A worker that stops says how its runners ended; the other one has what it had.
	two := start("two")
	harness.Eventually(t, "the second worker is served", func() bool {
		d, err := g.Temporal.DescribeTaskQueue(t.Context(), carillon.WorkerTaskQueue(g.Name, "two"),
			enumspb.TASK_QUEUE_TYPE_ACTIVITY)
		return err == nil && len(d.Pollers) > 0
	})
	began := time.Now()
	require.NoError(t, one.Stop(t.Context()))
	require.Less(t, time.Since(began), 20*time.Second)
	harness.WaitForTasks(t, two, len(all()))
	attachedTo(t, g, "two")
	for _, task := range all() {
		s, err := state(t.Context(), g, task)
		require.NoError(t, err)
		require.Equal(t, "one", s.LastEnd.Worker, task)
		require.Contains(t, []carillon.EndReason{carillon.EndRunnerDone, carillon.EndSuperseded}, s.LastEnd.Reason, task)
	}
}

// Other languages send JSON and name the operation.
func TestOperationsByName(t *testing.T) {
	g := harness.NewGroup(t, store.Options{Slots: slots}, starter.Options{})
	g.StartWorker(t, nil)
	var created carillon.CreateTimersResult
	run, err := g.Temporal.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{TaskQueue: carillon.TaskQueue(g.Name)},
		"CreateTimers", json.RawMessage(`{"timers": [
			{"client_id": "shop", "delay": "1h", "payload": {"order": 7}, "target": {"mailbox": {}}},
			{"client_id": "shop", "delay": "1h", "payload": {"order": 8}, "target": {"pigeon": {}}}
		]}`))
	require.NoError(t, err)
	require.NoError(t, run.Get(t.Context(), &created))
	require.Len(t, created.Timers, 2)
	require.Nil(t, created.Timers[0].Error)
	require.ErrorIs(t, created.Timers[1].Error, carillon.ErrInvalidArgument)

	run, err = g.Temporal.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{TaskQueue: carillon.TaskQueue(g.Name)},
		"CancelTimers", carillon.CancelTimersInput{Timers: []carillon.TimerRef{{TimerID: created.Timers[0].TimerID}}})
	require.NoError(t, err)
	var cancelled carillon.CancelTimersResult
	require.NoError(t, run.Get(t.Context(), &cancelled))
	require.Nil(t, cancelled.Timers[0].Error)
}

// A worker of the user's own that has the plugin answers on its own task queue, and runs the tasks.
func TestPluginInAWorkerOfYourOwn(t *testing.T) {
	g := harness.NewGroup(t, store.Options{Slots: slots}, starter.Options{})
	plugin, err := worker.NewPlugin(worker.Options{
		Temporal: g.Temporal, Redis: g.Redis, Group: g.Name, WorkerID: "plugged", Logger: harness.Logger(t),
		Store: store.Options{Slots: slots, AllowVolatile: true},
	})
	require.NoError(t, err)
	own := sdkworker.New(g.Temporal, g.Name+"-mine", sdkworker.Options{Plugins: []sdkworker.Plugin{plugin}})
	require.NoError(t, own.Start())
	stop := sync.OnceFunc(own.Stop)
	t.Cleanup(stop)

	harness.WaitForTasks(t, plugin.Worker(), len(all()))
	attachedTo(t, g, "plugged")
	run, err := g.Temporal.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{TaskQueue: g.Name + "-mine"},
		carillon.OpCountTimers, carillon.CountTimersInput{})
	require.NoError(t, err)
	var counted carillon.CountTimersResult
	require.NoError(t, run.Get(t.Context(), &counted))

	stop()
	require.Nil(t, plugin.Worker())
}
