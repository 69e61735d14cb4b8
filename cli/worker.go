package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/carillon-io/carillon"
)

const (
	flagWorkerID = "worker-id"
	flagUndo     = "undo"
)

func (a *app) workerCommand() *cli.Command {
	return &cli.Command{
		Name:  "worker",
		Usage: "the workers of the group",
		Subcommands: []*cli.Command{
			{
				Name:  "list",
				Usage: "list the living workers, with what they hold",
				Description: "Examples:\n\n" +
					"  carillon worker list\n" +
					"  carillon worker list --watch --interval 500ms\n" +
					"  carillon worker list -o jsonl",
				Flags: flags(watchFlags(), connectionFlags()),
				Action: a.watched(func(ctx context.Context, s *session) (view, error) {
					g, err := s.timers.DescribeGroup(ctx, carillon.DescribeGroupInput{WithoutTasks: true})
					return workersView(g), err
				}),
			},
			{
				Name:  "drain",
				Usage: "make a worker give away its tasks and take no more, or take that back",
				Description: "Nothing becomes late: each task is handed over. The worker goes on running, without tasks,\n" +
					"until it is stopped. To drain the last worker that takes tasks asks first, unless --yes is given:\n" +
					"it keeps what it has then, until another one comes.\n\n" +
					"Examples:\n\n" +
					"  carillon worker drain --worker-id host-1\n" +
					"  carillon worker drain --worker-id host-1 --undo",
				Flags: flags(
					[]cli.Flag{
						&cli.StringFlag{Name: flagWorkerID, Usage: "`id` of the worker, as carillon worker list shows it"},
						&cli.BoolFlag{Name: flagUndo, Usage: "let it take tasks again", DisableDefaultText: true},
						&cli.BoolFlag{
							Name: flagYes, Aliases: []string{"y"}, Usage: "drain it even if it is the last", DisableDefaultText: true,
						},
					},
					connectionFlags(),
				),
				Action: a.action(func(ctx context.Context, in *invocation) error {
					drain, err := in.readDrain()
					if err != nil {
						return err
					}
					return in.connect(ctx, func(ctx context.Context, s *session) error { return s.drainWorker(ctx, drain) })
				}),
			},
		},
	}
}

func workersView(g carillon.DescribeGroupResult) view {
	v := view{value: g.Workers}
	for _, w := range g.Workers {
		v.lines = append(v.lines, w)
	}
	v.text = func(p *printer) error {
		if len(g.Workers) == 0 {
			_, err := fmt.Fprintf(p.w, "No worker of group %s lives.\n", g.Group)
			return err
		}
		return p.workers(g.Workers, g.Now)
	}
	return v
}

func (in *invocation) readDrain() (carillon.DrainWorkerInput, error) {
	drain := carillon.DrainWorkerInput{
		Worker: in.String(flagWorkerID), Undo: in.Bool(flagUndo), EvenLast: in.Bool(flagYes),
	}
	if drain.Worker == "" {
		return drain, flagError(flagWorkerID, "which worker? carillon worker list shows them")
	}
	if err := carillon.CheckWorkerID(drain.Worker); err != nil {
		return drain, flagError(flagWorkerID, "%s", carillon.AsError(err).Message)
	}
	return drain, nil
}

func (s *session) drainWorker(ctx context.Context, drain carillon.DrainWorkerInput) error {
	ask := func(ctx context.Context) (carillon.DrainWorkerResult, error) { return s.timers.DrainWorker(ctx, drain) }
	out, err := call(ctx, s, ask)
	var refused *carillon.Error
	if errors.As(err, &refused) && refused.Field == "even_last" {
		// The store says that it is the last one: who looked it up before might be wrong by now.
		question := "Nobody else would take its tasks. Drain worker " + drain.Worker + "?"
		if err := s.ask(question, refused.Message+": --yes"); err != nil {
			return err
		}
		drain.EvenLast = true
		out, err = call(ctx, s, ask)
	}
	if err != nil {
		return err
	}
	w := out.Worker
	return s.out.one(w, func() []field {
		state := "takes tasks"
		if w.Draining {
			state = "draining: it gives away what it holds, and takes no more"
		}
		return []field{{"Worker", w.Worker}, {"Zone", w.Zone}, {"State", state}, {"Tasks", strconv.Itoa(len(w.Holds))}}
	})
}
