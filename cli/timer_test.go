package cli

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"

	"github.com/carillon-io/carillon"
)

func payload(encoding, data string) *commonpb.Payload {
	return &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte(encoding)}, Data: []byte(data)}
}

// requireSameJSON compares by JSON: a protobuf message holds more than it says.
func requireSameJSON(t *testing.T, want, got any) {
	t.Helper()
	wantText, err := json.Marshal(want)
	require.NoError(t, err)
	gotText, err := json.Marshal(got)
	require.NoError(t, err)
	require.JSONEq(t, string(wantText), string(gotText))
}

func TestCreate(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "payload")
	require.NoError(t, os.WriteFile(file, []byte("{ \"from\": \"file\" }\n"), 0o600))
	for name, c := range map[string]struct {
		args  []string
		stdin string
		want  carillon.TimerSpec
	}{
		"signal": {
			args: []string{
				"--delay", "90m", "--payload", `{"order": 17}`, "--target", "signal", "--workflow-id", "w",
				"--run-id", "3f0e9b6a-0d2c-4c47-9d42-0b8a5b1d7c11", "--signal-name", "s", "--target-namespace", "ns",
			},
			want: carillon.TimerSpec{
				Delay: 90 * time.Minute, Payload: payload("json/plain", `{"order":17}`),
				Target: carillon.Target{Signal: &carillon.SignalTarget{
					WorkflowID: "w",
					RunID:      "3f0e9b6a-0d2c-4c47-9d42-0b8a5b1d7c11", SignalName: "s", Namespace: "ns",
				}},
			},
		},
		"start": {
			args: []string{
				"--name", "n", "--on-conflict", "replace", "--fire-at", "2030-02-01T06:00:00+01:00", "--target",
				"start",
				"--workflow-type", "W", "--task-queue", "q", "--workflow-id", "w", "--execution-timeout", "1h", "--run-timeout",
				"1m",
			},
			want: carillon.TimerSpec{
				Name: "n", OnConflict: carillon.ConflictReplace, FireAt: time.Date(2030, 2, 1, 5, 0, 0, 0, time.UTC),
				Target: carillon.Target{Start: &carillon.StartTarget{
					WorkflowID: "w", WorkflowType: "W", TaskQueue: "q", ExecutionTimeout: carillon.Duration(time.Hour),
					RunTimeout: carillon.Duration(time.Minute),
				}},
			},
		},
		"webhook": {
			args: []string{
				"--delay", "10s", "--target", "webhook", "--url", "https://h/p?a=b", "--header", "X-A=1,2=3",
				"--header", "X-B=",
				"--webhook-timeout", "3s", "--payload-file", "-", "--payload-encoding", "binary/plain",
			},
			stdin: "\x00bytes\n",
			want: carillon.TimerSpec{
				Delay: 10 * time.Second, Payload: payload("binary/plain", "\x00bytes\n"),
				Target: carillon.Target{Webhook: &carillon.WebhookTarget{
					URL: "https://h/p?a=b", Headers: map[string]string{"X-A": "1,2=3", "X-B": ""},
					Timeout: carillon.Duration(3 * time.Second),
				}},
			},
		},
		"mailbox": {
			args: []string{
				"--delay", "0s", "--target", "mailbox", "--payload-file", file, "--label", "a=b,c", "--label",
				"d=e=f",
				"--retry-initial-interval", "2s", "--retry-backoff-coefficient", "3", "--retry-maximum-interval", "1m",
				"--retry-maximum-attempts", "4",
			},
			want: carillon.TimerSpec{
				Delay: 1, Payload: payload("json/plain", `{"from":"file"}`), Target: carillon.ToMailbox(),
				Labels: map[string]string{"a": "b,c", "d": "e=f"},
				Retry: &carillon.RetryPolicy{
					InitialInterval: carillon.Duration(2 * time.Second), BackoffCoefficient: 3,
					MaximumInterval: carillon.Duration(time.Minute), MaximumAttempts: 4,
				},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness()
			h.stdin = strings.NewReader(c.stdin)
			args := append([]string{"timer", "create", "--client-id", "shop"}, c.args...)
			require.Zero(t, h.run(t.Context(), args...), h.stderr.String())
			c.want.ClientID = "shop"
			require.Len(t, h.specs, 1)
			got := h.specs[0]
			got.FireAt = got.FireAt.UTC()
			requireSameJSON(t, c.want, got)
			require.Contains(t, h.stdout.String(), testID(1).String())
			require.True(t, h.closed)

			require.Zero(t, h.run(t.Context(), append(args, "-o", "json", "--request-id", "r1")...))
			require.Equal(t, []string{"r1"}, h.requests)
			var result carillon.CreateResult
			require.NoError(t, json.Unmarshal(h.stdout.Bytes(), &result))
			require.EqualValues(t, 1, result.Version)
		})
	}
}

