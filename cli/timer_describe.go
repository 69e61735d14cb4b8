package cli

import (
	"context"
	"errors"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/carillon-io/carillon"
)

func (a *app) describeCommand() *cli.Command {
	return &cli.Command{
		Name:  "describe",
		Usage: "show one timer",
		Description: "What has been fired or cancelled is known for an hour.\n\n" +
			"Examples:\n\n" +
			"  carillon timer describe --timer-id 04000332j4rad268w5a0\n" +
			"  carillon timer describe --client-id shop --name report-2030-01 -o json",
		Flags: flags(
			refFlags(),
			[]cli.Flag{&cli.BoolFlag{
				Name: flagShowPayload, Usage: "show the payload too, in JSON; it is shown as it is kept", DisableDefaultText: true,
			}},
			connectionFlags(),
		),
		Action: a.action(func(ctx context.Context, in *invocation) error {
			ref, err := readRef(in.Context)
			if err != nil {
				return err
			}
			return in.connect(ctx, func(ctx context.Context, s *session) error { return s.describe(ctx, ref) })
		}),
	}
}

func (s *session) describe(ctx context.Context, ref carillon.TimerRef) error {
	info, err := call(ctx, s, func(ctx context.Context) (carillon.TimerInfo, error) { return s.timers.Describe(ctx, ref) })
	if err != nil {
		return err
	}
	card := s.out.timerCard(info)
	if s.Bool(flagShowPayload) && info.Payload != nil {
		card = append(card, field{"Data", payloadText(info.Payload)})
	}
	if !s.Bool(flagShowPayload) {
		info.Payload = nil
	}
	return s.out.one(info, func() []field { return card })
}

func (a *app) countCommand() *cli.Command {
	return &cli.Command{
		Name:  "count",
		Usage: "count timers",
		Description: "It costs the same however many there are.\n\n" +
			"Examples:\n\n" +
			"  carillon timer count\n" +
			"  carillon timer count --client-id shop -o json",
		Flags: flags(
			[]cli.Flag{&cli.StringFlag{Name: flagClientID, Usage: "only the pending timers of the client with this `id`"}},
			connectionFlags(),
		),
		Action: a.connected(func(ctx context.Context, s *session) error {
			client := s.String(flagClientID)
			n, err := call(ctx, s, func(ctx context.Context) (carillon.CountTimersResult, error) {
				return s.timers.Count(ctx, carillon.CountTimersInput{ClientID: client})
			})
			if err != nil {
				return err
			}
			return s.out.one(n, func() []field {
				if client != "" {
					return []field{{"Pending", thousands(n.Pending)}}
				}
				return []field{
					{"Pending", thousands(n.Pending)},
					{"  due", thousands(n.Due)},
					{"  firing", thousands(n.Firing)},
					{"Dead", thousands(n.Dead)},
					{"Created", thousands(n.Created)},
					{"Fired", thousands(n.Fired)},
					{"Cancelled", thousands(n.Cancelled)},
				}
			})
		}),
	}
}

func (a *app) listCommand() *cli.Command {
	return &cli.Command{
		Name:  "list",
		Usage: "list timers that are not done",
		Description: "They come in no order, as they are found. What has been fired or cancelled is not listed.\n\n" +
			"Examples:\n\n" +
			"  carillon timer list --client-id shop\n" +
			"  carillon timer list --due-before 1h --limit 10000 -o jsonl | jq .name\n" +
			"  carillon timer list --state dead",
		Flags: flags(
			[]cli.Flag{
				&cli.StringFlag{Name: flagClientID, Usage: "only timers of the client with this `id`"},
				&cli.StringSliceFlag{
					Name: flagState,
					Usage: "only timers in this `state`: pending, due, firing, dead; once for each " +
						"(default: all but dead)",
				},
			},
			filterFlags(),
			[]cli.Flag{&cli.IntFlag{Name: flagLimit, Value: defaultLimit, Usage: "how many at the most; 0: all of them"}},
			connectionFlags(),
		),
		Action: a.action(func(ctx context.Context, in *invocation) error {
			filter, err := readFilter(in.Context, in.Now())
			if err != nil {
				return err
			}
			return in.connect(ctx, func(ctx context.Context, s *session) error {
				return s.list(ctx, filter, timerColumns, timerCells)
			})
		}),
	}
}

// defaultLimit keeps a first look from becoming a flood.
const defaultLimit = 1000

// list prints the timers that a filter lets through.
func (s *session) list(
	ctx context.Context, filter carillon.ListTimersInput, columns func() []column, cells func(carillon.TimerInfo) []string,
) error {
	limit := s.Int(flagLimit)
	if limit < 0 {
		return flagError(flagLimit, "%d is negative", limit)
	}
	if err := s.probe(ctx); err != nil {
		return err
	}
	filter.PageSize = carillon.MaxPageSize
	if limit > 0 {
		filter.PageSize = min(filter.PageSize, limit)
	}
	out := s.out.list(columns()...)
	more := false
	for info, err := range s.timers.List(ctx, filter) {
		if err != nil {
			return errors.Join(err, out.close()) // what came before the error is whole
		}
		if limit > 0 && out.count == limit {
			more = true
			break
		}
		info.Payload = nil
		if err := out.add(info, cells(info)...); err != nil {
			return err
		}
	}
	if err := out.close(); err != nil {
		return err
	}
	switch {
	case more:
		s.note("There are more: --limit %s shows them.", strconv.Itoa(limit*10))
	case out.count == 0 && s.format == FormatText:
		s.note("No timers.")
	}
	return nil
}
