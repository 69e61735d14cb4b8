package carillon

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
	"unicode/utf8"

	commonpb "go.temporal.io/api/common/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

// The operations. Each is the name of a workflow and of an activity (standalone, or called from a user's own workflow)
// that takes one input and gives one result, on the task queue that TaskQueue names. The JSON forms below are the
// contract with every SDK language; Go clients send CreateTimersInput and read CreateTimersResult as binary protobuf.
const (
	OpCreateTimers    = "CreateTimers"
	OpCancelTimers    = "CancelTimers"
	OpRescheduleTimer = "RescheduleTimer"
	OpDescribeTimer   = "DescribeTimer"
	OpListTimers      = "ListTimers"
	OpCountTimers     = "CountTimers"
	OpRedriveTimers   = "RedriveTimers"
	OpListPartitions  = "ListPartitions"
	OpDescribeGroup   = "DescribeGroup"
	OpDrainWorker     = "DrainWorker"
)

// DefaultGroup is the group of those who name none.
const DefaultGroup = "default"

// TaskQueue is the task queue of a group's operations.
func TaskQueue(group string) string { return "carillon." + group }

// WorkerTaskQueue is the task queue of one worker of a group: the tasks that are assigned to it arrive there.
func WorkerTaskQueue(group, workerID string) string { return "carillon." + group + "." + workerID }

// CheckGroup fails with ErrInvalidArgument unless the name can be a group's: 1 to 64 characters of a-z, A-Z, 0-9, "_",
// "-" and ".". Temporal ids and Redis keys carry it.
func CheckGroup(name string) error {
	if len(name) < 1 || len(name) > 64 {
		return InvalidArgument("group", "a name has 1 to 64 characters, this one has %d", len(name))
	}
	for _, c := range []byte(name) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-', c == '.':
		default:
			return InvalidArgument("group", "%q holds %q; use letters, digits, '_', '-' and '.'", name, c)
		}
	}
	return nil
}

// CreateTimersInput asks for timers. Each has its own answer: one bad timer does not fail the others.
type CreateTimersInput struct {
	// RequestID makes the operation safe to repeat: a second one with the same id gets the first one's answer. Empty: the
	// ids of the workflow or activity that carries it.
	RequestID string `json:"request_id,omitempty"`
	// Timers are at most MaxBatch.
	Timers []TimerSpec `json:"timers"`
}

// CreateTimersResult answers the timers of the input, in its order.
type CreateTimersResult struct {
	Timers []CreateResult `json:"timers"`
}

// CreateResult is the answer to one TimerSpec: a timer, or an error.
type CreateResult struct {
	TimerID ID        `json:"timer_id,omitzero"`
	Version int64     `json:"version,omitempty"`
	FireAt  time.Time `json:"fire_at,omitzero"`
	// Existing says that the timer had been there before: its name was taken, and on_conflict lets it stand.
	Existing bool   `json:"existing,omitempty"`
	Error    *Error `json:"error,omitempty"`
}

// CancelTimersInput asks to cancel timers, at most MaxBatch.
type CancelTimersInput struct {
	RequestID string     `json:"request_id,omitempty"`
	Timers    []TimerRef `json:"timers"`
}

// CancelTimersResult answers the timers of the input, in its order.
type CancelTimersResult struct {
	Timers []CancelResult `json:"timers"`
}

// CancelResult is the answer to one TimerRef: cancelled unless there is an error.
type CancelResult struct {
	TimerID ID     `json:"timer_id,omitzero"`
	Error   *Error `json:"error,omitempty"`
}

// RescheduleTimerInput moves a timer to another time, in place: it keeps its id.
type RescheduleTimerInput struct {
	RequestID string
	TimerRef
	// FireAt or Delay is when the timer is due from now on. Exactly one is required.
	FireAt time.Time
	Delay  time.Duration
	// ExpectedVersion makes the change conditional: ErrConflict unless the timer has this version. 0: unconditional.
	ExpectedVersion int64
	// Payload replaces the payload. Nil: it stays.
	Payload *commonpb.Payload
}

