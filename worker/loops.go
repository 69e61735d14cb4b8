package worker

import (
	"log/slog"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/activities/firing"
	"github.com/carillon-io/carillon/activities/sweeping"
	"github.com/carillon-io/carillon/activities/target"
	"github.com/carillon-io/carillon/internal/lease"
	"github.com/carillon-io/carillon/store"
)

// handOver is how long a lane that is told to stop waits for somebody to take over: the others have to hear of it with
// their next heartbeat, and a lane that waits for the lease asks twice a second.
const handOver = carillon.MemberHeartbeat + 3*lease.Poll

// newLoops makes the loops of tasks. alone says that there is no other worker to hand over to.
func newLoops(
	s store.Store, worker string, to target.Deliverer, concurrency int, alone func() bool, log *slog.Logger,
) newLoop {
	return func(task carillon.Task, standby bool) loop {
		if task.Kind == carillon.TaskSweep {
			return sweeping.New(sweeping.Options{
				Store: s, Partition: store.Partition{Slot: task.Slot, Segment: task.Number}, Worker: worker,
				Standby: standby, Logger: log,
			})
		}
		return firing.New(firing.Options{
			Store: s, Lane: store.LaneID{Slot: task.Slot, Lane: task.Number}, Worker: worker, Deliverer: to,
			Concurrency: concurrency, HandOver: handOver, Alone: alone, Standby: standby, Logger: log,
		})
	}
}
