package cli

import (
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/carillon-io/carillon"
)

// Names of flags.
const (
	flagOutput  = "output"
	flagTimeout = "timeout"

	flagAddress       = "address"
	flagNamespace     = "namespace"
	flagProfile       = "profile"
	flagConfigFile    = "config-file"
	flagTLS           = "tls"
	flagTLSCert       = "tls-cert-path"
	flagTLSKey        = "tls-key-path"
	flagTLSCA         = "tls-ca-path"
	flagTLSServerName = "tls-server-name"
	flagTLSNoVerify   = "tls-disable-host-verification"
	flagGroup         = "group"
	flagRedisURL      = "redis-url"

	flagTimerID  = "timer-id"
	flagClientID = "client-id"
	flagName     = "name"

	flagFireAt    = "fire-at"
	flagDelay     = "delay"
	flagState     = "state"
	flagDueFrom   = "due-from"
	flagDueBefore = "due-before"
	flagLimit     = "limit"
	flagAll       = "all"

	flagPayload         = "payload"
	flagPayloadFile     = "payload-file"
	flagPayloadEncoding = "payload-encoding"
	flagShowPayload     = "show-payload"

	flagTarget           = "target"
	flagWorkflowID       = "workflow-id"
	flagRunID            = "run-id"
	flagSignalName       = "signal-name"
	flagWorkflowType     = "workflow-type"
	flagTaskQueue        = "task-queue"
	flagTargetNamespace  = "target-namespace"
	flagExecutionTimeout = "execution-timeout"
	flagRunTimeout       = "run-timeout"
	flagURL              = "url"
	flagHeader           = "header"
	flagWebhookTimeout   = "webhook-timeout"

	flagLabel           = "label"
	flagRetryInitial    = "retry-initial-interval"
	flagRetryBackoff    = "retry-backoff-coefficient"
	flagRetryMaximum    = "retry-maximum-interval"
	flagRetryAttempts   = "retry-maximum-attempts"
	flagOnConflict      = "on-conflict"
	flagRequestID       = "request-id"
	flagExpectedVersion = "expected-version"

	flagYes    = "yes"
	flagDryRun = "dry-run"
	flagReason = "reason"
)

// Names of environment variables.
const (
	envGroup    = "CARILLON_GROUP"
	envRedisURL = "CARILLON_REDIS_URL"
)

const categoryConnection = "Connection"

// outputFlag is a flag of every command.
func outputFlag() cli.Flag {
	return &cli.StringFlag{
		Name: flagOutput, Aliases: []string{"o"}, Value: string(FormatText), Usage: "form of the output: text, json or jsonl",
	}
}

// readFormat reads --output.
func readFormat(c *cli.Context) (Format, error) {
	switch f := Format(c.String(flagOutput)); f {
	case FormatText, FormatJSON, FormatJSONL:
		return f, nil
	default:
		return FormatText, flagError(flagOutput, "%q is none of text, json, jsonl", c.String(flagOutput))
	}
}

// refFlags name one timer.
func refFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: flagTimerID, Usage: "`id` of the timer"},
		&cli.StringFlag{Name: flagClientID, Usage: "`id` of the timer's client, together with --name"},
		&cli.StringFlag{Name: flagName, Usage: "`name` that the client has given the timer"},
	}
}

// readRef reads what refFlags say.
func readRef(c *cli.Context) (carillon.TimerRef, error) {
	id, client, name := c.String(flagTimerID), c.String(flagClientID), c.String(flagName)
	switch {
	case id == "" && name == "" && client == "":
		return carillon.TimerRef{}, carillon.InvalidArgument("", "which timer? Say --timer-id, or --client-id and --name")
	case id != "" && (name != "" || client != ""):
		return carillon.TimerRef{}, flagError(
			flagTimerID,
			"name the timer by --timer-id, or by --client-id and --name, not by both",
		)
	case id != "":
		return parseTimerID(id)
	}
	return namedRef(client, name)
}

