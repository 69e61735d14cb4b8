package store

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/carillon-io/carillon"
)

// Describe implements Timers.
func (s *Redis) Describe(ctx context.Context, in carillon.DescribeTimerInput) (carillon.DescribeTimerResult, error) {
	id, sl, err := s.resolve(in.TimerRef)
	if err != nil {
		return carillon.DescribeTimerResult{}, err
	}
	unique := id.Unique()
	field := string(unique[:])
	// A timer may fire between the two questions: what it became of is there at the latest when the record is gone.
	raw, err := s.client.HGet(ctx, sl.keys.rec, field).Result()
	if errors.Is(err, redis.Nil) {
		return s.describeDone(ctx, sl, id, in.TimerRef)
	}
	if err != nil {
		return carillon.DescribeTimerResult{}, redisError("describe", err)
	}
	infos, err := s.describe(ctx, sl, []found{{unique: unique, raw: raw}})
	if err != nil {
		return carillon.DescribeTimerResult{}, err
	}
	if body := infos[0].body; body {
		payload, err := s.client.HGet(ctx, sl.keys.body, field).Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			return carillon.DescribeTimerResult{}, redisError("describe", err)
		}
		if infos[0].info.Payload, err = carillon.UnmarshalPayload([]byte(payload)); err != nil {
			return carillon.DescribeTimerResult{}, err
		}
	}
	return carillon.DescribeTimerResult{Timer: infos[0].info}, nil
}

// describeDone looks for what became of a timer, newest first.
func (s *Redis) describeDone(ctx context.Context, sl *slot, id carillon.ID, ref carillon.TimerRef) (carillon.DescribeTimerResult, error) {
	unique := id.Unique()
	newest := minuteOf(sl.clock) + 1 // a script may have been a moment ahead
	minutes := int(s.options.OutcomeTTL/time.Minute) + 3
	answers := make([]*redis.StringCmd, minutes)
	_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i := range answers {
			answers[i] = p.HGet(ctx, sl.keys.done(newest-int64(i)), string(unique[:]))
		}
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return carillon.DescribeTimerResult{}, redisError("describe", err)
	}
	for _, a := range answers {
		if err := a.Err(); err != nil && !errors.Is(err, redis.Nil) { // a pipeline reports its first error only
			return carillon.DescribeTimerResult{}, redisError("describe", err)
		}
		if a.Val() != "" {
			info, err := parseOutcome(a.Val())
			info.TimerID, info.Name = id, ref.Name
			return carillon.DescribeTimerResult{Timer: info}, err
		}
	}
	return carillon.DescribeTimerResult{}, carillon.Errorf(carillon.TypeNotFound,
		"there is no timer %s, and none has been for the last %s", id, s.options.OutcomeTTL)
}

// parseOutcome reads what lua/common.lua calls an outcome.
func parseOutcome(raw string) (carillon.TimerInfo, error) {
	if len(raw) < 28 || len(raw) < 28+int(raw[27]) {
		return carillon.TimerInfo{}, errors.New("store: an outcome is too short")
	}
	at := 28 + int(raw[27])
	info := carillon.TimerInfo{
		State: carillon.StateFired, Version: get48(raw[1:]), FireAt: milli(get48(raw[13:])), DoneAt: milli(get48(raw[19:])),
		Attempts: get16(raw[25:]), ClientID: raw[28:at], LastError: raw[at:],
	}
	if raw[0] == 'C' {
		info.State = carillon.StateCancelled
	}
	return info, nil
}

// found is a record that has been read.
type found struct {
	unique carillon.Unique
	raw    string
	header header
}

type described struct {
	info carillon.TimerInfo
	body bool // the payload lies apart
}

