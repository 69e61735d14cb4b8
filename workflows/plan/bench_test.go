package plan_test

import (
	"strconv"
	"testing"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/workflows/plan"
)

// large is a group of 4,096 slots and 50 workers that hold what they are assigned.
func large() ([]carillon.Task, []carillon.Member, carillon.Assignments) {
	all := tasks(carillon.MaxSlots)
	group := make([]carillon.Member, 50)
	for i := range group {
		group[i].Worker = "worker-" + strconv.Itoa(i)
	}
	current := plan.Decide(all, group, nil).Assignments
	for i := range group {
		group[i].Holds = plan.TasksOf(current, group[i].Worker)
	}
	return all, group, current
}

func BenchmarkDecide(b *testing.B) {
	all, group, current := large()
	for name, c := range map[string]struct {
		members []carillon.Member
		current carillon.Assignments
	}{
		"from nothing":   {group, nil},
		"nothing to do":  {group, current},
		"a worker dies":  {group[1:], current},
		"a worker joins": {append(group[:len(group):len(group)], carillon.Member{Worker: "new"}), current},
		"half of them":   {group[25:], current},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				plan.Decide(all, c.members, c.current)
			}
		})
	}
}

func BenchmarkStandbys(b *testing.B) {
	all, group, current := large()
	for b.Loop() {
		for _, task := range all {
			plan.Standbys(task, group, current[task], 2)
		}
	}
}
