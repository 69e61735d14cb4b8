// Package workflows holds Carillon's workflows: decisions, and no I/O. What has to be done is done by the activities of
// the package activities, which are called by name; the contract between the two is in the package carillon.
//
// # Operations
//
// CreateTimers, CancelTimers, RescheduleTimer and the others of carillon's Op constants are each a workflow of one
// step: it runs the activity of the same name. The workflow is the road that exists on every server and shows in the
// Web UI; the activity of that name is the cheaper one, for servers that have standalone activities and for callers
// that are workflows themselves. Input and result pass through as raw payloads, because the two forms that they may
// have (JSON from any language, binary protobuf from Go) are the activity's business, and decoding a batch of a
// thousand timers twice is not free.
//
//	run, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{TaskQueue: carillon.TaskQueue("default")},
//		carillon.OpCountTimers, carillon.CountTimersInput{})
//
// # Tasks
//
// A task is the loop of one sweeper (of one virtual partition) or of one lane (of one slot's fire queue). The loop
// itself runs in a worker, under a lease of the store, and goes on when Temporal is away. Sweeper and Firing are its
// face in Temporal: one long-running workflow for each task, with the id of carillon.TaskWorkflowID, that keeps an
// activity attached to the loop, on the task queue of the worker that holds the lease.
//
//	worker takes the lease ── signal-with-start "assign" ──► workflow ── schedules Sweep or Fire ──► worker attaches
//	                                                            ▲                                       │ heartbeats
//	                                                            └── records how it ended, waits ◄───────┘ status
//
// So the Web UI shows who runs what, since when, and how it went before: in the workflow's current details, in the
// query "state", and in the heartbeats of its pending activity.
//
// An assignment of another worker supersedes the one that is attached; a repeated one is ignored; an older one too.
// When an attachment ends the workflow does not look for another worker: the worker that gets the lease says so. The
// workflow continues as new after some twenty attachments, so that every history stays short and readable, and
// completes when it is told that its task has been retired.
//
// # The coordinator
//
// Coordinator says which worker is to run which task. There is one for each group, with the id of
// carillon.CoordinatorWorkflowID. It goes round:
//
//	observe  an activity looks at the store until something is due, or for a minute
//	decide   the package plan, which is pure, makes a decision from what was seen
//	act      an activity writes it; the store refuses what is not newer than the last one
//
// So each decision, with all that it was made from, is in the workflow's history; who has what, and why it changed, is
// in its current details and in the query "state". Nobody writes to a partition or a lane by an assignment: leases
// remain the truth. When the coordinator is not at work, each worker decides for itself by the same plan.
//
// # Determinism
//
// Numbers that are tuned from release to release (timeouts, the length of a run) are read once per run through a side
// effect and kept in its history, so that changing them breaks no replay. Every change of logic adds a recorded history
// to testdata; the tests replay all of them.
package workflows
