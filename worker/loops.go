package worker

import (
	"log/slog"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/activities/firing"
	"github.com/carillon-io/carillon/activities/sweeping"
	"github.com/carillon-io/carillon/activities/target"
	"github.com/carillon-io/carillon/store"
)

// newLoops makes the loops of tasks.
func newLoops(
	s store.Store, worker string, to target.Deliverer, concurrency int, log *slog.Logger,
) func(carillon.Task) loop {
	return func(task carillon.Task) loop {
		if task.Kind == carillon.TaskSweep {
			return sweeping.New(sweeping.Options{
				Store: s, Partition: store.Partition{Slot: task.Slot, Segment: task.Number}, Worker: worker, Logger: log,
			})
		}
		return firing.New(firing.Options{
			Store: s, Lane: store.LaneID{Slot: task.Slot, Lane: task.Number}, Worker: worker, Deliverer: to,
			Concurrency: concurrency, Logger: log,
		})
	}
}
