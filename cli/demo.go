package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/carillon-io/carillon/cli/demo"
)

const (
	flagTimers = "timers"
	flagWithin = "within"
	flagKeep   = "keep"

	defaultDemoTimers = 1000
	maxDemoTimers     = 1_000_000
	defaultDemoWithin = 10 * time.Second
)

func (a *app) demoCommand() *cli.Command {
	return &cli.Command{
		Name:  "demo",
		Usage: "see timers fire, and how late they are",
		Description: "It starts what dev starts, on free ports, and creates timers through Temporal: half of them signal " +
			"a live\n" +
			"workflow, half go to a mailbox. Lateness is measured where they are received. Exit code 1 if one is " +
			"lost, early,\n" +
			"or comes twice.\n\n" +
			"Examples:\n\n" +
			"  carillon demo\n" +
			"  carillon demo --timers 10000 --within 30s\n" +
			"  carillon demo --keep                          go on serving, to look around in the Web UI\n" +
			"  carillon demo -o json",
		Flags: flags([]cli.Flag{
			&cli.IntFlag{Name: flagTimers, Value: defaultDemoTimers, Usage: "how many timers"},
			&cli.DurationFlag{Name: flagWithin, Value: defaultDemoWithin, Usage: "when the last of them is due"},
			&cli.BoolFlag{Name: flagKeep, Usage: "go on serving afterwards, as dev does", DisableDefaultText: true},
		}, platformFlags()),
		Action: a.action(func(ctx context.Context, in *invocation) error {
			o, err := in.readPlatform()
			if err != nil {
				return err
			}
			count, within := in.Int(flagTimers), in.Duration(flagWithin)
			if count < 1 || count > maxDemoTimers {
				return flagError(flagTimers, "%d is not between 1 and %d", count, maxDemoTimers)
			}
			if within < time.Second || within > 24*time.Hour {
				return flagError(flagWithin, "%s is not between 1s and 24h", within)
			}
			return in.withPlatform(ctx, o, func(ctx context.Context, p Platform) error { return in.demo(ctx, p, count, within) })
		}),
	}
}

// demoResult is the demo's answer in JSON: a documented contract.
type demoResult struct {
	Created    int               `json:"created"`
	Fired      int               `json:"fired"`
	Early      int               `json:"early"`
	Lost       int               `json:"lost"`
	Duplicates int               `json:"duplicates"`
	Cancelled  int               `json:"cancelled"`
	LatenessMs demo.Milliseconds `json:"lateness_ms"`
	Redis      string            `json:"redis"`
	Temporal   string            `json:"temporal"`
}

// errDemo says that the demo found something wrong.
var errDemo = errors.New("not every timer was received exactly once and in time")

func (in *invocation) demo(ctx context.Context, p Platform, count int, within time.Duration) error {
	info := p.Info()
	if info.UI != "" {
		in.note("Temporal's Web UI: %s", info.UI)
	}
	result, err := in.runDemo(ctx, p, count, within)
	if err != nil {
		return err
	}
	if err := in.printDemo(result, info); err != nil {
		return err
	}
	failure := error(nil)
	if !result.Good() {
		failure = fmt.Errorf("%w: %d created, %d received, %d early, %d lost, %d twice",
			errDemo, result.Created, result.Fired, result.Early, result.Lost, result.Duplicates)
	}
	if !in.Bool(flagKeep) {
		return failure
	}
	if in.format == FormatText {
		if err := in.out.card(platformCard(info)); err != nil {
			return err
		}
	}
	return errors.Join(failure, in.serve(ctx, p))
}

func (in *invocation) runDemo(
	ctx context.Context,
	p Platform,
	count int,
	within time.Duration,
) (result demo.Result, err error) {
	receivers, err := demo.StartReceivers(ctx, p.Temporal(), p.Store(), count)
	if err != nil {
		return result, err
	}
	defer func() {
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		err = errors.Join(err, receivers.Stop(stopping))
	}()
	live := in.liveLine()
	result, err = demo.Run(ctx, demo.Options{
		Creator: p.Timers(), Count: count, Within: within, Workflows: receivers.Workflows, Arrivals: receivers.Arrivals,
		Now: p.Store().Clock(0).Now, Progress: func(s demo.Snapshot) { live.show(demoLine(s, count)) },
	})
	live.end()
	return result, err
}

func demoLine(s demo.Snapshot, count int) string {
	if s.Created == 0 {
		return fmt.Sprintf("%5.1fs  creating %s …", s.Elapsed.Seconds(), plural(int64(count), "timer"))
	}
	return fmt.Sprintf(
		"%5.1fs  received %s of %s   late: half ≤ %s, 99%% ≤ %s, all ≤ %s   early %d, twice %d",
		s.Elapsed.Seconds(),
		thousands(int64(s.Fired)),
		thousands(int64(count)),
		milliseconds(s.P50),
		milliseconds(s.P99),
		milliseconds(s.Max),
		s.Early,
		s.Duplicates,
	)
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
}

func (in *invocation) printDemo(r demo.Result, info PlatformInfo) error {
	if in.format != FormatText {
		return in.out.one(demoResult{
			Created: r.Created, Fired: r.Fired, Early: r.Early, Lost: r.Lost, Duplicates: r.Duplicates, Cancelled: r.Cancelled,
			LatenessMs: demo.Summary(r.Lateness), Redis: info.Redis, Temporal: info.Temporal,
		}, nil)
	}
	out := in.out.list(
		column{name: "ROAD"},
		column{name: "RECEIVED", right: true},
		column{name: "P50", right: true},
		column{name: "P99", right: true},
		column{name: "MAX", right: true},
	)
	for _, road := range []demo.Road{demo.RoadSignal, demo.RoadMailbox, ""} {
		h, name := r.ByRoad[road], string(road)
		if road == "" {
			h, name = r.Lateness, "all"
		}
		sum := demo.Summary(h)
		ms := func(v float64) string { return fmt.Sprintf("%.1f ms", v) }
		if err := out.add(nil, name, thousands(h.TotalCount()), ms(sum.P50), ms(sum.P99), ms(sum.Max)); err != nil {
			return err
		}
	}
	if err := out.close(); err != nil {
		return err
	}
	var text strings.Builder
	fmt.Fprintf(&text, "\nLateness, from when a timer was due to when it was received:\n\n%s\n", demo.Draw(r.Lateness, 48))
	if _, err := in.Stdout.Write([]byte(text.String())); err != nil {
		return err
	}
	return in.out.card([]field{
		{"Created", thousands(int64(r.Created))},
		{"Received", thousands(int64(r.Fired))},
		{"Early", thousands(int64(r.Early))},
		{"Lost", thousands(int64(r.Lost))},
		{"Twice", thousands(int64(r.Duplicates))},
		{"Redis", info.Redis},
		{"Temporal", info.Temporal},
	})
}
