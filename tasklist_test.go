package carillon

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestPackTasks(t *testing.T) {
	t.Parallel()
	var tasks []Task
	for _, slot := range []int{7, 3, 1, 2, 0, 9, 10, 4095} {
		tasks = append(tasks, Task{Kind: TaskFire, Slot: slot}, Task{Kind: TaskFire, Slot: slot, Number: 1},
			Task{Kind: TaskSweep, Store: 2, Slot: slot, Number: 5})
	}
	stray := Task{Kind: "fire/no/thing", Store: -1}
	far := Task{Kind: TaskFire, Slot: MaxSlots}
	tasks = append(tasks, stray, far, tasks[0])
	packed := packTasks(tasks)
	require.ElementsMatch(t, []string{
		"fire/0/0-3,7,9-10,4095/0", "fire/0/0-3,7,9-10,4095/1", "sweep/2/0-3,7,9-10,4095/5",
		`{"kind":"fire/no/thing","store":-1,"slot":0,"number":0}`, `{"kind":"fire","store":0,"slot":4096,"number":0}`,
	}, packed)

	got, err := unpackTasks(packed)
	require.NoError(t, err)
	require.ElementsMatch(t, tasks[:len(tasks)-1], got, "each is there once")
	require.True(t, slices.IsSortedFunc(got, CompareTasks))
	require.Nil(t, packTasks(nil))
}

func TestUnpackTasksRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "fire/0/1", "fire/0//0", "fire/0/1-/0", "fire/0/-1/0", "fire/0/3-1/0", "fire/0/0-4096/0",
		"fire/0/0-99999999999/0",
		"fire/0/1,/0", "mop/0/1/0", "fire/0/1-2-3/0", "{", `{"kind": 7}`,
	} {
		_, err := unpackTasks([]string{text})
		require.ErrorIs(t, err, ErrInvalidArgument, text)
	}
}

func drawTask(t *rapid.T) Task {
	return Task{
		Kind:  rapid.SampledFrom([]TaskKind{TaskFire, TaskSweep, "stray/{"}).Draw(t, "kind"),
		Store: rapid.IntRange(-1, 2).Draw(t, "store"), Slot: rapid.IntRange(0, MaxSlots).Draw(t, "slot"),
		Number: rapid.IntRange(0, 3).Draw(t, "number"),
	}
}

func TestAssignmentsJSON(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := Assignments{}
		for range rapid.IntRange(0, 40).Draw(t, "tasks") {
			want[drawTask(t)] = rapid.SampledFrom([]string{"", "one", "two"}).Draw(t, "worker")
		}
		data, err := json.Marshal(want)
		require.NoError(t, err)
		var got Assignments
		require.NoError(t, json.Unmarshal(data, &got))
		require.Equal(t, want, got)
		again, err := json.Marshal(got)
		require.NoError(t, err)
		require.Equal(t, string(data), string(again), "it is the same each time")
	})
	data, err := json.Marshal(Assignments{
		{Kind: TaskFire, Slot: 2}: "w", {Kind: TaskFire, Slot: 1}: "w", {Kind: TaskSweep}: "",
	})
	require.NoError(t, err)
	require.JSONEq(t, `{"": ["sweep/0/0/0"], "w": ["fire/0/1-2/0"]}`, string(data))

	var a Assignments
	require.NoError(t, json.Unmarshal([]byte("null"), &a))
	require.Nil(t, a)
	require.ErrorIs(t, json.Unmarshal([]byte(`{"a": ["fire/0/1/0"], "b": ["fire/0/0-1/0"]}`), &a), ErrInvalidArgument)
	require.ErrorIs(t, json.Unmarshal([]byte(`{"a": ["x"]}`), &a), ErrInvalidArgument)
}

func TestObservationJSON(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	fire, sweep := Task{Kind: TaskFire, Slot: 1}, Task{Kind: TaskSweep, Slot: 1}
	want := Observation{
		Roster: Roster{
			Now: now, Control: Control{Epoch: 3, Number: 4, DecidedAt: now},
			Members: []Member{
				{Worker: "one", Capacity: 2, Load: 0.25, Zone: "z", Holds: []Task{fire, sweep}, Seen: now},
				{Worker: "two", Labels: map[string]string{"a": "b"}, Holds: []Task{fire}, Draining: true},
			},
		},
		Tasks: []Task{fire, sweep}, Assignments: Assignments{fire: "one", sweep: ""},
	}
	data, err := json.Marshal(want)
	require.NoError(t, err)
	require.NotEmpty(t, want.Roster.Members[0].Holds, "the observation itself is left alone")
	require.NotContains(t, string(data), `"kind"`)
	var got Observation
	require.NoError(t, json.Unmarshal(data, &got))
	require.Equal(t, want, got)

	require.Error(t, json.Unmarshal([]byte(`{"tasks": ["x"]}`), &got))
	require.Error(t, json.Unmarshal([]byte(`{"roster": {"members": [{"worker": "w"}]}, "holds": {"w": ["x"]}}`), &got))
}

// What a coordinator is told and what it writes has to fit into a blob of Temporal, however large the group.
func TestLargeObservationsFit(t *testing.T) {
	t.Parallel()
	o := Observation{Assignments: Assignments{}}
	workers := make([]Member, 50)
	for i := range workers {
		workers[i].Worker = "a-worker-with-a-long-name-" + string(rune('a'+i/26)) + string(rune('a'+i%26))
	}
	for slot := range MaxSlots {
		for number, kind := range []TaskKind{TaskFire, TaskSweep} {
			task := Task{Kind: kind, Slot: slot, Number: number}
			m := &workers[(slot*31+number*7)%len(workers)]
			m.Holds = append(m.Holds, task)
			o.Tasks = append(o.Tasks, task)
			o.Assignments[task] = m.Worker
		}
	}
	o.Roster.Members = workers
	data, err := json.Marshal(o)
	require.NoError(t, err)
	t.Logf("an observation of %d tasks has %d bytes", len(o.Tasks), len(data))
	require.Less(t, len(data), MaxBatchBytes/10)
}
