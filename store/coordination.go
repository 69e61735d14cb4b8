package store

import (
	"context"

	"github.com/carillon-io/carillon"
)

// Coordination is what workers know of each other, and what their coordinator decides. It lies in the group-wide keys of the
// store.
type Coordination interface {
	// Heartbeat says that the worker lives, and gives the roster. nonce tells one process from another of the same id: while
	// one lives the other is refused with AlreadyExists. Draining is set by SetDraining alone; a heartbeat keeps it.
	Heartbeat(ctx context.Context, m carillon.Member, nonce string) (carillon.Roster, error)
	// Leave takes the worker off the roster at once. One that is not there, or of another nonce, is no error.
	Leave(ctx context.Context, worker, nonce string) error
	// SetDraining makes a living worker give away its tasks, or take tasks again. It fails with NotFound.
	SetDraining(ctx context.Context, worker string, draining bool) error
	// Roster gives the roster without joining.
	Roster(ctx context.Context) (carillon.Roster, error)
	// Assignments are those of the last decision. What somebody else has put among them and is no task comes as a Task of
	// Store -1 whose Kind is its text, so that whoever compares sees that a decision is due, which removes it.
	Assignments(ctx context.Context) (carillon.Assignments, error)
	// BeginControl begins a new epoch and gives its number: what earlier coordinators decide from now on is refused.
	BeginControl(ctx context.Context) (epoch int64, err error)
	// Observed says that the coordinator of the epoch is at work and has nothing to decide. It fails with ErrStaleDecision
	// if a newer epoch has begun, or if the store has lost this one: begin another then.
	Observed(ctx context.Context, epoch int64) error
	// Decide writes a decision if it is newer than the last one; the same one again is no error. It fails with
	// ErrStaleDecision.
	Decide(ctx context.Context, d carillon.Decision) error
}
