package integration_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	sdkworker "go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/activities/target"
	"github.com/carillon-io/carillon/integration/harness"
	"github.com/carillon-io/carillon/starter"
	"github.com/carillon-io/carillon/store"
	"github.com/carillon-io/carillon/worker"
)

// Every road leads to the same answers: standalone activities, workflows, and straight to the store.
func TestAllRoadsLeadToTheStore(t *testing.T) {
	for _, road := range []starter.Road{starter.RoadActivity, starter.RoadWorkflow, "direct"} {
		t.Run(string(road), func(t *testing.T) {
			o := starter.Options{Road: road}
			if road == "direct" {
				o.Road = starter.RoadAuto
			}
			g := harness.NewGroup(t, store.Options{Slots: 2}, o)
			harness.WaitForTasks(t, g.StartWorker(t, nil), 4)
			var timers starter.Timers = g.Timers
			if road == "direct" {
				timers = g.Direct
			}
			allOperations(t, g, timers)
		})
	}
}

func allOperations(t *testing.T, g *harness.Group, timers starter.Timers) {
	ctx := t.Context()
	far := carillon.TimerSpec{ClientID: "client", Name: "far", Delay: time.Hour, Target: carillon.ToMailbox(), Labels: map[string]string{"a": "b"}}
	created, err := timers.Create(ctx, far)
	require.NoError(t, err)
	ref := carillon.TimerRef{TimerID: created.TimerID}

	again, err := timers.Create(ctx, far)
	require.NoError(t, err)
	require.True(t, again.Existing, "the same content answers the same timer")
	require.Equal(t, created.TimerID, again.TimerID)
	far.Payload = payload(t, g, "other")
	_, err = timers.Create(ctx, far)
	require.ErrorIs(t, err, carillon.ErrAlreadyExists)

	_, err = timers.Reschedule(ctx, carillon.RescheduleTimerInput{TimerRef: ref, Delay: 2 * time.Hour, ExpectedVersion: 99})
	require.ErrorIs(t, err, carillon.ErrConflict)
	moved, err := timers.Reschedule(ctx, carillon.RescheduleTimerInput{TimerRef: ref, Delay: 2 * time.Hour, ExpectedVersion: created.Version})
	require.NoError(t, err)
	require.Greater(t, moved.Version, created.Version)

	info, err := timers.Describe(ctx, carillon.TimerRef{ClientID: "client", Name: "far"})
	require.NoError(t, err)
	require.Equal(t, carillon.StatePending, info.State)
	require.True(t, moved.FireAt.Equal(info.FireAt))
	require.Equal(t, far.Labels, info.Labels)

	var listed []carillon.TimerInfo
	for timer, err := range timers.List(ctx, carillon.ListTimersInput{ClientID: "client", PageSize: 1}) {
		require.NoError(t, err)
		listed = append(listed, timer)
	}
	require.Len(t, listed, 1)

	partitions, err := timers.ListPartitions(ctx)
	require.NoError(t, err)
	require.Len(t, partitions.Partitions, 2)
	require.NotEmpty(t, partitions.Partitions[0].Sweeper)

	require.NoError(t, timers.Cancel(ctx, ref))
	require.ErrorIs(t, timers.Cancel(ctx, ref), carillon.ErrNotFound)
	info, err = timers.Describe(ctx, ref)
	require.NoError(t, err)
	require.Equal(t, carillon.StateCancelled, info.State)

	_, err = timers.Create(ctx, carillon.TimerSpec{ClientID: "client", Delay: time.Hour})
	require.ErrorIs(t, err, carillon.ErrInvalidArgument)
	results, err := timers.CreateAll(ctx, []carillon.TimerSpec{
		{ClientID: "", Delay: time.Hour, Target: carillon.ToMailbox()},
		{ClientID: "client", Delay: time.Hour, Target: carillon.ToMailbox()},
	})
	require.NoError(t, err)
	require.ErrorIs(t, results[0].Error, carillon.ErrInvalidArgument)
	require.Equal(t, "client_id", results[0].Error.Field)
	require.Nil(t, results[1].Error, "one bad timer does not fail the others")
	count, err := timers.Count(ctx, carillon.CountTimersInput{ClientID: "client"})
	require.NoError(t, err)
	require.EqualValues(t, 1, count.Pending)
}