func TestCreateRefusesBadInputBeforeItConnects(t *testing.T) {
	t.Parallel()
	large := filepath.Join(t.TempDir(), "large")
	require.NoError(t, os.WriteFile(large, make([]byte, 5*carillon.MaxPayload), 0o600))
	good := []string{"--client-id", "c", "--delay", "1s", "--target", "mailbox"}
	with := func(args ...string) []string { return append(append([]string{}, good...), args...) }
	for name, c := range map[string]struct {
		args    []string
		message string
	}{
		"no client": {[]string{"--delay", "1s", "--target", "mailbox"}, "--client-id"},
		"long client": {
			[]string{"--client-id", strings.Repeat("x", 201), "--delay", "1s", "--target", "mailbox"},
			"client_id",
		},
		"not UTF-8":  {[]string{"--client-id", "\xff", "--delay", "1s", "--target", "mailbox"}, "not valid UTF-8"},
		"no time":    {[]string{"--client-id", "c", "--target", "mailbox"}, "--fire-at"},
		"two times":  {with("--fire-at", "2030-01-01T00:00:00Z"), "not both"},
		"a bad time": {[]string{"--client-id", "c", "--target", "mailbox", "--fire-at", "tomorrow"}, "is no time"},
		"too far": {
			[]string{"--client-id", "c", "--target", "mailbox", "--fire-at", "2300-01-01T00:00:00Z"},
			"100 years",
		},
		"no target":       {[]string{"--client-id", "c", "--delay", "1s"}, "--target"},
		"a bad target":    {[]string{"--client-id", "c", "--delay", "1s", "--target", "pager"}, `"pager" is none of`},
		"a flag too many": {with("--url", "https://h"), "--url"},
		"no workflow": {
			[]string{"--client-id", "c", "--delay", "1s", "--target", "signal", "--signal-name", "s"},
			"--workflow-id",
		},
		"no signal": {
			[]string{"--client-id", "c", "--delay", "1s", "--target", "signal", "--workflow-id", "w"},
			"--signal-name",
		},
		"no type": {
			[]string{"--client-id", "c", "--delay", "1s", "--target", "start", "--task-queue", "q"},
			"--workflow-type",
		},
		"no queue": {
			[]string{"--client-id", "c", "--delay", "1s", "--target", "start", "--workflow-type", "q"},
			"--task-queue",
		},
		"no URL": {[]string{"--client-id", "c", "--delay", "1s", "--target", "webhook"}, "--url"},
		"a bad URL": {
			[]string{"--client-id", "c", "--delay", "1s", "--target", "webhook", "--url", "ftp://h"},
			"http and https",
		},
		"a bad header": {[]string{
			"--client-id", "c", "--delay", "1s", "--target", "webhook", "--url", "http://h",
			"--header", "x",
		}, "--header"},
		"a bad label":     {with("--label", "x"), "--label"},
		"a label twice":   {with("--label", "x=1", "--label", "x=2"), "twice"},
		"a bad conflict":  {with("--name", "n", "--on-conflict", "maybe"), "on_conflict"},
		"a lone conflict": {with("--on-conflict", "keep"), "there is no name"},
		"no JSON":         {with("--payload", "hello"), "it is no JSON value"},
		"two payloads":    {with("--payload", "1", "--payload-file", "-"), "not both"},
		"no payload file": {with("--payload-file", "/no/such/file"), "no such file"},
		"a large payload": {with("--payload-file", large, "--payload-encoding", "binary/plain"), "larger than a payload"},
		"a bad encoding":  {with("--payload", "1", "--payload-encoding", "xml"), "--payload-encoding"},
		"no payload":      {with("--payload-encoding", "json/plain"), "there is no payload"},
		"a bad retry":     {with("--retry-backoff-coefficient", "0.5"), "between 1 and 100"},
		"a long request":  {with("--request-id", strings.Repeat("x", 1001)), "--request-id"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness()
			h.fails(t, 2, c.message, append([]string{"timer", "create"}, c.args...)...)
			require.Empty(t, h.to, "it has connected")
		})
	}
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	h := newHarness()
	info := carillon.TimerInfo{
		TimerID: testID(
			1,
		), ClientID: "shop", Name: "n", State: carillon.StatePending, Version: 3, FireAt: epoch.Add(90 * time.Minute),
		CreatedAt: epoch.Add(-72 * time.Hour), Target: carillon.ToWebhook("https://h/p?token=s3cret"),
		Labels: map[string]string{"b": "2", "a": "1"}, Attempts: 2, LastError: "no \x1b[31mluck\nat all",
		Payload: payload("json/plain", `"hidden"`), Retry: &carillon.RetryPolicy{MaximumAttempts: 3},
	}
	h.infos = []carillon.TimerInfo{info, info, info, info}
	require.Zero(t, h.run(t.Context(), "timer", "describe", "--timer-id", testID(1).String()), h.stderr.String())
	require.Equal(t, `Timer       `+testID(1).String()+`
Client      shop
Name        n
State       pending
Fire at     2030-01-31T13:30:00.000Z (in 1h30m)
Created at  2030-01-28T12:00:00.000Z (3 days ago)
Target      webhook https://h/p?…
Payload     34 bytes, json/plain
Labels      a=1
            b=2
Retry       3 attempts, first after 1s, × 2, at most 1m40s
Attempts    2
Last error  no \x1b[31mluck
            at all
Version     3
`, h.stdout.String())

	require.Zero(t, h.run(t.Context(), "timer", "describe", "--client-id", "shop", "--name", "n", "-o", "json"))
	require.NotContains(t, h.stdout.String(), "hidden")
	var got carillon.TimerInfo
	require.NoError(t, json.Unmarshal(h.stdout.Bytes(), &got))
	require.Equal(t, "n", got.Name)

	for _, format := range []string{"text", "jsonl"} {
		require.Zero(
			t,
			h.run(t.Context(), "timer", "describe", "--timer-id", testID(1).String(), "--show-payload", "-o", format),
		)
		require.Contains(t, h.stdout.String(), "hidden")
	}
	require.Equal(t, 4, h.run(t.Context(), "timer", "describe", "--timer-id", testID(1).String()))
}

