package starter_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/starter"
)

// A user's workflows run for months, over releases of this package: what a call becomes in a history must not change.
// The fixtures are histories of the workflow below, each named after the release that made it.

const replayed = "EveryOperation"

// everyOperation calls every operation from a workflow, with batches large enough to be split.
func everyOperation(batch int) func(workflow.Context) (int64, error) {
	return func(ctx workflow.Context) (int64, error) {
		timers := starter.FromWorkflow(ctx, starter.WorkflowOptions{})
		created, err := timers.Create(carillon.TimerSpec{
			ClientID: "shop", Name: "milk", Delay: time.Hour, Target: carillon.ToSignal("wf", "ring"),
		})
		if err != nil {
			return 0, err
		}
		specs := make([]carillon.TimerSpec, batch)
		refs := make([]carillon.TimerRef, batch)
		for i := range specs {
			specs[i] = spec(i)
		}
		for i := range 10 { // more than workflowBatchBytes
			specs[i].Payload = &commonpb.Payload{Data: []byte(strings.Repeat("x", 150_000))}
		}
		results, err := timers.CreateAll(specs)
		if err != nil {
			return 0, err
		}
		for i, r := range results {
			refs[i].TimerID = r.TimerID
		}
		if _, err := timers.CancelAll(refs); err != nil {
			return 0, err
		}
		if _, err := timers.Reschedule(carillon.RescheduleTimerInput{
			TimerRef: carillon.TimerRef{TimerID: created.TimerID}, Delay: time.Minute,
		}); err != nil {
			return 0, err
		}
		if _, err := timers.Redrive(refs[:1]); err != nil {
			return 0, err
		}
		if _, err := timers.Describe(carillon.TimerRef{ClientID: "shop", Name: "milk"}); err != nil {
			return 0, err
		}
		for _, err := range timers.List(carillon.ListTimersInput{ClientID: "shop"}) {
			if err != nil {
				return 0, err
			}
		}
		count, err := timers.Count(carillon.CountTimersInput{})
		return count.Pending, err
	}
}

const replayedBatch = 1200

func TestReplay(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("testdata", "history", "*.json"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			require.NoError(t, replay(file, replayedBatch))
			require.ErrorContains(t, replay(file, 10), "TMPRL1100", "a fixture that cannot fail proves nothing")
		})
	}
}

func replay(file string, batch int) error {
	replayer, err := worker.NewWorkflowReplayerWithOptions(worker.WorkflowReplayerOptions{
		DisableDeadlockDetection: true, // a busy machine is none
	})
	if err != nil {
		return err
	}
	replayer.RegisterWorkflowWithOptions(everyOperation(batch), workflow.RegisterOptions{Name: replayed})
	return replayer.ReplayWorkflowHistoryFromJSONFile(nil, file)
}

// TestRecord makes a fixture: give it the address of a Temporal server and the name of the release in the environment.
func TestRecord(t *testing.T) {
	address, release := os.Getenv("CARILLON_RECORD_ADDRESS"), os.Getenv("CARILLON_RECORD_RELEASE")
	if address == "" || release == "" {
		t.Skip("set CARILLON_RECORD_ADDRESS and CARILLON_RECORD_RELEASE to record a fixture for TestReplay")
	}
	c, err := client.DialContext(t.Context(), client.Options{HostPort: address, Identity: "fixture"})
	require.NoError(t, err)
	defer c.Close()
	theirs := worker.New(c, carillon.TaskQueue(carillon.DefaultGroup), worker.Options{})
	carillonWorker(theirs)
	require.NoError(t, theirs.Start())
	defer theirs.Stop()
	ours := worker.New(c, "record", worker.Options{})
	ours.RegisterWorkflowWithOptions(everyOperation(replayedBatch), workflow.RegisterOptions{Name: replayed})
	require.NoError(t, ours.Start())
	defer ours.Stop()

	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{TaskQueue: "record"}, replayed)
	require.NoError(t, err)
	var pending int64
	require.NoError(t, run.Get(t.Context(), &pending))
	require.EqualValues(t, 1, pending)

	var history historypb.History
	all := enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT
	events := c.GetWorkflowHistory(t.Context(), run.GetID(), run.GetRunID(), false, all)
	for events.HasNext() {
		event, err := events.Next()
		require.NoError(t, err)
		// A replay does not look at what activities were given, and that is large.
		if scheduled := event.GetActivityTaskScheduledEventAttributes(); scheduled != nil {
			scheduled.Input = nil
		}
		history.Events = append(history.Events, event)
	}
	data, err := protojson.Marshal(&history)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join("testdata", "history", release+".json"), data, 0o644))
}
