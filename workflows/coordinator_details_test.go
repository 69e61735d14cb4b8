package workflows

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon"
)

func TestCoordinatorDetails(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	fire := func(slot, lane int) carillon.Task {
		return carillon.Task{Kind: carillon.TaskFire, Slot: slot, Number: lane}
	}
	sweep := func(slot, n int) carillon.Task { return carillon.Task{Kind: carillon.TaskSweep, Slot: slot, Number: n} }
	s := carillon.CoordinatorState{
		Epoch: 3, BeganAt: at, Number: 17, ObservedAt: at.Add(time.Minute), Observations: 99,
		Workers: []carillon.CoordinatedWorker{
			{Member: carillon.Member{Worker: "one", Zone: "no|rth", Capacity: 2, Version: "v1", Seen: at}, Tasks: 3, Held: 2},
			{Member: carillon.Member{Worker: "two", Draining: true, Seen: at}},
		},
		Tasks: 4, Unassigned: 1,
		Assignments: carillon.Assignments{fire(0, 0): "one", fire(0, 1): "one", sweep(0, 4): "", fire(11, 0): "one"},
		Decisions: []carillon.DecisionRecord{
			{
				Epoch: 2, Number: 5, At: at, Moved: 1, Error: "away",
				Reasons: map[carillon.MoveReason]int{carillon.MoveBalance: 1},
			},
			{
				Epoch: 3, Number: 17, At: at, Moved: 9,
				Reasons: map[carillon.MoveReason]int{carillon.MoveUnassigned: 2, carillon.MoveDead: 7},
				Moves: []carillon.Move{
					{Task: fire(0, 0), From: "old", To: "one", Reason: carillon.MoveDead},
					{Task: fire(0, 1), To: "one", Reason: carillon.MoveUnassigned},
				},
			},
		},
		LastError: "it\nbroke", LastErrorAt: at,
	}
	require.Equal(t, strings.TrimLeft(`
| | |
|---|---|
| group | g |
| epoch | 3, since 2026-01-02 03:04:05 UTC |
| last decision | 17 |
| observed | 2026-01-02 03:05:05 UTC |
| workers | 2 |
| tasks | 4, 1 of them with nobody |
| last error | it broke, at 2026-01-02 03:04:05 UTC |

### Workers

| worker | zone | capacity | tasks | held | seen |  |
|---|---|---|---|---|---|---|
| one | no\|rth | 2 | 3 | 2 | 2026-01-02 03:04:05 UTC | v1 |
| two |  | 1 | 0 | 0 | 2026-01-02 03:04:05 UTC | draining |

### Last decisions

| decision | at | what | moves |
|---|---|---|---|
| 3/17 | 2026-01-02 03:04:05 UTC | 9 moved: 7 dead, 2 unassigned | fire/0/0/0 old → one, fire/0/0/1 nobody → one, … |
| 2/5 | 2026-01-02 03:04:05 UTC | 1 moved: 1 balance; not written: away | … |

### Slots

| store | slot | lanes | segments |
|---|---|---|---|
| 0 | 0 | 0: one, 1: one | 4: nobody |
| 0 | 11 | 0: one |  |
`, "\n"), coordinatorDetails("g", s))

	require.Contains(t, coordinatorDetails("g", carillon.CoordinatorState{}), "| epoch | none yet |")
}

// However large the group, the page stays one that a browser shows.
func TestCoordinatorDetailsAreBounded(t *testing.T) {
	t.Parallel()
	s := carillon.CoordinatorState{Assignments: carillon.Assignments{}}
	for slot := range carillon.MaxSlots {
		s.Assignments[carillon.Task{Kind: carillon.TaskFire, Slot: slot}] = strings.Repeat("w", 64)
	}
	for range 100 {
		s.Workers = append(s.Workers, carillon.CoordinatedWorker{Member: carillon.Member{Worker: strings.Repeat("w", 64)}})
	}
	text := coordinatorDetails("g", s)
	require.Contains(t, text, "\nand 4032 more slots\n")
	require.Contains(t, text, "\nand 36 more workers\n")
	require.Less(t, len(text), 32<<10)
	for _, reason := range moveReasons {
		require.Contains(t, summary(carillon.DecisionRecord{Reasons: map[carillon.MoveReason]int{reason: 1}}), string(reason))
	}
}
