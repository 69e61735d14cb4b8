package store

import (
	"log/slog"
	"strings"
	"time"

	"github.com/carillon-io/carillon"
)

// DefaultLookAhead is how long before its due time an entry enters the fire queue, unless the options say otherwise.
const DefaultLookAhead = 10 * time.Second

// Options say how a store is used. All processes of a group should use the same ones, but nothing breaks if they do not:
// every script call brings its own.
type Options struct {
	// Group is the group whose timers these are. Empty: "default".
	Group string
	// Slots is how many slots the group has in this store: a power of two up to 4096, fixed when the group is founded.
	// 0: what the group was founded with, or DefaultSlots if this call founds it. Any other number than the group's is
	// refused.
	Slots int
	// Number is the store's number within the group, 0 to 255. Any other number than the store's is refused.
	Number int
	// LookAhead is how long before its due time an entry enters the fire queue. 0: DefaultLookAhead.
	LookAhead time.Duration
	// QueueLimit is how many entries of one slot are in the fire queue at the most. The second half of it is kept for what is
	// due within two seconds, so that a burst that is due later is in nobody's way. 0: 250,000.
	QueueLimit int
	// LeaseTTL is how long a lease on a partition lasts without being renewed. 0: 5 s.
	LeaseTTL time.Duration
	// LaneTTL is how long a lease on a lane lasts without being renewed: how long nobody fires when a lane dies. 0: 1.5 s.
	LaneTTL time.Duration
	// RequestTTL is how long the answer to a request id is kept. It has to be longer than the retries of an operation
	// take. 0: 15 min.
	RequestTTL time.Duration
	// OutcomeTTL is how long it is known what became of a timer that is fired or cancelled. 0: 1 h.
	OutcomeTTL time.Duration
	// OutcomeLimit is how many outcomes of one slot are kept for each minute; what goes beyond is only counted. 0: 5000.
	OutcomeLimit int
	// EventLimit is about how many entries the event stream of a slot keeps; one entry tells of up to MaxScriptTimers
	// timers. 0: 1000.
	EventLimit int
	// MailboxLimit is how many messages a client's mailbox holds in one slot. Timers that find it full wait, and are
	// tried again. 0: 100,000.
	MailboxLimit int
	// MailboxRetention is how long a message waits to be read before it is thrown away. 0: for ever.
	MailboxRetention time.Duration
	// AllowVolatile accepts a Redis that keeps nothing over a restart.
	AllowVolatile bool
	// Logger receives warnings. Nil: none.
	Logger *slog.Logger
}

const (
	// DefaultSlots is how many slots a group is founded with.
	DefaultSlots = 16
	// MaxScriptTimers is how many timers one script call takes.
	MaxScriptTimers = 500

	schemaVersion = 1
	// maxScriptBytes bounds what one script call writes or returns, beside MaxScriptTimers: Redis serves nobody else
	// meanwhile.
	maxScriptBytes = 1 << 20
	windowMillis   = int64(time.Hour / time.Millisecond)
	testGroup      = "test-" // groups whose names begin like this accept a shifted clock
)

func (o Options) withDefaults() (Options, error) {
	if o.Group == "" {
		o.Group = carillon.DefaultGroup
	}
	if err := carillon.CheckGroup(o.Group); err != nil {
		return o, err
	}
	if o.Slots < 0 || o.Slots > carillon.MaxSlots || o.Slots&(o.Slots-1) != 0 {
		return o, carillon.InvalidArgument("slots", "%d is not a power of two between 1 and %d", o.Slots, carillon.MaxSlots)
	}
	if o.Number < 0 || o.Number >= carillon.MaxStores {
		return o, carillon.InvalidArgument("store", "%d is not between 0 and %d", o.Number, carillon.MaxStores-1)
	}
	for _, d := range []struct {
		name     string
		value    *time.Duration
		fallback time.Duration
	}{
		{"look_ahead", &o.LookAhead, DefaultLookAhead},
		{"lease_ttl", &o.LeaseTTL, 5 * time.Second},
		{"lane_ttl", &o.LaneTTL, 1500 * time.Millisecond},
		{"request_ttl", &o.RequestTTL, 15 * time.Minute},
		{"outcome_ttl", &o.OutcomeTTL, time.Hour},
		{"mailbox_retention", &o.MailboxRetention, 0},
	} {
		if *d.value < 0 {
			return o, carillon.InvalidArgument(d.name, "%s is negative", *d.value)
		}
		if *d.value == 0 {
			*d.value = d.fallback
		}
	}
	for _, n := range []struct {
		name     string
		value    *int
		fallback int
	}{
		{"queue_limit", &o.QueueLimit, 250_000},
		{"outcome_limit", &o.OutcomeLimit, 5000},
		{"event_limit", &o.EventLimit, 1000},
		{"mailbox_limit", &o.MailboxLimit, 100_000},
	} {
		if *n.value < 0 {
			return o, carillon.InvalidArgument(n.name, "%d is negative", *n.value)
		}
		if *n.value == 0 {
			*n.value = n.fallback
		}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, nil
}

// shiftedClock says whether the group accepts a shifted clock.
func (o Options) shiftedClock() bool { return strings.HasPrefix(o.Group, testGroup) }

func windowOf(dueMilli int64) int64 { return dueMilli - dueMilli%windowMillis }
