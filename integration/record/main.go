// Command record runs Carillon's workflows on a real Temporal server and writes their histories, which the replay tests
// of the package workflows read:
//
//	go run ./integration/record --release v0.2 --out workflows/testdata
//
// With --only it plays just the scenarios whose names begin so. It starts the embedded server, or uses the one of
// TEMPORAL_ADDRESS. Activities are scripted, so that a history says what its name says. Record again whenever the
// logic of a workflow changes, under the name of the release to come; histories of earlier releases stay, since
// workflows that they started may still run.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/carillon-io/carillon/cli/devserver"
)

func main() {
	release := flag.String("release", "", "the `release` that the histories are named after; required")
	out := flag.String("out", "workflows/testdata", "the `folder` to write to")
	only := flag.String("only", "", "play the scenarios whose names begin with this `prefix`; all by default")
	flag.Parse()
	if err := run(context.Background(), *release, *only, *out); err != nil {
		fmt.Fprintln(os.Stderr, "record:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, release, only, out string) (err error) {
	if release == "" {
		return errors.New("--release is required")
	}
	address := os.Getenv("TEMPORAL_ADDRESS")
	if address == "" {
		server, err := devserver.StartTemporal(ctx, devserver.TemporalOptions{})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, server.Stop()) }()
		address = server.Address()
	}
	// Without the sticky cache each workflow task replays the whole history.
	worker.SetStickyWorkflowCacheSize(0)
	c, err := client.DialContext(ctx, client.Options{
		HostPort: address, Identity: "record", Logger: sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	if err != nil {
		return err
	}
	defer c.Close()
	s, err := newStage(c)
	if err != nil {
		return err
	}
	defer s.stop()
	for _, scenario := range scenarios {
		if !strings.HasPrefix(scenario.name, only) {
			continue
		}
		if err := scenario.play(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", scenario.name, err)
		}
		for i, run := range s.runs {
			name := fmt.Sprintf("%s-%s.json", release, scenario.name)
			if len(s.runs) > 1 {
				name = fmt.Sprintf("%s-%s-%d.json", release, scenario.name, i+1)
			}
			if err := write(ctx, c, run, filepath.Join(out, name)); err != nil {
				return err
			}
			fmt.Println(name)
		}
		s.runs = nil
	}
	return nil
}

// write writes the history of a run.
func write(ctx context.Context, c client.Client, run execution, path string) error {
	var history historypb.History
	events := c.GetWorkflowHistory(ctx, run.id, run.run, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		if err != nil {
			return fmt.Errorf("history of %s: %w", run.id, err)
		}
		queue := event.GetWorkflowTaskScheduledEventAttributes().GetTaskQueue()
		if queue.GetKind() == enumspb.TASK_QUEUE_KIND_STICKY {
			queue.Name = "sticky" // else it is named after this host
		}
		history.Events = append(history.Events, event)
	}
	data, err := protojson.MarshalOptions{Multiline: true, Indent: " "}.Marshal(&history)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}