func namedRef(client, name string) (carillon.TimerRef, error) {
	ref := carillon.TimerRef{ClientID: client, Name: name}
	switch {
	case name == "":
		return ref, flagError(flagName, "--client-id needs --name beside it, to name one timer")
	case client == "":
		return ref, flagError(flagClientID, "--name needs --client-id beside it: names are the client's own")
	}
	return ref, ref.Validate()
}

func parseTimerID(text string) (carillon.TimerRef, error) {
	id, err := carillon.ParseID(text)
	if err != nil {
		return carillon.TimerRef{}, err
	}
	return carillon.TimerRef{TimerID: id}, nil
}

// readTime reads a time as RFC 3339 has it, or a moment as far away as a duration says (-1h, 30m).
func readTime(c *cli.Context, flag string, now time.Time) (time.Time, error) {
	text := c.String(flag)
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(strings.TrimPrefix(text, "+")); err == nil {
		return now.Add(d), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, flagError(flag, "%q is no time; write one like 2030-01-31T12:00:00Z, or how far away it is, like 90m", text)
	}
	return t, nil
}

// readDelay reads a duration that must not be negative.
func readDelay(c *cli.Context, flag string) (time.Duration, error) {
	d := c.Duration(flag)
	if d < 0 {
		return 0, flagError(flag, "%s is negative", d)
	}
	return d, nil
}

// readPairs reads a flag that is given once for each key=value.
func readPairs(c *cli.Context, flag string) (map[string]string, error) {
	values := c.StringSlice(flag)
	if len(values) == 0 {
		return nil, nil
	}
	pairs := make(map[string]string, len(values))
	for _, v := range values {
		key, value, found := strings.Cut(v, "=")
		if !found || key == "" {
			return nil, flagError(flag, "one of them is not key=value")
		}
		if _, twice := pairs[key]; twice {
			return nil, flagError(flag, "%q is given twice", key)
		}
		pairs[key] = value
	}
	return pairs, nil
}

// bulkFlags are the flags of commands that may change many timers.
func bulkFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: flagYes, Aliases: []string{"y"}, Usage: "do not ask before many timers are changed"},
		&cli.BoolFlag{Name: flagDryRun, Usage: "only show which timers it would be"},
		&cli.StringFlag{Name: flagReason, Usage: "why; `text` that is repeated in the answer, for your own record"},
	}
}

// filterFlags choose timers.
func filterFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{
			Name:  flagDueFrom,
			Usage: "only timers due at this `time` or later: RFC 3339, or how far away, like 90m",
		},
		&cli.StringFlag{Name: flagDueBefore, Usage: "only timers due before this `time`"},
	}
}

// readFilter reads what filterFlags, --client-id and --state say.
func readFilter(c *cli.Context, now time.Time) (in carillon.ListTimersInput, err error) {
	in.ClientID = c.String(flagClientID)
	if in.DueFrom, err = readTime(c, flagDueFrom, now); err != nil {
		return in, err
	}
	if in.DueBefore, err = readTime(c, flagDueBefore, now); err != nil {
		return in, err
	}
	if !in.DueFrom.IsZero() && !in.DueBefore.IsZero() && !in.DueFrom.Before(in.DueBefore) {
		return in, flagError(flagDueBefore, "it is not after --due-from, so no timer can be in between")
	}
	for _, s := range c.StringSlice(flagState) {
		for _, name := range strings.Split(s, ",") {
			state := carillon.State(strings.TrimSpace(name))
			switch state {
			case carillon.StatePending, carillon.StateDue, carillon.StateFiring, carillon.StateDead:
				in.States = append(in.States, state)
			default:
				return in, flagError(
					flagState,
					"%q is none of pending, due, firing, dead; what is fired or cancelled is not listed",
					name,
				)
			}
		}
	}
	return in, nil
}