func listing(n int) []carillon.TimerInfo {
	out := make([]carillon.TimerInfo, n)
	for i := range out {
		out[i] = carillon.TimerInfo{
			TimerID: testID(uint64(i)), ClientID: "shop", State: carillon.StateDue, FireAt: epoch, Target: carillon.ToMailbox(),
			Payload: payload("json/plain", `"hidden"`), LastError: "no luck",
		}
	}
	return out
}

func TestList(t *testing.T) {
	t.Parallel()
	h := newHarness()
	h.listed = listing(250)
	require.Zero(
		t,
		h.run(t.Context(), "timer", "list", "--client-id", "shop", "--state", "due,pending", "--due-from", "-1h",
			"--due-before", "2030-01-31T13:00:00Z", "--limit", "0"),
		h.stderr.String(),
	)
	require.Equal(t, carillon.ListTimersInput{
		ClientID: "shop", States: []carillon.State{"due", "pending"}, DueFrom: epoch.Add(-time.Hour),
		DueBefore: epoch.Add(time.Hour),
		PageSize:  carillon.MaxPageSize,
	}, h.filters[0])
	text := strings.Split(strings.TrimSpace(h.stdout.String()), "\n")
	require.Len(t, text, 251)
	require.Equal(t, "TIMER                 CLIENT  NAME  STATE  FIRE AT                   TARGET", text[0])
	require.Equal(t, testID(249).String()+"  shop          due    2030-01-31T12:00:00.000Z  mailbox", text[250])
	require.NotContains(t, h.stdout.String(), "hidden")

	require.Zero(t, h.run(t.Context(), "timer", "list", "--limit", "3", "-o", "json"))
	var array []carillon.TimerInfo
	require.NoError(t, json.Unmarshal(h.stdout.Bytes(), &array))
	require.Len(t, array, 3)
	require.Contains(t, h.stderr.String(), "There are more")

	require.Zero(t, h.run(t.Context(), "dead", "list", "-o", "jsonl"))
	require.Equal(t, []carillon.State{carillon.StateDead}, h.filters[2].States)
	require.Equal(t, 250, strings.Count(h.stdout.String(), "\n"))
	require.Zero(t, h.run(t.Context(), "dead", "list", "--limit", "1"))
	require.Contains(t, h.stdout.String(), "no luck")

	h.listErr = carillon.Errorf(carillon.TypeUnavailable, "gone")
	require.Equal(t, 8, h.run(t.Context(), "timer", "list", "-o", "json"))
	require.NoError(t, json.Unmarshal(h.stdout.Bytes(), &array), "what came before the error is whole")
	require.Len(t, array, 250)

	h.listed, h.listErr = nil, nil
	require.Zero(t, h.run(t.Context(), "timer", "list"))
	require.Empty(t, h.stdout.String())
	require.Equal(t, "No timers.\n", h.stderr.String())
	require.Zero(t, h.run(t.Context(), "timer", "list", "-o", "json"))
	require.Equal(t, "[]\n", h.stdout.String())
}

