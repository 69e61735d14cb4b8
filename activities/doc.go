// Package activities holds Carillon's activities: I/O, and no policy.
//
// Operations are what clients ask for: CreateTimers, CancelTimers and the others of carillon's Op constants, each one
// call of the store. The same activity serves every road: run by the workflow of the same name, started alone on a
// server that has standalone activities, or called by a user's own workflow. They read JSON from any language and
// binary protobuf from Go, and answer in the form that they were asked in. Two checks are theirs: how large a batch may
// be, and that a request has an id under which it can be repeated. All others are the store's, so that no road leads
// around them.
//
// Attach makes what a worker runs visible in Temporal: Sweep and Fire attach to a running loop of this process,
// heartbeat with its status, and return when it ends. They never start, stop or disturb it: what stops a loop is its
// lease.
//
// Coordination are the activities of the group's coordinator: they look at the group, and write what the coordinator
// has decided. What is worth a decision they are told by the plan that they are given.
//
// The loops themselves, and the deliveries, are in the folders below: sweeping, firing, target.
package activities
