package carillon

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// packTasks writes many tasks as few texts: as Task.String does, with the slots of all that differ in nothing else
// together. "fire/0/0-3,7/0" is lane 0 of five slots. What cannot be a task of a store, and was written there by
// hand, is written as JSON.
func packTasks(tasks []Task) []string {
	sorted := slices.Clone(tasks)
	slices.SortFunc(sorted, func(a, b Task) int {
		a.Slot, a.Number, b.Slot, b.Number = a.Number, a.Slot, b.Number, b.Slot
		return CompareTasks(a, b)
	})
	sorted = slices.Compact(sorted)
	var out []string
	for len(sorted) > 0 {
		first := sorted[0]
		if !sound(first) {
			text, _ := json.Marshal(first) // a text and numbers: it does not fail
			out = append(out, string(text))
			sorted = sorted[1:]
			continue
		}
		n := 1
		for n < len(sorted) && sound(sorted[n]) && alike(first, sorted[n]) {
			n++
		}
		out = append(out, fmt.Sprintf("%s/%d/%s/%d", first.Kind, first.Store, packSlots(sorted[:n]), first.Number))
		sorted = sorted[n:]
	}
	return out
}

// sound says whether a store can have such a task.
func sound(t Task) bool {
	return t.Kind.Workflow() != "" && t.Number >= 0 &&
		0 <= t.Store && t.Store < MaxStores && 0 <= t.Slot && t.Slot < MaxSlots
}

// alike says whether two tasks differ in their slots at the most.
func alike(a, b Task) bool {
	a.Slot = b.Slot
	return a == b
}

// packSlots writes the slots of tasks, which ascend: 0-3,7.
func packSlots(tasks []Task) string {
	var b strings.Builder
	for i := 0; i < len(tasks); i++ {
		first, last := tasks[i].Slot, tasks[i].Slot
		for i+1 < len(tasks) && tasks[i+1].Slot == last+1 {
			i++
			last++
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(first))
		if last > first {
			b.WriteString("-" + strconv.Itoa(last))
		}
	}
	return b.String()
}

// unpackTasks is the inverse of packTasks: it gives the tasks in the order of CompareTasks. It fails with
// ErrInvalidArgument.
func unpackTasks(texts []string) ([]Task, error) {
	var out []Task
	for _, text := range texts {
		if strings.HasPrefix(text, "{") {
			var t Task
			if json.Unmarshal([]byte(text), &t) != nil {
				return nil, badTasks(text)
			}
			out = append(out, t)
			continue
		}
		parts := strings.Split(text, "/")
		if len(parts) != 4 {
			return nil, badTasks(text)
		}
		for slots := range strings.SplitSeq(parts[2], ",") {
			from, to, ranged := strings.Cut(slots, "-")
			if !ranged {
				to = from
			}
			first, err := ParseTask(strings.Join([]string{parts[0], parts[1], from, parts[3]}, "/"))
			last, err2 := ParseTask(strings.Join([]string{parts[0], parts[1], to, parts[3]}, "/"))
			if err != nil || err2 != nil || last.Slot < first.Slot || last.Slot >= MaxSlots {
				return nil, badTasks(text)
			}
			for t := first; t.Slot <= last.Slot; t.Slot++ {
				out = append(out, t)
			}
		}
	}
	SortTasks(out)
	return slices.Compact(out), nil
}

func badTasks(text string) *Error {
	return InvalidArgument("tasks", "%q are no tasks; some look like fire/0/0-3,7/0", clip(text))
}

// MarshalJSON writes who has which tasks: {"worker": ["fire/0/0-3,7/0"]}, with "" for nobody.
func (a Assignments) MarshalJSON() ([]byte, error) {
	if a == nil {
		return []byte("null"), nil
	}
	of := map[string][]Task{}
	for t, worker := range a {
		of[worker] = append(of[worker], t)
	}
	out := make(map[string][]string, len(of))
	for worker, tasks := range of {
		out[worker] = packTasks(tasks)
	}
	return json.Marshal(out)
}

// UnmarshalJSON is the inverse of MarshalJSON. A task that two workers have is refused.
func (a *Assignments) UnmarshalJSON(data []byte) error {
	var of map[string][]string
	if err := json.Unmarshal(data, &of); err != nil {
		return err
	}
	if of == nil {
		*a = nil
		return nil
	}
	out := Assignments{}
	for worker, texts := range of {
		tasks, err := unpackTasks(texts)
		if err != nil {
			return err
		}
		for _, t := range tasks {
			if _, twice := out[t]; twice {
				return InvalidArgument("assignments", "two workers have %s", t)
			}
			out[t] = worker
		}
	}
	*a = out
	return nil
}
