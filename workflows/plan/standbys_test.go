package plan_test

import (
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/workflows/plan"
)

// zoned are workers, by turns in each of the zones.
func zoned(n int, zones ...string) []carillon.Member {
	out := make([]carillon.Member, n)
	for i := range out {
		out[i] = carillon.Member{Worker: "w" + strconv.Itoa(i), Zone: zones[i%len(zones)]}
	}
	return out
}

func TestStandbysAreOfAnotherZoneFirst(t *testing.T) {
	t.Parallel()
	group := zoned(6, "north", "south", "")
	group[1].Draining = true // of another zone than w0
	for _, task := range tasks(50) {
		// w4 is of another zone, w2, w3 and w5 of the same one or of none, w1 drains.
		got := plan.Standbys(task, group, "w0", 10)
		require.Len(t, got, 5)
		require.Equal(t, "w4", got[0])
		require.ElementsMatch(t, []string{"w2", "w3", "w5"}, got[1:4])
		require.Equal(t, "w1", got[4])
		require.Equal(t, got[:2], plan.Standbys(task, group, "w0", 2))
		require.Len(t, plan.Standbys(task, group, "", 10), 6, "there is no owner")
		require.Len(t, plan.Standbys(task, group, "dead", 10), 6)
	}
	require.Empty(t, plan.Standbys(tasks(1)[0], group, "w0", 0))
	require.Empty(t, plan.Standbys(tasks(1)[0], group[:1], "w0", 2))
	require.Empty(t, plan.Standbys(tasks(1)[0], nil, "", 2))
}

// What one worker had is spread over all others, and a change of the group changes few standbys. The hash is the same
// in every process and release, so these figures are too.
func TestStandbysAreSpread(t *testing.T) {
	t.Parallel()
	group := zoned(10, "")
	var stayed, all int
	first := map[string]int{}
	for _, task := range tasks(500) {
		before := plan.Standbys(task, group, "w0", 2)
		first[before[0]]++
		require.NotContains(t, before, "w0")
		for _, w := range plan.Standbys(task, group[:9], "w0", 2) { // w9 is gone
			all++
			if slices.Contains(before, w) {
				stayed++
			}
		}
	}
	require.Len(t, first, 9)
	for worker, n := range first { // 1000 / 9 = 111
		require.InDelta(t, 111, n, 40, "%s", worker)
	}
	require.Greater(t, stayed*100, all*85) // 8 of 9 are to be expected
}

func TestStandbysDependOnNoOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		group := zoned(rapid.IntRange(0, 9).Draw(t, "workers"), "north", "south")
		task := tasks(9)[rapid.IntRange(0, 17).Draw(t, "task")]
		want := plan.Standbys(task, group, "w0", 2)
		require.Equal(t, want, plan.Standbys(task, rapid.Permutation(group).Draw(t, "order"), "w0", 2))
		require.Len(t, want, min(2, max(len(group)-1, 0)))
	})
}

// Which standbys a task has must not change from one release to the next: workers of both live side by side.
func TestStandbysStayTheSame(t *testing.T) {
	t.Parallel()
	group := zoned(5, "north", "south")
	var got [][]string
	for _, task := range tasks(2) {
		got = append(got, plan.Standbys(task, group, "w0", 2))
	}
	require.Equal(t, [][]string{{"w1", "w3"}, {"w1", "w3"}, {"w3", "w1"}, {"w3", "w1"}}, got)
}