func TestCountAndPartitions(t *testing.T) {
	t.Parallel()
	h := newHarness()
	h.count = carillon.CountTimersResult{Pending: 1234567, Due: 3, Created: 9}
	require.Zero(t, h.run(t.Context(), "timer", "count"))
	require.Contains(t, h.stdout.String(), "Pending    1,234,567\n")
	require.Zero(t, h.run(t.Context(), "timer", "count", "--client-id", "c"))
	require.Equal(t, "Pending  1,234,567\n", h.stdout.String())

	h.partitions = carillon.ListPartitionsResult{
		Partitions: []carillon.PartitionInfo{
			{
				Slot: 1, State: "open", Entries: 5000, Sweeper: "t", LeaseUntil: epoch.Add(3 * time.Second), Worker: "w",
				Assigned: "v",
			},
			{Slot: 2},
		},
		Lanes: []carillon.LaneInfo{{Slot: 1, Queue: 7, Holder: "x", Worker: "w", Assigned: "w"}},
	}
	require.Zero(t, h.run(t.Context(), "partition", "list"))
	require.Contains(t, h.stdout.String(), "5,000")
	require.Contains(t, h.stdout.String(), "in 3s")
	require.Contains(t, h.stdout.String(), "nobody")
	require.Contains(t, h.stdout.String(), "v (not there)")
	require.Equal(t, 1, strings.Count(h.stdout.String(), "not there"))
	require.Zero(t, h.run(t.Context(), "partition", "list", "-o", "json"))
	var got carillon.ListPartitionsResult
	require.NoError(t, json.Unmarshal(h.stdout.Bytes(), &got))
	require.Equal(t, h.partitions, got)
	require.Zero(t, h.run(t.Context(), "partition", "list", "-o", "jsonl"))
	require.Equal(t, 2, strings.Count(h.stdout.String(), `{"kind":"partition"`))
	require.Equal(t, 1, strings.Count(h.stdout.String(), `{"kind":"lane"`))
}

func TestReschedule(t *testing.T) {
	t.Parallel()
	h := newHarness()
	require.Zero(t, h.run(t.Context(), "timer", "reschedule", "--client-id", "c", "--name", "n", "--delay", "30m",
		"--expected-version", "7", "--request-id", "r", "--payload", "1"), h.stderr.String())
	requireSameJSON(t, []carillon.RescheduleTimerInput{{
		RequestID: "r", TimerRef: carillon.TimerRef{ClientID: "c", Name: "n"}, Delay: 30 * time.Minute, ExpectedVersion: 7,
		Payload: payload("json/plain", "1"),
	}}, h.moved)
	require.Contains(t, h.stdout.String(), "2030-01-31T13:00:00.000Z (in 1h)")
	h.err = carillon.Errorf(carillon.TypeConflict, "it has version 8")
	h.fails(t, 6, "version 8", "timer", "reschedule", "--timer-id", testID(1).String(), "--delay", "1s")
}

func readBulk(t *testing.T, h *harness) (got bulkResult) {
	t.Helper()
	require.NoError(t, json.Unmarshal(h.stdout.Bytes(), &got), h.stderr.String())
	return got
}

