package cli

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon"
)

// aGroup is a group of two workers, one of which drains, and of tasks with and without problems.
func aGroup() carillon.DescribeGroupResult {
	task := func(kind carillon.TaskKind, slot int, worker, assigned string, p carillon.TaskProblem) carillon.TaskInfo {
		t := carillon.TaskInfo{Task: carillon.Task{Kind: kind, Slot: slot}, Worker: worker, Assigned: assigned, Problem: p}
		if worker != "" {
			t.Since = epoch.Add(-time.Hour)
		}
		return t
	}
	return carillon.DescribeGroupResult{
		Group: "g", Now: epoch, Controlled: true,
		Control: carillon.Control{
			Epoch: 3, Number: 17, DecidedAt: epoch.Add(-90 * time.Second), ObservedAt: epoch.Add(-100 * time.Millisecond),
		},
		Workers: []carillon.WorkerInfo{
			{
				Member: carillon.Member{
					Worker: "a", Zone: "north", Capacity: 2, Load: 0.254, Version: "v1.2", Joined: epoch.Add(-time.Hour),
					Seen: epoch.Add(-1500 * time.Millisecond),
				},
				Sweep: 1, Fire: 1, Assigned: 3,
			},
			{Member: carillon.Member{Worker: "b", Draining: true, Joined: epoch.Add(-time.Hour), Seen: epoch}},
		},
		Tasks: []carillon.TaskInfo{
			task(carillon.TaskFire, 0, "a", "a", ""),
			task(carillon.TaskFire, 1, "", "a", carillon.ProblemNobody),
			{Task: carillon.Task{Kind: "rub\x1bbish", Store: -1}, Assigned: "a", Problem: carillon.ProblemUnknown},
			task(carillon.TaskSweep, 0, "a", "b", carillon.ProblemElsewhere),
		},
	}
}

// squeezed takes out what aligns columns.
func squeezed(s string) string {
	var lines []string
	for line := range strings.Lines(s) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	return strings.Join(lines, "\n")
}

func TestGroupDescribe(t *testing.T) {
	t.Parallel()
	h := newHarness()
	h.group = aGroup()
	require.Zero(t, h.run(t.Context(), "group", "describe"), h.stderr.String())
	require.Equal(t, strings.Join([]string{
		"Group g",
		"Control epoch 3, decision 17 (last one 1m30s ago), observed now",
		"Workers 2, 1 draining",
		"Tasks 4, 3 marked",
		"",
		"WORKER ZONE CAPACITY LOAD SWEEP FIRE ASSIGNED STATE SEEN JOINED VERSION",
		"a north 2 25% 1 1 3 running 1.5s ago 1h ago v1.2",
		"b 1 0% 0 0 0 draining now 1h ago",
		"",
		"TASK RUN BY SINCE ASSIGNED TO PROBLEM",
		"fire/0/0/0 a 1h ago a",
		"fire/0/1/0 nobody a nobody runs it",
		`"rub\x1bbish" nobody a no such task`,
		"sweep/0/0/0 a 1h ago b run elsewhere",
	}, "\n"), squeezed(h.stdout.String()))
	require.Equal(t, []carillon.DescribeGroupInput{{}}, h.looks)
	require.True(t, h.closed)

	require.Zero(t, h.run(t.Context(), "group", "describe", "-o", "json"))
	var got carillon.DescribeGroupResult
	require.NoError(t, json.Unmarshal(h.stdout.Bytes(), &got))
	require.Equal(t, h.group, got)

	require.Zero(t, h.run(t.Context(), "group", "describe", "-o", "jsonl"))
	kinds := map[string]int{}
	for text := range strings.Lines(h.stdout.String()) {
		var l line
		require.NoError(t, json.Unmarshal([]byte(text), &l))
		kinds[l.Kind]++
		if l.Kind == "group" {
			require.Equal(t, h.group.Control, l.Group.Control)
			require.NotContains(t, text, `"workers"`)
		}
		if l.Kind == "worker" {
			require.NotEmpty(t, l.Worker.Worker)
		}
		if l.Kind == "task" {
			require.NotEmpty(t, l.Task.Kind)
		}
	}
	require.Equal(t, map[string]int{"group": 1, "worker": 2, "task": 4}, kinds)
}

func TestWhoControlsAGroup(t *testing.T) {
	t.Parallel()
	for want, g := range map[string]carillon.DescribeGroupResult{
		"Control fallback: nobody controls, workers take equal slices; nothing was ever decided": {Now: epoch},
		"Control fallback: nobody controls, workers take equal slices; epoch 3, decision 9 (last one 1m ago)": {
			Now: epoch, Control: carillon.Control{Epoch: 3, Number: 9, DecidedAt: epoch.Add(-time.Minute)},
		},
		"Control epoch 3, nothing decided yet, observed now": {
			Now: epoch, Controlled: true, Control: carillon.Control{Epoch: 3, ObservedAt: epoch},
		},
	} {
		h := newHarness()
		h.group = g
		require.Zero(t, h.run(t.Context(), "group", "describe"))
		require.Contains(t, squeezed(h.stdout.String()), want)
	}
}

