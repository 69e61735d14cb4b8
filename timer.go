package carillon

import (
	"math"
	"time"
	"unicode/utf8"

	commonpb "go.temporal.io/api/common/v1"
	"google.golang.org/protobuf/proto"
)

// Limits of what a timer may be. They are the same for every road that leads to a store.
const (
	// MaxClientID is the longest client id, in bytes.
	MaxClientID = 200
	// MaxName is the longest name of a timer, in bytes.
	MaxName = 500
	// MaxRequestID is the longest request id, in bytes.
	MaxRequestID = 1000
	// MaxPayload is the largest serialised payload, in bytes.
	MaxPayload = 256 << 10
	// MaxLabels is how many labels a timer may have; MaxLabel is the longest key or value, in bytes.
	MaxLabels = 16
	MaxLabel  = 200
	// MaxHorizon is how far ahead a timer may be due.
	MaxHorizon = 100 * 366 * 24 * time.Hour
	// MaxBatch is how many timers one CreateTimers operation takes, MaxBatchBytes how large its input may be: below
	// Temporal's own limit of 2 MiB for a blob. The starter splits what is larger.
	MaxBatch      = 1000
	MaxBatchBytes = 2<<20 - 64<<10
	// MaxPageSize is how many timers one ListTimers operation returns at the most.
	MaxPageSize = 1000

	maxTemporalID = 1000
	maxInterval   = Duration(MaxHorizon)
)

// OnConflict says what a create of a named timer does when the client has a pending timer of that name.
type OnConflict string

const (
	// ConflictDefault answers the pending timer if it has the same content, else ErrAlreadyExists.
	ConflictDefault OnConflict = ""
	// ConflictReject answers ErrAlreadyExists.
	ConflictReject OnConflict = "reject"
	// ConflictKeep answers the pending timer, whatever its content.
	ConflictKeep OnConflict = "keep"
	// ConflictReplace gives the pending timer the new content and time: a debounce.
	ConflictReplace OnConflict = "replace"
)

// TimerSpec is what a client asks for. The zero value of a field that is not marked as required is its default.
type TimerSpec struct {
	// ClientID is required: who asks, the unit of accounting and the owner of the mailbox.
	ClientID string
	// Name is a name of the client's own choice. While a timer of that name is pending there is no second one; see
	// OnConflict. Empty: the timer has an id only.
	Name string
	// FireAt is when the timer is due, in milliseconds (what is finer is rounded up). One in the past fires at once.
	// Exactly one of FireAt and Delay is required.
	FireAt time.Time
	// Delay is how long after its creation, by the store's clock, the timer is due.
	Delay time.Duration
	// Payload is what the target receives. It is never decoded on the way. Nil: a payload of nothing (binary/null).
	Payload *commonpb.Payload
	// Target is required: where the payload goes.
	Target Target
	// Retry says what to do when a delivery fails. Nil: DefaultRetry.
	Retry *RetryPolicy
	// Labels are kept with the timer and shown with it.
	Labels map[string]string
	// OnConflict says what to do when a timer of that Name is pending.
	OnConflict OnConflict

	// invalid says why this timer of a batch could not be read: it fails its own validation and no other's.
	invalid error
}

// RetryPolicy says what happens when a delivery fails. It has the shape of Temporal's.
type RetryPolicy struct {
	// InitialInterval is the wait before the second attempt. 0: 1 s.
	InitialInterval Duration `json:"initial_interval,omitempty"`
	// BackoffCoefficient multiplies the wait from attempt to attempt. 0: 2.
	BackoffCoefficient float64 `json:"backoff_coefficient,omitempty"`
	// MaximumInterval bounds the wait. 0: 100 × InitialInterval.
	MaximumInterval Duration `json:"maximum_interval,omitempty"`
	// MaximumAttempts is how many attempts there are before the timer is dead. 0: 10.
	MaximumAttempts int `json:"maximum_attempts,omitempty"`
}

// DefaultRetry is the policy of a timer that names none.
var DefaultRetry = RetryPolicy{
	InitialInterval:    Duration(time.Second),
	BackoffCoefficient: 2,
	MaximumInterval:    Duration(100 * time.Second),
	MaximumAttempts:    10,
}

