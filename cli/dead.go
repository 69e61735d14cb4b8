package cli

import (
	"context"

	"github.com/urfave/cli/v2"

	"github.com/carillon-io/carillon"
)

func (a *app) deadCommand() *cli.Command {
	return &cli.Command{
		Name:  "dead",
		Usage: "timers that were given up after their last attempt",
		Subcommands: []*cli.Command{
			{
				Name:  "list",
				Usage: "list dead timers, and why they are",
				Description: "Examples:\n\n" +
					"  carillon dead list\n" +
					"  carillon dead list --client-id shop -o jsonl",
				Flags: flags(
					[]cli.Flag{&cli.StringFlag{Name: flagClientID, Usage: "only timers of the client with this `id`"}},
					filterFlags(),
					[]cli.Flag{&cli.IntFlag{Name: flagLimit, Value: defaultLimit, Usage: "how many at the most; 0: all of them"}},
					connectionFlags(),
				),
				Action: a.action(func(ctx context.Context, in *invocation) error {
					filter, err := readFilter(in.Context, in.Now())
					if err != nil {
						return err
					}
					filter.States = []carillon.State{carillon.StateDead}
					return in.connect(ctx, func(ctx context.Context, s *session) error {
						return s.list(ctx, filter, deadColumns, deadCells)
					})
				}),
			},
			{
				Name:  "redrive",
				Usage: "give dead timers another series of attempts, at once",
				Description: "Many timers are chosen by a filter; that asks first, unless --yes is given.\n\n" +
					"Examples:\n\n" +
					"  carillon dead redrive --timer-id 04000332j4rad268w5a0\n" +
					"  carillon dead redrive --client-id shop --dry-run\n" +
					"  carillon dead redrive --all --yes --reason 'the shop answers again'",
				Flags: flags(selectionFlags(), filterFlags(), bulkFlags(), connectionFlags()),
				Action: a.action(func(ctx context.Context, in *invocation) error {
					chosen, err := in.readSelection()
					if err != nil {
						return err
					}
					chosen.filter.States = []carillon.State{carillon.StateDead}
					return in.connect(ctx, func(ctx context.Context, s *session) error {
						return s.bulk(ctx, chosen, bulkAction{verb: "redrive", done: "redriven", do: s.redriveAll})
					})
				}),
			},
		},
	}
}

func deadColumns() []column {
	return []column{
		{name: "TIMER"},
		{name: "CLIENT"},
		{name: "NAME"},
		{name: "ATTEMPTS", right: true},
		{name: "TARGET"},
		{name: "LAST ERROR"},
	}
}

func deadCells(t carillon.TimerInfo) []string {
	return []string{
		t.TimerID.String(), t.ClientID, t.Name, thousands(int64(t.Attempts)), describeTarget(t.Target), t.LastError,
	}
}

func (s *session) redriveAll(ctx context.Context, refs []carillon.TimerRef) ([]*carillon.Error, error) {
	results, err := s.timers.Redrive(ctx, refs)
	errs := make([]*carillon.Error, len(results))
	for i, r := range results {
		errs[i] = r.Error
	}
	return errs, err
}
