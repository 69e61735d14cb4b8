package engine

import (
	"log/slog"
	"time"

	"github.com/carillon-io/carillon"
)

// MaxTimeout is the longest Options.Timeout: shorter than the time for which a store remembers the answer to a
// request id.
const MaxTimeout = 10 * time.Minute

// Options of an Engine. All but Linger are required.
type Options struct {
	// MaxBatch and MaxBatchBytes bound one operation.
	MaxBatch      int
	MaxBatchBytes int
	// RequestBatch and RequestBatchBytes bound the operations of a CreateRequest. They are no one's to configure: the
	// same request has to be split in the same way for ever.
	RequestBatch      int
	RequestBatchBytes int
	// MaxInFlight is how many create operations may be under way at once.
	MaxInFlight int
	// Linger is how long a create operation that is not full waits for more timers.
	Linger time.Duration
	// Timeout bounds one operation with all its attempts.
	Timeout time.Duration
	// RetryInterval is the wait before the second attempt; it doubles up to MaxRetryInterval.
	RetryInterval    time.Duration
	MaxRetryInterval time.Duration
	Logger           *slog.Logger
}

// Check fails with carillon.ErrInvalidArgument on options that a user has set beyond their bounds.
func (o *Options) Check() error {
	switch {
	case o.MaxBatch < 1 || o.MaxBatch > carillon.MaxBatch:
		return carillon.InvalidArgument("MaxBatch", "%d is not between 1 and %d", o.MaxBatch, carillon.MaxBatch)
	case o.MaxBatchBytes < 1 || o.MaxBatchBytes > carillon.MaxBatchBytes:
		return carillon.InvalidArgument("MaxBatchBytes", "%d is not between 1 and %d", o.MaxBatchBytes, carillon.MaxBatchBytes)
	case o.MaxInFlight < 1 || o.MaxInFlight > 64:
		return carillon.InvalidArgument("MaxInFlight", "%d is not between 1 and 64", o.MaxInFlight)
	case o.Linger < 0 || o.Linger > time.Second:
		return carillon.InvalidArgument("Linger", "%s is not between 0 and 1s", o.Linger)
	case o.Timeout < time.Second || o.Timeout > MaxTimeout:
		return carillon.InvalidArgument("OperationTimeout", "%s is not between 1s and %s", o.Timeout, MaxTimeout)
	}
	return nil
}
