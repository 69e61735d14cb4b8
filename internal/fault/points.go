package fault

// Point is a named place between two external effects.
type Point string

// The points of sweeping.
const (
	// SweepAcquired lies between taking the lease on a partition and the first sweep. A crash leaves a lease without a
	// sweeper until it lapses; nobody is late for it, since what is due soon is in the queue.
	SweepAcquired Point = "sweep.acquired"
	// SweepMoved lies between a sweep that has moved entries and whatever comes next. A crash, or a lost answer, leaves each
	// entry in the index or in the queue; the next sweep goes on.
	SweepMoved Point = "sweep.moved"
	// SweepReleased lies between handing the lease back and the end of the loop. A crash leaves nothing.
	SweepReleased Point = "sweep.released"
	// SegmentOpened lies between opening a segment in Redis and starting its sweeper. A crash leaves a segment that every
	// worker finds when it looks next.
	SegmentOpened Point = "segment.opened"
	// SegmentRetired lies between removing a segment and telling the workflow of its task. A crash leaves a workflow that
	// waits for an assignment for ever, and harms nobody.
	SegmentRetired Point = "segment.retired"
)

// The points of firing.
const (
	// LaneAcquired lies between taking the lease on a lane and taking over what its holders before have left. A crash
	// leaves that for the next holder.
	LaneAcquired Point = "lane.acquired"
	// LaneAdopted lies between taking over entries and looking at them. After a crash they are the dead token's, and taken
	// over once more; if the answer alone is lost, the lane does that itself, under another token.
	LaneAdopted Point = "lane.adopted"
	// LaneRead lies between reading new entries and holding them. A crash leaves them pending under the lane's token; a lost
	// answer is repeated by the next read.
	LaneRead Point = "lane.read"
	// LaneRenewed lies between a read that found nothing and the wait for something new. A crash leaves a lease that lapses.
	LaneRenewed Point = "lane.renewed"
	// LaneFetched lies between fetching records and claiming them. Nothing has been written: a crash leaves what LaneRead
	// does.
	LaneFetched Point = "lane.fetched"
	// LaneDropped lies between removing stale entries from the queue and whatever comes next. A crash leaves nothing.
	LaneDropped Point = "lane.dropped"
	// LaneClaimed lies between a claim and what follows from it. Timers for mailboxes have been fired, once and for all; of
	// the others a crash leaves a claim and a counted attempt, which the next holder claims again. A lost answer makes the
	// lane claim again, and it is told the same.
	LaneClaimed Point = "lane.claimed"
	// LaneDelivering lies between the claim of one timer and its delivery. A crash leaves what LaneClaimed does, with a part
	// of the batch delivered.
	LaneDelivering Point = "lane.delivering"
	// LaneDelivered lies between the delivery of one timer and writing that down. After a crash it is delivered again,
	// under the same idempotency key; if the target's answer alone is lost, that is a failed attempt, and so is it.
	LaneDelivered Point = "lane.delivered"
	// LaneCompleted lies between writing down what became of deliveries and taking back their places. A crash leaves
	// nothing; after a lost answer the lane completes once more, and is told that these claims are no longer its own.
	LaneCompleted Point = "lane.completed"
	// LaneLeaving lies between telling that the lane is about to go and being relieved. A crash leaves a lease that whoever
	// asks for it gets at once.
	LaneLeaving Point = "lane.leaving"
	// LaneRelieved lies between somebody else's taking over from a lane that was leaving and the end of its last deliveries.
	// A crash leaves claims that the new holder waits for until their deadlines pass, and then makes itself.
	LaneRelieved Point = "lane.relieved"
	// LaneReleased lies between handing the lease back and the end of the last deliveries. A crash leaves what LaneRelieved
	// does.
	LaneReleased Point = "lane.released"
)

// The points of the front door.
const (
	// CreateBegun lies between a worker's taking on a create and the first script. A crash leaves nothing; Temporal has it
	// tried again under the same request id.
	CreateBegun Point = "create.begun"
	// HostLeased lies between registering a host id and minting with it. A crash leaves an id that nobody uses.
	HostLeased Point = "host.leased"
	// CreateStored lies between one script of a create and the next one, or the answer. A crash leaves some of the timers
	// and their answers; the next attempt is told these, and creates the others.
	CreateStored Point = "create.stored"
	// CreateDone lies between the last script of a create and the answer to Temporal. A crash leaves all timers and their
	// answers, which the next attempt is told.
	CreateDone Point = "create.done"
	// CancelDone lies between a cancel and the answer to Temporal; the next attempt is told what the first one was.
	CancelDone Point = "cancel.done"
	// RescheduleDone lies between a reschedule and the answer to Temporal; the next attempt is told what the first one was.
	RescheduleDone Point = "reschedule.done"
)

// The points of the control path.
const (
	// TaskAnnounced lies between telling a task's workflow who runs it and remembering that. A crash leaves a workflow that
	// wants to attach to a dead worker, until the next one announces itself.
	TaskAnnounced Point = "task.announced"
	// TaskAttached lies between an activity's arrival at its runner and its first heartbeat. A crash leaves an activity that
	// Temporal gives up when its heartbeats stay away.
	TaskAttached Point = "task.attached"
)

// Points are all points.
func Points() []Point {
	return []Point{
		SweepAcquired, SweepMoved, SweepReleased, SegmentOpened, SegmentRetired,
		LaneAcquired, LaneAdopted, LaneRead, LaneRenewed, LaneFetched, LaneDropped, LaneClaimed, LaneDelivering, LaneDelivered,
		LaneCompleted, LaneLeaving, LaneRelieved, LaneReleased,
		CreateBegun, HostLeased, CreateStored, CreateDone, CancelDone, RescheduleDone,
		TaskAnnounced, TaskAttached,
	}
}