// RescheduleTimerResult is the timer after the change.
type RescheduleTimerResult struct {
	TimerID ID        `json:"timer_id"`
	Version int64     `json:"version"`
	FireAt  time.Time `json:"fire_at"`
}

// DescribeTimerInput asks for one timer.
type DescribeTimerInput struct {
	TimerRef
}

// DescribeTimerResult is what is known about the timer.
type DescribeTimerResult struct {
	Timer TimerInfo `json:"timer"`
}

// ListTimersInput asks for a page of timers, in no order. Timers that are fired or cancelled are not listed.
type ListTimersInput struct {
	// ClientID: only the timers of that client. Empty: everyone's.
	ClientID string `json:"client_id,omitempty"`
	// States: only timers in one of these (pending, due, firing, dead). Empty: pending, due and firing.
	States []State `json:"states,omitempty"`
	// DueFrom and DueBefore: only timers that are due in [DueFrom, DueBefore). Zero: no bound.
	DueFrom   time.Time `json:"due_from,omitzero"`
	DueBefore time.Time `json:"due_before,omitzero"`
	// PageSize is how many timers a page holds at the most, up to MaxPageSize. 0: 100. A page may hold fewer, even
	// none, and still have a NextCursor: one call looks at a bounded number of records.
	PageSize int `json:"page_size,omitempty"`
	// Cursor is the NextCursor of the page before. Empty: the first page.
	Cursor string `json:"cursor,omitempty"`
}

// WantsState says whether timers in that state are asked for.
func (in *ListTimersInput) WantsState(state State) bool {
	if len(in.States) == 0 {
		return state != StateDead
	}
	return slices.Contains(in.States, state)
}

// ListTimersResult is a page of timers.
type ListTimersResult struct {
	Timers []TimerInfo `json:"timers"`
	// NextCursor asks for the next page. Empty: this was the last.
	NextCursor string `json:"next_cursor,omitempty"`
}

// CountTimersInput asks how many timers there are.
type CountTimersInput struct {
	// ClientID: only the timers of that client. Empty: everyone's.
	ClientID string `json:"client_id,omitempty"`
}

// CountTimersResult counts timers, at a cost that does not depend on their number.
type CountTimersResult struct {
	// Pending timers are accepted and not done: pending, due or firing.
	Pending int64 `json:"pending"`
	// The others are counted for the whole group only, and 0 when a client is named. Due entries are in the fire queues,
	// Firing timers are claimed, Dead ones have been given up and can be redriven.
	Due    int64 `json:"due"`
	Firing int64 `json:"firing"`
	Dead   int64 `json:"dead"`
	// Created, Fired and Cancelled count since the group was created.
	Created   int64 `json:"created"`
	Fired     int64 `json:"fired"`
	Cancelled int64 `json:"cancelled"`
}

// RedriveTimersInput gives dead timers another series of attempts, at once.
type RedriveTimersInput struct {
	RequestID string     `json:"request_id,omitempty"`
	Timers    []TimerRef `json:"timers"`
}

// RedriveTimersResult answers the timers of the input, in its order.
type RedriveTimersResult struct {
	Timers []CreateResult `json:"timers"`
}

// ListPartitionsInput asks for the virtual partitions of the group.
type ListPartitionsInput struct{}

// ListPartitionsResult lists the virtual partitions of the group and who sweeps them.
type ListPartitionsResult struct {
	Partitions []PartitionInfo `json:"partitions"`
	Lanes      []LaneInfo      `json:"lanes"`
}