// WithDefaults fills the fields that are zero. A nil policy becomes DefaultRetry.
func (p *RetryPolicy) WithDefaults() RetryPolicy {
	if p == nil {
		return DefaultRetry
	}
	out := *p
	if out.InitialInterval == 0 {
		out.InitialInterval = DefaultRetry.InitialInterval
	}
	if out.BackoffCoefficient == 0 {
		out.BackoffCoefficient = DefaultRetry.BackoffCoefficient
	}
	if out.MaximumInterval == 0 {
		out.MaximumInterval = 100 * min(out.InitialInterval, maxInterval/100)
	}
	if out.MaximumAttempts == 0 {
		out.MaximumAttempts = DefaultRetry.MaximumAttempts
	}
	return out
}

// Next is the wait before the attempt that follows the given one (1 is the first), or false if that was the last.
func (p RetryPolicy) Next(attempt int) (time.Duration, bool) {
	if attempt >= p.MaximumAttempts {
		return 0, false
	}
	wait := float64(p.InitialInterval)
	for range attempt - 1 {
		wait *= p.BackoffCoefficient
		if wait >= float64(p.MaximumInterval) {
			break
		}
	}
	if wait >= float64(p.MaximumInterval) {
		return time.Duration(p.MaximumInterval), true
	}
	return time.Duration(wait), true
}

// State is what a timer is doing.
type State string

// The states of a timer: pending → due (in the fire queue) → firing (claimed) → fired or dead; cancelled from pending
// or due.
const (
	StatePending   State = "pending"
	StateDue       State = "due"
	StateFiring    State = "firing"
	StateFired     State = "fired"
	StateCancelled State = "cancelled"
	StateDead      State = "dead"
)

// Done says whether nothing more will become of a timer in this state by itself.
func (s State) Done() bool { return s == StateFired || s == StateCancelled || s == StateDead }

// TimerInfo is what is known about a timer.
type TimerInfo struct {
	TimerID   ID
	ClientID  string
	Name      string
	State     State
	Version   int64     // raised by every change
	FireAt    time.Time // when it is (or was) due; for a retry, the time of the next attempt
	CreatedAt time.Time
	Target    Target
	Retry     *RetryPolicy
	Labels    map[string]string
	Payload   *commonpb.Payload // nil in listings and in timers that are fired or cancelled
	// Attempts is how many deliveries have begun.
	Attempts int
	// LastError says why the last attempt failed.
	LastError string
	// DoneAt is when the timer was fired, cancelled or given up.
	DoneAt time.Time
}

// TimerRef names a timer: by its id, or by its client and name.
type TimerRef struct {
	TimerID  ID     `json:"timer_id,omitzero"`
	ClientID string `json:"client_id,omitempty"`
	Name     string `json:"name,omitempty"`

	invalid error // as that of TimerSpec
}

// Validate fails with ErrInvalidArgument unless the reference names a timer in exactly one way.
func (r TimerRef) Validate() error {
	switch {
	case r.invalid != nil:
		return r.invalid
	case !r.TimerID.IsZero() && r.Name != "":
		return InvalidArgument("timer_id", "name the timer by timer_id or by client_id and name, not by both")
	case !r.TimerID.IsZero():
		return nil
	case r.Name == "":
		return InvalidArgument("timer_id", "name the timer by timer_id, or by client_id and name")
	default:
		return firstError(
			checkText("client_id", r.ClientID, 1, MaxClientID),
			checkText("name", r.Name, 1, MaxName))
	}
}

// Validate fails with ErrInvalidArgument, naming the field, unless a store can take the timer. now is the store's time.
func (s *TimerSpec) Validate(now time.Time) error {
	if err := firstError(
		s.invalid,
		checkText("client_id", s.ClientID, 1, MaxClientID),
		checkText("name", s.Name, 0, MaxName),
		s.validateTime(now),
		checkPayload(s.Payload),
		s.Target.validate(),
		s.Retry.validate()); err != nil {
		return err
	}
	if len(s.Labels) > MaxLabels {
		return InvalidArgument("labels", "there are %d; a timer has at most %d", len(s.Labels), MaxLabels)
	}
	for k, v := range s.Labels {
		if err := firstError(checkText("labels", k, 1, MaxLabel), checkText("labels", v, 0, MaxLabel)); err != nil {
			return err
		}
	}
	switch s.OnConflict {
	case ConflictDefault, ConflictReject, ConflictKeep, ConflictReplace:
	default:
		return InvalidArgument("on_conflict", "%q is none of reject, keep, replace", clip(string(s.OnConflict)))
	}
	if s.OnConflict != ConflictDefault && s.Name == "" {
		return InvalidArgument("on_conflict", "it says what to do about a timer of the same name, but there is no name")
	}
	return nil
}