// A caller in any language names the operation and sends JSON.
func TestJSONIsTheContractWithOtherLanguages(t *testing.T) {
	g := harness.NewGroup(t, store.Options{Slots: 1}, starter.Options{})
	harness.WaitForTasks(t, g.StartWorker(t, nil), 2)
	run, err := g.Temporal.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
		ID: g.Name + "-json", TaskQueue: carillon.TaskQueue(g.Name),
	}, carillon.OpCreateTimers, map[string]any{"timers": []any{
		map[string]any{
			"client_id": "billing", "name": "invoice-7", "delay": "1h", "payload": map[string]any{"invoice": 7},
			"target": map[string]any{"signal": map[string]any{"workflow_id": "invoice-7", "signal_name": "overdue"}},
		},
		map[string]any{"client_id": "billing", "dealy": "1h", "target": map[string]any{"mailbox": map[string]any{}}},
	}})
	require.NoError(t, err)
	var out struct {
		Timers []struct {
			TimerID string         `json:"timer_id"`
			Error   map[string]any `json:"error"`
		} `json:"timers"`
	}
	require.NoError(t, run.Get(t.Context(), &out))
	require.Len(t, out.Timers[0].TimerID, carillon.IDLength)
	require.Equal(t, "dealy", out.Timers[1].Error["field"], "a misspelt field is named, and fails its timer alone")
}

// A workflow creates and cancels timers by itself.
func TestTimersFromInsideAWorkflow(t *testing.T) {
	g := harness.NewGroup(t, store.Options{Slots: 1}, starter.Options{})
	harness.WaitForTasks(t, g.StartWorker(t, nil), 2)
	queue := g.Name + "-users"
	users := sdkworker.New(g.Temporal, queue, sdkworker.Options{})
	users.RegisterWorkflowWithOptions(func(ctx workflow.Context) (string, error) {
		timers := starter.FromWorkflow(ctx, starter.WorkflowOptions{Group: g.Name})
		payload, err := timers.Payload("wake up")
		if err != nil {
			return "", err
		}
		self := workflow.GetInfo(ctx).WorkflowExecution.ID
		if _, err := timers.Create(carillon.TimerSpec{
			ClientID: "users", Delay: 200 * time.Millisecond, Payload: payload, Target: carillon.ToSignal(self, harness.SignalName),
		}); err != nil {
			return "", err
		}
		second, err := timers.Create(carillon.TimerSpec{
			ClientID: "users", Delay: time.Hour, Payload: payload, Target: carillon.ToSignal(self, harness.SignalName),
		})
		if err != nil {
			return "", err
		}
		var text string
		workflow.GetSignalChannel(ctx, harness.SignalName).Receive(ctx, &text)
		return text, timers.Cancel(carillon.TimerRef{TimerID: second.TimerID})
	}, workflow.RegisterOptions{Name: "user"})
	require.NoError(t, users.Start())
	t.Cleanup(users.Stop)
	run, err := g.Temporal.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: g.Name + "-user", TaskQueue: queue}, "user")
	require.NoError(t, err)
	var text string
	require.NoError(t, run.Get(t.Context(), &text))
	require.Equal(t, "wake up", text)
	count, err := g.Direct.Count(t.Context(), carillon.CountTimersInput{})
	require.NoError(t, err)
	require.Equal(t, carillon.CountTimersResult{Created: 2, Fired: 1, Cancelled: 1}, count)
}

