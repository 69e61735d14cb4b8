package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/carillon-io/carillon"
)

func (a *app) createCommand() *cli.Command {
	return &cli.Command{
		Name:  "create",
		Usage: "create a timer",
		Description: "When its time comes, the payload goes to the target.\n\n" +
			"Examples:\n\n" +
			"  A signal to a workflow in 90 minutes:\n" +
			"  carillon timer create --client-id shop --delay 90m --payload '{\"order\": 17}' \\\n" +
			"    --target signal --workflow-id order-17 --signal-name payment-overdue\n\n" +
			"  A workflow at a point in time, under a name of your own, so that there is one of it:\n" +
			"  carillon timer create --client-id shop --name report-2030-01 --fire-at 2030-02-01T06:00:00Z \\\n" +
			"    --target start --workflow-type MonthlyReport --task-queue reports\n\n" +
			"  A webhook, its payload from standard input:\n" +
			"  carillon timer create --client-id shop --delay 10s --payload-file - \\\n" +
			"    --target webhook --url https://example.com/hook --header 'X-Shop=17'\n\n" +
			"  The client's mailbox:\n" +
			"  carillon timer create --client-id shop --delay 10s --target mailbox --payload '\"wake up\"'",
		Flags: flags(
			[]cli.Flag{
				&cli.StringFlag{Name: flagClientID, Usage: "`id` of who asks (required)"},
				&cli.StringFlag{
					Name:  flagName,
					Usage: "a `name` of your own choice; while it is pending there is no second one of it",
				},
				&cli.StringFlag{
					Name: flagOnConflict,
					Usage: "when the name is taken: reject, keep (leave that timer as it is) or replace it; " +
						"by default the same timer is answered again and a different one is an error",
				},
			},
			timeFlags(), payloadFlags(), targetFlags(), retryFlags(),
			[]cli.Flag{
				&cli.StringSliceFlag{
					Name:  flagLabel,
					Usage: "`key=value` that is kept with the timer and shown with it; once for each",
				},
				&cli.StringFlag{
					Name: flagRequestID,
					Usage: "an `id` of your own choice for this request: given again with the same " +
						"timer within minutes, it creates nothing twice",
				},
			},
			connectionFlags(),
		),
		Action: a.action(func(ctx context.Context, in *invocation) error {
			spec, err := in.readSpec()
			if err != nil {
				return err
			}
			return in.connect(ctx, func(ctx context.Context, s *session) error { return s.create(ctx, spec) })
		}),
	}
}

// timeFlags say when a timer is due.
func timeFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{
			Name:  flagFireAt,
			Usage: "the `time` when it is due, like 2030-01-31T12:00:00Z; one in the past fires at once",
		},
		&cli.DurationFlag{
			Name:        flagDelay,
			Usage:       "how long from now it is due, like 90m, instead of --fire-at",
			DefaultText: "none",
		},
	}
}

// readDue reads timeFlags. Exactly one of them has to be given.
func (in *invocation) readDue() (at time.Time, delay time.Duration, err error) {
	switch {
	case in.IsSet(flagFireAt) && in.IsSet(flagDelay):
		return at, delay, flagError(flagFireAt, "say --fire-at or --delay, not both")
	case in.IsSet(flagDelay):
		delay, err = readDelay(in.Context, flagDelay)
		if delay == 0 {
			delay = 1 // due at once; a delay of nothing at all is taken for none
		}
		return at, delay, err
	case in.String(flagFireAt) != "":
		at, err = time.Parse(time.RFC3339, in.String(flagFireAt))
		if err != nil {
			err = flagError(
				flagFireAt,
				"%q is no time; write one like 2030-01-31T12:00:00Z, or use --delay",
				in.String(flagFireAt),
			)
		}
		return at, delay, err
	default:
		return at, delay, flagError(flagFireAt, "when is it due? Say --fire-at or --delay")
	}
}

func retryFlags() []cli.Flag {
	return []cli.Flag{
		&cli.DurationFlag{Name: flagRetryInitial, Usage: "wait before the second attempt", DefaultText: "1s"},
		&cli.Float64Flag{Name: flagRetryBackoff, Usage: "what multiplies the wait from attempt to attempt", DefaultText: "2"},
		&cli.DurationFlag{Name: flagRetryMaximum, Usage: "the longest wait", DefaultText: "100 × the first"},
		&cli.IntFlag{Name: flagRetryAttempts, Usage: "attempts before the timer is dead", DefaultText: "10"},
	}
}

func (in *invocation) readRetry() *carillon.RetryPolicy {
	set := false
	for _, name := range []string{flagRetryInitial, flagRetryBackoff, flagRetryMaximum, flagRetryAttempts} {
		set = set || in.IsSet(name)
	}
	if !set {
		return nil
	}
	return &carillon.RetryPolicy{
		InitialInterval:    carillon.Duration(in.Duration(flagRetryInitial)),
		BackoffCoefficient: in.Float64(flagRetryBackoff),
		MaximumInterval:    carillon.Duration(in.Duration(flagRetryMaximum)),
		MaximumAttempts:    in.Int(flagRetryAttempts),
	}
}

// readSpec reads the whole timer and checks it, so that a mistake is told before anything is connected to.
func (in *invocation) readSpec() (spec carillon.TimerSpec, err error) {
	spec = carillon.TimerSpec{
		ClientID: in.String(
			flagClientID,
		), Name: in.String(flagName), OnConflict: carillon.OnConflict(in.String(flagOnConflict)),
		Retry: in.readRetry(),
	}
	if spec.ClientID == "" {
		return spec, flagError(flagClientID, "whose timer is it? It is required")
	}
	if spec.FireAt, spec.Delay, err = in.readDue(); err != nil {
		return spec, err
	}
	if spec.Target, err = in.readTarget(); err != nil {
		return spec, err
	}
	if spec.Labels, err = readPairs(in.Context, flagLabel); err != nil {
		return spec, err
	}
	if spec.Payload, err = in.readPayload(); err != nil {
		return spec, err
	}
	if len(in.String(flagRequestID)) > carillon.MaxRequestID {
		return spec, flagError(
			flagRequestID,
			"it has %d bytes, the limit is %d",
			len(in.String(flagRequestID)),
			carillon.MaxRequestID,
		)
	}
	return spec, spec.Validate(in.Now())
}

func (s *session) create(ctx context.Context, spec carillon.TimerSpec) error {
	result, err := call(ctx, s, func(ctx context.Context) (carillon.CreateResult, error) {
		id := s.String(flagRequestID)
		if id == "" {
			return s.timers.Create(ctx, spec)
		}
		results, err := s.timers.CreateRequest(ctx, id, []carillon.TimerSpec{spec})
		switch {
		case len(results) != 1 && err == nil:
			return carillon.CreateResult{}, fmt.Errorf("one timer was asked for, and %d answers came", len(results))
		case err != nil:
			return carillon.CreateResult{}, err
		case results[0].Error != nil:
			return carillon.CreateResult{}, results[0].Error
		}
		return results[0], nil
	})
	if err != nil {
		return err
	}
	return s.out.one(result, func() []field {
		existing := ""
		if result.Existing {
			existing = "it was there before"
		}
		return []field{
			{"Timer", result.TimerID.String()},
			{"Fire at", s.out.when(result.FireAt)},
			{"Target", describeTarget(spec.Target)},
			{"Version", fmt.Sprint(result.Version)},
			{"Note", existing},
		}
	})
}
