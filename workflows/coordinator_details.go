package workflows

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.temporal.io/sdk/workflow"

	"github.com/carillon-io/carillon"
)

// maxRows bounds each table of a coordinator's details.
const maxRows = 64

// coordinatorDetails is the state of a group as the Web UI shows it: tables, in markdown.
func coordinatorDetails(group string, s carillon.CoordinatorState) string {
	var b strings.Builder
	line := func(cells ...string) {
		for i := range cells {
			cells[i] = cell(cells[i])
		}
		b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
	}
	row := func(name, value string) {
		if value != "" {
			line(name, value)
		}
	}
	head := func(title string, cells ...string) {
		b.WriteString("\n### " + title + "\n\n")
		line(cells...)
		b.WriteString(strings.Repeat("|---", len(cells)) + "|\n")
	}
	more := func(all int, of string) {
		if all > maxRows {
			b.WriteString("\nand " + strconv.Itoa(all-maxRows) + " more " + of + "\n")
		}
	}

	b.WriteString("| | |\n|---|---|\n")
	row("group", group)
	if s.Epoch > 0 {
		row("epoch", fmt.Sprintf("%d, since %s", s.Epoch, when(s.BeganAt)))
	} else {
		row("epoch", "none yet")
	}
	row("last decision", fmt.Sprint(s.Number))
	row("observed", when(s.ObservedAt))
	row("workers", fmt.Sprint(len(s.Workers)))
	row("tasks", fmt.Sprintf("%d, %d of them with nobody", s.Tasks, s.Unassigned))
	if s.LastError != "" {
		row("last error", fmt.Sprintf("%s, at %s", s.LastError, when(s.LastErrorAt)))
	}

	head("Workers", "worker", "zone", "capacity", "tasks", "held", "seen", "")
	for _, w := range s.Workers[:min(len(s.Workers), maxRows)] {
		note := w.Version
		if w.Draining {
			note = strings.TrimSpace("draining " + note)
		}
		line(w.Worker, w.Zone, fmt.Sprint(max(w.Capacity, 1)), fmt.Sprint(w.Tasks), fmt.Sprint(w.Held), when(w.Seen), note)
	}
	more(len(s.Workers), "workers")

	if len(s.Decisions) > 0 {
		head("Last decisions", "decision", "at", "what", "moves")
		for _, d := range slices.Backward(s.Decisions) {
			what := summary(d)
			if d.Error != "" {
				what += "; not written: " + d.Error
			}
			line(fmt.Sprintf("%d/%d", d.Epoch, d.Number), when(d.At), what, moves(d))
		}
	}

	slots := slotRows(s.Assignments)
	head("Slots", "store", "slot", "lanes", "segments")
	for _, r := range slots[:min(len(slots), maxRows)] {
		line(fmt.Sprint(r.store), fmt.Sprint(r.slot), strings.Join(r.lanes, ", "), strings.Join(r.segments, ", "))
	}
	more(len(slots), "slots")
	return b.String()
}

// moves are the first moves of a decision: "fire/0/1/0 one → two".
func moves(d carillon.DecisionRecord) string {
	var parts []string
	for _, m := range d.Moves {
		parts = append(parts, fmt.Sprintf("%s %s → %s", m.Task, someone(m.From), someone(m.To)))
	}
	if d.Moved > len(d.Moves) {
		parts = append(parts, "…")
	}
	return strings.Join(parts, ", ")
}

func someone(worker string) string {
	if worker == "" {
		return "nobody"
	}
	return worker
}

// slotRow says who runs what of a slot: "0: one" is lane or segment 0.
type slotRow struct {
	store, slot     int
	lanes, segments []string
}

func slotRows(a carillon.Assignments) []slotRow {
	tasks := workflow.DeterministicKeysFunc(a, func(x, y carillon.Task) int {
		return cmp.Or(cmp.Compare(x.Store, y.Store), cmp.Compare(x.Slot, y.Slot), carillon.CompareTasks(x, y))
	})
	var out []slotRow
	for _, t := range tasks {
		if n := len(out); n == 0 || out[n-1].store != t.Store || out[n-1].slot != t.Slot {
			out = append(out, slotRow{store: t.Store, slot: t.Slot})
		}
		r := &out[len(out)-1]
		text := fmt.Sprintf("%d: %s", t.Number, someone(a[t]))
		if t.Kind == carillon.TaskFire {
			r.lanes = append(r.lanes, text)
		} else {
			r.segments = append(r.segments, text)
		}
	}
	return out
}
