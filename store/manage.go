package store

import (
	"context"
	"errors"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/carillon-io/carillon"
)

func isType(err error, t carillon.ErrorType) bool { return errors.Is(err, &carillon.Error{Type: t}) }

// Cancel implements Timers.
func (s *Redis) Cancel(ctx context.Context, in carillon.CancelTimersInput) (carillon.CancelTimersResult, error) {
	if in.RequestID == "" {
		in.RequestID = randomText(16)
	}
	out := carillon.CancelTimersResult{Timers: make([]carillon.CancelResult, len(in.Timers))}
	bySlot := map[*slot][]cancelling{}
	for i, ref := range in.Timers {
		id, sl, err := s.resolve(ref)
		out.Timers[i].TimerID = id
		if err != nil {
			out.Timers[i].Error = carillon.AsError(err)
			continue
		}
		bySlot[sl] = append(bySlot[sl], cancelling{unique: id.Unique(), out: &out.Timers[i]})
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for sl, timers := range bySlot {
		g.Go(func() error {
			for k := 0; len(timers) > 0; k++ {
				n := min(len(timers), MaxScriptTimers)
				if err := s.cancelChunk(ctx, sl, in.RequestID+"/x/"+strconv.Itoa(k), timers[:n]); err != nil {
					return err
				}
				timers = timers[n:]
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return carillon.CancelTimersResult{}, err
	}
	return out, nil
}

type cancelling struct {
	unique carillon.Unique
	out    *carillon.CancelResult
}

// cancelChunk cancels the timers of one slot. A script has to be told where a timer's index entry lies, so it looks first; what
// has changed meanwhile is looked at again.
func (s *Redis) cancelChunk(ctx context.Context, sl *slot, request string, timers []cancelling) error {
	k, o := sl.keys, &s.options
	for try := 0; len(timers) > 0; try++ {
		if try == maxTries {
			return carillon.Errorf(carillon.TypeUnavailable, "the timers change too fast to be cancelled: try again")
		}
		headers, err := s.look(ctx, sl, uniquesOf(timers))
		if err != nil {
			return err
		}
		keys := []string{
			k.request(request + "/" + strconv.Itoa(try)), k.rec, k.body, k.inflight, k.count, k.events,
			k.done(minuteOf(sl.clock)), k.seg, k.dead,
		}
		args := []any{o.RequestTTL.Milliseconds(), o.EventLimit, o.OutcomeTTL.Milliseconds(), o.OutcomeLimit}
		due := map[string]int{}
		for i, t := range timers {
			h := headers[i]
			key := k.due(h.segment, windowOf(h.due))
			n, found := due[key]
			if !found {
				n = len(due) + 1
				due[key] = n
				keys = append(keys, key)
			}
			args = append(args, append16(append48(t.unique[:len(t.unique):len(t.unique)], h.version), n))
		}
		r, err := s.run(ctx, "cancel", s.scripts.cancel, sl.clock, keys, args)
		if err != nil {
			return err
		}
		answer := r.text()
		if len(answer) != len(timers) {
			return carillon.InvalidArgument("request_id", "it has been used for another input")
		}
		var again []cancelling
		for i, t := range timers {
			switch answer[i] {
			case 'N':
				t.out.Error = notFound(t.out.TimerID)
			case 'L':
				t.out.Error = tooLate(t.out.TimerID)
			case 'V':
				again = append(again, t)
			}
		}
		timers = again
	}
	return nil
}

func uniquesOf(timers []cancelling) []carillon.Unique {
	out := make([]carillon.Unique, len(timers))
	for i, t := range timers {
		out[i] = t.unique
	}
	return out
}

func notFound(id carillon.ID) *carillon.Error {
	return carillon.Errorf(carillon.TypeNotFound, "there is no pending timer %s: it may be fired or cancelled already", id)
}

func tooLate(id carillon.ID) *carillon.Error {
	return carillon.Errorf(carillon.TypeTooLate, "timer %s is being fired", id)
}

// look reads the headers of records. One that is not there is the zero header.
func (s *Redis) look(ctx context.Context, sl *slot, uniques []carillon.Unique) ([]header, error) {
	raw, err := s.records(ctx, sl, uniques)
	if err != nil {
		return nil, err
	}
	out := make([]header, len(uniques))
	for i, r := range raw {
		if r == "" {
			continue
		}
		if out[i], err = parseHeader(r); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// records reads records as they are. One that is not there is empty.
func (s *Redis) records(ctx context.Context, sl *slot, uniques []carillon.Unique) ([]string, error) {
	fields := make([]string, len(uniques))
	for i := range uniques {
		fields[i] = string(uniques[i][:])
	}
	values, err := s.client.HMGet(ctx, sl.keys.rec, fields...).Result()
	if err != nil {
		return nil, redisError("read records", err)
	}
	out := make([]string, len(values))
	for i, v := range values {
		out[i], _ = v.(string)
	}
	return out, nil
}

func minuteOf(c *Clock) int64 { return c.NowMilli() / time.Minute.Milliseconds() }

// change is what the reschedule script does to one timer.
type change struct {
	request  string
	unique   carillon.Unique
	id       carillon.ID
	due      int64
	expected int64    // the version that it has to have; 0: any
	dead     bool     // it has to be dead; else it must not be
	anew     bool     // it begins anew: no attempts, a new incarnation
	content  *content // nil: it stays
	payload  []byte   // replaces the payload where replace is set, and nothing else
	replace  bool
}

// change calls the reschedule script until the keys that it was given are the right ones.
func (s *Redis) change(ctx context.Context, sl *slot, c change) (version, due int64, err error) {
	k, o := sl.keys, &s.options
	for range maxTries {
		headers, err := s.look(ctx, sl, []carillon.Unique{c.unique})
		if err != nil {
			return 0, 0, err
		}
		h := headers[0]
		looked := h.version
		if c.expected != 0 && c.expected != h.version {
			looked = 0 // no timer has it; the script may still know the answer to the same request
		}
		with := c.content
		if c.replace && h.version != 0 {
			if with, err = h.withPayload(c.payload); err != nil {
				return 0, 0, err
			}
		}
		state, flags := "", ""
		if c.dead {
			state = "D"
		}
		if c.anew {
			flags += "R"
		}
		args := []any{
			c.unique[:], append48(nil, looked), c.due, windowOf(c.due), 0, o.LookAhead.Milliseconds(), o.QueueLimit,
			o.RequestTTL.Milliseconds(), o.EventLimit, state, flags,
		}
		if with != nil {
			args[10] = flags + "P"
			args = append(args, with.appendClient([]byte{with.flags}), with.apart)
		}
		segment := sl.openSegment()
		args[4] = segment
		r, err := s.run(ctx, "reschedule", s.scripts.reschedule, sl.clock, []string{
			k.request(c.request), k.rec, k.body, k.ver, k.inflight, k.seg, k.win(segment), k.fire, k.count, k.events, k.dead,
			k.due(h.segment, windowOf(h.due)), k.due(segment, windowOf(c.due)),
		}, args)
		if err != nil {
			return 0, 0, err
		}
		switch r.code {
		case "OK":
			return get48(r.text()), get48(r.text()[6:]), nil
		case "SEGMENT":
			if err := s.segmentMoved(ctx, sl, r); err != nil {
				return 0, 0, err
			}
		case "N":
			if c.dead && h.version != 0 {
				return 0, 0, carillon.Errorf(carillon.TypeNotFound, "timer %s is not dead", c.id)
			}
			return 0, 0, notFound(c.id)
		case "L":
			return 0, 0, tooLate(c.id)
		case "V":
			if c.expected != 0 {
				return 0, 0, carillon.Errorf(carillon.TypeConflict, "timer %s has version %d, not %d: read it again", c.id, h.version, c.expected)
			}
		}
	}
	return 0, 0, carillon.Errorf(carillon.TypeUnavailable, "timer %s changes too fast: try again", c.id)
}

// withPayload is the content of a record with another payload.
func (h *header) withPayload(payload []byte) (*content, error) {
	record, err := h.decode()
	if err != nil {
		return nil, err
	}
	record.Payload, record.PayloadSize = payload, 0
	c := &content{flags: h.flags &^ (flagApart | flagDead | flagStray), client: h.clientID, hash: h.hash}
	return c, c.setRecord(record)
}

// Reschedule implements Timers.
func (s *Redis) Reschedule(ctx context.Context, in carillon.RescheduleTimerInput) (carillon.RescheduleTimerResult, error) {
	id, sl, err := s.resolve(in.TimerRef)
	if err != nil {
		return carillon.RescheduleTimerResult{}, err
	}
	now := sl.clock.Now()
	spec := carillon.TimerSpec{
		ClientID: "reschedule", FireAt: in.FireAt, Delay: in.Delay, Payload: in.Payload, Target: carillon.ToMailbox(),
	}
	if err := spec.Validate(now); err != nil { // the same rules as at creation, for time and payload
		return carillon.RescheduleTimerResult{}, err
	}
	if in.ExpectedVersion < 0 {
		return carillon.RescheduleTimerResult{}, carillon.InvalidArgument("expected_version", "%d is negative", in.ExpectedVersion)
	}
	payload, err := carillon.MarshalPayload(in.Payload)
	if err != nil {
		return carillon.RescheduleTimerResult{}, err
	}
	if in.RequestID == "" {
		in.RequestID = randomText(16)
	}
	version, due, err := s.change(ctx, sl, change{
		request: in.RequestID + "/r", unique: id.Unique(), id: id, due: spec.Due(now), expected: in.ExpectedVersion,
		payload: payload, replace: in.Payload != nil,
	})
	if err != nil {
		return carillon.RescheduleTimerResult{}, err
	}
	return carillon.RescheduleTimerResult{TimerID: id, Version: version, FireAt: milli(due)}, nil
}

// Redrive implements Timers.
func (s *Redis) Redrive(ctx context.Context, in carillon.RedriveTimersInput) (carillon.RedriveTimersResult, error) {
	if in.RequestID == "" {
		in.RequestID = randomText(16)
	}
	out := carillon.RedriveTimersResult{Timers: make([]carillon.CreateResult, len(in.Timers))}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(16)
	for i, ref := range in.Timers {
		g.Go(func() error {
			answer := &out.Timers[i]
			id, sl, err := s.resolve(ref)
			answer.TimerID = id
			if err == nil {
				var due int64
				answer.Version, due, err = s.change(ctx, sl, change{
					request: in.RequestID + "/d/" + strconv.Itoa(i), unique: id.Unique(), id: id, due: sl.clock.NowMilli(), dead: true, anew: true,
				})
				answer.FireAt = milli(due)
			}
			if err != nil {
				if carillon.Retryable(err) {
					return err
				}
				*answer = carillon.CreateResult{TimerID: id, Error: carillon.AsError(err)}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return carillon.RedriveTimersResult{}, err
	}
	return out, nil
}
