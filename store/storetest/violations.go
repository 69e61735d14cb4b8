package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon/store"
)

// maxViolations is how many violations one slot reports: what is broken tends to be broken everywhere.
const maxViolations = 50

// CheckInvariants fails the test with what Violations finds.
func CheckInvariants(t testing.TB, s *store.Redis, client redis.UniversalClient) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // the test's own context may have ended
	defer cancel()
	found, err := Violations(ctx, client, s.Group())
	require.NoError(t, err)
	require.Empty(t, found, "the store of group %s is inconsistent", s.Group())
}

// Violations reads all that a store keeps of a group and says what contradicts itself. The store has to be at rest:
// nobody may change it meanwhile. None is good. The error is that of a Redis that does not answer, or of a group that
// is not there.
//
// What it asserts:
//   - every record that is not dead has exactly one index entry or queue entry of its current version, in its place;
//     the index holds nothing else; what is older in the queue will be dropped at its claim;
//   - the counters agree with what is there: pending timers in all and for each client, dead ones, and
//     created = pending + fired + cancelled + dead;
//   - segments count their entries, one of them is open, and none that is retired has left anything behind;
//   - every window that holds something is named; claims have a record and a queue entry; bodies lie apart where, and
//     only where, the record says so; dead timers stand in the list of the dead;
//   - no mailbox holds a timer twice, one that is still pending, or one that was fired early;
//   - there is no key that nobody knows, and none that should expire and does not;
//   - members and control can be read, and nothing is assigned that is no task of the group's, or without a decision.
func Violations(ctx context.Context, client redis.UniversalClient, group string) ([]string, error) {
	text, err := client.HGet(ctx, groupPrefix(group)+"meta", "slots").Result()
	if errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("storetest: there is no group %q in this store", group)
	}
	if err != nil {
		return nil, fmt.Errorf("storetest: %w", err)
	}
	slots, err := strconv.Atoi(text)
	if err != nil {
		return nil, fmt.Errorf("storetest: slots of group %q: %w", group, err)
	}
	keys, err := keysOf(ctx, client, group)
	if err != nil {
		return nil, err
	}
	var out []string
	for slot := range slots {
		prefix := slotPrefix(group, slot)
		s := &slotState{ctx: ctx, client: client, prefix: prefix, keys: keys[prefix]}
		delete(keys, prefix)
		if err := s.read(); err != nil {
			return nil, fmt.Errorf("storetest: slot %d of group %q: %w", slot, group, err)
		}
		s.check()
		for _, v := range s.violations {
			out = append(out, fmt.Sprintf("slot %d: %s", slot, v))
		}
	}
	own, err := checkGroup(ctx, client, group, slots, keys[groupPrefix(group)])
	if err != nil {
		return nil, err
	}
	out = append(out, own...)
	for prefix := range keys {
		if prefix != groupPrefix(group) {
			out = append(out, "there are keys of a slot that the group does not have: "+prefix)
		}
	}
	slices.Sort(out)
	return out, nil
}

// keysOf finds the keys of a group: prefix → the rest of each.
func keysOf(ctx context.Context, client redis.UniversalClient, group string) (map[string]map[string]bool, error) {
	var mu sync.Mutex
	out := map[string]map[string]bool{} // a scan may name a key twice
	scan := func(ctx context.Context, node redis.Cmdable) error {
		var cursor uint64
		for {
			found, next, err := node.Scan(ctx, cursor, "carillon:{"+group+"[:}]*", 1000).Result()
			if err != nil {
				return fmt.Errorf("storetest: %w", err)
			}
			mu.Lock()
			for _, key := range found {
				end := strings.Index(key, "}:") + len("}:")
				if out[key[:end]] == nil {
					out[key[:end]] = map[string]bool{}
				}
				out[key[:end]][key[end:]] = true
			}
			mu.Unlock()
			if cursor = next; cursor == 0 {
				return nil
			}
		}
	}
	if cluster, ok := client.(*redis.ClusterClient); ok {
		return out, cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error { return scan(ctx, node) })
	}
	return out, scan(ctx, client)
}