// PartitionInfo is what is known about a virtual partition: store + slot + segment.
type PartitionInfo struct {
	Store   int    `json:"store"`
	Slot    int    `json:"slot"`
	Segment int    `json:"segment"`
	State   string `json:"state"` // open or sealed
	// Entries are the index entries of the segment.
	Entries int64 `json:"entries"`
	// NextDue is when the earliest of them is due.
	NextDue time.Time `json:"next_due,omitzero"`
	// Sweeper is the lease token of who sweeps the partition; empty: nobody.
	Sweeper    string    `json:"sweeper,omitempty"`
	LeaseUntil time.Time `json:"lease_until,omitzero"`
	// Worker is the worker that holds the lease, Since then; Assigned is the one that should.
	Worker   string    `json:"worker,omitempty"`
	Since    time.Time `json:"since,omitzero"`
	Assigned string    `json:"assigned,omitempty"`
}

// LaneInfo is what is known about a lane of a fire queue.
type LaneInfo struct {
	Store int `json:"store"`
	Slot  int `json:"slot"`
	Lane  int `json:"lane"`
	// Queue is the length of the slot's fire queue; Held are the entries that this lane holds.
	Queue      int64     `json:"queue"`
	Held       int64     `json:"held"`
	Holder     string    `json:"holder,omitempty"`
	LeaseUntil time.Time `json:"lease_until,omitzero"`
	// Worker is the worker that holds the lease, Since then; Assigned is the one that should.
	Worker   string    `json:"worker,omitempty"`
	Since    time.Time `json:"since,omitzero"`
	Assigned string    `json:"assigned,omitempty"`
}

// timerSpecJSON is TimerSpec as JSON spells it.
type timerSpecJSON struct {
	ClientID   string            `json:"client_id"`
	Name       string            `json:"name,omitempty"`
	FireAt     time.Time         `json:"fire_at,omitzero"`
	Delay      Duration          `json:"delay,omitempty"`
	Target     Target            `json:"target"`
	Retry      *RetryPolicy      `json:"retry,omitempty"`
	Labels     map[string]string `json:"labels,omitempty"`
	OnConflict OnConflict        `json:"on_conflict,omitempty"`
	payloadJSON
}

// payloadJSON is a payload as JSON spells it, in one of two ways: "payload" is any JSON value and becomes a json/plain
// payload; "encoded_payload" is a Temporal payload ({"metadata": {...}, "data": ...}, base64 as protobuf's JSON has
// it).
type payloadJSON struct {
	Payload        json.RawMessage `json:"payload,omitempty"`
	EncodedPayload json.RawMessage `json:"encoded_payload,omitempty"`
}

const encodingJSON = "json/plain"

// payloadToJSON spells a payload for others to read: json/plain is shown as what it is.
func payloadToJSON(p *commonpb.Payload) (payloadJSON, error) {
	if p == nil {
		return payloadJSON{}, nil
	}
	plain := len(p.Metadata) == 1 && string(p.Metadata["encoding"]) == encodingJSON && len(p.ExternalPayloads) == 0
	if plain && utf8.Valid(p.Data) && json.Valid(p.Data) {
		return payloadJSON{Payload: p.Data}, nil
	}
	data, err := protojson.Marshal(p)
	return payloadJSON{EncodedPayload: data}, err
}

// inputPayloadToJSON spells a payload so that it arrives byte for byte: encoding/json leaves out white space and
// escapes some characters, and what that would change goes encoded.
func inputPayloadToJSON(p *commonpb.Payload) (payloadJSON, error) {
	j, err := payloadToJSON(p)
	if err != nil || len(j.Payload) == 0 {
		return j, err
	}
	same, err := json.Marshal(j.Payload)
	if err == nil && !bytes.Equal(same, p.Data) {
		j = payloadJSON{}
		j.EncodedPayload, err = protojson.Marshal(p)
	}
	return j, err
}

func (j payloadJSON) decode() (*commonpb.Payload, error) {
	if string(j.EncodedPayload) == "null" {
		j.EncodedPayload = nil
	}
	switch {
	case len(j.Payload) > 0 && len(j.EncodedPayload) > 0:
		return nil, InvalidArgument("payload", "send payload or encoded_payload, not both")
	case len(j.EncodedPayload) > 0:
		var p commonpb.Payload
		if err := protojson.Unmarshal(j.EncodedPayload, &p); err != nil {
			return nil, InvalidArgument("encoded_payload", "it is no Temporal payload: %w", err)
		}
		return &p, nil
	case len(j.Payload) > 0:
		var compact bytes.Buffer // the value as it was, without the white space around it
		if err := json.Compact(&compact, j.Payload); err != nil {
			return nil, InvalidArgument("payload", "it is no JSON value: %w", err)
		}
		return &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte(encodingJSON)}, Data: compact.Bytes()}, nil
	default:
		return nil, nil
	}
}

