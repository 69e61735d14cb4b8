package store

import (
	"context"
	"time"

	"github.com/carillon-io/carillon"
)

// Store keeps timers: one Redis deployment. *Redis implements it.
//
// Every method that changes something is one script call per slot, safe to run twice, and takes the time from the store.
// Errors are carillon.Error values; what Redis itself answered is their cause.
type Store interface {
	Timers
	Partitions
	Lanes
	Coordination
	Groups

	// Group is the group whose timers these are.
	Group() string
	// Number is the store's number within the group.
	Number() int
	// Slots is how many slots the store has.
	Slots() int
	// Clock tells the time of the store's node that holds the slot.
	Clock(slot int) *Clock
	// Options are the options in force.
	Options() Options
}

// Timers is what clients ask for.
type Timers interface {
	// Create creates timers, each with its own answer, in the input's order. A bigger input than MaxScriptTimers becomes
	// several script calls. The error is for the whole: it says that the answers are not known, and that the same request
	// id may be used again.
	Create(ctx context.Context, in carillon.CreateTimersInput) (carillon.CreateTimersResult, error)
	// Cancel cancels timers, each with its own answer.
	Cancel(ctx context.Context, in carillon.CancelTimersInput) (carillon.CancelTimersResult, error)
	// Reschedule moves a timer to another time.
	Reschedule(ctx context.Context, in carillon.RescheduleTimerInput) (carillon.RescheduleTimerResult, error)
	// Redrive gives dead timers another series of attempts.
	Redrive(ctx context.Context, in carillon.RedriveTimersInput) (carillon.RedriveTimersResult, error)
	// Describe tells what is known about a timer. A timer that is fired or cancelled is known for the retention of
	// outcomes.
	Describe(ctx context.Context, in carillon.DescribeTimerInput) (carillon.DescribeTimerResult, error)
	// List gives a page of timers.
	List(ctx context.Context, in carillon.ListTimersInput) (carillon.ListTimersResult, error)
	// Count counts timers at a cost that does not depend on their number.
	Count(ctx context.Context, in carillon.CountTimersInput) (carillon.CountTimersResult, error)
}

// Partition names a virtual partition of a store: what one sweeper sweeps.
type Partition struct {
	Slot    int
	Segment int
}

// LaneID names a lane of a store: one consumer of a slot's fire queue.
type LaneID struct {
	Slot int
	Lane int
}

// Token is the proof of a lease: an epoch and a unique owner. A write with a token that is no longer the lease's is refused
// with ErrLeaseLost. The zero Token is none.
type Token string

// Partitions is what sweepers and those who assign them need.
type Partitions interface {
	// Partitions lists the virtual partitions with their leases and the lanes with theirs.
	ListPartitions(ctx context.Context) (carillon.ListPartitionsResult, error)
	// Segments lists the segments of every slot.
	Segments(ctx context.Context) ([]Segment, error)
	// OpenSegment seals the slot's open segment, if it is still the given one, and opens the next. It gives the number of
	// the segment that is open afterwards.
	OpenSegment(ctx context.Context, slot, sealing int) (int, error)
	// RetireSegment removes a sealed segment if it is empty, and says whether it did.
	RetireSegment(ctx context.Context, p Partition) (bool, error)

	// AcquireSweep takes the lease on a partition if it is free or has lapsed, for the owner (any unique text without a
	// colon). It fails with ErrLeaseHeld, and with carillon.ErrNotFound if the segment is retired.
	AcquireSweep(ctx context.Context, p Partition, owner string) (Token, error)
	// ReleaseSweep hands the lease back. A lease that is lost already is no error.
	ReleaseSweep(ctx context.Context, p Partition, token Token) error
	// Sweep renews the lease and moves index entries that are due within the look-ahead to the fire queue, earliest
	// first, at most limit of them.
	Sweep(ctx context.Context, p Partition, token Token, limit int) (SweepResult, error)
}

// Segment is a segment of a slot.
type Segment struct {
	Partition
	Open    bool
	Entries int64 // index entries in it
}

// SweepResult is what one sweep did.
type SweepResult struct {
	// Moved is how many entries went to the fire queue.
	Moved int
	// More says that entries within the look-ahead are left: sweep again at once.
	More bool
	// QueueFull says that entries were left because the fire queue is at its limit.
	QueueFull bool
	// NextDue is when the earliest entry that is left is due; zero: the partition is empty.
	NextDue time.Time
}