// describe finds out what the timers of a slot are doing: what is not claimed and not in the index is in the fire queue.
func (s *Redis) describe(ctx context.Context, sl *slot, records []found) ([]described, error) {
	if len(records) == 0 {
		return nil, nil
	}
	for i := range records {
		h, err := parseHeader(records[i].raw)
		if err != nil {
			return nil, err
		}
		records[i].header = h
	}
	var claims *redis.SliceCmd
	scores := make([]*redis.FloatCmd, len(records))
	_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		fields := make([]string, len(records))
		for i, r := range records {
			fields[i] = string(r.unique[:])
			ref := append24([]byte(fields[i]), r.header.ref)
			scores[i] = p.ZScore(ctx, sl.keys.due(r.header.segment, windowOf(r.header.due)), string(ref))
		}
		claims = p.HMGet(ctx, sl.keys.inflight, fields...)
		return nil
	})
	if errors.Is(err, redis.Nil) {
		err = claims.Err() // the pipeline reports its first error only, and this is its last answer
	}
	if err != nil {
		return nil, redisError("describe", err)
	}
	out := make([]described, len(records))
	for i, r := range records {
		h := r.header
		record, err := h.decode()
		if err != nil {
			return nil, err
		}
		state := carillon.StateDue
		switch {
		case h.is(flagDead):
			state = carillon.StateDead
		case claims.Val()[i] != nil:
			state = carillon.StateFiring
		case scores[i].Err() == nil:
			state = carillon.StatePending
		}
		payload, err := carillon.UnmarshalPayload(record.Payload)
		if err != nil {
			return nil, err
		}
		out[i] = described{body: h.is(flagApart), info: carillon.TimerInfo{
			TimerID: carillon.NewID(s.options.Number, sl.number, r.unique), ClientID: h.clientID, Name: record.Name, State: state,
			Version: h.version, FireAt: milli(h.due), CreatedAt: record.CreatedAt, Target: record.Target, Retry: record.Retry,
			Labels: record.Labels, Attempts: h.attempts, LastError: record.LastError, Payload: payload,
		}}
	}
	return out, nil
}

// listCursor is where a listing goes on: a slot, the place in its hash where the scan stands, and the last record of
// that place that has been returned (a place may hold more records than a page has room for), with where the scan goes on
// behind the place. That has to be remembered: how many records a step of a scan covers depends on how many there are,
// so that the same step may reach further when it is repeated, over records of which none has been returned.
type listCursor struct {
	Slot  int    `json:"s"`
	Scan  uint64 `json:"c"`
	After []byte `json:"a,omitempty"`
	Next  uint64 `json:"n,omitempty"`
}

// earlier is the one of two cursors of Redis that a scan comes to first. They count in the reverse order of their bits,
// and 0 is the end.
func earlier(a, b uint64) uint64 {
	if b == 0 || a != 0 && bits.Reverse64(a) < bits.Reverse64(b) {
		return a
	}
	return b
}

func (c listCursor) String() string {
	data, _ := json.Marshal(c) // a struct of two numbers and a byte slice always marshals
	return base64.RawURLEncoding.EncodeToString(data)
}

func parseCursor(text string, slots int) (c listCursor, err error) {
	if text == "" {
		return c, nil
	}
	data, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		err = json.Unmarshal(data, &c)
	}
	if err != nil || c.Slot < 0 || c.Slot >= slots {
		return c, carillon.InvalidArgument("cursor", "it is none of this group's: leave it out to begin anew")
	}
	return c, nil
}

// listEffort is how many records one call of List looks at, about.
const listEffort = 10_000

// List implements Timers. It goes through the records slot by slot with HSCAN: a timer that is there all the time is
// returned at least once; one that changes meanwhile may be returned twice. A cursor is good for as long as the slot stays where
// it is: each Redis process orders a hash in its own way, so that a list that a restart, a failover or a move of the slot
// interrupts may miss some.
func (s *Redis) List(ctx context.Context, in carillon.ListTimersInput) (carillon.ListTimersResult, error) {
	match, err := listFilter(in)
	if err != nil {
		return carillon.ListTimersResult{}, err
	}
	size := in.PageSize
	switch {
	case size < 0 || size > carillon.MaxPageSize:
		return carillon.ListTimersResult{}, carillon.InvalidArgument("page_size", "%d is not between 1 and %d", size, carillon.MaxPageSize)
	case size == 0:
		size = 100
	}
	cursor, err := parseCursor(in.Cursor, len(s.slots))
	if err != nil {
		return carillon.ListTimersResult{}, err
	}
	out := carillon.ListTimersResult{Timers: []carillon.TimerInfo{}}
	for effort := 0; effort < listEffort; {
		sl := s.slots[cursor.Slot]
		fields, next, err := s.client.HScan(ctx, sl.keys.rec, cursor.Scan, "", 500).Result()
		if err != nil {
			return carillon.ListTimersResult{}, redisError("list", err)
		}
		if len(cursor.After) > 0 {
			next = earlier(next, cursor.Next)
		}
		effort += len(fields)/2 + 50
		records, err := pickRecords(fields, string(cursor.After), match)
		if err != nil {
			return carillon.ListTimersResult{}, err
		}
		for len(records) > 0 {
			n := min(len(records), max(size-len(out.Timers)+1, 64)) // about as many as the page has room for
			infos, err := s.describe(ctx, sl, records[:n])
			if err != nil {
				return carillon.ListTimersResult{}, err
			}
			for i := range infos {
				if !in.WantsState(infos[i].info.State) {
					continue
				}
				if len(out.Timers) == size {
					cursor.Next = next
					out.NextCursor = cursor.String()
					return out, nil
				}
				infos[i].info.Payload = nil
				out.Timers = append(out.Timers, infos[i].info)
				cursor.After = slices.Clone(records[i].unique[:])
			}
			records = records[n:]
		}
		cursor.Scan, cursor.After, cursor.Next = next, nil, 0
		if next == 0 {
			cursor.Slot++
			if cursor.Slot == len(s.slots) {
				return out, nil
			}
		}
	}
	out.NextCursor = cursor.String()
	return out, nil
}

