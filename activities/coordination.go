package activities

import (
	"context"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/store"
)

// Coordination are the activities of a group's coordinator. Register registers them.
type Coordination struct {
	// Store is required.
	Store CoordinationStore
	// Due says whether there is something to decide: plan.Due. Required.
	Due func(carillon.Observation) bool
	// Lanes is how many lanes each slot has. 0: one.
	Lanes int
	// Look is how often Observe looks at the roster, and the least time between two decisions; every fifth time, and
	// before it says that something is due, it looks at segments and assignments too. 0: a second.
	Look time.Duration
	// Watch is how long Observe looks while nothing is due. It has to be well below the time limit that the
	// coordinator sets, two minutes. 0: a minute.
	Watch time.Duration
	// Patience is how long the store may fail before Observe does. 0: four seconds.
	Patience time.Duration
}

// CoordinationStore is what Coordination needs of a store.
type CoordinationStore interface {
	store.Coordination
	Group() string
	Number() int
	Slots() int
	Segments(ctx context.Context) ([]store.Segment, error)
}

var _ CoordinationStore = (*store.Redis)(nil)

// observeHeartbeat is how often Observe heartbeats; the SDK thins that out to what the coordinator's heartbeat
// timeout needs.
const observeHeartbeat = 2 * time.Second

// Register registers the activities under the names carillon.ActivityBeginControl, ActivityObserve and
// ActivityAssign. They are served on carillon.TaskQueue of the group.
func (c *Coordination) Register(r Registry) {
	r.RegisterActivityWithOptions(c.BeginControl, activity.RegisterOptions{Name: carillon.ActivityBeginControl})
	r.RegisterActivityWithOptions(c.Observe, activity.RegisterOptions{Name: carillon.ActivityObserve})
	r.RegisterActivityWithOptions(c.Assign, activity.RegisterOptions{Name: carillon.ActivityAssign})
}

// BeginControl begins a new epoch.
func (c *Coordination) BeginControl(
	ctx context.Context, in carillon.BeginControlInput,
) (out carillon.BeginControlResult, err error) {
	if err = c.checkGroup(in.Group); err == nil {
		out.Epoch, err = c.Store.BeginControl(ctx)
	}
	return out, carillon.ToTemporal(err)
}

// Assign writes a decision. One that is not newer than the last fails with ErrConflict.
func (c *Coordination) Assign(ctx context.Context, in carillon.AssignInput) error {
	err := c.checkGroup(in.Group)
	if err == nil {
		err = c.Store.Decide(ctx, carillon.Decision{Epoch: in.Epoch, Number: in.Number, Assignments: in.Assignments})
	}
	return carillon.ToTemporal(err)
}

// Observe watches the group until there is something to decide, or for Watch, and gives what it has seen last. While
// nothing is due it tells the store that the coordinator is at work. It fails with ErrConflict if the store knows of
// something newer than the decision of the input.
func (c *Coordination) Observe(ctx context.Context, in carillon.ObserveInput) (carillon.Observation, error) {
	o, err := c.observe(ctx, in)
	return o, carillon.ToTemporal(err)
}

// checkGroup keeps a decision of one group from the store of another.
func (c *Coordination) checkGroup(group string) error {
	if group != c.Store.Group() {
		return carillon.InvalidArgument("group", "it is %q; this worker is of the group %q", group, c.Store.Group())
	}
	return nil
}
