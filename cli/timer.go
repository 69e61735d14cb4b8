package cli

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/urfave/cli/v2"
	commonpb "go.temporal.io/api/common/v1"
	"google.golang.org/protobuf/proto"

	"github.com/carillon-io/carillon"
)

func (a *app) timerCommands() []*cli.Command {
	return []*cli.Command{
		a.createCommand(), a.describeCommand(), a.listCommand(), a.countCommand(), a.cancelCommand(), a.rescheduleCommand(),
		a.importCommand(), a.watchCommand(),
	}
}

// flags puts a command's own flags and those of all others together.
func flags(own ...[]cli.Flag) []cli.Flag {
	all := []cli.Flag{}
	for _, f := range own {
		all = append(all, f...)
	}
	return append(all, outputFlag())
}

// describeTarget says in one line where a timer goes. A URL's query may hold a secret, and is left out.
func describeTarget(t carillon.Target) string {
	in := func(namespace string) string {
		if namespace == "" {
			return ""
		}
		return " in " + namespace
	}
	switch t.Kind() {
	case carillon.KindSignal:
		return "signal " + t.Signal.SignalName + " to " + t.Signal.WorkflowID + in(t.Signal.Namespace)
	case carillon.KindStart:
		return "start " + t.Start.WorkflowType + " on " + t.Start.TaskQueue + in(t.Start.Namespace)
	case carillon.KindWebhook:
		u, err := url.Parse(t.Webhook.URL)
		if err != nil {
			return "webhook"
		}
		if u.RawQuery != "" {
			u.RawQuery = "…"
		}
		return "webhook " + u.Redacted()
	case carillon.KindMailbox:
		return "mailbox"
	default:
		return ""
	}
}

// describePayload says what a payload is, not what it holds.
func describePayload(p *commonpb.Payload) string {
	if p == nil {
		return ""
	}
	encoding := string(p.GetMetadata()["encoding"])
	if encoding == "" {
		encoding = "no encoding"
	}
	return fmt.Sprintf("%d bytes, %s", proto.Size(p), encoding)
}

// payloadText shows what a payload holds: text as it is, other bytes in base64.
func payloadText(p *commonpb.Payload) string {
	if data := p.GetData(); utf8.Valid(data) {
		return string(data)
	}
	return base64.StdEncoding.EncodeToString(p.GetData()) + " (base64)"
}

func describeLabels(labels map[string]string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		out = append(out, k+"="+labels[k])
	}
	return strings.Join(out, "\n")
}

func describeRetry(p *carillon.RetryPolicy) string {
	if p == nil {
		return ""
	}
	full := p.WithDefaults()
	return fmt.Sprintf(
		"%d attempts, first after %s, × %s, at most %s",
		full.MaximumAttempts,
		compact(time.Duration(full.InitialInterval)),
		strconv.FormatFloat(full.BackoffCoefficient, 'g', -1, 64),
		compact(time.Duration(full.MaximumInterval)),
	)
}

// timerCard is a timer for people.
func (p *printer) timerCard(t carillon.TimerInfo) []field {
	attempts := ""
	if t.Attempts > 0 {
		attempts = strconv.Itoa(t.Attempts)
	}
	version := ""
	if t.Version > 0 {
		version = strconv.FormatInt(t.Version, 10)
	}
	return []field{
		{"Timer", t.TimerID.String()},
		{"Client", t.ClientID},
		{"Name", t.Name},
		{"State", string(t.State)},
		{"Fire at", p.when(t.FireAt)},
		{"Done at", p.when(t.DoneAt)},
		{"Created at", p.when(t.CreatedAt)},
		{"Target", describeTarget(t.Target)},
		{"Payload", describePayload(t.Payload)},
		{"Labels", describeLabels(t.Labels)},
		{"Retry", describeRetry(t.Retry)},
		{"Attempts", attempts},
		{"Last error", t.LastError},
		{"Version", version},
	}
}

func timerColumns() []column {
	return []column{
		{name: "TIMER"},
		{name: "CLIENT"},
		{name: "NAME"},
		{name: "STATE"},
		{name: "FIRE AT"},
		{name: "TARGET"},
	}
}

func timerCells(t carillon.TimerInfo) []string {
	return []string{t.TimerID.String(), t.ClientID, t.Name, string(t.State), stamp(t.FireAt), describeTarget(t.Target)}
}

// plural is "1 timer", "2 timers".
func plural(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return thousands(n) + " " + noun + "s"
}

// thousands prints 1,234,567.
func thousands(n int64) string {
	digits := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}
