package carillon

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
)

var testNow = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

func goodSpec() TimerSpec {
	return TimerSpec{ClientID: "shop", FireAt: testNow.Add(time.Minute), Target: ToMailbox()}
}

func TestValidateAccepts(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*TimerSpec){
		"least":           func(*TimerSpec) {},
		"far past":        func(s *TimerSpec) { s.FireAt = time.Unix(-1e9, 0) },
		"delay":           func(s *TimerSpec) { s.FireAt, s.Delay = time.Time{}, 1 },
		"longest delay":   func(s *TimerSpec) { s.FireAt, s.Delay = time.Time{}, MaxHorizon },
		"farthest":        func(s *TimerSpec) { s.FireAt = testNow.Add(MaxHorizon) },
		"longest client":  func(s *TimerSpec) { s.ClientID = strings.Repeat("é", MaxClientID/2) },
		"longest name":    func(s *TimerSpec) { s.Name = strings.Repeat("x", MaxName) },
		"on conflict":     func(s *TimerSpec) { s.Name, s.OnConflict = "n", ConflictReplace },
		"empty payload":   func(s *TimerSpec) { s.Payload = &commonpb.Payload{} },
		"largest payload": func(s *TimerSpec) { s.Payload = &commonpb.Payload{Data: make([]byte, MaxPayload-4)} },
		"retry of zeros":  func(s *TimerSpec) { s.Retry = &RetryPolicy{} },
		"retry": func(s *TimerSpec) {
			s.Retry = &RetryPolicy{Duration(MaxHorizon), 100, Duration(MaxHorizon), 10_000}
		},
		"label without text": func(s *TimerSpec) { s.Labels = map[string]string{"k": ""} },
		"webhook": func(s *TimerSpec) {
			s.Target = Target{Webhook: &WebhookTarget{
				URL: "https://host.example:8443/p?q=1#f", Timeout: Duration(MaxWebhookTimeout),
				Headers: map[string]string{"X-A": "é\tb", "authorization": "Bearer x"},
			}}
		},
		"webhook to an address": func(s *TimerSpec) { s.Target = ToWebhook("http://[::1]:80/") },
		"signal": func(s *TimerSpec) {
			s.Target = ToSignal("w", "s")
			s.Target.Signal.RunID = "8f14e45f-ceea-467f-9af2-8f0a4c1f3c5b"
		},
		"start": func(s *TimerSpec) { s.Target = ToStart("type", "queue") },
	} {
		s := goodSpec()
		change(&s)
		require.NoError(t, s.Validate(testNow), name)
	}
}