// A webhook is posted, a failing one is tried again under the same id, and one whose target is gone is dead, with the reason,
// until it is redriven.
func TestWebhooksAndTheDead(t *testing.T) {
	g := harness.NewGroup(t, store.Options{Slots: 1}, starter.Options{})
	harness.WaitForTasks(t, g.StartWorker(t, func(o *worker.Options) { o.Webhook = target.WebhookOptions{AllowPrivate: true} }), 2)
	type call struct{ path, id string }
	calls := make(chan call, 100)
	answers := make(chan int, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls <- call{path: r.URL.Path, id: r.Header.Get("Webhook-Id")}
		w.WriteHeader(<-answers)
	}))
	t.Cleanup(server.Close)
	answers <- http.StatusInternalServerError
	answers <- http.StatusOK
	retry := &carillon.RetryPolicy{InitialInterval: carillon.Duration(50 * time.Millisecond)}
	flaky, err := g.Timers.Create(t.Context(), carillon.TimerSpec{
		ClientID: "client", Delay: time.Millisecond, Target: carillon.ToWebhook(server.URL + "/flaky"), Retry: retry,
	})
	require.NoError(t, err)
	first, second := <-calls, <-calls
	require.Equal(t, first, second, "both attempts carry the same id")
	harness.Eventually(t, "the timer is fired", func() bool { return stateOf(t, g, flaky.TimerID) == carillon.StateFired })

	answers <- http.StatusGone
	gone, err := g.Timers.Create(t.Context(), carillon.TimerSpec{
		ClientID: "client", Delay: time.Millisecond, Target: carillon.ToWebhook(server.URL + "/gone"), Retry: retry,
	})
	require.NoError(t, err)
	harness.Eventually(t, "the timer is dead", func() bool { return stateOf(t, g, gone.TimerID) == carillon.StateDead })
	nobody, err := g.Timers.Create(t.Context(), carillon.TimerSpec{
		ClientID: "client", Delay: time.Millisecond, Target: carillon.ToSignal("nobody-"+g.Name, "signal"),
	})
	require.NoError(t, err)
	harness.Eventually(t, "the signal's timer is dead", func() bool { return stateOf(t, g, nobody.TimerID) == carillon.StateDead })
	info, err := g.Timers.Describe(t.Context(), carillon.TimerRef{TimerID: nobody.TimerID})
	require.NoError(t, err)
	require.NotEmpty(t, info.LastError)

	answers <- http.StatusOK
	redriven, err := g.Timers.Redrive(t.Context(), []carillon.TimerRef{{TimerID: gone.TimerID}, {TimerID: flaky.TimerID}})
	require.NoError(t, err)
	require.Nil(t, redriven[0].Error)
	require.ErrorIs(t, redriven[1].Error, carillon.ErrNotFound)
	harness.Eventually(t, "the redriven timer is fired", func() bool { return stateOf(t, g, gone.TimerID) == carillon.StateFired })
}

func stateOf(t *testing.T, g *harness.Group, id carillon.ID) carillon.State {
	t.Helper()
	info, err := g.Direct.Describe(t.Context(), carillon.TimerRef{TimerID: id})
	require.NoError(t, err)
	return info.State
}

// Signals and starts may name another namespace.
func TestTargetsInAnotherNamespace(t *testing.T) {
	g := harness.NewGroup(t, store.Options{Slots: 1}, starter.Options{})
	harness.WaitForTasks(t, g.StartWorker(t, nil), 2)
	other := harness.Dial(t, client.Options{Namespace: harness.OtherNamespace})
	got := make(chan string, 2)
	queue := g.Name + "-others"
	users := sdkworker.New(other, queue, sdkworker.Options{})
	users.RegisterWorkflowWithOptions(func(ctx workflow.Context, text string) error {
		got <- workflow.GetInfo(ctx).WorkflowExecution.ID + " " + text
		var signal string
		workflow.GetSignalChannel(ctx, harness.SignalName).Receive(ctx, &signal)
		got <- signal
		return nil
	}, workflow.RegisterOptions{Name: "other"})
	require.NoError(t, users.Start())
	t.Cleanup(users.Stop)
	start, err := g.Timers.Create(t.Context(), carillon.TimerSpec{
		ClientID: "client", Delay: time.Millisecond, Payload: payload(t, g, "hello"),
		Target: carillon.Target{Start: &carillon.StartTarget{Namespace: harness.OtherNamespace, WorkflowType: "other", TaskQueue: queue}},
	})
	require.NoError(t, err)
	require.Equal(t, start.TimerID.String()+" hello", <-got, "the workflow's id is the timer's")
	_, err = g.Timers.Create(t.Context(), carillon.TimerSpec{
		ClientID: "client", Delay: time.Millisecond, Payload: payload(t, g, "again"),
		Target: carillon.Target{Signal: &carillon.SignalTarget{
			Namespace: harness.OtherNamespace, WorkflowID: start.TimerID.String(), SignalName: harness.SignalName,
		}},
	})
	require.NoError(t, err)
	require.Equal(t, "again", <-got)
	harness.Eventually(t, "both are fired", func() bool {
		c, err := g.Direct.Count(t.Context(), carillon.CountTimersInput{})
		return err == nil && c.Fired == 2
	})
}
