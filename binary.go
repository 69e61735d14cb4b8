package carillon

import (
	"math"
	"strings"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"google.golang.org/protobuf/proto"

	"github.com/carillon-io/carillon/internal/wire"
)

// This file holds the binary forms of the domain: protobuf, by internal/wire/carillon.proto.

// MarshalBinary is the input as binary protobuf: what Go clients send.
func (in *CreateTimersInput) MarshalBinary() ([]byte, error) {
	msg := &wire.CreateTimersInput{RequestId: in.RequestID, Timers: make([]*wire.TimerSpec, len(in.Timers))}
	for i := range in.Timers {
		t, err := in.Timers[i].toWire()
		if err != nil {
			return nil, err
		}
		msg.Timers[i] = t
	}
	data, err := proto.Marshal(msg)
	if err != nil {
		return nil, InvalidArgument("", "a text in it is not valid UTF-8 (TimerSpec.Validate says which): %w", err)
	}
	return data, nil
}

// UnmarshalBinary is the inverse of MarshalBinary. It fails with ErrInvalidArgument. A payload that cannot be read
// makes its own timer invalid (see TimerSpec.Validate) and no other.
func (in *CreateTimersInput) UnmarshalBinary(data []byte) error {
	var msg wire.CreateTimersInput
	if err := proto.Unmarshal(data, &msg); err != nil {
		return InvalidArgument("", "this is not the protobuf of CreateTimersInput: %w", err)
	}
	*in = CreateTimersInput{RequestID: msg.RequestId, Timers: make([]TimerSpec, len(msg.Timers))}
	for i, t := range msg.Timers {
		if err := in.Timers[i].fromWire(t); err != nil {
			in.Timers[i].invalid = err
		}
	}
	return nil
}

// MarshalBinary is the result as binary protobuf: what Go clients read.
func (r *CreateTimersResult) MarshalBinary() ([]byte, error) {
	msg := &wire.CreateTimersResult{Timers: make([]*wire.CreateResult, len(r.Timers))}
	for i, t := range r.Timers {
		out := &wire.CreateResult{Version: t.Version, Existing: t.Existing}
		if !t.TimerID.IsZero() {
			out.TimerId = t.TimerID.Bytes()
		}
		if !t.FireAt.IsZero() {
			out.FireAtMs = t.FireAt.UnixMilli()
		}
		if t.Error != nil {
			out.Error = &wire.Error{
				Type: string(t.Error.Type), Field: validText(t.Error.Field), Message: validText(t.Error.Message),
				RetryAfterMs: ceilMillis(time.Duration(t.Error.RetryAfter)),
			}
		}
		msg.Timers[i] = out
	}
	return proto.Marshal(msg)
}

// UnmarshalBinary is the inverse of MarshalBinary.
func (r *CreateTimersResult) UnmarshalBinary(data []byte) error {
	var msg wire.CreateTimersResult
	if err := proto.Unmarshal(data, &msg); err != nil {
		return InvalidArgument("", "this is not the protobuf of CreateTimersResult: %w", err)
	}
	*r = CreateTimersResult{Timers: make([]CreateResult, len(msg.Timers))}
	for i, t := range msg.Timers {
		out := &r.Timers[i]
		out.Version, out.Existing = t.Version, t.Existing
		if t.FireAtMs != 0 {
			out.FireAt = time.UnixMilli(t.FireAtMs).UTC()
		}
		if len(t.TimerId) > 0 {
			id, err := IDFromBytes(t.TimerId)
			if err != nil {
				return err
			}
			out.TimerID = id
		}
		if e := t.Error; e != nil {
			out.Error = &Error{
				Type: ErrorType(e.Type), Field: e.Field, Message: e.Message,
				RetryAfter: fromMillis(e.RetryAfterMs),
			}
		}
	}
	return nil
}

