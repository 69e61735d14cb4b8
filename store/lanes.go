package store

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/carillon-io/carillon"
)

// fireGroup is the consumer group of every fire queue.
const fireGroup = "fire"

// lanePrefix is what the tokens of a lane begin with: they are the names of consumers too, and say whose entries these are.
func lanePrefix(lane int) string { return strconv.Itoa(lane) + ":" }

func laneOf(token Token) (int, bool) {
	text, _, found := strings.Cut(string(token), ":")
	lane, err := strconv.Atoi(text)
	return lane, found && err == nil
}

// AcquireLane implements Lanes.
func (s *Redis) AcquireLane(ctx context.Context, l LaneID, owner string) (Token, error) {
	sl := s.slots[l.Slot]
	return s.acquire(ctx, sl, sl.keys.lane(l.Lane), owner, lanePrefix(l.Lane), s.options.LaneTTL, false, "")
}

// AcquireLapsedLane implements Lanes.
func (s *Redis) AcquireLapsedLane(ctx context.Context, l LaneID, owner string) (Token, error) {
	sl := s.slots[l.Slot]
	return s.acquire(ctx, sl, sl.keys.lane(l.Lane), owner, lanePrefix(l.Lane), s.options.LaneTTL, true, "")
}

// ReleaseLane implements Lanes.
func (s *Redis) ReleaseLane(ctx context.Context, l LaneID, token Token) error {
	sl := s.slots[l.Slot]
	return s.release(ctx, sl, sl.keys.lane(l.Lane), token, drainTime)
}

// drainTime is how long a lane that has handed its lease over may go on completing what it was delivering: longer than any
// attempt may take.
const drainTime = carillon.MaxWebhookTimeout + 10*time.Second

// LeaveLane implements Lanes.
func (s *Redis) LeaveLane(ctx context.Context, l LaneID, token Token) error {
	sl := s.slots[l.Slot]
	_, err := s.run(ctx, "leave lane", s.scripts.leave, sl.clock, []string{sl.keys.lane(l.Lane)},
		[]any{string(token), s.options.LaneTTL.Milliseconds()})
	return err
}

// Adopt implements Lanes.
func (s *Redis) Adopt(ctx context.Context, l LaneID, token Token, limit int) ([]Entry, bool, error) {
	sl := s.slots[l.Slot]
	lane := sl.keys.lane(l.Lane)
	r, err := s.run(ctx, "adopt", s.scripts.adopt, sl.clock, []string{lane, sl.keys.fire, lane},
		[]any{string(token), s.options.LaneTTL.Milliseconds(), lanePrefix(l.Lane), limit})
	if err != nil {
		return nil, false, s.laneError(ctx, sl, err)
	}
	entries, err := parseEntries(r.list(1))
	return entries, r.number(0) == 1, err
}

// Read implements Lanes.
func (s *Redis) Read(ctx context.Context, l LaneID, token Token, after string, limit int) ([]Entry, error) {
	sl := s.slots[l.Slot]
	if after == "" {
		after = "0"
	}
	r, err := s.run(ctx, "read", s.scripts.read, sl.clock, []string{sl.keys.lane(l.Lane), sl.keys.fire},
		[]any{string(token), s.options.LaneTTL.Milliseconds(), after, limit})
	if err != nil {
		return nil, s.laneError(ctx, sl, err)
	}
	return parseEntries(r.list(0))
}

// laneError makes the slot ready again should Redis have lost it.
func (s *Redis) laneError(ctx context.Context, sl *slot, err error) error {
	if isMissingGroup(err) {
		return errors.Join(err, s.prepare(ctx, sl))
	}
	return err
}

// parseEntries reads a list of ids and entries.
func parseEntries(list []any) ([]Entry, error) {
	out := make([]Entry, 0, len(list)/2)
	for i := 0; i+1 < len(list); i += 2 {
		id, _ := list[i].(string)
		e, _ := list[i+1].(string)
		if len(e) != 18 {
			return nil, carillon.Errorf(carillon.TypeUnavailable, "entry %s of the fire queue has %d bytes, not 18", id, len(e))
		}
		out = append(out, Entry{ID: id, Unique: carillon.Unique([]byte(e[:9])), Ref: get24(e[9:]), Due: get48(e[12:])})
	}
	return out, nil
}

