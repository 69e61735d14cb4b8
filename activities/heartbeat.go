package activities

import (
	"context"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"
)

// beat heartbeats with a status from a goroutine of its own, since a heartbeat blocks for as long as Temporal is
// away; the function that it returns ends that, at once.
func beat(ctx context.Context, interval time.Duration, status func() any) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var beating sync.WaitGroup
	beating.Go(func() {
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			activity.RecordHeartbeat(ctx, status())
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	})
	return func() {
		cancel()
		beating.Wait()
	}
}
