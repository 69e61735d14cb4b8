package carillon

import (
	"cmp"
	"slices"
	"time"
)

// Member is a worker of a group, as it describes itself with every heartbeat.
type Member struct {
	// Worker is the worker's id.
	Worker string `json:"worker"`
	// Capacity is the worker's share of the tasks, in relation to that of others: one of 2 gets twice as many as one of 1.
	// 0 is 1.
	Capacity int `json:"capacity,omitempty"`
	// Load is how busy the worker is: deliveries under way as a fraction of those that it may have, 0 to 1.
	Load float64 `json:"load,omitempty"`
	// Zone, Labels and Version (of the build) are for people and for the placement of tasks.
	Zone    string            `json:"zone,omitempty"`
	Labels  map[string]string `json:"labels,omitempty"`
	Version string            `json:"version,omitempty"`
	// Holds are the tasks whose lease the worker holds.
	Holds []Task `json:"holds,omitempty"`
	// Draining says that the worker takes no more tasks and gives away what it has.
	Draining bool `json:"draining,omitempty"`
	// Joined is when it joined, Seen when it was last heard of, by the store's clock.
	Joined time.Time `json:"joined,omitzero"`
	Seen   time.Time `json:"seen,omitzero"`
}

// MemberTTL is the silence after which a worker is taken for dead; it heartbeats every MemberHeartbeat.
const (
	MemberTTL       = 3 * time.Second
	MemberHeartbeat = time.Second
)

// Assignments say which worker runs which task. A task of "" has nobody.
type Assignments map[Task]string

// Control says who decides: the coordinator's last decision, and when it was last at work, by the store's clock.
type Control struct {
	// Epoch is the term of the coordinator, Number that of its decision within the term. Both only grow; what is not newer
	// is refused.
	Epoch  int64 `json:"epoch"`
	Number int64 `json:"number"`
	// DecidedAt is when that decision was written, ObservedAt when the coordinator last looked and found nothing to decide.
	DecidedAt  time.Time `json:"decided_at,omitzero"`
	ObservedAt time.Time `json:"observed_at,omitzero"`
}

// ControlTTL is the age of Control.ObservedAt and DecidedAt beyond which nobody controls the group: its workers then take equal
// slices by themselves.
const ControlTTL = 5 * time.Second

// Controlled says whether a coordinator is at work at that time.
func (c Control) Controlled(now time.Time) bool {
	last := c.ObservedAt
	if c.DecidedAt.After(last) {
		last = c.DecidedAt
	}
	return c.Epoch > 0 && now.Sub(last) < ControlTTL
}

// Roster is a group at one moment.
type Roster struct {
	// Now is the store's time.
	Now time.Time `json:"now"`
	// Members are those that live, in the order of their ids.
	Members []Member `json:"members,omitempty"`
	Control Control  `json:"control"`
}

// Decision is what a coordinator writes: the assignments of all tasks, under an epoch and number that are newer than those of
// all decisions before.
type Decision struct {
	Epoch       int64       `json:"epoch"`
	Number      int64       `json:"number"`
	Assignments Assignments `json:"-"`
}

// CompareTasks orders tasks by kind, store, slot and number.
func CompareTasks(a, b Task) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Store, b.Store), cmp.Compare(a.Slot, b.Slot),
		cmp.Compare(a.Number, b.Number))
}

// SortTasks sorts tasks in the order of CompareTasks.
func SortTasks(tasks []Task) { slices.SortFunc(tasks, CompareTasks) }
