package starter

import (
	"fmt"
	"log/slog"
	"os"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/starter/internal/engine"
)

// Road is how operations travel through Temporal.
type Road string

// The roads.
const (
	// RoadAuto takes standalone activities where the server has them, else workflows. It finds out with the first
	// operation.
	RoadAuto Road = ""
	// RoadActivity takes standalone activities, and fails with carillon.ErrUnavailable where the server has none.
	RoadActivity Road = "activity"
	// RoadWorkflow takes workflows, which every server has.
	RoadWorkflow Road = "workflow"
)

// MaxOperationTimeout is how long an operation may be tried. A store remembers the answer to a request id for 15
// minutes, unless it is told otherwise: an attempt that comes later might create the same timers again.
const MaxOperationTimeout = engine.MaxTimeout

// Options of a Client. The zero value is a good start.
type Options struct {
	// Group is the group of timers. Empty: carillon.DefaultGroup.
	Group string
	// Namespace is the namespace in which Carillon's worker runs: that of the Temporal client, which cannot be asked
	// for it. Empty: "default".
	Namespace string
	// DataConverter encodes what Payload is given: the data converter of the timers' receivers, with its codec. Nil:
	// the SDK's default.
	DataConverter converter.DataConverter
	// EncodeRequests sends the operations themselves through DataConverter too, so that nobody without the codec sees
	// client ids, names and targets in Temporal. Carillon's worker then needs the codec as well.
	EncodeRequests bool
	// Road is how operations travel. Empty: RoadAuto.
	Road Road
	// MaxBatch is how many timers one create operation takes, at most carillon.MaxBatch. 0: that.
	MaxBatch int
	// MaxBatchBytes is how large the input of one operation may be, at most carillon.MaxBatchBytes. 0: that, or half
	// of it with EncodeRequests, since encoding makes it larger.
	MaxBatchBytes int
	// MaxInFlight is how many create operations may be under way at once, 1 to 64. A further one begins only when a
	// whole batch is waiting for it. 0: 4.
	MaxInFlight int
	// Linger is how long a create operation that is not full waits for more timers, at most 1 s. 0: not at all; the
	// next one fills while operations are under way.
	Linger time.Duration
	// OperationTimeout bounds one operation with all its attempts, 1 s to MaxOperationTimeout. A caller's own context
	// can end earlier. 0: 1 min.
	OperationTimeout time.Duration
	// Identity is what Temporal shows as the caller. Empty: process id and host name.
	Identity string
	// Logger hears of the road that is taken, and at debug level of operations that are tried again. Payloads and
	// names are not logged. Nil: slog.Default().
	Logger *slog.Logger
}

// withDefaults fills the options and checks them. It fails with carillon.ErrInvalidArgument.
func (o Options) withDefaults() (Options, error) {
	if o.Group == "" {
		o.Group = carillon.DefaultGroup
	}
	if err := carillon.CheckGroup(o.Group); err != nil {
		return o, err
	}
	if o.Namespace == "" {
		o.Namespace = client.DefaultNamespace
	}
	if o.DataConverter == nil {
		o.DataConverter = converter.GetDefaultDataConverter()
	}
	switch o.Road {
	case RoadAuto, RoadActivity, RoadWorkflow:
	default:
		return o, carillon.InvalidArgument("Road", "%q is none of %q, %q and %q", o.Road, RoadAuto, RoadActivity, RoadWorkflow)
	}
	if o.MaxBatch == 0 {
		o.MaxBatch = carillon.MaxBatch
	}
	if o.MaxBatchBytes == 0 {
		o.MaxBatchBytes = carillon.MaxBatchBytes
		if o.EncodeRequests {
			o.MaxBatchBytes /= 2
		}
	}
	if o.MaxInFlight == 0 {
		o.MaxInFlight = 4
	}
	if o.OperationTimeout == 0 {
		o.OperationTimeout = time.Minute
	}
	if o.Identity == "" {
		host, err := os.Hostname()
		if err != nil {
			host = "unknown"
		}
		o.Identity = fmt.Sprintf("%d@%s", os.Getpid(), host)
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	options := o.engine()
	return o, options.Check()
}

func (o *Options) engine() engine.Options {
	requestBytes := carillon.MaxBatchBytes
	if o.EncodeRequests {
		requestBytes /= 2
	}
	return engine.Options{
		MaxBatch: o.MaxBatch, MaxBatchBytes: o.MaxBatchBytes,
		RequestBatch: carillon.MaxBatch, RequestBatchBytes: requestBytes,
		MaxInFlight: o.MaxInFlight, Linger: o.Linger, Timeout: o.OperationTimeout,
		RetryInterval: 100 * time.Millisecond, MaxRetryInterval: 5 * time.Second, Logger: o.Logger,
	}
}
