package plan_test

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/workflows/plan"
)

type (
	counts = map[string]int
	why    = map[carillon.MoveReason]int
)

// decide decides, and asserts what holds for each decision.
func decide(
	t *testing.T, tasks []carillon.Task, members []carillon.Member, current carillon.Assignments,
) plan.Result {
	t.Helper()
	r := plan.Decide(tasks, members, current)
	requireSound(t, r, tasks, members, current)
	return r
}

// Each row goes on from where the one above it has ended.
func TestDecide(t *testing.T) {
	t.Parallel()
	for name, steps := range map[string][]struct {
		slots   int
		members string
		loads   counts
		lanes   counts
		reasons why
	}{
		"workers of one size": {
			{8, "a", counts{"a": 16}, counts{"a": 8}, why{carillon.MoveUnassigned: 16}},
			{8, "a", counts{"a": 16}, counts{"a": 8}, why{}},
			{8, "a b", counts{"a": 8, "b": 8}, counts{"a": 4, "b": 4}, why{carillon.MoveBalance: 8}},
			{8, "a b c", counts{"a": 6, "b": 5, "c": 5}, counts{"a": 3, "b": 2, "c": 3}, why{carillon.MoveBalance: 5}},
			{8, "b c", counts{"b": 8, "c": 8}, counts{"b": 4, "c": 4}, why{carillon.MoveDead: 6}},
			{8, "b- c", counts{"c": 16}, counts{"c": 8}, why{carillon.MoveDraining: 8}},
			{8, "b c", counts{"b": 8, "c": 8}, counts{"b": 4, "c": 4}, why{carillon.MoveBalance: 8}},
			{4, "b c", counts{"b": 4, "c": 4}, counts{"b": 2, "c": 2}, why{carillon.MoveRetired: 8, carillon.MoveBalance: 4}},
		},
		"everybody dies": {
			{2, "a b", counts{"a": 2, "b": 2}, counts{"a": 1, "b": 1}, why{carillon.MoveUnassigned: 4}},
			{2, "", counts{"": 4}, counts{"": 2}, why{carillon.MoveDead: 4}},
			{2, "", counts{"": 4}, counts{"": 2}, why{}},
			{2, "z", counts{"z": 4}, counts{"z": 2}, why{carillon.MoveUnassigned: 4}},
		},
		"everybody drains": {
			{2, "a b", counts{"a": 2, "b": 2}, counts{"a": 1, "b": 1}, why{carillon.MoveUnassigned: 4}},
			{2, "a- b-", counts{"a": 2, "b": 2}, counts{"a": 1, "b": 1}, why{}},
			{2, "b-", counts{"b": 4}, counts{"b": 2}, why{carillon.MoveDead: 2}},
			{2, "b- c-", counts{"b": 4}, counts{"b": 2}, why{}},
			{2, "b- c- d", counts{"d": 4}, counts{"d": 2}, why{carillon.MoveDraining: 4}},
		},
		"workers of several sizes": {
			{
				15, "a b*2 c*3",
				counts{"a": 5, "b": 10, "c": 15},
				counts{"a": 3, "b": 5, "c": 7},
				why{carillon.MoveUnassigned: 30},
			},
			{15, "b*2 c*3", counts{"b": 12, "c": 18}, counts{"b": 6, "c": 9}, why{carillon.MoveDead: 5}},
		},
		"more workers than tasks": {
			{1, "a b c d", counts{"a": 1, "b": 1}, counts{"a": 1}, why{carillon.MoveUnassigned: 2}},
			{1, "b c d", counts{"b": 1, "c": 1}, counts{"c": 1}, why{carillon.MoveDead: 1}},
		},
		"no tasks": {
			{0, "a b", counts{}, counts{}, why{}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var current carillon.Assignments
			for i, s := range steps {
				r := decide(t, tasks(s.slots), members(s.members), current)
				require.Equal(t, s.loads, loads(r.Assignments), "step %d", i)
				require.Equal(t, s.lanes, lanes(r.Assignments), "step %d", i)
				require.Equal(t, s.reasons, reasons(r), "step %d", i)
				current = r.Assignments
			}
		})
	}
}