// MarshalJSON implements json.Marshaler.
func (s TimerSpec) MarshalJSON() ([]byte, error) {
	payload, err := inputPayloadToJSON(s.Payload)
	if err != nil {
		return nil, fmt.Errorf("payload: %w", err)
	}
	return json.Marshal(timerSpecJSON{
		ClientID: s.ClientID, Name: s.Name, FireAt: s.FireAt, Delay: Duration(s.Delay), Target: s.Target, Retry: s.Retry,
		Labels: s.Labels, OnConflict: s.OnConflict, payloadJSON: payload,
	})
}

// UnmarshalJSON implements json.Unmarshaler. It fails with ErrInvalidArgument on what is no TimerSpec, and on fields
// that it has none of: a misspelt one must not be lost.
func (s *TimerSpec) UnmarshalJSON(data []byte) error {
	var j timerSpecJSON
	if err := strictJSON(data, &j); err != nil {
		return err
	}
	payload, err := j.decode()
	if err != nil {
		return err
	}
	*s = TimerSpec{
		ClientID: j.ClientID, Name: j.Name, FireAt: j.FireAt, Delay: time.Duration(j.Delay), Payload: payload,
		Target: j.Target, Retry: j.Retry, Labels: j.Labels, OnConflict: j.OnConflict,
	}
	return nil
}

// batchJSON is an input with many timers: each is read by itself, so that one that cannot be read fails no other.
type batchJSON struct {
	RequestID string            `json:"request_id,omitempty"`
	Timers    []json.RawMessage `json:"timers"`
}

// UnmarshalJSON implements json.Unmarshaler. It fails with ErrInvalidArgument. A timer that cannot be read becomes one
// that its own Validate refuses, with the reason.
func (in *CreateTimersInput) UnmarshalJSON(data []byte) error {
	var j batchJSON
	if err := strictJSON(data, &j); err != nil {
		return err
	}
	*in = CreateTimersInput{RequestID: j.RequestID, Timers: make([]TimerSpec, len(j.Timers))}
	for i, raw := range j.Timers {
		if err := in.Timers[i].UnmarshalJSON(raw); err != nil {
			in.Timers[i].invalid = err
		}
	}
	return nil
}

// UnmarshalJSON implements json.Unmarshaler, as that of CreateTimersInput does.
func (in *CancelTimersInput) UnmarshalJSON(data []byte) error {
	requestID, timers, err := refsFromJSON(data)
	if err != nil {
		return err
	}
	*in = CancelTimersInput{RequestID: requestID, Timers: timers}
	return nil
}

// UnmarshalJSON implements json.Unmarshaler, as that of CreateTimersInput does.
func (in *RedriveTimersInput) UnmarshalJSON(data []byte) error {
	requestID, timers, err := refsFromJSON(data)
	if err != nil {
		return err
	}
	*in = RedriveTimersInput{RequestID: requestID, Timers: timers}
	return nil
}

func refsFromJSON(data []byte) (requestID string, timers []TimerRef, err error) {
	var j batchJSON
	if err := strictJSON(data, &j); err != nil {
		return "", nil, err
	}
	timers = make([]TimerRef, len(j.Timers))
	for i, raw := range j.Timers {
		if err := strictJSON(raw, &timers[i]); err != nil {
			timers[i] = TimerRef{invalid: err}
		}
	}
	return j.RequestID, timers, nil
}

