package workflows_test

import (
	"log/slog"
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
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/workflows"
)

// The histories are recorded by integration/record, under the name of a release; those of all releases stay.
func histories(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "*.json"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	return files
}

func read(t *testing.T, file string) *historypb.History {
	t.Helper()
	f, err := os.Open(file)
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	history, err := client.HistoryFromJSON(f, client.HistoryJSONOptions{})
	require.NoError(t, err)
	return history
}

// replay replays a history under the id that its workflow had.
func replay(t *testing.T, history *historypb.History) error {
	t.Helper()
	replayer := worker.NewWorkflowReplayer()
	workflows.Register(replayer)
	started := history.Events[0].GetWorkflowExecutionStartedEventAttributes()
	return replayer.ReplayWorkflowHistoryWithOptions(log.NewStructuredLogger(slog.New(slog.DiscardHandler)), history,
		worker.ReplayWorkflowHistoryOptions{OriginalExecution: workflow.Execution{
			ID: started.WorkflowId, RunID: started.OriginalExecutionRunId,
		}})
}

func TestReplay(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, file := range histories(t) {
		history := read(t, file)
		seen[history.Events[0].GetWorkflowExecutionStartedEventAttributes().WorkflowType.Name] = true
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			t.Parallel()
			require.NoError(t, replay(t, history))
		})
	}
	for _, name := range []string{
		carillon.WorkflowSweeper, carillon.WorkflowFiring, carillon.WorkflowCoordinator, carillon.OpCreateTimers,
	} {
		require.True(t, seen[name], "no history of %s", name)
	}
}

// A change that breaks running workflows has to be noticed: these histories are of workflows that did something else.
func TestReplayNoticesWhatBreaks(t *testing.T) {
	t.Parallel()
	first := func(h *historypb.History, kind enumspb.EventType) *historypb.HistoryEvent {
		for _, e := range h.Events {
			if e.EventType == kind {
				return e
			}
		}
		require.Fail(t, "no such event", "%s", kind)
		return nil
	}
	for name, c := range map[string]struct {
		file    string
		change  func(*historypb.History)
		message string
	}{
		"another activity": {
			"v0.1-sweeper-life.json",
			func(h *historypb.History) {
				scheduled := first(h, enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED).GetActivityTaskScheduledEventAttributes()
				scheduled.ActivityType = &commonpb.ActivityType{Name: "Mop"}
			},
			"replay command is ScheduleActivityTask: (ActivityId:7, ActivityType:(Name:Sweep)",
		},
		"another command": {
			"v0.1-create-json.json",
			func(h *historypb.History) {
				first(h, enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED).GetActivityTaskScheduledEventAttributes().ActivityId = "99"
			},
			"event position 99",
		},
		"another decision": { // of the same plan, from an observation that asks for none
			"v0.1-coordinator-life.json",
			func(h *historypb.History) {
				nothing, err := carillon.JSONPayload(carillon.Observation{})
				require.NoError(t, err)
				observed(h)[0].Result.Payloads[0] = nothing
			},
			"ActivityType:(Name:Observe)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			history := read(t, filepath.Join("testdata", c.file))
			c.change(history)
			err := replay(t, history)
			require.ErrorContains(t, err, "TMPRL1100")
			require.ErrorContains(t, err, c.message)
		})
	}
}

// observed are the results of Observe, in their order.
func observed(h *historypb.History) (out []*historypb.ActivityTaskCompletedEventAttributes) {
	observes := map[int64]bool{}
	for _, e := range h.Events {
		if a := e.GetActivityTaskScheduledEventAttributes(); a.GetActivityType().GetName() == carillon.ActivityObserve {
			observes[e.EventId] = true
		}
		if a := e.GetActivityTaskCompletedEventAttributes(); a != nil && observes[a.ScheduledEventId] {
			out = append(out, a)
		}
	}
	return out
}

// What a coordinator cannot do without is tried until it succeeds; of its decisions only the latest matters.
func TestCoordinatorTriesForEver(t *testing.T) {
	t.Parallel()
	attempts := map[string]int32{carillon.ActivityBeginControl: 0, carillon.ActivityObserve: 0, carillon.ActivityAssign: 8}
	for _, e := range read(t, filepath.Join("testdata", "v0.1-coordinator-life.json")).Events {
		if a := e.GetActivityTaskScheduledEventAttributes(); a != nil {
			require.Equal(t, attempts[a.ActivityType.Name], a.RetryPolicy.MaximumAttempts, a.ActivityType.Name)
			require.Zero(t, a.ScheduleToCloseTimeout.AsDuration(), "it would end at once where a clock is ahead")
			require.LessOrEqual(t, a.RetryPolicy.MaximumInterval.AsDuration(), 5*time.Second)
		}
	}
}