func (s *TimerSpec) toWire() (*wire.TimerSpec, error) {
	payload, err := MarshalPayload(s.Payload)
	if err != nil {
		return nil, err
	}
	out := &wire.TimerSpec{
		ClientId: s.ClientID, Name: s.Name, Payload: payload, Target: s.Target.toWire(), Retry: s.Retry.toWire(),
		Labels: s.Labels, OnConflict: string(s.OnConflict),
	}
	if !s.FireAt.IsZero() {
		out.FireAtMs = max(CeilMilli(s.FireAt), 1) // 0 means: not given
	}
	if s.Delay != 0 {
		out.DelayMs = ceilMillis(s.Delay)
	}
	return out, nil
}

func (s *TimerSpec) fromWire(w *wire.TimerSpec) error {
	payload, err := UnmarshalPayload(w.Payload)
	*s = TimerSpec{
		ClientID: w.ClientId, Name: w.Name, Delay: time.Duration(fromMillis(w.DelayMs)), Payload: payload,
		Target: targetFromWire(w.Target), Retry: retryFromWire(w.Retry), Labels: w.Labels,
		OnConflict: OnConflict(w.OnConflict),
	}
	if w.FireAtMs != 0 {
		s.FireAt = time.UnixMilli(max(w.FireAtMs, 1)).UTC() // before 1970 or at its first millisecond: due in any case
	}
	return err
}

// ceilMillis rounds away from zero, so that a delay is never shortened and a negative one stays negative.
func ceilMillis(d time.Duration) int64 {
	ms := d.Milliseconds()
	if r := d % time.Millisecond; r > 0 {
		ms++
	} else if r < 0 {
		ms--
	}
	return ms
}

// MarshalPayload serialises a payload; nil becomes nil, and one without metadata and data is as none. Equal payloads
// have equal bytes.
func MarshalPayload(p *commonpb.Payload) ([]byte, error) {
	if p == nil {
		return nil, nil
	}
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(p)
	if err != nil {
		return nil, InvalidArgument("payload", "%w", err)
	}
	return data, nil
}

// UnmarshalPayload is the inverse of MarshalPayload. It fails with ErrInvalidArgument.
func UnmarshalPayload(data []byte) (*commonpb.Payload, error) {
	if len(data) == 0 {
		return nil, nil
	}
	var p commonpb.Payload
	if err := proto.Unmarshal(data, &p); err != nil {
		return nil, InvalidArgument("payload", "it is no Temporal payload: %w", err)
	}
	return &p, nil
}

// Record is what a store keeps of a timer, besides what its scripts have to read (client id, times, version, attempts).
type Record struct {
	Name      string
	CreatedAt time.Time
	Target    Target
	Retry     *RetryPolicy
	Labels    map[string]string
	// Payload is the serialised payload; nil where the store keeps it apart. PayloadSize is its size then.
	Payload     []byte
	PayloadSize int
	// LastError says why the last attempt failed.
	LastError string
}

// MarshalBinary is the record as binary protobuf. Equal records have equal bytes.
func (r *Record) MarshalBinary() ([]byte, error) {
	msg := &wire.Record{
		Name: r.Name, Target: r.Target.toWire(), Retry: r.Retry.toWire(), Labels: r.Labels, Payload: r.Payload,
		PayloadSize: int64(r.PayloadSize), LastError: validText(r.LastError),
	}
	if !r.CreatedAt.IsZero() {
		msg.CreatedAtMs = r.CreatedAt.UnixMilli()
	}
	return proto.MarshalOptions{Deterministic: true}.Marshal(msg)
}

// UnmarshalBinary is the inverse of MarshalBinary.
func (r *Record) UnmarshalBinary(data []byte) error {
	var msg wire.Record
	if err := proto.Unmarshal(data, &msg); err != nil {
		return err
	}
	*r = Record{
		Name: msg.Name, Target: targetFromWire(msg.Target), Retry: retryFromWire(msg.Retry), Labels: msg.Labels,
		Payload: msg.Payload, PayloadSize: int(msg.PayloadSize), LastError: msg.LastError,
	}
	if msg.CreatedAtMs != 0 {
		r.CreatedAt = time.UnixMilli(msg.CreatedAtMs).UTC()
	}
	return nil
}