// place is where an entry of a timer was found.
type place struct {
	queued  bool
	segment int64
	due     int64
	id      string // in the queue
}

// slotState is what a slot keeps.
type slotState struct {
	ctx        context.Context
	client     redis.UniversalClient
	prefix     string
	keys       map[string]bool
	violations []string

	version  int64
	records  map[string]*record
	bodies   map[string]bool
	claims   map[string]*claim
	dead     map[string]bool
	counts   map[string]int64
	segments map[string]string
	entries  map[string][]place // unique and ref → where it lies
	indexed  map[int64]int64    // segment → index entries
}

func (s *slotState) violation(format string, args ...any) {
	if len(s.violations) < maxViolations {
		s.violations = append(s.violations, fmt.Sprintf(format, args...))
	}
}

// read takes stock; what cannot be read is a violation already.
func (s *slotState) read() error {
	s.records, s.bodies, s.claims = map[string]*record{}, map[string]bool{}, map[string]*claim{}
	s.dead, s.counts, s.entries, s.indexed = map[string]bool{}, map[string]int64{}, map[string][]place{}, map[int64]int64{}
	err := s.hash("rec", func(field, value string) {
		r, err := parseRecord(value)
		if err != nil || len(field) != 9 {
			s.violation("record %s cannot be read: %v", hexOf(field), err)
			return
		}
		s.records[field] = r
	})
	if err != nil {
		return err
	}
	if err := s.hash("body", func(field, value string) { s.bodies[field] = value != "" }); err != nil {
		return err
	}
	err = s.hash("inflight", func(field, value string) {
		c, err := parseClaim(value)
		if err != nil {
			s.violation("the claim of %s cannot be read: %v", hexOf(field), err)
			return
		}
		s.claims[field] = c
	})
	if err != nil {
		return err
	}
	err = s.hash("count", func(field, value string) {
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil || n < 0 {
			s.violation("counter %s is %q", field, value)
		}
		s.counts[field] = n
	})
	if err != nil {
		return err
	}
	dead, err := s.client.ZRange(s.ctx, s.prefix+"dead", 0, -1).Result()
	if err != nil {
		return err
	}
	for _, unique := range dead {
		s.dead[unique] = true
	}
	if s.segments, err = s.client.HGetAll(s.ctx, s.prefix+"seg").Result(); err != nil {
		return err
	}
	if s.version, err = s.client.Get(s.ctx, s.prefix+"ver").Int64(); err != nil && !errors.Is(err, redis.Nil) {
		return err
	}
	if err := s.readQueue(); err != nil {
		return err
	}
	return s.readKeys()
}