func TestValidateRefuses(t *testing.T) {
	t.Parallel()
	labels := func(n int) map[string]string {
		out := map[string]string{}
		for i := range n {
			out[fmt.Sprint(i)] = ""
		}
		return out
	}
	signal := func(change func(*SignalTarget)) func(*TimerSpec) {
		return func(s *TimerSpec) { s.Target = ToSignal("w", "s"); change(s.Target.Signal) }
	}
	start := func(change func(*StartTarget)) func(*TimerSpec) {
		return func(s *TimerSpec) { s.Target = ToStart("t", "q"); change(s.Target.Start) }
	}
	webhook := func(change func(*WebhookTarget)) func(*TimerSpec) {
		return func(s *TimerSpec) { s.Target = ToWebhook("https://host"); change(s.Target.Webhook) }
	}
	url := func(text string) func(*TimerSpec) { return webhook(func(w *WebhookTarget) { w.URL = text }) }
	header := func(name, value string) func(*TimerSpec) {
		return webhook(func(w *WebhookTarget) { w.Headers = map[string]string{name: value} })
	}
	long := strings.Repeat("x", maxTemporalID+1)
	type refused struct {
		name   string
		change func(*TimerSpec)
		field  string
		says   string
	}
	tests := []refused{
		{"no client", func(s *TimerSpec) { s.ClientID = "" }, "client_id", "required"},
		{"long client", func(s *TimerSpec) { s.ClientID = long }, "client_id", "the limit is 200"},
		{"client of no UTF-8", func(s *TimerSpec) { s.ClientID = "a\xff" }, "client_id", "UTF-8"},
		{"client of two lines", func(s *TimerSpec) { s.ClientID = "a\nb" }, "client_id", "U+000A"},
		{"client with DEL", func(s *TimerSpec) { s.ClientID = "a\x7f" }, "client_id", "U+007F"},
		{"long name", func(s *TimerSpec) { s.Name = long }, "name", "the limit is 500"},
		{"name of no UTF-8", func(s *TimerSpec) { s.Name = "\xc3" }, "name", "UTF-8"},
		{"no time", func(s *TimerSpec) { s.FireAt = time.Time{} }, "fire_at", "fire_at, or a delay"},
		{"two times", func(s *TimerSpec) { s.Delay = 1 }, "fire_at", "not both"},
		{"negative delay", func(s *TimerSpec) { s.FireAt, s.Delay = time.Time{}, -1 }, "delay", "negative"},
		{"long delay", func(s *TimerSpec) { s.FireAt, s.Delay = time.Time{}, MaxHorizon+1 }, "fire_at", "100 years"},
		{"longest int", func(s *TimerSpec) { s.FireAt, s.Delay = time.Time{}, math.MaxInt64 }, "fire_at", "100 years"},
		{"too far", func(s *TimerSpec) { s.FireAt = testNow.Add(MaxHorizon + 1) }, "fire_at", "100 years"},
		{"end of time", func(s *TimerSpec) { s.FireAt = time.Unix(1<<62, 0) }, "fire_at", "100 years"},
		{
			"large payload", func(s *TimerSpec) { s.Payload = &commonpb.Payload{Data: make([]byte, MaxPayload)} },
			"payload", "limit",
		},
		{
			"payload of no UTF-8", func(s *TimerSpec) {
				s.Payload = &commonpb.Payload{Metadata: map[string][]byte{"\xff": nil}}
			},
			"payload", "UTF-8",
		},
		{"no target", func(s *TimerSpec) { s.Target = Target{} }, "target", "exactly one"},
		{"two targets", func(s *TimerSpec) { s.Target.Webhook = &WebhookTarget{URL: "https://h"} }, "target", "exactly one"},
		{
			"coefficient below 1", func(s *TimerSpec) { s.Retry = &RetryPolicy{BackoffCoefficient: 0.5} },
			"retry.backoff_coefficient", "between 1 and 100",
		},
		{
			"negative coefficient", func(s *TimerSpec) { s.Retry = &RetryPolicy{BackoffCoefficient: -1} },
			"retry.backoff_coefficient", "between 1 and 100",
		},
		{
			"large coefficient", func(s *TimerSpec) { s.Retry = &RetryPolicy{BackoffCoefficient: 101} },
			"retry.backoff_coefficient", "between 1 and 100",
		},
		{
			"coefficient of NaN", func(s *TimerSpec) { s.Retry = &RetryPolicy{BackoffCoefficient: math.NaN()} },
			"retry.backoff_coefficient", "between 1 and 100",
		},
		{
			"infinite coefficient", func(s *TimerSpec) { s.Retry = &RetryPolicy{BackoffCoefficient: math.Inf(1)} },
			"retry.backoff_coefficient", "between 1 and 100",
		},
		{
			"negative attempts", func(s *TimerSpec) { s.Retry = &RetryPolicy{MaximumAttempts: -1} },
			"retry.maximum_attempts", "10000",
		},
		{
			"many attempts", func(s *TimerSpec) { s.Retry = &RetryPolicy{MaximumAttempts: 10_001} },
			"retry.maximum_attempts", "10000",
		},
		{
			"negative interval", func(s *TimerSpec) { s.Retry = &RetryPolicy{InitialInterval: -1} },
			"retry.initial_interval", "negative",
		},
		{
			"negative longest", func(s *TimerSpec) { s.Retry = &RetryPolicy{MaximumInterval: -1} },
			"retry.maximum_interval", "negative",
		},
		{
			"long interval", func(s *TimerSpec) { s.Retry = &RetryPolicy{InitialInterval: math.MaxInt64} },
			"retry.initial_interval", "100 years",
		},
		{
			"long longest", func(s *TimerSpec) { s.Retry = &RetryPolicy{MaximumInterval: math.MaxInt64} },
			"retry.maximum_interval", "100 years",
		},
		{"many labels", func(s *TimerSpec) { s.Labels = labels(MaxLabels + 1) }, "labels", "at most 16"},
		{"empty label", func(s *TimerSpec) { s.Labels = map[string]string{"": "v"} }, "labels", "required"},
		{"long label", func(s *TimerSpec) { s.Labels = map[string]string{long: ""} }, "labels", "limit"},
		{"long label text", func(s *TimerSpec) { s.Labels = map[string]string{"k": long} }, "labels", "limit"},
		{"label of no UTF-8", func(s *TimerSpec) { s.Labels = map[string]string{"k": "\xff"} }, "labels", "UTF-8"},
		{
			"unknown conflict", func(s *TimerSpec) { s.Name, s.OnConflict = "n", "shrug" },
			"on_conflict", "reject, keep, replace",
		},
		{"conflict without name", func(s *TimerSpec) { s.OnConflict = ConflictKeep }, "on_conflict", "there is no name"},

		{"no workflow", signal(func(s *SignalTarget) { s.WorkflowID = "" }), "target.signal.workflow_id", "required"},
		{"long workflow", signal(func(s *SignalTarget) { s.WorkflowID = long }), "target.signal.workflow_id", "limit"},
		{"no signal", signal(func(s *SignalTarget) { s.SignalName = "" }), "target.signal.signal_name", "required"},
		{"signal of no UTF-8", signal(func(s *SignalTarget) { s.SignalName = "\xff" }), "target.signal.signal_name", "UTF-8"},
		{"long namespace", signal(func(s *SignalTarget) { s.Namespace = long }), "target.signal.namespace", "limit"},
		{"run id", signal(func(s *SignalTarget) { s.RunID = "the latest" }), "target.signal.run_id", "no run id"},
		{"no type", start(func(s *StartTarget) { s.WorkflowType = "" }), "target.start.workflow_type", "required"},
		{"no task queue", start(func(s *StartTarget) { s.TaskQueue = "" }), "target.start.task_queue", "required"},
		{"long id", start(func(s *StartTarget) { s.WorkflowID = long }), "target.start.workflow_id", "limit"},
		{"namespace of no UTF-8", start(func(s *StartTarget) { s.Namespace = "\xff" }), "target.start.namespace", "UTF-8"},
		{
			"negative timeout", start(func(s *StartTarget) { s.ExecutionTimeout = -1 }),
			"target.start.execution_timeout", "negative",
		},
		{"negative run", start(func(s *StartTarget) { s.RunTimeout = -1 }), "target.start.run_timeout", "negative"},

		{"no URL", url(""), "target.webhook.url", "required"},
		{"long URL", url("https://h/" + strings.Repeat("x", 2048)), "target.webhook.url", "limit"},
		{"bad URL", url("https://%zz"), "target.webhook.url", "no URL"},
		{"URL with a space", url("https://a b/"), "target.webhook.url", "no URL"},
		{"relative URL", url("/path"), "target.webhook.url", "only http and https"},
		{"other scheme", url("ftp://host"), "target.webhook.url", "only http and https"},
		{"no host", url("https://"), "target.webhook.url", "names no host"},
		{"port alone", url("https://:80/"), "target.webhook.url", "names no host"},
		{"opaque", url("https:host"), "target.webhook.url", "names no host"},
		{"password", url("https://user:secret@host"), "target.webhook.url", "put credentials into headers"},
		{"port 0", url("https://host:0"), "target.webhook.url", "between 1 and 65535"},
		{"port 65536", url("https://host:65536"), "target.webhook.url", "between 1 and 65535"},
		{
			"long timeout", webhook(func(w *WebhookTarget) { w.Timeout = Duration(MaxWebhookTimeout + 1) }),
			"target.webhook.timeout", "limit",
		},
		{"negative wait", webhook(func(w *WebhookTarget) { w.Timeout = -1 }), "target.webhook.timeout", "negative"},
		{"many headers", webhook(func(w *WebhookTarget) { w.Headers = labels(33) }), "target.webhook.headers", "at most 32"},
		{
			"header twice", webhook(func(w *WebhookTarget) { w.Headers = map[string]string{"x-a": "1", "X-A": "2"} }),
			"target.webhook.headers", "twice",
		},
		{"long header", header("x", strings.Repeat("x", 4097)), "target.webhook.headers", "limit is 4096"},
		{"header of no UTF-8", header("x", "a\xff"), "target.webhook.headers", "UTF-8"},
		{"two headers in one", header("x", "a\r\nhost: b"), "target.webhook.headers", "control character"},
		{"header with NUL", header("x", "a\x00"), "target.webhook.headers", "control character"},
	}
	for _, name := range []string{"", "a b", "a:b", "é", strings.Repeat("x", 257), "a\r\n"} {
		tests = append(tests, refused{"header " + name, header(name, "v"), "target.webhook.headers", "no header name"})
	}
	for _, name := range []string{
		"Host", "content-length", "Content-Type", "content-encoding", "TE", "connection", "keep-alive", "Expect", "upgrade",
		"Webhook-Id", "webhook-anything", "carillon-timer-id", "CARILLON-X", "transfer-encoding", "trailer",
		"proxy-connection",
	} {
		tests = append(tests, refused{name, header(name, "v"), "target.webhook.headers", "take another name"})
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := goodSpec()
			test.change(&s)
			err := s.Validate(testNow)
			require.ErrorIs(t, err, ErrInvalidArgument)
			require.Equal(t, test.field, AsError(err).Field)
			require.ErrorContains(t, err, test.says)
			require.NotContains(t, err.Error(), "secret")
		})
	}
}

