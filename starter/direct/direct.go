// Package direct is Carillon's client for Go programs that may reach its Redis: the same interface as the package
// starter, straight to the store, with the same grouping of concurrent creates. A create takes about a millisecond
// and needs neither Temporal nor Carillon's worker; firing still does.
//
// What is given up is what Temporal does for the front door: authentication, a durable queue of what is asked for,
// and an audit trail.
package direct

import (
	"context"
	"log/slog"
	"time"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/starter"
	"github.com/carillon-io/carillon/starter/internal/engine"
	"github.com/carillon-io/carillon/store"
)

// Store is what a Client needs of a store. store.Store has it.
type Store interface {
	store.Timers
	store.Groups
	// ListPartitions lists the virtual partitions with their leases and the lanes with theirs.
	ListPartitions(ctx context.Context) (carillon.ListPartitionsResult, error)
}

// Options of a Client. The zero value is a good start.
type Options struct {
	// MaxBatch is how many timers one create operation takes, at most store.MaxScriptTimers: one script call. 0: that.
	MaxBatch int
	// MaxInFlight is how many create operations may be under way at once, 1 to 64. A further one begins only when a
	// whole batch is waiting for it. 0: 4.
	MaxInFlight int
	// Linger is how long a create operation that is not full waits for more timers, at most 1 s. 0: not at all; the
	// next one fills while operations are under way.
	Linger time.Duration
	// OperationTimeout bounds one operation with all its attempts, 1 s to starter.MaxOperationTimeout. A caller's
	// own context can end earlier. 0: 15 s.
	OperationTimeout time.Duration
	// Logger hears, at debug level, of operations that are tried again. Nil: slog.Default().
	Logger *slog.Logger
}

// Client implements starter.Timers straight over a store. The notes on errors at starter.Client hold for it too.
type Client struct {
	*engine.Engine
}

var _ starter.Timers = (*Client)(nil)

// New makes a Client. Close it before the store. It fails with carillon.ErrInvalidArgument.
//
// A CreateRequest is split in another way than that of the package starter: repeat a request through the client that
// made it. The store alone remembers its answers here, and not Temporal too: repeat it within
// store.Options.RequestTTL (15 minutes).
func New(s Store, options Options) (*Client, error) {
	if s == nil {
		return nil, carillon.InvalidArgument("store", "it is required: store.Open makes one")
	}
	if options.MaxBatch == 0 {
		options.MaxBatch = store.MaxScriptTimers
	}
	if options.MaxBatch > store.MaxScriptTimers {
		return nil, carillon.InvalidArgument("MaxBatch", "%d is not between 1 and %d", options.MaxBatch, store.MaxScriptTimers)
	}
	if options.MaxInFlight == 0 {
		options.MaxInFlight = 4
	}
	if options.OperationTimeout == 0 {
		options.OperationTimeout = 15 * time.Second
	}
	if options.Logger == nil {
		options.Logger = slog.Default()
	}
	o := engine.Options{
		MaxBatch: options.MaxBatch, MaxBatchBytes: carillon.MaxBatchBytes,
		RequestBatch: requestBatch, RequestBatchBytes: carillon.MaxBatchBytes,
		MaxInFlight: options.MaxInFlight, Linger: options.Linger, Timeout: options.OperationTimeout,
		RetryInterval: 10 * time.Millisecond, MaxRetryInterval: time.Second, Logger: options.Logger,
	}
	if err := o.Check(); err != nil {
		return nil, err
	}
	return &Client{Engine: engine.New(s, o)}, nil
}

// requestBatch is how many timers of a CreateRequest make one operation. A request that is repeated has to be split
// as it was: this must never change, whatever becomes of store.MaxScriptTimers.
const requestBatch = 500
