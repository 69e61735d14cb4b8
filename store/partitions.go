package store

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/carillon-io/carillon"
)

// SegmentCapacity is how many index entries a segment holds before the next one is opened, unless the worker's options
// say otherwise.
const SegmentCapacity = 1_000_000

// Segments implements Partitions.
func (s *Redis) Segments(ctx context.Context) ([]Segment, error) {
	answers := make([]*redis.MapStringStringCmd, len(s.slots))
	_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, sl := range s.slots {
			answers[i] = p.HGetAll(ctx, sl.keys.seg)
		}
		return nil
	})
	if err != nil {
		return nil, redisError("list segments", err)
	}
	var out []Segment
	for i, a := range answers {
		if len(a.Val()) == 0 { // Redis has lost the slot
			if err := s.prepare(ctx, s.slots[i]); err != nil {
				return nil, err
			}
			out = append(out, Segment{Partition: Partition{Slot: i}, Open: true})
			continue
		}
		first := len(out)
		for field, state := range a.Val() {
			text, found := strings.CutPrefix(field, "s")
			n, err := strconv.Atoi(text)
			if !found || err != nil {
				continue
			}
			out = append(out, Segment{
				Partition: Partition{Slot: i, Segment: n}, Open: state == "o", Entries: number(a.Val()["c"+text]),
			})
			if state == "o" {
				s.slots[i].setOpen(n)
			}
		}
		slices.SortFunc(out[first:], func(a, b Segment) int { return a.Segment - b.Segment })
	}
	return out, nil
}

// OpenSegment implements Partitions.
func (s *Redis) OpenSegment(ctx context.Context, slot, sealing int) (int, error) {
	sl := s.slots[slot]
	r, err := s.run(ctx, "open segment", s.scripts.segment, sl.clock, []string{sl.keys.seg}, []any{sealing})
	if err != nil {
		return 0, err
	}
	if r.code == "SEGMENT" {
		return 0, errors.Join(carillon.Errorf(carillon.TypeUnavailable, "open segment: Redis has lost slot %d: try again", slot),
			s.segmentMoved(ctx, sl, r))
	}
	open := int(r.number(0))
	sl.setOpen(open)
	return open, nil
}

// RetireSegment implements Partitions.
func (s *Redis) RetireSegment(ctx context.Context, p Partition) (bool, error) {
	sl := s.slots[p.Slot]
	windows, err := s.client.ZRange(ctx, sl.keys.win(p.Segment), 0, 1000).Result()
	if err != nil {
		return false, redisError("retire segment", err)
	}
	keys := []string{sl.keys.seg, sl.keys.win(p.Segment), sl.keys.lease(p.Segment)}
	args := []any{p.Segment}
	for _, w := range windows {
		start, err := strconv.ParseInt(w, 10, 64)
		if err != nil {
			return false, carillon.Errorf(carillon.TypeUnavailable, "retire segment: window %q: %w", w, err)
		}
		keys = append(keys, sl.keys.due(p.Segment, start))
		args = append(args, w)
	}
	r, err := s.run(ctx, "retire segment", s.scripts.retire, sl.clock, keys, args)
	if err != nil {
		return false, err
	}
	return r.number(0) == 1, nil
}

// AcquireSweep implements Partitions.
func (s *Redis) AcquireSweep(ctx context.Context, p Partition, owner string) (Token, error) {
	sl := s.slots[p.Slot]
	return s.acquire(ctx, sl, sl.keys.lease(p.Segment), owner, "", s.options.LeaseTTL, true, strconv.Itoa(p.Segment))
}

// ReleaseSweep implements Partitions.
func (s *Redis) ReleaseSweep(ctx context.Context, p Partition, token Token) error {
	sl := s.slots[p.Slot]
	return s.release(ctx, sl, sl.keys.lease(p.Segment), token, 0)
}