func TestTimerRef(t *testing.T) {
	t.Parallel()
	id := NewID(0, 0, Unique{1})
	for _, good := range []TimerRef{
		{TimerID: id}, {TimerID: id, ClientID: "shop"}, {ClientID: "shop", Name: "n"},
	} {
		require.NoError(t, good.Validate())
	}
	for field, bad := range map[string][]TimerRef{
		"timer_id":  {{}, {ClientID: "shop"}, {TimerID: id, Name: "n"}, {TimerID: id, ClientID: "shop", Name: "n"}},
		"client_id": {{Name: "n"}, {ClientID: strings.Repeat("x", MaxClientID+1), Name: "n"}, {ClientID: "\xff", Name: "n"}},
		"name":      {{ClientID: "c", Name: "\xff"}, {ClientID: "c", Name: strings.Repeat("x", MaxName+1)}},
	} {
		for _, ref := range bad {
			err := ref.Validate()
			require.ErrorIs(t, err, ErrInvalidArgument)
			require.Equal(t, field, AsError(err).Field)
		}
	}
}

func TestDue(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1_000_000).Add(300 * time.Microsecond)
	for name, test := range map[string]struct {
		spec TimerSpec
		want int64
	}{
		"whole":             {TimerSpec{FireAt: time.UnixMilli(5)}, 5},
		"rounded up":        {TimerSpec{FireAt: time.UnixMilli(5).Add(1)}, 6},
		"before 1970":       {TimerSpec{FireAt: time.UnixMilli(-5)}, 0},
		"just before 1970":  {TimerSpec{FireAt: time.UnixMilli(0).Add(-1)}, 0},
		"year 1":            {TimerSpec{FireAt: time.Time{}.Add(1)}, 0},
		"delay":             {TimerSpec{Delay: 700 * time.Microsecond}, 1_000_001},
		"delay, rounded up": {TimerSpec{Delay: time.Millisecond}, 1_000_002},
		"end of time":       {TimerSpec{FireAt: time.Unix(math.MaxInt64/1000, 0)}, math.MaxInt64},
		"past the end":      {TimerSpec{FireAt: time.Unix(1<<61, 0)}, math.MaxInt64},
	} {
		require.Equal(t, test.want, test.spec.Due(now), name)
	}
}