func (t Target) toWire() *wire.Target {
	switch t.Kind() {
	case KindSignal:
		s := t.Signal
		return &wire.Target{Kind: &wire.Target_Signal{Signal: &wire.SignalTarget{
			Namespace: s.Namespace, WorkflowId: s.WorkflowID, RunId: s.RunID, SignalName: s.SignalName,
		}}}
	case KindStart:
		s := t.Start
		return &wire.Target{Kind: &wire.Target_Start{Start: &wire.StartTarget{
			Namespace: s.Namespace, WorkflowId: s.WorkflowID, WorkflowType: s.WorkflowType, TaskQueue: s.TaskQueue,
			ExecutionTimeoutMs: ceilMillis(time.Duration(s.ExecutionTimeout)),
			RunTimeoutMs:       ceilMillis(time.Duration(s.RunTimeout)),
		}}}
	case KindWebhook:
		w := t.Webhook
		return &wire.Target{Kind: &wire.Target_Webhook{Webhook: &wire.WebhookTarget{
			Url: w.URL, Headers: w.Headers, TimeoutMs: ceilMillis(time.Duration(w.Timeout)),
		}}}
	case KindMailbox:
		return &wire.Target{Kind: &wire.Target_Mailbox{Mailbox: &wire.MailboxTarget{}}}
	default:
		return nil
	}
}

func targetFromWire(w *wire.Target) Target {
	switch k := w.GetKind().(type) {
	case *wire.Target_Signal:
		s := k.Signal
		return Target{Signal: &SignalTarget{
			Namespace: s.GetNamespace(), WorkflowID: s.GetWorkflowId(), RunID: s.GetRunId(), SignalName: s.GetSignalName(),
		}}
	case *wire.Target_Start:
		s := k.Start
		return Target{Start: &StartTarget{
			Namespace: s.GetNamespace(), WorkflowID: s.GetWorkflowId(), WorkflowType: s.GetWorkflowType(),
			TaskQueue:        s.GetTaskQueue(),
			ExecutionTimeout: fromMillis(s.GetExecutionTimeoutMs()), RunTimeout: fromMillis(s.GetRunTimeoutMs()),
		}}
	case *wire.Target_Webhook:
		w := k.Webhook
		return Target{Webhook: &WebhookTarget{
			URL: w.GetUrl(), Headers: w.GetHeaders(), Timeout: fromMillis(w.GetTimeoutMs()),
		}}
	case *wire.Target_Mailbox:
		return Target{Mailbox: &MailboxTarget{}}
	default:
		return Target{}
	}
}

func (p *RetryPolicy) toWire() *wire.RetryPolicy {
	if p == nil {
		return nil
	}
	return &wire.RetryPolicy{
		InitialIntervalMs: ceilMillis(time.Duration(p.InitialInterval)), BackoffCoefficient: p.BackoffCoefficient,
		MaximumIntervalMs: ceilMillis(time.Duration(p.MaximumInterval)),
		MaximumAttempts:   int32(max(math.MinInt32, min(p.MaximumAttempts, math.MaxInt32))), // what is cut is invalid anyway
	}
}

func retryFromWire(w *wire.RetryPolicy) *RetryPolicy {
	if w == nil {
		return nil
	}
	return &RetryPolicy{
		InitialInterval: fromMillis(w.InitialIntervalMs), BackoffCoefficient: w.BackoffCoefficient,
		MaximumInterval: fromMillis(w.MaximumIntervalMs), MaximumAttempts: int(w.MaximumAttempts),
	}
}

// fromMillis keeps what a Duration cannot hold from wrapping into a valid one.
func fromMillis(ms int64) Duration {
	const most = math.MaxInt64 / int64(time.Millisecond)
	switch {
	case ms > most:
		return math.MaxInt64
	case ms < -most:
		return math.MinInt64
	default:
		return Duration(ms * int64(time.Millisecond))
	}
}

// validText keeps an error's text, which may quote anything, from failing the message that carries it.
func validText(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