// acquire takes a lease: of a lane, or of a segment. lapsed: not from a holder that is leaving.
func (s *Redis) acquire(
	ctx context.Context, sl *slot, key, owner, prefix string, ttl time.Duration, lapsed bool, segment string,
) (Token, error) {
	if owner == "" || strings.ContainsAny(owner, ":\x00") {
		return "", carillon.InvalidArgument("owner", "%q is empty or holds a colon", owner)
	}
	r, err := s.run(ctx, "acquire lease", s.scripts.lease, sl.clock, []string{key, sl.keys.seg},
		[]any{owner, prefix, ttl.Milliseconds(), drainTime.Milliseconds(), lapsed, segment})
	if err != nil {
		return "", err
	}
	if r.code == "GONE" {
		return "", carillon.Errorf(carillon.TypeNotFound, "acquire lease: slot %d has no segment %s: it is retired", sl.number, segment)
	}
	if r.code == "HELD" {
		return "", &HeldError{Holder: Token(r.text()), UntilMilli: r.number(1)}
	}
	return Token(r.text()), nil
}

func (s *Redis) release(ctx context.Context, sl *slot, key string, token Token, drain time.Duration) error {
	_, err := s.run(ctx, "release lease", s.scripts.release, sl.clock, []string{key}, []any{string(token), drain.Milliseconds()})
	return err
}

// Sweep implements Partitions.
func (s *Redis) Sweep(ctx context.Context, p Partition, token Token, limit int) (SweepResult, error) {
	sl, o := s.slots[p.Slot], &s.options
	for range maxTries {
		windows := sl.earliest(p.Segment)
		keys := []string{sl.keys.lease(p.Segment), sl.keys.win(p.Segment), sl.keys.fire, sl.keys.seg}
		args := []any{string(token), o.LeaseTTL.Milliseconds(), o.LookAhead.Milliseconds(), o.QueueLimit, limit, p.Segment}
		for _, w := range windows {
			start, err := strconv.ParseInt(w, 10, 64)
			if err != nil {
				return SweepResult{}, carillon.Errorf(carillon.TypeUnavailable, "sweep: window %q: %w", w, err)
			}
			keys = append(keys, sl.keys.due(p.Segment, start))
			args = append(args, w)
		}
		r, err := s.run(ctx, "sweep", s.scripts.sweep, sl.clock, keys, args)
		if err != nil {
			if isMissingGroup(err) {
				err = errors.Join(err, s.prepare(ctx, sl))
			}
			return SweepResult{}, err
		}
		if r.code == "WINDOWS" {
			sl.setEarliest(p.Segment, r.list(0))
			continue
		}
		sl.setEarliest(p.Segment, r.list(4))
		out := SweepResult{Moved: int(r.number(0)), More: r.number(1) == 1, QueueFull: r.number(2) == 1}
		if next := r.number(3); next >= 0 {
			out.NextDue = milli(next)
		}
		return out, nil
	}
	return SweepResult{}, carillon.Errorf(carillon.TypeUnavailable, "sweep: the windows change too fast: try again")
}

func (sl *slot) earliest(segment int) []string {
	sl.mu.Lock()
	defer sl.mu.Unlock()
	return sl.windows[segment]
}

func (sl *slot) setEarliest(segment int, windows []any) {
	texts := make([]string, len(windows))
	for i, w := range windows {
		texts[i], _ = w.(string)
	}
	sl.mu.Lock()
	defer sl.mu.Unlock()
	if len(texts) == 0 {
		delete(sl.windows, segment)
		return
	}
	sl.windows[segment] = texts
}

// ListPartitions implements Partitions.
func (s *Redis) ListPartitions(ctx context.Context) (carillon.ListPartitionsResult, error) {
	assigned, err := s.Assignments(ctx)
	if err != nil {
		return carillon.ListPartitionsResult{}, err
	}
	return s.listPartitions(ctx, assigned, nil)
}

