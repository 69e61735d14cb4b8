package target

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"go.temporal.io/api/workflowservice/v1"

	"github.com/carillon-io/carillon"
)

// Delivery is one attempt to hand a payload to its target.
type Delivery struct {
	TimerID  carillon.ID
	ClientID string
	// Name is the timer's name; empty: it has none.
	Name string
	// Incarnation tells timers apart that have the same name, one after the other.
	Incarnation int64
	// Occurrence counts the firings of a recurring timer, from 1 on. 0: it fires once.
	Occurrence int64
	// FireAt is when the timer was due.
	FireAt time.Time
	// Attempt is the number of this attempt; 1 is the first.
	Attempt int
	// At is when this attempt is made, by the store's clock. Zero: the worker's own clock is asked.
	At time.Time
	// Target says where the payload goes.
	Target carillon.Target
	// Payload is a serialised Temporal payload. Nil: a payload of nothing (binary/null).
	Payload []byte
}

// Key is the idempotency key of the firing, the same for each of its attempts: "<timer id>-<incarnation>", and
// "-<occurrence>" behind it for a recurring timer. It consists of letters, digits and '-', and has at most 61
// characters.
func (d *Delivery) Key() string {
	key := d.TimerID.String() + "-" + strconv.FormatInt(d.Incarnation, 10)
	if d.Occurrence > 0 {
		key += "-" + strconv.FormatInt(d.Occurrence, 10)
	}
	return key
}

// Deliverer delivers to targets. Classify says what an error means for the timer.
type Deliverer interface {
	// Deliver makes one attempt. It returns when the target has answered, when the attempt's time is over, or when ctx
	// ends.
	Deliver(ctx context.Context, d *Delivery) error
	// Timeout is how long an attempt to deliver to the target may take, so that the claim can outlast it.
	Timeout(t carillon.Target) time.Duration
}

// DefaultTemporalTimeout is how long one call to Temporal may take unless Options says otherwise.
const DefaultTemporalTimeout = 10 * time.Second

// DefaultWebhookTimeout is how long one attempt of a webhook may take unless its target says otherwise.
const DefaultWebhookTimeout = 10 * time.Second

// Options says how to deliver. The zero value delivers webhooks to public addresses, and defers signals and starts.
type Options struct {
	// Temporal gives the connection to Temporal, or nil while there is none: signals and starts are deferred then, and
	// webhooks go on. It is asked for every delivery, must not block, and may be called from many goroutines at once. With
	// the SDK's client c it returns c.WorkflowService(). Nil: there is never a connection.
	Temporal func() workflowservice.WorkflowServiceClient
	// Namespace is that of targets that name none: the worker's own. Empty: "default".
	Namespace string
	// Identity says in histories who signalled or started. Empty: "carillon".
	Identity string
	// TemporalTimeout bounds one delivery to Temporal. 0: DefaultTemporalTimeout.
	TemporalTimeout time.Duration
	// Webhook says how webhooks are posted.
	Webhook WebhookOptions
}

// Targets delivers to targets of every kind but mailboxes. Its methods may be called from many goroutines at once.
type Targets struct {
	temporal *temporalTargets
	webhooks *webhooks
}

var _ Deliverer = (*Targets)(nil)

// New makes a Targets. It fails with carillon.ErrInvalidArgument, naming the option.
func New(o Options) (*Targets, error) {
	if o.TemporalTimeout < 0 {
		return nil, carillon.InvalidArgument("TemporalTimeout", "%s is negative; 0 means %s",
			o.TemporalTimeout, DefaultTemporalTimeout)
	}
	webhooks, err := newWebhooks(o.Webhook)
	if err != nil {
		return nil, err
	}
	t := &temporalTargets{
		service: o.Temporal, namespace: o.Namespace, identity: o.Identity, timeout: o.TemporalTimeout,
	}
	if t.service == nil {
		t.service = func() workflowservice.WorkflowServiceClient { return nil }
	}
	if t.namespace == "" {
		t.namespace = "default"
	}
	if t.identity == "" {
		t.identity = "carillon"
	}
	if t.timeout == 0 {
		t.timeout = DefaultTemporalTimeout
	}
	return &Targets{temporal: t, webhooks: webhooks}, nil
}

// Close drops the idle connections to webhooks. Deliveries under way go on.
func (t *Targets) Close() { t.webhooks.close() }

// Deliver implements Deliverer.
func (t *Targets) Deliver(ctx context.Context, d *Delivery) error {
	switch kind := d.Target.Kind(); kind {
	case carillon.KindSignal:
		return t.temporal.signal(ctx, d)
	case carillon.KindStart:
		return t.temporal.start(ctx, d)
	case carillon.KindWebhook:
		return t.webhooks.deliver(ctx, d)
	default:
		// A store that is newer than this worker may hold such a timer: another worker can deliver it.
		return fmt.Errorf("this worker delivers to no target of kind %q; a newer release may", kind)
	}
}

// Timeout implements Deliverer.
func (t *Targets) Timeout(to carillon.Target) time.Duration {
	if to.Webhook == nil {
		return t.temporal.timeout
	}
	return webhookTimeout(to.Webhook)
}
