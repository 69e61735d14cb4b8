package integration_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/cli"
	"github.com/carillon-io/carillon/integration/check"
	"github.com/carillon-io/carillon/integration/harness"
	"github.com/carillon-io/carillon/store"
	"github.com/carillon-io/carillon/store/redistest"
)

// envCarillon makes the test binary be the command carillon.
const envCarillon = "CARILLON_TEST_COMMAND"

// carillonCommand is what such a process does.
func carillonCommand() int { return cli.Main(cli.OSEnv(), os.Args) }

// An import that is killed again and again, while what it has created is being fired, creates every timer once: each is
// received once or pending, and the store counts as many as there are lines.
func TestKilledImportCreatesEachTimerOnce(t *testing.T) {
	lines, kills := 20_000, 4
	roads := map[string]func(url string) []string{
		"straight to Redis": func(url string) []string { return []string{"--redis-url", url} },
	}
	if faults() {
		lines, kills = 200_000, 10
		temporal := harness.Temporal(t)
		roads["through Temporal"] = func(string) []string { return []string{"--address", temporal} }
	}
	for name, road := range roads {
		t.Run(name, func(t *testing.T) { killImport(t, lines, kills, road) })
	}
}

func killImport(t *testing.T, lines, kills int, road func(url string) []string) {
	url := redistest.RealURL(t)
	g := harness.NewGroupOn(t, harness.Parts{RedisURL: url}, store.Options{Slots: 4}, starterOptions)
	worker := g.StartProcess(t, "worker")
	g.WaitForLanes(t, "worker")
	g.ReadMailbox(t, "importer")

	in := importInput{lines: lines, base: g.Store.Clock(0).Now().Add(time.Second).Truncate(time.Millisecond)}
	journal := filepath.Join(t.TempDir(), "journal")
	args := append([]string{
		"timer", "import", "--file", "-", "--journal", journal, "--refused", journal + ".refused", "--batch", "200",
		"--group", g.Name, "-o", "json",
	}, road(url)...)
	for kill := range kills {
		run := startImport(t, in, lines-1, args) // it never gets the last line, and so cannot end before it is killed
		want := (kill + 1) * lines / 200 / (kills + 2)
		harness.Eventually(t, "the import gets on", func() bool { return answered(journal) > want || run.ended() })
		require.False(t, run.ended(), "%s", run.stderr.String())
		run.kill()
	}
	before := answered(journal)
	run := startImport(t, in, lines, args)
	harness.Eventually(t, "the import ends", run.ended)
	require.True(t, run.cmd.ProcessState.Success(), "%s", run.stderr.String())
	var result struct {
		ImportID                                       string `json:"import_id"`
		Lines, Created, Refused, Existing, LinesBefore int
		Resumed, Complete                              bool
	}
	require.NoError(t, json.Unmarshal(run.stdout.Bytes(), &result), "%s", run.stdout.String())
	require.Equal(t, lines, result.Lines)
	require.Equal(t, lines, result.Created)
	require.Zero(t, result.Refused)
	require.True(t, result.Resumed)
	require.True(t, result.Complete)
	t.Logf("%d lines, killed %d times, %d batches answered before the last run", lines, kills, before)

	for n := range lines {
		name := "import/" + result.ImportID + "/" + strconv.Itoa(n+1)
		g.Ledger.Asked(carillon.NamedID(0, g.Store.Slots(), "importer", name), in.due(n), check.ExactlyOnce)
	}
	soon := (lines + everyTenth - 1) / everyTenth
	harness.Eventually(t, "what is due is received", func() bool { return g.Ledger.Count() >= soon })
	stop, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	require.NoError(t, worker.Terminate(stop)) // the store is at rest
	stored, err := g.Ledger.Look(t.Context(), g.Redis, g.Name)
	require.NoError(t, err)
	j := g.Ledger.Judge(g.Store.Clock(0).Error(), stored)
	t.Log(j.Report)
	require.True(t, j.Holds, "%s\n%v", j.Report, j.Store)
	require.Equal(t, carillon.CountTimersResult{
		Created: int64(lines), Fired: int64(soon), Pending: int64(lines - soon),
	}, stored.Count, "each timer was created once")
}

// importInput are the lines of an import. Every tenth is due while it runs, the others hours later.
type importInput struct {
	lines int
	base  time.Time
}

const everyTenth = 10

func (in importInput) due(n int) time.Time {
	if n%everyTenth != 0 {
		return in.base.Add(6 * time.Hour)
	}
	return in.base.Add(time.Duration(n) * 6 * time.Second / time.Duration(in.lines)).Truncate(time.Millisecond)
}

func (in importInput) write(w io.Writer, lines int) error {
	out := bufio.NewWriter(w)
	for n := range lines {
		fmt.Fprintf(out, `{"client_id":"importer","fire_at":%q,"target":{"mailbox":{}},"payload":%d}`+"\n",
			in.due(n).UTC().Format(time.RFC3339Nano), n+1)
	}
	return out.Flush()
}

// importRun is a process that imports.
type importRun struct {
	cmd            *exec.Cmd
	stdout, stderr bytes.Buffer
	fed, done      chan struct{}
}

// startImport starts the command and gives it the first lines. If that is all of them, the input ends there.
func startImport(t *testing.T, in importInput, lines int, args []string) *importRun {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	r := &importRun{cmd: exec.CommandContext(t.Context(), self, args...), fed: make(chan struct{}), done: make(chan struct{})}
	r.cmd.Env = append(os.Environ(), envCarillon+"=1", "TEMPORAL_CONFIG_FILE="+os.DevNull)
	r.cmd.Stdout, r.cmd.Stderr = &r.stdout, &r.stderr
	input, err := r.cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, r.cmd.Start())
	go func() {
		defer close(r.fed)
		if err := in.write(input, lines); err == nil && lines == in.lines { // it fails when the process is killed
			_ = input.Close()
		}
	}()
	go func() {
		defer close(r.done)
		<-r.fed
		_ = r.cmd.Wait() // how it ended is in its state
	}()
	t.Cleanup(r.kill)
	return r
}

func (r *importRun) ended() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

func (r *importRun) kill() {
	_ = r.cmd.Process.Kill() // it may have ended
	<-r.done
}

// answered counts the batches that the journal knows the answers of.
func answered(journal string) int {
	data, err := os.ReadFile(journal)
	if err != nil {
		return 0 // it is not there yet
	}
	return bytes.Count(data, []byte(`{"answer":`))
}
