// Package fault is a switchboard for tests: named points between any two external effects of sweeping, firing, creating and
// delivering, at which a process can be made to die, to stand still, or to lose an answer.
//
// A build has it with the tag faultpoints only. In every other build At is an empty function that the compiler inlines, and
// nothing of this package is left but the name of the constants in the source. With the tag (which needs a Unix), the
// environment says what happens:
//
//	CARILLON_FAULT_POINTS=lane.claimed=kill@3,sweep.moved=fail:2@4,lane.read=pause:3s
//
// is a list of point=action@pass. The pass counts from 1, which is the default: it says which time the point is passed that
// something happens. A point is passed when what lies before it has succeeded. The actions are
//
//	kill        the process kills itself: SIGKILL
//	stop        the process halts itself, until somebody sends SIGCONT: SIGSTOP
//	pause:3s    the goroutine stands still for that long, whatever its context says; the others go on
//	fail:2      the next two passes (1 by default) give an *Error, as if the answer had been lost on the way
//
// A plan that cannot be read ends the process when it starts, with the reason. Each strike is a line on standard error:
//
//	carillon fault: lane.claimed: kill at pass 3
package fault
