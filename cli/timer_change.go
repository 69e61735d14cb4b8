package cli

import (
	"context"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/carillon-io/carillon"
)

// selectionFlags choose the timers of a bulk command.
func selectionFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: flagTimerID, Usage: "`id` of a timer; once for each"},
		&cli.StringFlag{Name: flagClientID, Usage: "`id` of a client: all its timers, or with --name one of them"},
		&cli.StringFlag{Name: flagName, Usage: "`name` that the client has given the timer"},
		&cli.BoolFlag{Name: flagAll, Usage: "everybody's timers", DisableDefaultText: true},
	}
}

func (a *app) cancelCommand() *cli.Command {
	return &cli.Command{
		Name:  "cancel",
		Usage: "cancel timers, one or many",
		Description: "A timer that is being fired cannot be cancelled any more (exit code 5). Many timers are chosen by a " +
			"filter;\n" +
			"that asks first, unless --yes is given.\n\n" +
			"Examples:\n\n" +
			"  carillon timer cancel --timer-id 04000332j4rad268w5a0\n" +
			"  carillon timer cancel --client-id shop --name report-2030-01\n" +
			"  carillon timer cancel --client-id shop --due-before 24h --dry-run\n" +
			"  carillon timer cancel --client-id shop --due-before 24h --yes --reason 'shop is closed'",
		Flags: flags(
			selectionFlags(),
			[]cli.Flag{
				&cli.StringSliceFlag{Name: flagState, Usage: "only timers in this `state`: pending, due, dead; once for each"},
			},
			filterFlags(),
			bulkFlags(),
			connectionFlags(),
		),
		Action: a.action(func(ctx context.Context, in *invocation) error {
			chosen, err := in.readSelection()
			if err != nil {
				return err
			}
			return in.connect(ctx, func(ctx context.Context, s *session) error {
				return s.bulk(ctx, chosen, bulkAction{verb: "cancel", done: "cancelled", untilNone: true, do: s.cancelAll})
			})
		}),
	}
}

func (s *session) cancelAll(ctx context.Context, refs []carillon.TimerRef) ([]*carillon.Error, error) {
	results, err := s.timers.CancelAll(ctx, refs)
	errs := make([]*carillon.Error, len(results))
	for i, r := range results {
		errs[i] = r.Error
	}
	return errs, err
}

func (a *app) rescheduleCommand() *cli.Command {
	return &cli.Command{
		Name:  "reschedule",
		Usage: "move a timer to another time",
		Description: "The timer keeps its id. With --expected-version nothing is changed if somebody else was faster " +
			"(exit code 6).\n\n" +
			"Examples:\n\n" +
			"  carillon timer reschedule --timer-id 04000332j4rad268w5a0 --delay 30m\n" +
			"  carillon timer reschedule --client-id shop --name report-2030-01 --fire-at 2030-02-02T06:00:00Z " +
			"--expected-version 7",
		Flags: flags(
			refFlags(), timeFlags(),
			[]cli.Flag{
				&cli.Int64Flag{
					Name:        flagExpectedVersion,
					Usage:       "change it only if it has this `version`; describe tells it",
					DefaultText: "any",
				},
				&cli.StringFlag{
					Name:  flagRequestID,
					Usage: "an `id` of your own choice for this request, which makes it safe to repeat",
				},
			},
			payloadFlags(), connectionFlags(),
		),
		Action: a.action(func(ctx context.Context, in *invocation) error {
			input := carillon.RescheduleTimerInput{
				RequestID: in.String(flagRequestID), ExpectedVersion: in.Int64(flagExpectedVersion),
			}
			if input.ExpectedVersion < 0 {
				return flagError(flagExpectedVersion, "%d is negative", input.ExpectedVersion)
			}
			var err error
			if input.TimerRef, err = readRef(in.Context); err != nil {
				return err
			}
			if input.FireAt, input.Delay, err = in.readDue(); err != nil {
				return err
			}
			if input.Payload, err = in.readPayload(); err != nil {
				return err
			}
			return in.connect(ctx, func(ctx context.Context, s *session) error {
				result, err := call(ctx, s, func(ctx context.Context) (carillon.RescheduleTimerResult, error) {
					return s.timers.Reschedule(ctx, input)
				})
				if err != nil {
					return err
				}
				return s.out.one(result, func() []field {
					return []field{
						{"Timer", result.TimerID.String()},
						{"Fire at", s.out.when(result.FireAt)},
						{"Version", strconv.FormatInt(result.Version, 10)},
					}
				})
			})
		}),
	}
}