func TestCancelNamedTimers(t *testing.T) {
	t.Parallel()
	h := newHarness()
	a, b := testID(1), testID(2)
	require.Zero(
		t,
		h.run(t.Context(), "timer", "cancel", "--timer-id", a.String(), "--timer-id", b.String(), "--timer-id", a.String()),
	)
	require.Equal(t, []carillon.TimerRef{{TimerID: a}, {TimerID: b}}, h.cancelled)
	require.Equal(t, "Matched    2\nCancelled  2\n", h.stdout.String())

	h.errs[carillon.TimerRef{TimerID: b}] = carillon.Errorf(carillon.TypeTooLate, "it is being fired")
	require.Equal(
		t,
		5,
		h.run(t.Context(), "timer", "cancel", "--timer-id", a.String(), "--timer-id", b.String(), "-o", "json",
			"--reason", "why not"),
	)
	got := readBulk(t, h)
	require.Equal(t, []int64{2, 1, 0, 1, 0}, []int64{got.Matched, got.Done, got.Gone, got.TooLate, got.Failed})
	require.Equal(t, "why not", got.Reason)
	require.Equal(t, b.String(), got.Errors[0].Timer)

	named := carillon.TimerRef{ClientID: "c", Name: "n"}
	h.errs[named] = carillon.Errorf(carillon.TypeNotFound, "no such timer")
	require.Equal(t, 4, h.run(t.Context(), "timer", "cancel", "--client-id", "c", "--name", "n"))
	require.Contains(t, h.stderr.String(), "c/n")
}

func TestCancelMany(t *testing.T) {
	t.Parallel()
	h := newHarness()
	h.listed = listing(2500)
	require.Zero(t, h.run(t.Context(), "timer", "cancel", "--client-id", "shop", "--dry-run", "-o", "jsonl"))
	require.Equal(t, 2500, strings.Count(h.stdout.String(), "\n"))
	require.Contains(t, h.stderr.String(), "2,500 timers would be cancelled.")
	require.Empty(t, h.cancelled)

	// A terminal is asked.
	h.terminal, h.stdin = true, strings.NewReader("n\n")
	require.Equal(t, 1, h.run(t.Context(), "timer", "cancel", "--client-id", "shop", "--state", "due"))
	require.Contains(t, h.stderr.String(), "Cancel all timers that are due of client shop? [y/N]")
	require.Contains(t, h.stderr.String(), "nothing was done")
	require.Empty(t, h.cancelled)
	h.stdin = strings.NewReader("yes\n")
	require.Zero(t, h.run(t.Context(), "timer", "cancel", "--client-id", "shop", "-o", "json"))
	require.EqualValues(t, 2500, readBulk(t, h).Done)
	h.terminal = false

	// What went in the meantime is no error; what is being fired is, once, however often it is seen.
	h.listed = listing(1200)
	h.errs[carillon.TimerRef{TimerID: testID(1)}] = carillon.Errorf(carillon.TypeNotFound, "no such timer")
	h.errs[carillon.TimerRef{TimerID: testID(2)}] = carillon.Errorf(carillon.TypeTooLate, "it is being fired")
	require.Equal(t, 5, h.run(t.Context(), "timer", "cancel", "--all", "--yes", "-o", "json"))
	got := readBulk(t, h)
	require.EqualValues(t, 1198, got.Done)
	require.EqualValues(t, 1, got.TooLate)
	require.Len(t, got.Errors, 1)

	h.err = carillon.Errorf(carillon.TypeUnavailable, "away")
	h.fails(t, 8, "away", "timer", "cancel", "--all", "--yes")
}

func TestRedrive(t *testing.T) {
	t.Parallel()
	h := newHarness()
	h.listed = listing(3)
	require.Zero(t, h.run(t.Context(), "dead", "redrive", "--client-id", "shop", "--yes"))
	require.Equal(t, []carillon.State{carillon.StateDead}, h.filters[0].States)
	require.Len(t, h.redriven, 3, "one pass: what dies again at once is not chased")
	require.Contains(t, h.stdout.String(), "Redriven  3")
	require.Zero(t, h.run(t.Context(), "dead", "redrive", "--timer-id", testID(9).String()))
	require.Len(t, h.redriven, 4)
	h.infos = listing(1)
	require.Zero(t, h.run(t.Context(), "dead", "redrive", "--timer-id", testID(9).String(), "--dry-run"))
	require.Len(t, h.redriven, 4)
}