func TestWorkerList(t *testing.T) {
	t.Parallel()
	h := newHarness()
	h.group = aGroup()
	require.Zero(t, h.run(t.Context(), "worker", "list"))
	require.Contains(t, squeezed(h.stdout.String()), "a north 2 25% 1 1 3 running 1.5s ago 1h ago v1.2")
	require.Equal(t, []carillon.DescribeGroupInput{{WithoutTasks: true}}, h.looks)
	require.Zero(t, h.run(t.Context(), "worker", "list", "-o", "json"))
	var got []carillon.WorkerInfo
	require.NoError(t, json.Unmarshal(h.stdout.Bytes(), &got))
	require.Equal(t, h.group.Workers, got)
	require.Zero(t, h.run(t.Context(), "worker", "list", "-o", "jsonl"))
	require.Equal(t, 2, strings.Count(h.stdout.String(), "\n"))

	h.group = carillon.DescribeGroupResult{Group: "g", Workers: []carillon.WorkerInfo{}}
	require.Zero(t, h.run(t.Context(), "worker", "list"))
	require.Equal(t, "No worker of group g lives.\n", h.stdout.String())
	require.Zero(t, h.run(t.Context(), "worker", "list", "-o", "json"))
	require.JSONEq(t, "[]", h.stdout.String())
}

func TestWatchAGroup(t *testing.T) {
	t.Parallel()
	watch := func(t *testing.T, h *harness, args ...string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 3500*time.Millisecond)
		defer cancel()
		require.Zero(t, h.run(ctx, append(args, "--watch")...), h.stderr.String())
		require.Empty(t, h.stderr.String())
		return h.stdout.String()
	}
	for name, test := range map[string]func(t *testing.T, h *harness){
		"json": func(t *testing.T, h *harness) {
			var got []carillon.DescribeGroupResult
			require.NoError(t, json.Unmarshal([]byte(watch(t, h, "group", "describe", "-o", "json")), &got))
			require.Len(t, got, 4)
			require.Equal(t, h.group, got[3])
		},
		"json lines": func(t *testing.T, h *harness) {
			require.Equal(t, 4*2, strings.Count(watch(t, h, "worker", "list", "-o", "jsonl"), "\n"))
		},
		"a file": func(t *testing.T, h *harness) {
			out := watch(t, h, "group", "describe")
			require.Equal(t, 4, strings.Count(out, "Control  "))
			require.NotContains(t, out, "\x1b")
		},
		"a terminal": func(t *testing.T, h *harness) {
			h.terminal = true
			out := watch(t, h, "worker", "list", "--interval", "500ms")
			require.Equal(t, 8, strings.Count(out, clearScreen))
			require.True(t, strings.HasPrefix(out, clearScreen))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := newHarness()
				h.group = aGroup()
				test(t, h)
			})
		})
	}
	h := newHarness()
	h.err = carillon.Errorf(carillon.TypeUnavailable, "redis is away")
	h.fails(t, 8, "redis is away", "group", "describe", "--watch")
}

func TestWorkerDrain(t *testing.T) {
	t.Parallel()
	newGroup := func() *harness {
		h := newHarness()
		h.group = aGroup()
		h.group.Workers[1].Draining = false
		h.group.Workers[0].Holds = []carillon.Task{{Kind: carillon.TaskFire}, {Kind: carillon.TaskSweep}}
		return h
	}
	drain := func(worker string, more ...string) []string {
		return append([]string{"worker", "drain", "--worker-id", worker}, more...)
	}
	h := newGroup()
	require.Zero(t, h.run(t.Context(), drain("a")...), h.stderr.String())
	require.Contains(t, h.stdout.String(), "draining: it gives away what it holds")
	require.Contains(t, h.stdout.String(), "Tasks   2")
	require.Equal(t, []carillon.DrainWorkerInput{{Worker: "a"}}, h.drains)
	require.Zero(t, h.run(t.Context(), drain("a", "--undo", "-o", "json")...))
	var got carillon.Member
	require.NoError(t, json.Unmarshal(h.stdout.Bytes(), &got))
	require.Equal(t, "a", got.Worker)
	require.False(t, got.Draining)

	h.fails(t, 4, "NotFound: no living worker \"c\"; there is: a", drain("c")...)

	// The last one. Nobody is there to ask: it has to be said.
	h = newGroup()
	require.Zero(t, h.run(t.Context(), drain("b")...))
	h.fails(t, 2, "nobody could take its tasks: --yes", drain("a")...)
	require.False(t, h.group.Workers[0].Draining)
	require.Zero(t, h.run(t.Context(), drain("a", "--yes")...))
	require.True(t, h.group.Workers[0].Draining)
	require.Equal(t, carillon.DrainWorkerInput{Worker: "a", EvenLast: true}, h.drains[len(h.drains)-1])

	// Somebody is.
	for answer, code := range map[string]int{"y\n": 0, "\n": 1, "": 1, "no\n": 1} {
		h = newGroup()
		h.terminal, h.stdin = true, strings.NewReader(answer)
		require.Zero(t, h.run(t.Context(), drain("b")...))
		require.Equal(t, code, h.run(t.Context(), drain("a")...), answer)
		require.Contains(t, h.stderr.String(), "Drain worker a? [y/N]")
		require.Equal(t, code == 0, h.group.Workers[0].Draining)
	}
}