func TestWhoHoldsATaskKeepsIt(t *testing.T) {
	t.Parallel()
	all := tasks(2) // fire 0, fire 1, sweep 0, sweep 1
	group := members("a b c- d-")
	group[1].Holds = []carillon.Task{all[1], all[2], {Kind: carillon.TaskFire, Slot: 77}}
	group[2].Holds = []carillon.Task{all[0], all[1]}
	r := decide(t, all, group, carillon.Assignments{all[1]: "dead", all[3]: "dead"})
	require.Equal(t, carillon.Assignments{all[0]: "a", all[1]: "b", all[2]: "b", all[3]: "a"}, r.Assignments)
	require.Equal(t, []carillon.Move{
		{Task: all[0], To: "a", Reason: carillon.MoveUnassigned},
		{Task: all[1], From: "dead", To: "b", Reason: carillon.MoveHeld},
		{Task: all[2], To: "b", Reason: carillon.MoveHeld},
		{Task: all[3], From: "dead", To: "a", Reason: carillon.MoveDead},
	}, r.Moves)

	// An assignee that lives has it nevertheless.
	r = decide(t, all[1:2], group, carillon.Assignments{all[1]: "a"})
	require.Empty(t, r.Moves)
	// Of two, the first by id; and nobody keeps more than a share.
	group = members("a b")
	group[0].Holds, group[1].Holds = all, all
	r = decide(t, all, group, nil)
	require.Equal(t, counts{"a": 2, "b": 2}, loads(r.Assignments))
}

// Only who has a part of a task left over may have one more, whatever it has now.
func TestAnExactQuotaIsKept(t *testing.T) {
	t.Parallel()
	all := tasks(3)
	current := carillon.Assignments{all[0]: "a", all[1]: "a", all[2]: "a", all[3]: "a", all[4]: "b", all[5]: "c"}
	r := decide(t, all, members("a*2 b c"), current) // quotas are 3, 1.5 and 1.5
	require.Equal(t, counts{"a": 3, "b": 2, "c": 1}, loads(r.Assignments))
	require.Len(t, r.Moves, 1)
}

// What its worker has not taken up yet is given away first: nothing has to be handed over.
func TestWhatIsNotHeldMovesFirst(t *testing.T) {
	t.Parallel()
	all := tasks(4)
	group := members("a b")
	group[0].Holds = slices.DeleteFunc(slices.Clone(all), func(t carillon.Task) bool { return t.Slot == 1 || t.Slot == 2 })
	current := carillon.Assignments{}
	for _, task := range all {
		current[task] = "a"
	}
	for _, m := range decide(t, all, group, current).Moves {
		require.NotContains(t, group[0].Holds, m.Task)
	}
}

func TestDue(t *testing.T) {
	t.Parallel()
	all := tasks(2)
	o := carillon.Observation{Tasks: all}
	require.False(t, plan.Due(o), "there is nobody")
	o.Roster.Members = members("a b")
	require.True(t, plan.Due(o))
	o.Assignments = plan.Decide(all, o.Roster.Members, nil).Assignments
	require.False(t, plan.Due(o))
	o.Assignments[carillon.Task{Kind: "written by hand", Store: -1}] = "a"
	require.True(t, plan.Due(o))
	some := carillon.Assignments{all[2]: "a", all[1]: "b", all[0]: "a"}
	require.Equal(t, []carillon.Task{all[0], all[2]}, plan.TasksOf(some, "a"))
}

func TestDecideIsSound(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		all, group, current := drawGroup(t)
		requireSound(t, plan.Decide(all, group, current), all, group, current)
	})
}

func TestDecideDependsOnNoOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		all, group, current := drawGroup(t)
		want := plan.Decide(all, group, current)
		shuffled := rapid.Permutation(all).Draw(t, "tasks")
		others := rapid.Permutation(group).Draw(t, "members")
		for i := range others {
			others[i].Holds = rapid.Permutation(others[i].Holds).Draw(t, "holds")
		}
		before := slices.Clone(shuffled)
		require.Equal(t, want, plan.Decide(append(shuffled, shuffled...), others, maps.Clone(current)))
		require.Equal(t, before, shuffled, "the arguments are left alone")
	})
}

