package workflows

import (
	"fmt"
	"strings"
	"time"

	"github.com/carillon-io/carillon"
)

// details is the state of a task as the Web UI shows it: a short table, in markdown.
func details(in carillon.TaskWorkflowInput, s carillon.TaskWorkflowState) string {
	var b strings.Builder
	row := func(name, value string) {
		if value != "" {
			b.WriteString("| " + name + " | " + cell(value) + " |\n")
		}
	}
	b.WriteString("| | |\n|---|---|\n")
	row("group", in.Group)
	row("task", describe(in.Task))
	if a := s.Attached; a != nil {
		row("worker", a.Worker)
		row("lease", a.Lease)
		row("since", when(a.Since))
	} else {
		row("worker", "none: waiting for the next one that takes the lease")
	}
	row("attachments", fmt.Sprint(s.Attaches))
	row("done before", done(in.Task.Kind, s))
	if e := s.LastEnd; e != nil {
		row("last worker", e.Worker)
		row("ended", fmt.Sprintf("%s, at %s", strings.TrimSpace(string(e.Reason)+" "+e.Error), when(e.At)))
		if e.Status != nil && e.Status.LastError != "" {
			row("last error", fmt.Sprintf("%s, at %s", e.Status.LastError, when(e.Status.LastErrorAt)))
		}
	}
	if s.Refused > 0 {
		row("refused signals", fmt.Sprintf("%d, the last: %s", s.Refused, s.LastRefusal))
	}
	return b.String()
}

func describe(t carillon.Task) string {
	switch t.Kind {
	case carillon.TaskSweep:
		return fmt.Sprintf("sweep store %d, slot %d, segment %d", t.Store, t.Slot, t.Number)
	default:
		return fmt.Sprintf("fire store %d, slot %d, lane %d", t.Store, t.Slot, t.Number)
	}
}

func done(kind carillon.TaskKind, s carillon.TaskWorkflowState) string {
	if kind == carillon.TaskSweep {
		return fmt.Sprintf("%d entries moved", s.Moved)
	}
	return fmt.Sprintf("%d fired, %d retried, %d dead", s.Fired, s.Retried, s.Dead)
}

func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05 MST")
}

// cell keeps a value within its cell, and short.
func cell(s string) string {
	const most = 300
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "…"
	}
	return strings.NewReplacer("|", "\\|", "\n", " ", "\r", " ").Replace(s)
}