func TestRetryDefaults(t *testing.T) {
	t.Parallel()
	require.Equal(t, DefaultRetry, (*RetryPolicy)(nil).WithDefaults())
	require.Equal(t, DefaultRetry, (&RetryPolicy{}).WithDefaults())
	full := RetryPolicy{Duration(1), 3, Duration(4), 5}
	require.Equal(t, full, full.WithDefaults())
	require.Equal(t, Duration(300*time.Second),
		(&RetryPolicy{InitialInterval: Duration(3 * time.Second)}).WithDefaults().MaximumInterval)
	long := (&RetryPolicy{InitialInterval: Duration(MaxHorizon)}).WithDefaults()
	require.Positive(t, long.MaximumInterval)
	require.LessOrEqual(t, long.MaximumInterval, Duration(MaxHorizon))
}

func TestRetryNext(t *testing.T) {
	t.Parallel()
	s := func(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }
	for _, test := range []struct {
		name   string
		policy RetryPolicy
		waits  []time.Duration
	}{
		{"default", DefaultRetry, []time.Duration{s(1), s(2), s(4), s(8), s(16), s(32), s(64), s(100), s(100)}},
		{"constant", RetryPolicy{Duration(s(3)), 1, Duration(s(100)), 4}, []time.Duration{s(3), s(3), s(3)}},
		{"fraction", RetryPolicy{Duration(s(2)), 1.5, Duration(s(4)), 5}, []time.Duration{s(2), s(3), s(4), s(4)}},
		{"one attempt", RetryPolicy{Duration(s(1)), 2, Duration(s(1)), 1}, nil},
		{"capped at once", RetryPolicy{Duration(s(10)), 2, Duration(s(5)), 3}, []time.Duration{s(5), s(5)}},
		{"longest", RetryPolicy{math.MaxInt64, 100, math.MaxInt64, 3}, []time.Duration{math.MaxInt64, math.MaxInt64}},
	} {
		var got []time.Duration
		for attempt := 1; ; attempt++ {
			wait, more := test.policy.Next(attempt)
			if !more {
				require.Zero(t, wait)
				break
			}
			got = append(got, wait)
		}
		require.Equal(t, test.waits, got, test.name)
	}
	many := RetryPolicy{Duration(s(1)), 2, Duration(s(60)), 10_000}
	wait, more := many.Next(9_999)
	require.True(t, more)
	require.Equal(t, s(60), wait)
	_, more = many.Next(10_000)
	require.False(t, more)
}

func TestStateDone(t *testing.T) {
	t.Parallel()
	for state, done := range map[State]bool{
		StatePending: false, StateDue: false, StateFiring: false, StateFired: true, StateCancelled: true, StateDead: true,
	} {
		require.Equal(t, done, state.Done(), state)
	}
}

func TestTargetKind(t *testing.T) {
	t.Parallel()
	require.Equal(t, KindSignal, ToSignal("w", "s").Kind())
	require.Equal(t, KindStart, ToStart("t", "q").Kind())
	require.Equal(t, KindWebhook, ToWebhook("u").Kind())
	require.Equal(t, KindMailbox, ToMailbox().Kind())
	require.Empty(t, Target{}.Kind())
	require.Empty(t, Target{Mailbox: &MailboxTarget{}, Webhook: &WebhookTarget{}}.Kind())
}
