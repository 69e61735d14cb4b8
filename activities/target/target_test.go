package target

import (
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http/httpguts"

	"github.com/carillon-io/carillon"
)

func TestKey(t *testing.T) {
	t.Parallel()
	id := testID.String()
	for _, test := range []struct {
		name     string
		delivery Delivery
		want     string
	}{
		{"once", Delivery{TimerID: testID, Incarnation: 1}, id + "-1"},
		{"later incarnation", Delivery{TimerID: testID, Incarnation: 99, Attempt: 3}, id + "-99"},
		{"recurring", Delivery{TimerID: testID, Incarnation: 99, Occurrence: 2}, id + "-99-2"},
		{
			"longest",
			Delivery{TimerID: testID, Incarnation: 1<<63 - 1, Occurrence: 1<<63 - 1},
			id + "-9223372036854775807-9223372036854775807",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, test.want, test.delivery.Key())
			require.LessOrEqual(t, len(test.delivery.Key()), 61)
			require.Regexp(t, `^[0-9a-z-]+$`, test.delivery.Key())
		})
	}
}

func TestWorkflowID(t *testing.T) {
	t.Parallel()
	start := carillon.ToStart("Invoice", "queue")
	own := carillon.Target{Start: &carillon.StartTarget{WorkflowID: "mine", WorkflowType: "Invoice", TaskQueue: "queue"}}
	for _, test := range []struct {
		name     string
		delivery Delivery
		want     string
	}{
		{"no name", Delivery{TimerID: testID, Incarnation: 5, Target: start}, testID.String()},
		{"a name", Delivery{TimerID: testID, Name: "n", Incarnation: 5, Target: start}, testID.String() + "-5"},
		{"recurring", Delivery{TimerID: testID, Incarnation: 5, Occurrence: 2, Target: start}, testID.String() + "-5-2"},
		{"its own", Delivery{TimerID: testID, Name: "n", Incarnation: 5, Target: own}, "mine"},
		{"no start", Delivery{TimerID: testID, Target: carillon.ToMailbox()}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, test.want, WorkflowID(&test.delivery))
		})
	}
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	targets := newTargets(t, Options{TemporalTimeout: 3 * time.Second})
	webhook := func(d time.Duration) carillon.Target {
		return carillon.Target{Webhook: &carillon.WebhookTarget{URL: "https://host", Timeout: carillon.Duration(d)}}
	}
	require.Equal(t, 3*time.Second, targets.Timeout(carillon.ToSignal("w", "s")))
	require.Equal(t, 3*time.Second, targets.Timeout(carillon.ToStart("w", "q")))
	require.Equal(t, DefaultTemporalTimeout, newTargets(t, Options{}).Timeout(carillon.ToSignal("w", "s")))
	require.Equal(t, DefaultWebhookTimeout, targets.Timeout(webhook(0)))
	require.Equal(t, time.Second, targets.Timeout(webhook(time.Second)))
	require.Equal(t, carillon.MaxWebhookTimeout, targets.Timeout(webhook(time.Hour)))
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for field, o := range map[string]Options{
		"TemporalTimeout":         {TemporalTimeout: -1},
		"Webhook.MaxConnsPerHost": {Webhook: WebhookOptions{MaxConnsPerHost: -1}},
		"Webhook.MaxIdleConns":    {Webhook: WebhookOptions{MaxIdleConns: -1}},
		"Webhook.IdleTimeout":     {Webhook: WebhookOptions{IdleTimeout: -1}},
		"Webhook.AllowNetworks":   {Webhook: WebhookOptions{AllowNetworks: make([]netip.Prefix, 1)}},
	} {
		_, err := New(o)
		require.ErrorIs(t, err, carillon.ErrInvalidArgument, field)
		require.Equal(t, field, carillon.AsError(err).Field)
	}
}

func TestUnknownKind(t *testing.T) {
	t.Parallel()
	targets := newTargets(t, Options{})
	for _, to := range []carillon.Target{{}, carillon.ToMailbox()} {
		err := targets.Deliver(t.Context(), delivery(to))
		require.Equal(t, Verdict{Kind: VerdictRetry}, Classify(err), "a newer worker may know it: %v", err)
	}
}

func FuzzHeaderText(f *testing.F) {
	for _, seed := range []string{"", "shop", " ", " a b ", "50%", "café", "a\x00b\r\n", "\xff", "日本"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		out := headerText(text)
		require.True(t, httpguts.ValidHeaderFieldValue(out), "%q", out)
		require.Equal(t, out, strings.TrimSpace(out), "what is trimmed on the way is lost")
		back, err := url.PathUnescape(out)
		require.NoError(t, err)
		require.Equal(t, text, back)
	})
}