// Of all ways to give each worker its quota, rounded down or up, none moves fewer tasks.
func TestDecideMovesAsLittleAsPossible(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		all, group, current := drawGroup(t)
		group = slices.DeleteFunc(group, func(m carillon.Member) bool { return m.Draining })
		if len(group) == 0 {
			return
		}
		has, sum := map[string]int{}, 0
		for i := range group {
			group[i].Holds = nil
			sum += max(group[i].Capacity, 1)
		}
		for _, task := range all {
			has[current[task]]++
		}
		fewest := len(all)
		for up := range uint(1) << len(group) { // who is rounded up
			given, keep := 0, 0
			for i, m := range group {
				quota := len(all) * max(m.Capacity, 1)
				share := quota / sum
				if up>>i&1 == 1 {
					share = (quota + sum - 1) / sum
				}
				given += share
				keep += min(share, has[m.Worker])
			}
			if given == len(all) {
				fewest = min(fewest, len(all)-keep)
			}
		}
		moved := slices.DeleteFunc(plan.Decide(all, group, current).Moves, func(m carillon.Move) bool {
			return m.Reason == carillon.MoveRetired
		})
		require.Len(t, moved, fewest)
	})
}

// A group of workers of one size through joins, deaths, drains and new segments: each event moves only what it must.
func TestDecideThroughAStory(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		all := tasks(rapid.IntRange(1, 16).Draw(t, "slots"))
		group := members("w0 w1")
		current := plan.Decide(all, group, nil).Assignments
		for step := range rapid.IntRange(1, 12).Draw(t, "steps") {
			changed := ""
			switch event := rapid.SampledFrom([]string{"join", "die", "drain", "open", "nothing"}).Draw(t, "event"); event {
			case "join":
				changed = "w" + strconv.Itoa(step+2)
				group = append(group, carillon.Member{Worker: changed})
			case "die", "drain":
				if len(group) == 1 {
					continue
				}
				i := rapid.IntRange(0, len(group)-1).Draw(t, "who")
				changed = group[i].Worker
				if event == "die" {
					group = slices.Delete(slices.Clone(group), i, i+1)
				} else {
					group = slices.Clone(group)
					group[i].Draining = true
				}
			case "open":
				all = append(slices.Clone(all), carillon.Task{Kind: carillon.TaskSweep, Number: 100 + step})
			}
			r := plan.Decide(all, group, current)
			requireSound(t, r, all, group, current)
			active := slices.DeleteFunc(slices.Clone(group), func(m carillon.Member) bool { return m.Draining })
			for _, m := range r.Moves {
				if changed != "" && len(active) > 0 {
					require.True(t, m.From == changed || m.To == changed || m.Reason == carillon.MoveDraining || m.From == "", "%v", m)
				}
			}
			if changed == "" {
				require.LessOrEqual(t, len(r.Moves), 1)
			}
			current = r.Assignments
			group = slices.DeleteFunc(group, func(m carillon.Member) bool { return m.Draining && len(active) > 0 })
		}
	})
}

// Lanes are the real work: they are spread evenly though a worker's share is of lanes and sweepers together.
func TestDecideSpreadsLanes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) { // from nothing: as evenly as can be
		all, group, _ := drawGroup(t)
		for i := range group {
			group[i].Capacity, group[i].Draining, group[i].Holds = 0, false, nil
		}
		require.LessOrEqual(t, spread(lanes(plan.Decide(all, group, nil).Assignments), group), 1)
	})
	// As workers come and go, as evenly as the few moves allow.
	all := tasks(16)
	var group []carillon.Member
	var current carillon.Assignments
	step := func(change string) {
		current = plan.Decide(all, group, current).Assignments
		require.LessOrEqual(t, spread(lanes(current), group), 2, "%s, %d workers", change, len(group))
	}
	for i := range 10 {
		group = append(group, carillon.Member{Worker: "w" + strconv.Itoa(i)})
		step("join")
	}
	for len(group) > 1 {
		group = slices.Delete(group, len(group)/2, len(group)/2+1)
		step("die")
	}
}

// spread is the difference between who has most and who has least.
func spread(have counts, group []carillon.Member) int {
	least, most := math.MaxInt, 0
	for _, m := range group {
		least, most = min(least, have[m.Worker]), max(most, have[m.Worker])
	}
	return max(most-least, 0)
}