func TestWatchATimer(t *testing.T) {
	t.Parallel()
	at := func(state carillon.State, attempts int) carillon.TimerInfo {
		return carillon.TimerInfo{TimerID: testID(1), State: state, Version: 1, FireAt: epoch, Attempts: attempts}
	}
	for name, c := range map[string]struct {
		infos []carillon.TimerInfo
		code  int
		lines int
		word  string
	}{
		"fired": {[]carillon.TimerInfo{at("pending", 0), at("pending", 0), at("due", 0), at("firing", 1), at("fired",
			1)}, 0, 4, ""},
		"cancelled": {[]carillon.TimerInfo{at("pending", 0), at("cancelled", 0)}, 1, 2, "it is cancelled"},
		"dead":      {[]carillon.TimerInfo{at("due", 1), at("dead", 2)}, 1, 2, "it is dead"},
		"forgotten": {[]carillon.TimerInfo{at("pending", 0)}, 4, 1, "it was pending when it was seen last"},
		"never":     {nil, 4, 0, "there is no timer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := newHarness()
				h.infos = c.infos
				require.Equal(
					t,
					c.code,
					h.run(t.Context(), "timer", "watch", "--timer-id", testID(1).String(), "-o", "jsonl"),
					h.stderr.String(),
				)
				require.Equal(t, c.lines, strings.Count(h.stdout.String(), "\n"))
				require.Contains(t, h.stderr.String(), c.word)
				h.described = 0
				require.Equal(t, c.code, h.run(t.Context(), "timer", "watch", "--timer-id", testID(1).String()))
				if c.lines > 0 {
					require.Equal(t, c.lines+1, strings.Count(h.stdout.String(), "\n"), h.stdout.String())
				}
			})
		})
	}
}

func TestWatchCounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness()
		h.count.Pending = 12
		ctx, cancel := contextWithTimeout(t, 3500*time.Millisecond)
		defer cancel()
		require.Zero(t, h.run(ctx, "timer", "watch", "-o", "json"))
		var rows []map[string]any
		require.NoError(t, json.Unmarshal(h.stdout.Bytes(), &rows))
		require.Len(t, rows, 4)
		require.EqualValues(t, 12, rows[0]["pending"])
	})
}

func TestImport(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "in.ndjson")
	good := `{"client_id":"c","delay":"1h","target":{"mailbox":{}}}` + "\n"
	require.NoError(t, os.WriteFile(file, []byte(good+"{\n"+good), 0o600))
	h := newHarness()
	require.Equal(t, 2, h.run(t.Context(), "timer", "import", "--file", file, "-o", "json"))
	require.Contains(t, h.stderr.String(), "1 line was refused")
	var got importResult
	require.NoError(t, json.Unmarshal(h.stdout.Bytes(), &got))
	require.EqualValues(t, 3, got.Lines)
	require.EqualValues(t, 2, got.Created)
	require.EqualValues(t, 1, got.Refused)
	require.True(t, got.Complete)
	require.Equal(t, file+".refused.ndjson", got.RefusedFile)
	require.Len(t, h.specs, 2)
	require.Equal(t, "import/"+got.ImportID+"/3", h.specs[1].Name)
	refused, err := os.ReadFile(got.RefusedFile)
	require.NoError(t, err)
	require.Contains(t, string(refused), `"line":2`)

	require.Equal(t, 2, h.run(t.Context(), "timer", "import", "--file", file), "there are refused lines still")
	require.Contains(t, h.stdout.String(), "Before   3 lines by an earlier run")
	require.Len(t, h.specs, 2, "nothing is created twice")
	h.fails(t, 2, "straight to Redis", "timer", "import", "--file", file, "--redis-url", "redis://h")
	h.fails(t, 2, "it is the file that is imported", "timer", "import", "--file", file, "--refused", dir+"/./in.ndjson")
	h.fails(t, 2, "it is the journal", "timer", "import", "--file", file, "--refused", file+".carillon-import")

	h.stdin = strings.NewReader(good)
	require.Zero(
		t,
		h.run(t.Context(), "timer", "import", "--file", "-", "--exactly-once=false", "--refused", dir+"/r"),
		h.stderr.String(),
	)
	require.Empty(t, h.specs[2].Name)
	require.NoFileExists(t, dir+"/r")

	h.err = carillon.Errorf(carillon.TypeConflict, "odd")
	require.NoError(t, errors.Join(os.Remove(file+".carillon-import"), os.Remove(got.RefusedFile)))
	h.fails(t, 6, "odd", "timer", "import", "--file", file)
}