// listFilter checks the input and makes what a record's header has to fulfil.
func listFilter(in carillon.ListTimersInput) (func(*header) bool, error) {
	for _, state := range in.States {
		switch state {
		case carillon.StatePending, carillon.StateDue, carillon.StateFiring, carillon.StateDead:
		default:
			return nil, carillon.InvalidArgument("states", "%q is none of pending, due, firing, dead: timers in other states are not listed", state)
		}
	}
	if !in.DueFrom.IsZero() && !in.DueBefore.IsZero() && !in.DueFrom.Before(in.DueBefore) {
		return nil, carillon.InvalidArgument("due_before", "it has to lie after due_from")
	}
	dead := len(in.States) > 0 && slices.Contains(in.States, carillon.StateDead)
	alive := len(in.States) == 0 || slices.ContainsFunc(in.States, func(s carillon.State) bool { return s != carillon.StateDead })
	return func(h *header) bool {
		at := milli(h.due)
		switch {
		case h.is(flagDead) && !dead, !h.is(flagDead) && !alive:
			return false
		case in.ClientID != "" && h.clientID != in.ClientID:
			return false
		case !in.DueFrom.IsZero() && at.Before(in.DueFrom), !in.DueBefore.IsZero() && !at.Before(in.DueBefore):
			return false
		}
		return true
	}, nil
}

// pickRecords takes from what a scan brought the records that match and that lie after the given one, in order.
func pickRecords(fields []string, after string, match func(*header) bool) ([]found, error) {
	var out []found
	for i := 0; i+1 < len(fields); i += 2 {
		if len(fields[i]) != len(carillon.Unique{}) || fields[i] <= after && after != "" {
			continue
		}
		h, err := parseHeader(fields[i+1])
		if err != nil {
			return nil, err
		}
		if match(&h) {
			out = append(out, found{unique: carillon.Unique([]byte(fields[i])), raw: fields[i+1]})
		}
	}
	slices.SortFunc(out, func(a, b found) int { return strings.Compare(string(a.unique[:]), string(b.unique[:])) })
	return out, nil
}

// Count implements Timers.
func (s *Redis) Count(ctx context.Context, in carillon.CountTimersInput) (carillon.CountTimersResult, error) {
	type answers struct {
		counters    *redis.SliceCmd
		due, firing *redis.IntCmd
	}
	var out carillon.CountTimersResult
	all := make([]answers, len(s.slots))
	_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, sl := range s.slots {
			if in.ClientID != "" {
				all[i].counters = p.HMGet(ctx, sl.keys.count, "c:"+in.ClientID)
				continue
			}
			all[i].counters = p.HMGet(ctx, sl.keys.count, "pending", "dead", "created", "fired", "cancelled")
			all[i].due = p.XLen(ctx, sl.keys.fire)
			all[i].firing = p.HLen(ctx, sl.keys.inflight)
		}
		return nil
	})
	if err != nil {
		return out, redisError("count", err)
	}
	for _, a := range all {
		for i, into := range []*int64{&out.Pending, &out.Dead, &out.Created, &out.Fired, &out.Cancelled} {
			if i < len(a.counters.Val()) {
				*into += number(a.counters.Val()[i])
			}
		}
		if in.ClientID == "" {
			out.Due += a.due.Val() - a.firing.Val()
			out.Firing += a.firing.Val()
		}
	}
	out.Due = max(out.Due, 0) // the two were not read in the same instant
	return out, nil
}

// number reads an integer that Redis keeps as text; what is not there is 0.
func number(v any) int64 {
	text, _ := v.(string)
	n, _ := strconv.ParseInt(text, 10, 64)
	return n
}
