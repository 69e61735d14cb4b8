package cli

import (
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/carillon-io/carillon"
)

// targetsOf says which kinds of target a flag belongs to.
var targetsOf = map[string][]carillon.TargetKind{
	flagWorkflowID:       {carillon.KindSignal, carillon.KindStart},
	flagRunID:            {carillon.KindSignal},
	flagSignalName:       {carillon.KindSignal},
	flagWorkflowType:     {carillon.KindStart},
	flagTaskQueue:        {carillon.KindStart},
	flagTargetNamespace:  {carillon.KindSignal, carillon.KindStart},
	flagExecutionTimeout: {carillon.KindStart},
	flagRunTimeout:       {carillon.KindStart},
	flagURL:              {carillon.KindWebhook},
	flagHeader:           {carillon.KindWebhook},
	flagWebhookTimeout:   {carillon.KindWebhook},
}

// targetFlags say where a payload goes.
func targetFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: flagTarget, Usage: "where the payload goes: signal, start, webhook or mailbox (required)"},
		&cli.StringFlag{
			Name:  flagWorkflowID,
			Usage: "signal: `id` of the workflow; start: id of the new one (default: the timer's id)",
		},
		&cli.StringFlag{Name: flagRunID, Usage: "signal: `id` of one run (default: the run that is current then)"},
		&cli.StringFlag{Name: flagSignalName, Usage: "signal: `name` of the signal"},
		&cli.StringFlag{Name: flagWorkflowType, Usage: "start: `type` of the workflow"},
		&cli.StringFlag{Name: flagTaskQueue, Usage: "start: `name` of the workflow's task queue"},
		&cli.StringFlag{
			Name:  flagTargetNamespace,
			Usage: "signal, start: `namespace` of the workflow (default: that of Carillon's worker)",
		},
		&cli.DurationFlag{
			Name:        flagExecutionTimeout,
			Usage:       "start: execution timeout of the workflow",
			DefaultText: "the namespace's",
		},
		&cli.DurationFlag{Name: flagRunTimeout, Usage: "start: run timeout of the workflow", DefaultText: "the namespace's"},
		&cli.StringFlag{Name: flagURL, Usage: "webhook: the `URL` that is posted to"},
		&cli.StringSliceFlag{Name: flagHeader, Usage: "webhook: a header as `name=value`; once for each"},
		&cli.DurationFlag{
			Name:        flagWebhookTimeout,
			Usage:       "webhook: how long one attempt may take, up to 60s",
			DefaultText: "10s",
		},
	}
}

// readTarget reads targetFlags, and refuses those of another kind: who gives one expects something of it.
func (in *invocation) readTarget() (carillon.Target, error) {
	kind := carillon.TargetKind(in.String(flagTarget))
	switch kind {
	case carillon.KindSignal, carillon.KindStart, carillon.KindWebhook, carillon.KindMailbox:
	case "":
		return carillon.Target{}, flagError(flagTarget, "where does it go? Say signal, start, webhook or mailbox")
	default:
		return carillon.Target{}, flagError(flagTarget, "%q is none of signal, start, webhook, mailbox", kind)
	}
	for _, f := range targetFlags() {
		name := f.Names()[0]
		if kinds, known := targetsOf[name]; known && in.IsSet(name) && !slices.Contains(kinds, kind) {
			return carillon.Target{}, flagError(name, "a target of kind %s has none", kind)
		}
	}
	require := func(names ...string) error {
		for _, name := range names {
			if in.String(name) == "" {
				return flagError(name, "a target of kind %s needs it", kind)
			}
		}
		return nil
	}
	namespace := in.String(flagTargetNamespace)
	switch kind {
	case carillon.KindSignal:
		return carillon.Target{Signal: &carillon.SignalTarget{
			Namespace: namespace, WorkflowID: in.String(flagWorkflowID), RunID: in.String(flagRunID),
			SignalName: in.String(flagSignalName),
		}}, require(flagWorkflowID, flagSignalName)
	case carillon.KindStart:
		return carillon.Target{Start: &carillon.StartTarget{
			Namespace: namespace, WorkflowID: in.String(flagWorkflowID), WorkflowType: in.String(flagWorkflowType),
			TaskQueue: in.String(flagTaskQueue),
			ExecutionTimeout: carillon.Duration(
				in.Duration(flagExecutionTimeout),
			), RunTimeout: carillon.Duration(in.Duration(flagRunTimeout)),
		}}, require(flagWorkflowType, flagTaskQueue)
	case carillon.KindWebhook:
		headers, err := readPairs(in.Context, flagHeader)
		if err != nil {
			return carillon.Target{}, err
		}
		return carillon.Target{Webhook: &carillon.WebhookTarget{
			URL: in.String(flagURL), Headers: headers, Timeout: carillon.Duration(in.Duration(flagWebhookTimeout)),
		}}, require(flagURL)
	default:
		return carillon.ToMailbox(), nil
	}
}
