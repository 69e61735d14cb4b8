package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/carillon-io/carillon"
)

// Redis is a Store in one Redis deployment: a single server, one behind Sentinel, or a Cluster.
type Redis struct {
	client  redis.UniversalClient
	blocked redis.UniversalClient // for commands that block: they must not take connections from those that do not
	options Options
	scripts *scripts
	group   groupKeys
	slots   []*slot
	clock   *Clock // of the group-wide keys
	minter  minter
	info    ServerInfo

	ctx  context.Context // ends with Close: what Wait is blocked in ends with it
	stop context.CancelFunc
}

var _ Store = (*Redis)(nil)

// slot is what a process remembers of a slot.
type slot struct {
	number int
	keys   *slotKeys
	clock  *Clock

	mu      sync.Mutex
	open    int              // the open segment, as far as it is known
	windows map[int][]string // segment → its earliest windows, as the last sweep saw them
}

// Open checks that the Redis can keep timers, and that the group is what the options say; a group that is not there yet is
// founded. The client stays the caller's: Close does not close it.
//
// It fails with carillon.ErrInvalidArgument if a setting does not fit, naming it and the remedy, and with
// carillon.ErrUnavailable if Redis does not answer.
func Open(ctx context.Context, client redis.UniversalClient, options Options) (*Redis, error) {
	options, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	info, err := checkServer(ctx, client, options)
	if err != nil {
		return nil, err
	}
	scripts, err := loadScripts(!info.Embedded, options.shiftedClock())
	if err != nil {
		return nil, err
	}
	s := &Redis{
		client: client, blocked: forBlocking(client), options: options, scripts: scripts, group: newGroupKeys(options.Group), clock: NewClock(), info: info,
	}
	s.ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	if err := s.found(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// found makes sure that the group exists, is the expected one, and that its slots are ready.
func (s *Redis) found(ctx context.Context) error {
	slots := s.options.Slots
	if slots == 0 {
		slots = DefaultSlots
	}
	r, err := s.run(ctx, "open group", s.scripts.group, s.clock, []string{s.group.meta()},
		[]any{schemaVersion, slots, s.options.Number})
	if err != nil {
		return err
	}
	if got := int(r.number(0)); got != schemaVersion {
		return carillon.InvalidArgument("schema", "group %q is of schema %d, this release knows schema %d: use the matching "+
			"release, or another group", s.options.Group, got, schemaVersion)
	}
	founded := int(r.number(1))
	if s.options.Slots != 0 && s.options.Slots != founded {
		return carillon.InvalidArgument("slots", "group %q was founded with %d slots, not %d: the number cannot be changed; "+
			"leave it out to take the group's", s.options.Group, founded, s.options.Slots)
	}
	if got := int(r.number(2)); got != s.options.Number {
		return carillon.InvalidArgument("store", "this is store %d of group %q, not %d: check the Redis address",
			got, s.options.Group, s.options.Number)
	}
	_, cluster := s.client.(*redis.ClusterClient)
	for i := range founded {
		clock := s.clock
		if cluster {
			clock = NewClock() // the node's that holds the slot
		}
		s.slots = append(s.slots, &slot{
			number: i, keys: newSlotKeys(s.options.Group, i), clock: clock, windows: map[int][]string{},
		})
	}
	return s.eachSlot(ctx, s.prepare)
}

// prepare makes a slot ready: when the store is opened, and again should Redis have lost it.
func (s *Redis) prepare(ctx context.Context, sl *slot) error {
	r, err := s.run(ctx, "prepare slot", s.scripts.slot, sl.clock, []string{sl.keys.seg, sl.keys.fire}, nil)
	if err != nil {
		return err
	}
	sl.setOpen(int(r.number(0)))
	return nil
}

// eachSlot calls f for every slot, several at a time.
func (s *Redis) eachSlot(ctx context.Context, f func(context.Context, *slot) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(16)
	for _, sl := range s.slots {
		g.Go(func() error { return f(ctx, sl) })
	}
	return g.Wait()
}

// Group implements Store.
func (s *Redis) Group() string { return s.options.Group }

// Number implements Store.
func (s *Redis) Number() int { return s.options.Number }

// Slots implements Store.
func (s *Redis) Slots() int { return len(s.slots) }

// Clock implements Store.
func (s *Redis) Clock(slot int) *Clock { return s.slots[slot].clock }

// now is the store's time where no slot is given. In a Redis Cluster that is the time of the node of slot 0, not of the
// group-wide keys: a process asks for those so rarely that it would know their node's time badly.
func (s *Redis) now() time.Time { return s.slots[0].clock.Now() }

// Info is what Open has learnt about the server.
func (s *Redis) Info() ServerInfo { return s.info }

// Options are the options in force, with their defaults.
func (s *Redis) Options() Options { return s.options }

// Close frees what the store holds. It does not close the Redis client that it was given.
func (s *Redis) Close() error {
	s.stop()
	if s.blocked == s.client {
		return nil
	}
	if err := s.blocked.Close(); err != nil && !errors.Is(err, redis.ErrClosed) {
		return fmt.Errorf("store: close: %w", err)
	}
	return nil
}

func (sl *slot) openSegment() int {
	sl.mu.Lock()
	defer sl.mu.Unlock()
	return sl.open
}

func (sl *slot) setOpen(segment int) {
	sl.mu.Lock()
	defer sl.mu.Unlock()
	sl.open = segment
}

// slotOf finds the slot that an id names. An id of another store or of a slot that the group does not have names no timer.
func (s *Redis) slotOf(id carillon.ID) (*slot, error) {
	if id.Store() != s.options.Number || id.Slot() >= len(s.slots) {
		return nil, carillon.Errorf(carillon.TypeNotFound, "no timer %s: its id names store %d, slot %d, which group %q does not have",
			id, id.Store(), id.Slot(), s.options.Group)
	}
	return s.slots[id.Slot()], nil
}

// resolve finds the timer that a reference names.
func (s *Redis) resolve(ref carillon.TimerRef) (carillon.ID, *slot, error) {
	if err := ref.Validate(); err != nil {
		return carillon.ID{}, nil, err
	}
	id := ref.TimerID
	if id.IsZero() {
		id = carillon.NamedID(s.options.Number, len(s.slots), ref.ClientID, ref.Name)
	}
	sl, err := s.slotOf(id)
	return id, sl, err
}

// segmentMoved takes note that another segment is open than the one that a call was made for.
func (s *Redis) segmentMoved(ctx context.Context, sl *slot, r reply) error {
	if r.text() == "" { // Redis has lost the slot
		return s.prepare(ctx, sl)
	}
	var open int
	if _, err := fmt.Sscan(r.text(), &open); err != nil {
		return fmt.Errorf("store: open segment %q: %w", r.text(), err)
	}
	sl.setOpen(open)
	return nil
}