// hash goes through a hash. A field may come twice.
func (s *slotState) hash(key string, visit func(field, value string)) error {
	var cursor uint64
	for {
		found, next, err := s.client.HScan(s.ctx, s.prefix+key, cursor, "", 1000).Result()
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		for i := 0; i+1 < len(found); i += 2 {
			visit(found[i], found[i+1])
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}

// stream goes through a stream.
func (s *slotState) stream(key string, visit func(redis.XMessage)) error {
	for from := "-"; ; {
		found, err := s.client.XRangeN(s.ctx, s.prefix+key, from, "+", 1000).Result()
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		if len(found) == 0 {
			return nil
		}
		for _, m := range found {
			visit(m)
		}
		from = after(found[len(found)-1].ID)
	}
}

// after is the first id that can follow another in a stream.
func after(id string) string {
	ms, sequence, _ := strings.Cut(id, "-")
	n, err := strconv.ParseUint(sequence, 10, 64)
	if err != nil {
		return "(" + id // no stream has such an id: Redis says so
	}
	return ms + "-" + strconv.FormatUint(n+1, 10)
}

// readQueue reads the fire queue, and makes sure that nobody holds what is not in it any more.
func (s *slotState) readQueue() error {
	there := map[string]bool{}
	err := s.stream("fire", func(m redis.XMessage) {
		there[m.ID] = true
		e, _ := m.Values["e"].(string)
		if len(e) != 18 || len(m.Values) != 1 {
			s.violation("entry %s of the fire queue cannot be read: %v", m.ID, m.Values)
			return
		}
		s.entries[e[:12]] = append(s.entries[e[:12]], place{queued: true, id: m.ID, due: integer(e[12:])})
	})
	if err != nil {
		return err
	}
	for from := "-"; ; {
		held, err := s.client.XPendingExt(s.ctx, &redis.XPendingExtArgs{
			Stream: s.prefix + "fire", Group: "fire", Start: from, End: "+", Count: 1000,
		}).Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			return fmt.Errorf("fire: %w", err)
		}
		if len(held) == 0 {
			return nil
		}
		for _, p := range held {
			if !there[p.ID] {
				s.violation("consumer %s holds entry %s, which is not in the fire queue any more", p.Consumer, p.ID)
			}
		}
		from = after(held[len(held)-1].ID)
	}
}

// readKeys reads what has a name of its own kind: windows, leases, mailboxes, outcomes and answers.
func (s *slotState) readKeys() error {
	for key := range s.keys {
		kind, rest, _ := strings.Cut(key, ":")
		var err error
		switch kind {
		case "rec", "body", "ver", "fire", "inflight", "dead", "seg", "count", "events", "clock", "lane":
		case "due":
			err = s.readWindow(rest)
		case "win":
			err = s.readWindowNames(rest)
		case "lease":
			s.checkSegmentKnown(key, rest)
		case "mbox":
			err = s.readMailbox(key)
		case "req", "done":
			err = s.checkExpires(key)
		default:
			s.violation("nobody knows the key %q", key)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *slotState) checkSegmentKnown(key, segment string) {
	if s.segments["s"+segment] == "" {
		s.violation("%q belongs to a segment that is gone", key)
	}
}

func (s *slotState) checkExpires(key string) error {
	ttl, err := s.client.PTTL(s.ctx, s.prefix+key).Result()
	if ttl == -1 {
		s.violation("%q never expires", key)
	}
	return err
}

// readWindow reads one window of the index; rest is segment:start.
func (s *slotState) readWindow(rest string) error {
	segmentText, startText, _ := strings.Cut(rest, ":")
	segment, err1 := strconv.ParseInt(segmentText, 10, 64)
	start, err2 := strconv.ParseInt(startText, 10, 64)
	if err := errors.Join(err1, err2); err != nil || start%windowMillis != 0 {
		s.violation("due:%s is no window: %v", rest, err)
		return nil
	}
	s.checkSegmentKnown("due:"+rest, segmentText)
	const page = 1000
	for from := int64(0); ; from += page {
		found, err := s.client.ZRangeWithScores(s.ctx, s.prefix+"due:"+rest, from, from+page-1).Result()
		if err != nil {
			return err
		}
		for _, z := range found {
			member, _ := z.Member.(string)
			due := int64(z.Score)
			if len(member) != 12 {
				s.violation("window due:%s holds a member of %d bytes", rest, len(member))
				continue
			}
			if due-due%windowMillis != start {
				s.violation("timer %s is due at %d and lies in window due:%s", hexOf(member[:9]), due, rest)
			}
			s.entries[member] = append(s.entries[member], place{segment: segment, due: due})
			s.indexed[segment]++
		}
		if len(found) < page {
			break
		}
	}
	score, err := s.client.ZScore(s.ctx, s.prefix+"win:"+segmentText, startText).Result()
	switch {
	case errors.Is(err, redis.Nil):
		s.violation("window due:%s is not named in win:%s, so that no sweeper finds it", rest, segmentText)
	case err != nil:
		return err
	case int64(score) != start:
		s.violation("win:%s has window %s at %v", segmentText, startText, score)
	}
	return nil
}

func (s *slotState) readWindowNames(segment string) error {
	s.checkSegmentKnown("win:"+segment, segment)
	names, err := s.client.ZRangeWithScores(s.ctx, s.prefix+"win:"+segment, 0, -1).Result()
	if err != nil {
		return err
	}
	for _, z := range names {
		if name, _ := z.Member.(string); name != strconv.FormatInt(int64(z.Score), 10) {
			s.violation("win:%s names window %q at %v", segment, name, z.Score)
		}
	}
	return nil
}

func (s *slotState) readMailbox(key string) error {
	seen := map[string]bool{}
	return s.stream(key, func(m redis.XMessage) {
		head, _ := m.Values["h"].(string)
		raw, _ := m.Values["r"].(string)
		_, apart := m.Values["b"]
		r, err := parseRecord(raw)
		if err != nil || len(head) != 15 {
			s.violation("message %s of %s cannot be read: %v", m.ID, key, err)
			return
		}
		unique, at := head[:9], integer(head[9:])
		if key != "mbox:"+r.client {
			s.violation("timer %s of client %q lies in %s", hexOf(unique), r.client, key)
		}
		if at < r.due {
			s.violation("timer %s was due at %d and fired at %d: %d ms early", hexOf(unique), r.due, at, r.due-at)
		}
		if apart != r.is(flagApart) {
			s.violation("message %s of %s: a payload apart is %t, its record says %t", m.ID, key, apart, r.is(flagApart))
		}
		which := fmt.Sprintf("%s-%d", hexOf(unique), r.incarnation)
		if seen[which] {
			s.violation("timer %s was fired twice into %s", which, key)
		}
		seen[which] = true
		if now := s.records[unique]; now != nil && now.incarnation == r.incarnation {
			s.violation("timer %s was fired into %s and still has a record", which, key)
		}
	})
}

// check compares what was read.
func (s *slotState) check() {
	s.checkRecords()
	s.checkEntries()
	s.checkCounts()
	s.checkSegments()
	for unique := range s.bodies {
		if r := s.records[unique]; r == nil || !r.is(flagApart) {
			s.violation("timer %s has a body, and no record that says so", hexOf(unique))
		}
	}
	for unique, c := range s.claims {
		switch r := s.records[unique]; {
		case r == nil:
			s.violation("timer %s is claimed by %s and has no record", hexOf(unique), c.token)
		case r.is(flagDead):
			s.violation("timer %s is claimed by %s and dead", hexOf(unique), c.token)
		case r.version != c.version:
			s.violation("timer %s has version %d, its claim is for %d", hexOf(unique), r.version, c.version)
		}
	}
	for unique := range s.dead {
		if r := s.records[unique]; r == nil || !r.is(flagDead) {
			s.violation("timer %s is listed as dead and is not", hexOf(unique))
		}
	}
}

func (s *slotState) checkRecords() {
	versions := map[int64]string{}
	for unique, r := range s.records {
		switch other, twice := versions[r.version]; {
		case r.version < 1 || r.version > s.version:
			s.violation("timer %s has version %d, the slot's last one is %d", hexOf(unique), r.version, s.version)
		case r.incarnation < 1 || r.incarnation > r.version:
			s.violation("timer %s has incarnation %d and version %d", hexOf(unique), r.incarnation, r.version)
		case twice:
			s.violation("timers %s and %s share version %d", hexOf(unique), hexOf(other), r.version)
		}
		versions[r.version] = unique
		if r.is(flagApart) && !s.bodies[unique] {
			s.violation("timer %s has lost its body", hexOf(unique))
		}
		places := s.entries[entryOf(unique, r.ref)]
		if r.is(flagDead) {
			if !s.dead[unique] {
				s.violation("timer %s is dead and not listed as such", hexOf(unique))
			}
			if len(places) > 0 {
				s.violation("timer %s is dead and still filed: %+v", hexOf(unique), places)
			}
			continue
		}
		if len(places) != 1 {
			s.violation("timer %s (version %d, ref %d, due %d) has %d entries: %+v", hexOf(unique), r.version, r.ref, r.due,
				len(places), places)
			continue
		}
		p := places[0]
		switch _, claimed := s.claims[unique]; {
		case p.queued && p.due > r.due:
			s.violation("timer %s is due at %d, and its queue entry is looked at only at %d", hexOf(unique), r.due, p.due)
		case !p.queued && (p.due != r.due || p.segment != r.segment):
			s.violation("timer %s is due at %d in segment %d, its index entry says %d in %d", hexOf(unique), r.due, r.segment,
				p.due, p.segment)
		case !p.queued && claimed:
			s.violation("timer %s is claimed and in the index", hexOf(unique))
		}
	}
}

func entryOf(unique string, ref int64) string {
	return unique + string([]byte{byte(ref >> 16), byte(ref >> 8), byte(ref)})
}

// checkEntries makes sure that the index holds nothing but what stands.
func (s *slotState) checkEntries() {
	for entry, places := range s.entries {
		r := s.records[entry[:9]]
		for _, p := range places {
			if !p.queued && (r == nil || r.ref != integer(entry[9:])) {
				s.violation("segment %d holds an entry of timer %s, ref %d, which does not stand any more", p.segment,
					hexOf(entry[:9]), integer(entry[9:]))
			}
		}
	}
}

func (s *slotState) checkCounts() {
	want := map[string]int64{}
	for _, r := range s.records {
		if r.is(flagDead) {
			want["dead"]++
			continue
		}
		want["pending"]++
		want["c:"+r.client]++
	}
	for _, name := range []string{"pending", "dead"} {
		if s.counts[name] != want[name] {
			s.violation("%s counts %d, there are %d", name, s.counts[name], want[name])
		}
	}
	for name, n := range s.counts {
		if strings.HasPrefix(name, "c:") && n != want[name] {
			s.violation("client %q counts %d, there are %d", name[2:], n, want[name])
		}
		if strings.HasPrefix(name, "c:") && n == 0 {
			s.violation("client %q has nothing pending, and a counter still", name[2:])
		}
	}
	for name, n := range want {
		if strings.HasPrefix(name, "c:") && s.counts[name] == 0 {
			s.violation("client %q has %d timers and no counter", name[2:], n)
		}
	}
	sum := s.counts["pending"] + s.counts["fired"] + s.counts["cancelled"] + s.counts["dead"]
	if s.counts["created"] != sum {
		s.violation("created is %d, but pending %d + fired %d + cancelled %d + dead %d is %d", s.counts["created"],
			s.counts["pending"], s.counts["fired"], s.counts["cancelled"], s.counts["dead"], sum)
	}
}

func (s *slotState) checkSegments() {
	open := 0
	for field, value := range s.segments {
		if n, is := segmentOf(field, "s"); is {
			switch value {
			case "o":
				open++
				if s.segments["open"] != strconv.FormatInt(n, 10) {
					s.violation("segment %d says that it is open, the slot says %q", n, s.segments["open"])
				}
			case "s":
			default:
				s.violation("segment %d is in state %q", n, value)
			}
		}
		if n, is := segmentOf(field, "c"); is {
			if count, err := strconv.ParseInt(value, 10, 64); err != nil || count != s.indexed[n] {
				s.violation("segment %d counts %s entries, it holds %d", n, value, s.indexed[n])
			}
			if s.segments[fmt.Sprintf("s%d", n)] == "" {
				s.violation("segment %d is gone and still counted", n)
			}
		}
	}
	if open != 1 {
		s.violation("%d segments are open", open)
	}
	for n, held := range s.indexed {
		if s.segments[fmt.Sprintf("c%d", n)] == "" {
			s.violation("segment %d holds %d entries and counts none", n, held)
		}
	}
}
