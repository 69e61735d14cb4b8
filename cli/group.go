package cli

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/carillon-io/carillon"
)

func (a *app) groupCommand() *cli.Command {
	return &cli.Command{
		Name:  "group",
		Usage: "the group: its workers, who controls it, and who runs what",
		Subcommands: []*cli.Command{{
			Name:  "describe",
			Usage: "show the workers, the last decision, and every task with who runs it and who should",
			Description: "A task is a sweeper, sweep/<store>/<slot>/<segment>, or a lane, fire/<store>/<slot>/<lane>.\n" +
				"What does not fit is marked; while a task changes hands that is so for a moment.\n" +
				"With -o jsonl each line has a kind: group, worker or task.\n\n" +
				"Examples:\n\n" +
				"  carillon group describe\n" +
				"  carillon group describe --watch\n" +
				"  carillon group describe -o json",
			Flags: flags(watchFlags(), connectionFlags()),
			Action: a.watched(func(ctx context.Context, s *session) (view, error) {
				g, err := s.timers.DescribeGroup(ctx, carillon.DescribeGroupInput{})
				return groupView(g), err
			}),
		}},
	}
}

func groupView(g carillon.DescribeGroupResult) view {
	head := g
	head.Workers, head.Tasks = nil, nil
	v := view{value: g, lines: []any{line{Kind: "group", Group: &groupLine{head, nil, nil}}}}
	for i := range g.Workers {
		v.lines = append(v.lines, line{Kind: "worker", Worker: &g.Workers[i]})
	}
	for i := range g.Tasks {
		v.lines = append(v.lines, line{Kind: "task", Task: &g.Tasks[i]})
	}
	v.text = func(p *printer) error { return p.group(g) }
	return v
}

// line is one of the JSON lines that a group is described in.
type line struct {
	Kind   string               `json:"kind"`
	Group  *groupLine           `json:"group,omitempty"`
	Worker *carillon.WorkerInfo `json:"worker,omitempty"`
	Task   *carillon.TaskInfo   `json:"task,omitempty"`
}

// groupLine is a group without what has lines of its own.
type groupLine struct {
	carillon.DescribeGroupResult
	Workers any `json:"workers,omitempty"`
	Tasks   any `json:"tasks,omitempty"`
}

func (p *printer) group(g carillon.DescribeGroupResult) error {
	draining, problems := 0, 0
	for _, w := range g.Workers {
		if w.Draining {
			draining++
		}
	}
	for _, t := range g.Tasks {
		if t.Problem != "" {
			problems++
		}
	}
	if err := p.card([]field{
		{"Group", g.Group},
		{"Control", describeControl(g)},
		{"Workers", counted(len(g.Workers), draining, "draining")},
		{"Tasks", counted(len(g.Tasks), problems, "marked")},
	}); err != nil {
		return err
	}
	if len(g.Workers) > 0 {
		if err := p.gap(); err != nil {
			return err
		}
		if err := p.workers(g.Workers, g.Now); err != nil {
			return err
		}
	}
	if len(g.Tasks) == 0 {
		return nil
	}
	if err := p.gap(); err != nil {
		return err
	}
	return p.tasks(g.Tasks, g.Now)
}

func (p *printer) gap() error {
	_, err := p.w.Write([]byte("\n"))
	return err
}

func counted(n, some int, what string) string {
	if some == 0 {
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("%d, %d %s", n, some, what)
}

// describeControl says who decides, and since when.
func describeControl(g carillon.DescribeGroupResult) string {
	c := g.Control
	last := "nothing was ever decided"
	switch {
	case c.DecidedAt.IsZero() && c.Epoch > 0:
		last = fmt.Sprintf("epoch %d, nothing decided yet", c.Epoch)
	case !c.DecidedAt.IsZero():
		last = fmt.Sprintf("epoch %d, decision %d (last one %s)", c.Epoch, c.Number, distance(c.DecidedAt.Sub(g.Now)))
	}
	if !g.Controlled {
		return "fallback: nobody controls, workers take equal slices; " + last
	}
	if !c.ObservedAt.IsZero() {
		last += ", observed " + distance(c.ObservedAt.Sub(g.Now))
	}
	return last
}

func (p *printer) workers(workers []carillon.WorkerInfo, now time.Time) error {
	out := p.list(
		column{name: "WORKER"}, column{name: "ZONE"}, column{name: "CAPACITY", right: true},
		column{name: "LOAD", right: true},
		column{name: "SWEEP", right: true}, column{name: "FIRE", right: true}, column{name: "ASSIGNED", right: true},
		column{name: "STATE"}, column{name: "SEEN"}, column{name: "JOINED"}, column{name: "VERSION"},
	)
	for _, w := range workers {
		state := "running"
		if w.Draining {
			state = "draining"
		}
		err := out.add(w, w.Worker, w.Zone, strconv.Itoa(cmp.Or(w.Capacity, 1)), fmt.Sprintf("%.0f%%", 100*w.Load),
			strconv.Itoa(w.Sweep), strconv.Itoa(w.Fire), strconv.Itoa(w.Assigned), state, distance(w.Seen.Sub(now)),
			distance(w.Joined.Sub(now)), w.Version)
		if err != nil {
			return err
		}
	}
	return out.close()
}

func (p *printer) tasks(tasks []carillon.TaskInfo, now time.Time) error {
	out := p.list(
		column{name: "TASK"}, column{name: "RUN BY"}, column{name: "SINCE"}, column{name: "ASSIGNED TO"},
		column{name: "PROBLEM"},
	)
	for _, t := range tasks {
		since := ""
		if !t.Since.IsZero() {
			since = distance(t.Since.Sub(now))
		}
		err := out.add(t, taskText(t.Task), cmp.Or(t.Worker, "nobody"), since, cmp.Or(t.Assigned, "nobody"),
			string(t.Problem))
		if err != nil {
			return err
		}
	}
	return out.close()
}

// taskText names a task. What somebody has written into Redis and is none stands there as it was written.
func taskText(t carillon.Task) string {
	if t.Store < 0 {
		return strconv.Quote(string(t.Kind))
	}
	return t.String()
}