type rescheduleJSON struct {
	RequestID string `json:"request_id,omitempty"`
	TimerRef
	FireAt          time.Time `json:"fire_at,omitzero"`
	Delay           Duration  `json:"delay,omitempty"`
	ExpectedVersion int64     `json:"expected_version,omitempty"`
	payloadJSON
}

// MarshalJSON implements json.Marshaler.
func (in RescheduleTimerInput) MarshalJSON() ([]byte, error) {
	payload, err := inputPayloadToJSON(in.Payload)
	if err != nil {
		return nil, fmt.Errorf("payload: %w", err)
	}
	return json.Marshal(rescheduleJSON{
		RequestID: in.RequestID, TimerRef: in.TimerRef, FireAt: in.FireAt, Delay: Duration(in.Delay),
		ExpectedVersion: in.ExpectedVersion, payloadJSON: payload,
	})
}

// UnmarshalJSON implements json.Unmarshaler; it is as strict as TimerSpec's.
func (in *RescheduleTimerInput) UnmarshalJSON(data []byte) error {
	var j rescheduleJSON
	if err := strictJSON(data, &j); err != nil {
		return err
	}
	payload, err := j.decode()
	if err != nil {
		return err
	}
	*in = RescheduleTimerInput{
		RequestID: j.RequestID, TimerRef: j.TimerRef, FireAt: j.FireAt, Delay: time.Duration(j.Delay),
		ExpectedVersion: j.ExpectedVersion, Payload: payload,
	}
	return nil
}

type timerInfoJSON struct {
	TimerID   ID                `json:"timer_id"`
	ClientID  string            `json:"client_id"`
	Name      string            `json:"name,omitempty"`
	State     State             `json:"state"`
	Version   int64             `json:"version"`
	FireAt    time.Time         `json:"fire_at,omitzero"`
	CreatedAt time.Time         `json:"created_at,omitzero"`
	Target    *Target           `json:"target,omitempty"`
	Retry     *RetryPolicy      `json:"retry,omitempty"`
	Labels    map[string]string `json:"labels,omitempty"`
	Attempts  int               `json:"attempts,omitempty"`
	LastError string            `json:"last_error,omitempty"`
	DoneAt    time.Time         `json:"done_at,omitzero"`
	payloadJSON
}

// MarshalJSON implements json.Marshaler.
func (t TimerInfo) MarshalJSON() ([]byte, error) {
	payload, err := payloadToJSON(t.Payload)
	if err != nil {
		return nil, fmt.Errorf("payload: %w", err)
	}
	j := timerInfoJSON{
		TimerID: t.TimerID, ClientID: t.ClientID, Name: t.Name, State: t.State, Version: t.Version, FireAt: t.FireAt,
		CreatedAt: t.CreatedAt, Retry: t.Retry, Labels: t.Labels, Attempts: t.Attempts, LastError: t.LastError,
		DoneAt: t.DoneAt, payloadJSON: payload,
	}
	if t.Target.Kind() != "" {
		j.Target = &t.Target
	}
	return json.Marshal(j)
}

// UnmarshalJSON implements json.Unmarshaler. Unknown fields are ignored: a newer worker may say more.
func (t *TimerInfo) UnmarshalJSON(data []byte) error {
	var j timerInfoJSON
	if err := json.Unmarshal(data, &j); err != nil {
		return err
	}
	payload, err := j.decode()
	if err != nil {
		return err
	}
	*t = TimerInfo{
		TimerID: j.TimerID, ClientID: j.ClientID, Name: j.Name, State: j.State, Version: j.Version, FireAt: j.FireAt,
		CreatedAt: j.CreatedAt, Retry: j.Retry, Labels: j.Labels, Attempts: j.Attempts, LastError: j.LastError,
		DoneAt: j.DoneAt, Payload: payload,
	}
	if j.Target != nil {
		t.Target = *j.Target
	}
	return nil
}

// strictJSON reads one JSON value into v. What does not fit becomes ErrInvalidArgument.
func strictJSON(data []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return inputError(data, v, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return InvalidArgument("", "there is something behind the JSON value")
	}
	return nil
}
