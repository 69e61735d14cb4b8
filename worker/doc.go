// Package worker assembles Carillon's worker: what sweeps, fires, and answers clients.
//
//	w, err := worker.New(ctx, worker.Options{Temporal: temporalClient, Redis: redisClient})
//	if err != nil {
//		return err
//	}
//	return w.Run(ctx)
//
// Any number of workers may serve one group; each runs the tasks whose leases it gets, and whoever stops hands its own
// back.
//
// # What runs
//
// A worker has three parts. Its runners are the loops of sweepers and lanes: they need Redis only, start first, and go
// on while Temporal is away. Two workers of the Temporal SDK are connected as soon as Temporal answers, and again
// whenever they fail: one serves the group's task queue (all workflows, and the operations that clients ask for), the
// other this worker's own, where the activities arrive that make its runners visible in Temporal. And the announcer
// tells the workflow of each task that this worker runs it.
//
// # Temporal may be away
//
// Give it a lazy client (client.NewLazyClient), and the worker starts without Temporal: timers for mailboxes and
// webhooks fire, those for Temporal itself wait. A namespace that does not exist, or a refusal of the credentials, at
// the first connection is taken for a mistake in the configuration: Run fails with it. Later it is only logged.
//
// # In a worker of your own
//
// NewPlugin makes a plugin of the Temporal SDK: a worker of yours that has it serves the operations on its own task
// queue too, and runs all of the above beside itself. Register registers workflows and operations and runs nothing.
package worker