// Wait implements Lanes.
func (s *Redis) Wait(ctx context.Context, slot int, after string, timeout time.Duration) (string, error) {
	if after == "" {
		after = "0"
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	streams, err := s.blocked.XRead(ctx, &redis.XReadArgs{
		Streams: []string{s.slots[slot].keys.fire, after}, Count: 100, Block: max(timeout, time.Millisecond),
	}).Result()
	switch {
	case errors.Is(err, redis.Nil):
		return after, nil
	case err != nil:
		return after, redisError("wait", err)
	}
	for _, stream := range streams {
		for _, m := range stream.Messages {
			after = m.ID
		}
	}
	return after, nil
}

// Fetch implements Lanes.
func (s *Redis) Fetch(ctx context.Context, l LaneID, entries []Entry) ([]*Firing, error) {
	sl := s.slots[l.Slot]
	out := make([]*Firing, 0, len(entries))
	uniques := make([]carillon.Unique, 0, min(len(entries), MaxScriptTimers))
	for len(entries) > 0 {
		n := min(len(entries), MaxScriptTimers)
		uniques = uniques[:0]
		for i := range n {
			uniques = append(uniques, entries[i].Unique)
		}
		raw, err := s.records(ctx, sl, uniques)
		if err != nil {
			return nil, err
		}
		for i, r := range raw {
			f, err := s.firing(sl, entries[i], r)
			if err != nil {
				return nil, err
			}
			out = append(out, f)
		}
		entries = entries[n:]
	}
	return out, nil
}

// firing makes what a lane sees of a record: nil if it is gone, or filed under a newer entry.
func (s *Redis) firing(sl *slot, e Entry, raw string) (*Firing, error) {
	if raw == "" {
		return nil, nil
	}
	h, err := parseHeader(raw)
	if err != nil {
		return nil, err
	}
	if h.ref != e.Ref || h.is(flagDead) {
		return nil, nil
	}
	f := &Firing{
		TimerID: carillon.NewID(s.options.Number, sl.number, e.Unique), ClientID: h.clientID, Version: h.version,
		Incarnation: h.incarnation, Due: h.due, Attempts: h.attempts, PayloadApart: h.is(flagApart), Mailbox: h.is(flagMailbox),
	}
	if !f.Mailbox || f.PayloadApart { // what goes to a mailbox nobody decodes before its reader does, but for the size
		if f.Record, err = h.decode(); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// Drop implements Lanes.
func (s *Redis) Drop(ctx context.Context, l LaneID, token Token, entries []Entry) error {
	sl := s.slots[l.Slot]
	for len(entries) > 0 {
		n := min(len(entries), MaxScriptTimers)
		args := []any{string(token), s.options.LaneTTL.Milliseconds()}
		for _, e := range entries[:n] {
			args = append(args, e.ID)
		}
		if _, err := s.run(ctx, "drop", s.scripts.drop, sl.clock, []string{sl.keys.lane(l.Lane), sl.keys.fire}, args); err != nil {
			return err
		}
		entries = entries[n:]
	}
	return nil
}

// Claim implements Lanes. It takes at most MaxScriptTimers.
func (s *Redis) Claim(ctx context.Context, l LaneID, token Token, claims []Claim) ([]ClaimResult, error) {
	sl, o := s.slots[l.Slot], &s.options
	k := sl.keys
	keys := []string{
		k.lane(l.Lane), k.rec, k.body, k.fire, k.inflight, k.count, k.done(minuteOf(sl.clock)), k.events,
	}
	args := make([]any, 0, 7+2*len(claims))
	args = append(args, string(token), o.LaneTTL.Milliseconds(), o.EventLimit, o.OutcomeTTL.Milliseconds(), o.OutcomeLimit,
		o.MailboxLimit, o.MailboxRetention.Milliseconds())
	boxes := map[string]int{}
	for _, c := range claims {
		box := 0
		if c.Firing.Mailbox {
			var known bool
			if box, known = boxes[c.Firing.ClientID]; !known {
				box = len(boxes) + 1
				boxes[c.Firing.ClientID] = box
				keys = append(keys, k.mailbox(c.Firing.ClientID))
			}
		}
		what := make([]byte, 0, 24)
		what = append24(append(what, c.Entry.Unique[:]...), c.Entry.Ref)
		what = append48(what, c.Firing.Version)
		timeout := uint32(min(c.Timeout.Milliseconds(), 1<<31))
		what = append(what, byte(timeout>>24), byte(timeout>>16), byte(timeout>>8), byte(timeout))
		args = append(args, c.Entry.ID, append16(what, box))
	}
	r, err := s.run(ctx, "claim", s.scripts.claim, sl.clock, keys, args)
	if err != nil {
		return nil, s.laneError(ctx, sl, err)
	}
	answer, payloads := r.text(), r.list(1)
	if len(answer) != 9*len(claims) {
		return nil, carillon.Errorf(carillon.TypeUnavailable, "claim: %d claims were answered by %d bytes", len(claims), len(answer))
	}
	out := make([]ClaimResult, len(claims))
	for i := range out {
		a := answer[9*i:]
		out[i] = ClaimResult{Status: ClaimStatus(a[0]), Due: get48(a[1:]), Attempt: get16(a[7:])}
		if out[i].Status != ClaimTaken {
			continue
		}
		out[i].Payload = claims[i].Firing.Payload
		if claims[i].Firing.PayloadApart && len(payloads) > 0 {
			text, _ := payloads[0].(string)
			out[i].Payload, payloads = []byte(text), payloads[1:]
		}
	}
	return out, nil
}

// Complete implements Lanes. It takes at most MaxScriptTimers.
func (s *Redis) Complete(ctx context.Context, l LaneID, token Token, completions []Completion) ([]bool, error) {
	sl, o := s.slots[l.Slot], &s.options
	k := sl.keys
	for {
		segment := sl.openSegment()
		w := newWindowKeys(k, segment)
		per := make([]any, 0, 3*len(completions))
		for _, c := range completions {
			window := 0
			var record []byte
			if c.Kind != CompleteFired && !c.Firing.Mailbox { // that of a mailbox has not been decoded: it stays as it is
				rec := c.Firing.Record
				rec.LastError = clip(c.Error)
				var err error
				if record, err = rec.MarshalBinary(); err != nil {
					return nil, err
				}
			}
			if c.Kind == CompleteRetry || c.Kind == CompleteDefer {
				window = w.add(c.RetryAt)
			}
			what := append48(append([]byte(nil), c.Entry.Unique[:]...), c.Firing.Version)
			what = append48(append(what, byte(c.Kind)), c.RetryAt)
			per = append(per, c.Entry.ID, append24(append16(what, window), c.Entry.Ref), record)
		}
		keys := append([]string{
			k.lane(l.Lane), k.rec, k.body, k.fire, k.inflight, k.count, k.done(minuteOf(sl.clock)), k.events, k.ver, k.seg,
			k.win(segment), k.dead,
		}, w.keys...)
		args := append([]any{
			string(token), o.LaneTTL.Milliseconds(), o.EventLimit, o.OutcomeTTL.Milliseconds(), o.OutcomeLimit,
			o.LookAhead.Milliseconds(), o.QueueLimit, segment, len(w.starts),
		}, w.starts...)
		r, err := s.run(ctx, "complete", s.scripts.complete, sl.clock, keys, append(args, per...))
		if err != nil {
			return nil, s.laneError(ctx, sl, err)
		}
		if r.code == "SEGMENT" {
			if err := s.segmentMoved(ctx, sl, r); err != nil {
				return nil, err
			}
			continue
		}
		out := make([]bool, len(completions))
		for i := range out {
			out[i] = r.text()[i] == '1'
		}
		return out, nil
	}
}

// clip keeps an error message from filling the store.
func clip(text string) string {
	const limit = 500
	if len(text) > limit {
		return strings.ToValidUTF8(text[:limit], "") + "…"
	}
	return strings.ToValidUTF8(text, "�")
}