func (s *TimerSpec) validateTime(now time.Time) error {
	switch {
	case s.FireAt.IsZero() && s.Delay == 0:
		return InvalidArgument("fire_at", "say when the timer is due: fire_at, or a delay")
	case !s.FireAt.IsZero() && s.Delay != 0:
		return InvalidArgument("fire_at", "say fire_at or delay, not both")
	case s.Delay < 0:
		return InvalidArgument("delay", "%s is negative", s.Delay)
	case s.Delay > MaxHorizon || s.FireAt.After(now.Add(MaxHorizon)):
		return InvalidArgument("fire_at", "it lies more than 100 years ahead")
	}
	return nil
}

// Due is when the timer is due, in milliseconds since 1970, if it is created at now (by the store's clock). It is
// rounded up, since a timer is never early, and never lies before 1970.
func (s *TimerSpec) Due(now time.Time) int64 {
	at := s.FireAt
	if at.IsZero() {
		at = now.Add(s.Delay)
	}
	return CeilMilli(at)
}

// CeilMilli rounds a time up to milliseconds since 1970; what lies before 1970 becomes 0.
func CeilMilli(t time.Time) int64 {
	if t.Unix() > math.MaxInt64/1000-1 {
		return math.MaxInt64 // beyond what milliseconds can say
	}
	ms := t.UnixMilli()
	if time.UnixMilli(ms).Before(t) {
		ms++
	}
	return max(ms, 0)
}

func (p *RetryPolicy) validate() error {
	if p == nil {
		return nil
	}
	switch {
	case p.BackoffCoefficient != 0 && !(p.BackoffCoefficient >= 1 && p.BackoffCoefficient <= 100): // NaN, too
		return InvalidArgument("retry.backoff_coefficient", "it has to be between 1 and 100")
	case p.MaximumAttempts < 0 || p.MaximumAttempts > 10_000:
		return InvalidArgument("retry.maximum_attempts", "%d is not between 1 and 10000", p.MaximumAttempts)
	case p.InitialInterval > maxInterval:
		return InvalidArgument("retry.initial_interval", "%s is more than 100 years", p.InitialInterval)
	case p.MaximumInterval > maxInterval:
		return InvalidArgument("retry.maximum_interval", "%s is more than 100 years", p.MaximumInterval)
	}
	return firstError(
		checkNotNegative("retry.initial_interval", p.InitialInterval),
		checkNotNegative("retry.maximum_interval", p.MaximumInterval))
}

func checkPayload(p *commonpb.Payload) error {
	if size := proto.Size(p); size > MaxPayload {
		return InvalidArgument("payload", "it has %d bytes, the limit is %d; keep large data elsewhere and send a reference",
			size, MaxPayload)
	}
	for k := range p.GetMetadata() {
		if !utf8.ValidString(k) {
			return InvalidArgument("payload", "a metadata key is not valid UTF-8")
		}
	}
	return nil
}

// checkText bounds a text, in bytes, and refuses what is not UTF-8 or holds control characters.
func checkText(field, text string, low, high int) error {
	switch {
	case len(text) < low:
		return InvalidArgument(field, "it is required")
	case len(text) > high:
		return InvalidArgument(field, "it has %d bytes, the limit is %d", len(text), high)
	case !utf8.ValidString(text):
		return InvalidArgument(field, "it is not valid UTF-8")
	}
	for _, r := range text {
		if r < 0x20 || r == 0x7f {
			return InvalidArgument(field, "it holds a control character (U+%04X)", r)
		}
	}
	return nil
}

func checkNotNegative(field string, d Duration) error {
	if d < 0 {
		return InvalidArgument(field, "%s is negative", d)
	}
	return nil
}

// firstError is the first that is not nil. It takes care of typed nils: the checks return error.
func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
