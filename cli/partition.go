package cli

import (
	"context"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/carillon-io/carillon"
)

func (a *app) partitionCommand() *cli.Command {
	return &cli.Command{
		Name:  "partition",
		Usage: "virtual partitions: who sweeps what",
		Subcommands: []*cli.Command{{
			Name:  "list",
			Usage: "list the virtual partitions with their sweepers, and the lanes with their holders",
			Description: "With -o jsonl each line has a kind: partition or lane.\n\n" +
				"Examples:\n\n" +
				"  carillon partition list\n" +
				"  carillon partition list -o json",
			Flags: flags(connectionFlags()),
			Action: a.connected(func(ctx context.Context, s *session) error {
				result, err := call(ctx, s, s.timers.ListPartitions)
				if err != nil {
					return err
				}
				return s.out.partitions(result)
			}),
		}},
	}
}

func (p *printer) partitions(result carillon.ListPartitionsResult) error {
	if p.format == FormatJSON {
		return p.one(result, nil)
	}
	num := strconv.Itoa
	lease := func(holder string, until time.Time) string {
		if holder == "" {
			return "nobody"
		}
		return distance(until.Sub(p.now()))
	}
	assigned := func(to, worker string) string {
		if to != "" && worker != "" && to != worker {
			return to + " (not there)"
		}
		return to
	}
	parts := p.list(
		column{name: "STORE", right: true}, column{name: "SLOT", right: true}, column{name: "SEGMENT", right: true},
		column{name: "STATE"}, column{name: "ENTRIES", right: true}, column{name: "NEXT DUE"}, column{name: "LEASE ENDS"},
		column{name: "ASSIGNED TO"}, column{name: "SWEEPER"},
	)
	for _, i := range result.Partitions {
		err := parts.add(struct {
			Kind string `json:"kind"`
			carillon.PartitionInfo
		}{"partition", i}, num(i.Store), num(i.Slot), num(i.Segment), i.State, thousands(i.Entries), stamp(i.NextDue),
			lease(i.Sweeper, i.LeaseUntil), assigned(i.Assigned, i.Worker), i.Sweeper)
		if err != nil {
			return err
		}
	}
	if err := parts.close(); err != nil {
		return err
	}
	if p.format == FormatText {
		if _, err := p.w.Write([]byte("\n")); err != nil {
			return err
		}
	}
	lanes := p.list(
		column{name: "STORE", right: true},
		column{name: "SLOT", right: true},
		column{name: "LANE", right: true},
		column{name: "QUEUE", right: true},
		column{name: "HELD", right: true},
		column{name: "LEASE ENDS"},
		column{name: "ASSIGNED TO"},
		column{name: "HOLDER"},
	)
	for _, i := range result.Lanes {
		err := lanes.add(struct {
			Kind string `json:"kind"`
			carillon.LaneInfo
		}{"lane", i}, num(i.Store), num(i.Slot), num(i.Lane), thousands(i.Queue), thousands(i.Held),
			lease(i.Holder, i.LeaseUntil), assigned(i.Assigned, i.Worker), i.Holder)
		if err != nil {
			return err
		}
	}
	return lanes.close()
}
