package target

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc/codes"

	"github.com/carillon-io/carillon"
)

// How long a delivery waits that was not to blame.
const (
	// awayAfter: Temporal is not there, restarts, or is slow to answer.
	awayAfter = time.Second
	// busyAfter: Temporal, or the one workflow, takes no more requests for the moment.
	busyAfter = 2 * time.Second
	// closedAfter: something has to be set right first (credentials, the worker's namespace, versions).
	closedAfter = 15 * time.Second
)

// temporalTargets delivers signals and starts by raw calls: only those carry a request id of ours and a payload as it
// is.
type temporalTargets struct {
	service   func() workflowservice.WorkflowServiceClient
	namespace string
	identity  string
	timeout   time.Duration
}

var errNoTemporal = errors.New("there is no connection to Temporal at the moment")

// call is one delivery to Temporal.
type call struct {
	*temporalTargets
	client workflowservice.WorkflowServiceClient
	// parent is the context of the caller: it tells a stop of the worker from an attempt that took too long.
	parent    context.Context
	what      string // names the target in errors
	namespace string
}

func (t *temporalTargets) begin(ctx context.Context, what, namespace string) (*call, error) {
	c := &call{temporalTargets: t, client: t.service(), parent: ctx, what: what, namespace: namespace}
	if c.namespace == "" {
		c.namespace = t.namespace
	}
	if c.client == nil {
		return nil, Deferred(c.errorf(errNoTemporal), spread(awayAfter))
	}
	return c, nil
}

func (c *call) errorf(err error) error {
	return fmt.Errorf("%s in namespace %q: %w", c.what, c.namespace, err)
}

// fail says what an error of Temporal means. Two questions decide: would another attempt end in the same way, and whose
// fault is it. The worker's own namespace and credentials are no fault of a timer: if they are broken, nothing works,
// and nothing must be lost before they are mended. Another namespace was the choice of whoever made the timer.
func (c *call) fail(err error) error {
	if c.parent.Err() != nil && !errors.Is(c.parent.Err(), context.DeadlineExceeded) {
		return Deferred(c.errorf(err), 0) // the worker stops: whoever comes next goes on at once
	}
	own := c.namespace == c.temporalTargets.namespace
	status := serviceerror.ToStatus(err)
	switch e := serviceerror.FromStatus(status).(type) { //nolint:errorlint // FromStatus wraps nothing
	case *serviceerror.NamespaceNotFound:
		if own {
			err = fmt.Errorf("the worker's own namespace is not there; register it: %w", err)
			return Deferred(c.errorf(err), spread(closedAfter))
		}
		return Permanent(c.errorf(fmt.Errorf("there is no such namespace: %w", err)))
	case *serviceerror.NamespaceInvalidState:
		if own {
			return Deferred(c.errorf(err), spread(closedAfter))
		}
		return Permanent(c.errorf(err))
	case *serviceerror.NamespaceNotActive, *serviceerror.WorkflowNotReady:
		return Deferred(c.errorf(err), spread(busyAfter)) // a failover of the namespace; a workflow about to begin
	case *serviceerror.ClientVersionNotSupported, *serviceerror.ServerVersionNotSupported:
		return Deferred(c.errorf(fmt.Errorf("this release does not fit the server: %w", err)), spread(closedAfter))
	case *serviceerror.ResourceExhausted:
		switch {
		case strings.Contains(e.Message, "larger than max"): // gRPC's own, not a matter of load
			return Permanent(c.errorf(err))
		case e.Cause == enumspb.RESOURCE_EXHAUSTED_CAUSE_PERSISTENCE_STORAGE_LIMIT:
			return Deferred(c.errorf(err), spread(closedAfter))
		}
		return Deferred(c.errorf(err), spread(busyAfter))
	}
	switch status.Code() {
	case codes.NotFound, codes.InvalidArgument:
		return Permanent(c.errorf(err))
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.Aborted:
		return Deferred(c.errorf(err), spread(awayAfter))
	case codes.Unauthenticated:
		return Deferred(c.errorf(fmt.Errorf("the worker's credentials are refused: %w", err)), spread(closedAfter))
	case codes.PermissionDenied:
		if own {
			return Deferred(c.errorf(fmt.Errorf("the worker's credentials are refused: %w", err)), spread(closedAfter))
		}
		// Temporal says the same of an expired token and of a namespace that is not allowed: only the second is final.
		return c.errorf(fmt.Errorf("the worker's credentials may not do this: %w", err))
	case codes.Unimplemented:
		return Deferred(c.errorf(fmt.Errorf("this address does not answer as Temporal does: %w", err)), spread(closedAfter))
	default: // Internal, Unknown, DataLoss, …: it may be the request's fault, so that the attempts have to be bounded
		return c.errorf(err)
	}
}

// passing says whether an error is one that goes by itself.
func passing(err error) bool {
	switch serviceerror.ToStatus(err).Code() {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.Aborted, codes.ResourceExhausted, codes.Internal,
		codes.Unknown:
		return true
	}
	return false
}

// arguments are the payload as a workflow's or a signal's only argument, as it is.
func arguments(payload []byte) (*commonpb.Payloads, error) {
	p, err := carillon.UnmarshalPayload(payload)
	if err != nil {
		return nil, Permanent(err)
	}
	if p == nil {
		p = &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte(encodingNull)}}
	}
	return &commonpb.Payloads{Payloads: []*commonpb.Payload{p}}, nil
}