// listPartitions lists the lanes that somebody is assigned, or says that he holds, beside those that Redis itself knows
// of.
func (s *Redis) listPartitions(
	ctx context.Context, assigned carillon.Assignments, held []carillon.Task,
) (carillon.ListPartitionsResult, error) {
	segments, err := s.Segments(ctx)
	if err != nil {
		return carillon.ListPartitionsResult{}, err
	}
	out := carillon.ListPartitionsResult{Partitions: []carillon.PartitionInfo{}, Lanes: []carillon.LaneInfo{}}
	for _, seg := range segments {
		sl := s.slots[seg.Slot]
		now := sl.clock.NowMilli()
		var lease *redis.SliceCmd
		var windows *redis.StringSliceCmd
		_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			lease = p.HMGet(ctx, sl.keys.lease(seg.Segment), "token", "until", "since")
			windows = p.ZRange(ctx, sl.keys.win(seg.Segment), 0, 0)
			return nil
		})
		if err != nil {
			return out, redisError("list partitions", err)
		}
		info := carillon.PartitionInfo{
			Store: s.options.Number, Slot: seg.Slot, Segment: seg.Segment, State: "sealed", Entries: seg.Entries,
		}
		if seg.Open {
			info.State = "open"
		}
		info.Sweeper, info.LeaseUntil, info.Since = liveLease(lease.Val(), now)
		info.Worker = Token(info.Sweeper).Worker()
		info.Assigned = assigned[carillon.Task{
			Kind: carillon.TaskSweep, Store: info.Store, Slot: info.Slot, Number: info.Segment,
		}]
		for _, w := range windows.Val() {
			start, _ := strconv.ParseInt(w, 10, 64)
			head, err := s.client.ZRangeWithScores(ctx, sl.keys.due(seg.Segment, start), 0, 0).Result()
			if err != nil {
				return out, redisError("list partitions", err)
			}
			if len(head) > 0 {
				info.NextDue = milli(int64(head[0].Score))
			}
		}
		out.Partitions = append(out.Partitions, info)
	}
	known := make([]map[int]int64, len(s.slots)) // lane → entries that it holds
	know := func(t carillon.Task) {
		if t.Kind == carillon.TaskFire && t.Store == s.options.Number && t.Slot < len(known) {
			known[t.Slot][t.Number] = 0
		}
	}
	for i := range known {
		known[i] = map[int]int64{0: 0}
	}
	for t := range assigned {
		know(t)
	}
	for _, t := range held {
		know(t)
	}
	for i, sl := range s.slots {
		lanes, err := s.lanesOf(ctx, sl, sl.clock.NowMilli(), known[i])
		if err != nil {
			return out, err
		}
		for _, l := range lanes {
			l.Assigned = assigned[carillon.Task{Kind: carillon.TaskFire, Store: l.Store, Slot: l.Slot, Number: l.Lane}]
			out.Lanes = append(out.Lanes, l)
		}
	}
	return out, nil
}

// lanesOf finds the lanes of a slot: those that consume its fire queue, beside those in held.
func (s *Redis) lanesOf(ctx context.Context, sl *slot, now int64, held map[int]int64) ([]carillon.LaneInfo, error) {
	consumers, err := s.client.XInfoConsumers(ctx, sl.keys.fire, fireGroup).Result()
	if err != nil {
		return nil, redisError("list lanes", err)
	}
	for _, c := range consumers {
		if lane, ok := laneOf(Token(c.Name)); ok {
			held[lane] += c.Pending
		}
	}
	queue, err := s.client.XLen(ctx, sl.keys.fire).Result()
	if err != nil {
		return nil, redisError("list lanes", err)
	}
	var out []carillon.LaneInfo
	for lane, n := range held {
		lease, err := s.client.HMGet(ctx, sl.keys.lane(lane), "token", "until", "since").Result()
		if err != nil {
			return nil, redisError("list lanes", err)
		}
		info := carillon.LaneInfo{Store: s.options.Number, Slot: sl.number, Lane: lane, Queue: queue, Held: n}
		info.Holder, info.LeaseUntil, info.Since = liveLease(lease, now)
		info.Worker = Token(info.Holder).Worker()
		out = append(out, info)
	}
	slices.SortFunc(out, func(a, b carillon.LaneInfo) int { return a.Lane - b.Lane })
	return out, nil
}

// liveLease reads token, until and since of a lease; one that has lapsed has no holder.
func liveLease(fields []any, now int64) (holder string, until, since time.Time) {
	holder, _ = fields[0].(string)
	if holder == "" || number(fields[1]) <= now {
		return "", time.Time{}, time.Time{}
	}
	return holder, milli(number(fields[1])), milli(number(fields[2]))
}
