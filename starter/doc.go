// Package starter is Carillon's client for Go programs. Its users need a Temporal client and nothing else: Temporal
// is the authentication, the durable queue of what is asked for, and the audit trail.
//
//	timers, err := starter.New(temporalClient, starter.Options{})
//	...
//	payload, err := timers.Payload("remember the milk")
//	...
//	timer, err := timers.Create(ctx, carillon.TimerSpec{
//		ClientID: "shop",
//		Delay:    time.Hour,
//		Payload:  payload,
//		Target:   carillon.ToSignal("order-17", "reminder"),
//	})
//
// Concurrent calls of Create and CreateAll travel together: while one operation is under way the next one fills, with
// up to 1,000 timers, and each caller gets its own answer or error. So call Create from as many goroutines as you
// have; there is nothing to tune.
//
// # Roads
//
// An operation travels as a standalone activity where the server has them, else as a workflow; both carry the
// operation's name (CreateTimers and so on), run on the task queue carillon.TaskQueue of the group, and can be looked
// at in the Temporal Web UI under the id carillon/<group>/<operation>/<request id>.
//
// From inside a workflow, use FromWorkflow. Go programs that may reach Carillon's Redis, and want a create in a
// millisecond, use the package starter/direct.
//
// # Payloads
//
// A timer's payload is encoded by the caller, with the data converter in Options, codec and encryption included, and
// is opened by nobody before its target receives it. The operation around it (client id, name, target, times, labels)
// is not encoded, so that the worker can read it; see Options.EncodeRequests.
//
// # Repeating
//
// Every operation has a request id and is repeated under the same one until there is an answer or the time is up: a
// lost answer creates nothing twice. An error of type carillon.ErrUnavailable says that it is not known whether the
// operation was carried out. Use CreateRequest, with a request id that you remember, where you have to be able to ask
// again.
package starter