// Lanes is what firing lanes need.
type Lanes interface {
	// AcquireLane takes the lease on a lane if it is free or has lapsed, as AcquireSweep does.
	AcquireLane(ctx context.Context, l LaneID, owner string) (Token, error)
	// AcquireLapsedLane is as AcquireLane, but takes nothing from a holder that is leaving: that one waits for somebody else.
	AcquireLapsedLane(ctx context.Context, l LaneID, owner string) (Token, error)
	// LeaveLane says that the holder is about to go: it keeps the lease and goes on, but whoever asks for the lease gets it
	// at once. What the holder is delivering then, it may still complete under its old token.
	LeaveLane(ctx context.Context, l LaneID, token Token) error
	// ReleaseLane hands the lease back. What the holder is delivering it may still complete. A lease that is lost already
	// is no error.
	ReleaseLane(ctx context.Context, l LaneID, token Token) error
	// Adopt takes over what earlier holders of the lane left behind, some at a time: call it until more is false.
	Adopt(ctx context.Context, l LaneID, token Token, limit int) (entries []Entry, more bool, err error)
	// Read renews the lease and takes up to limit new entries from the fire queue; with limit 0 it only renews. after is the greatest entry id that the lane has
	// got from Read: entries that an earlier answer carried and that were lost on the way come again.
	Read(ctx context.Context, l LaneID, token Token, after string, limit int) ([]Entry, error)
	// Wait blocks until the slot's fire queue has an entry after the given one, or for the given time, and gives the
	// last entry id that it has seen (or after). It has a connection of its own.
	Wait(ctx context.Context, slot int, after string, timeout time.Duration) (string, error)
	// Fetch reads records ahead of their time: those of the entries, in their order. A nil one is gone or stale: its entry
	// can be dropped.
	Fetch(ctx context.Context, l LaneID, entries []Entry) ([]*Firing, error)
	// Drop removes entries from the fire queue whose record is gone or stale (see Fetch).
	Drop(ctx context.Context, l LaneID, token Token, entries []Entry) error
	// Claim claims what is due, and fires what goes to a mailbox, at most MaxScriptTimers at a time. The answers are in the order of the request.
	Claim(ctx context.Context, l LaneID, token Token, claims []Claim) ([]ClaimResult, error)
	// Complete says what became of claimed timers. The answers are in the order of the request: false says that the
	// claim was no longer the lane's, so that nothing was written.
	Complete(ctx context.Context, l LaneID, token Token, completions []Completion) ([]bool, error)
}

// Entry is an entry of a fire queue: a hint that a timer may be due. The claim is the truth.
type Entry struct {
	// ID is the entry's id in the stream.
	ID string
	// Unique names the timer within the slot.
	Unique carillon.Unique
	// Ref tells the entry from older ones of the same timer.
	Ref uint32
	// Due is when the lane has to look at the entry, in milliseconds of the store's clock.
	Due int64
}

// Firing is a timer as a lane sees it.
type Firing struct {
	carillon.Record
	TimerID  carillon.ID
	ClientID string
	// Version is the version that was read; a claim is for this version only.
	Version int64
	// Incarnation is the version at creation: it tells timers apart that have the same name, one after the other.
	Incarnation int64
	// Due is when the timer is due, in milliseconds of the store's clock.
	Due int64
	// Attempts is how many deliveries have begun.
	Attempts int
	// PayloadApart says that the payload is kept apart: Claim brings it.
	PayloadApart bool
	// Mailbox says that the target is a mailbox: then the Record is decoded only if its payload lies apart, since its
	// reader will do that.
	Mailbox bool
}

// Claim asks to claim one entry.
type Claim struct {
	Entry  Entry
	Firing *Firing
	// Timeout is how long the attempt may take: until then, cancel and reschedule answer ErrTooLate.
	Timeout time.Duration
}

// ClaimStatus says what became of a Claim.
type ClaimStatus byte

// What can become of a claim.
const (
	// ClaimGone: the record is gone or the entry is stale; the entry has been dropped.
	ClaimGone ClaimStatus = 'G'
	// ClaimHold: the timer has been moved to ClaimResult.Due; look again then.
	ClaimHold ClaimStatus = 'H'
	// ClaimChanged: the record has changed since it was fetched; fetch it again.
	ClaimChanged ClaimStatus = 'C'
	// ClaimFired: it went to the mailbox, and all is done.
	ClaimFired ClaimStatus = 'F'
	// ClaimFull: it is claimed, but the mailbox is full; complete it with CompleteRetry.
	ClaimFull ClaimStatus = 'X'
	// ClaimTaken: it is claimed; deliver it and complete it.
	ClaimTaken ClaimStatus = 'K'
)

// ClaimResult is the answer to a Claim.
type ClaimResult struct {
	Status ClaimStatus
	// Due is when to look again, for ClaimHold.
	Due int64
	// Attempt is the number of the attempt that begins (1 is the first), for ClaimTaken and ClaimFull.
	Attempt int
	// Payload is the serialised payload, for ClaimTaken.
	Payload []byte
}

// CompletionKind says what became of a delivery.
type CompletionKind byte

// What can become of a delivery.
const (
	// CompleteFired: it was delivered.
	CompleteFired CompletionKind = 'F'
	// CompleteRetry: it failed, and there is another attempt at RetryAt.
	CompleteRetry CompletionKind = 'R'
	// CompleteDefer is CompleteRetry for what was not the target's fault: the attempt does not count.
	CompleteDefer CompletionKind = 'P'
	// CompleteDead: it failed for good.
	CompleteDead CompletionKind = 'D'
)

// Completion says what became of one claimed timer.
type Completion struct {
	Entry  Entry
	Firing *Firing
	Kind   CompletionKind
	// RetryAt is when the next attempt is due, in milliseconds of the store's clock.
	RetryAt int64
	// Error says why the delivery failed.
	Error string
}
