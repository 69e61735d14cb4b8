package storebench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
	commonpb "go.temporal.io/api/common/v1"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/store"
)

// Kind is something that is measured.
type Kind string

// The kinds.
const (
	// Create files timers into the index.
	Create Kind = "create"
	// Sweep moves them from the index into the fire queue.
	Sweep Kind = "sweep"
	// Mailbox is the fire cycle of timers that go to a mailbox: read, fetch, and the claim that delivers and completes.
	Mailbox Kind = "fire, mailbox"
	// Deliver is the fire cycle of all others: read, fetch, claim and complete. The delivery in between takes no time here.
	Deliver Kind = "fire, other"
)

// Kinds are all of them, in the order in which a timer meets them.
func Kinds() []Kind { return []Kind{Create, Sweep, Mailbox, Deliver} }

const clientID = "client"

// lookAhead of the sweeper: everything that Create has filed is due within it.
const lookAhead = 2 * time.Hour

// Bench is a group of its own in a Redis, and a bare loop beside it. Its methods are for one goroutine.
type Bench struct {
	client redis.UniversalClient
	o      Options
	store  *store.Redis
	far    *store.Redis // the same group, by one who looks further ahead
	bare   *bare
	lane   store.Token
	sweep  store.Token
	after  string
	turns  int
}

// Open founds the group. Close removes it.
func Open(ctx context.Context, client redis.UniversalClient, options Options) (*Bench, error) {
	o, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	b := &Bench{client: client, o: o}
	if err := b.open(ctx, "bench-"+rand.Text()); err != nil {
		return nil, errors.Join(err, b.Close(ctx))
	}
	return b, nil
}

func (b *Bench) open(ctx context.Context, group string) (err error) {
	settings := store.Options{Group: group, Slots: 1, AllowVolatile: true, QueueLimit: MaxTimers + store.MaxScriptTimers}
	if b.store, err = store.Open(ctx, b.client, settings); err != nil {
		return err
	}
	settings.LookAhead = lookAhead
	if b.far, err = store.Open(ctx, b.client, settings); err != nil {
		return err
	}
	if b.lane, err = b.store.AcquireLane(ctx, store.LaneID{}, "bench"); err != nil {
		return err
	}
	if b.sweep, err = b.far.AcquireSweep(ctx, store.Partition{}, "bench"); err != nil {
		return err
	}
	b.bare, err = newBare(ctx, b.client, group, b.now().UnixMilli(), make([]byte, b.o.PayloadBytes))
	return err
}

// Info is what the store has learnt about the server.
func (b *Bench) Info() store.ServerInfo { return b.store.Info() }

func (b *Bench) now() time.Time { return b.store.Clock(0).Now() }

// Close removes everything that was written, and nothing else.
func (b *Bench) Close(ctx context.Context) error {
	var errs []error
	if b.bare != nil {
		errs = append(errs, b.bare.clear(ctx))
	}
	for _, s := range []*store.Redis{b.store, b.far} {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	if b.store != nil {
		errs = append(errs, b.clear(ctx, "*"))
	}
	return errors.Join(errs...)
}

// clear removes the group's keys that match.
func (b *Bench) clear(ctx context.Context, match string) error {
	scan := func(ctx context.Context, node redis.Cmdable) error {
		keys := node.Scan(ctx, 0, "carillon:{"+b.store.Group()+"[:}]"+match, 1000).Iterator()
		for keys.Next(ctx) {
			if err := b.client.Unlink(ctx, keys.Val()).Err(); err != nil {
				return err
			}
		}
		return keys.Err()
	}
	var err error
	if cluster, ok := b.client.(*redis.ClusterClient); ok {
		err = cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error { return scan(ctx, node) })
	} else {
		err = scan(ctx, b.client)
	}
	if err != nil {
		return fmt.Errorf("storebench: clear: %w", err)
	}
	return nil
}

// specs are a batch of timers.
func (b *Bench) specs(in time.Duration, target carillon.Target) []carillon.TimerSpec {
	at := b.now().Add(in)
	payload := &commonpb.Payload{
		Metadata: map[string][]byte{"encoding": []byte("binary/plain")}, Data: make([]byte, b.o.PayloadBytes),
	}
	out := make([]carillon.TimerSpec, b.o.Batch)
	for i := range out {
		out[i] = carillon.TimerSpec{
			ClientID: clientID, FireAt: at.Add(time.Duration(i) * time.Millisecond), Target: target, Payload: payload,
		}
	}
	return out
}

func (b *Bench) create(ctx context.Context, specs []carillon.TimerSpec) error {
	out, err := b.store.Create(ctx, carillon.CreateTimersInput{Timers: specs})
	if err != nil {
		return err
	}
	for _, t := range out.Timers {
		if t.Error != nil {
			return t.Error
		}
	}
	return nil
}

// Prepare makes both sides ready for so many laps: it creates what is to be swept or fired.
func (b *Bench) Prepare(ctx context.Context, kind Kind, laps int) error {
	if kind == Create {
		return nil
	}
	in, target := time.Hour, carillon.ToMailbox()
	if kind != Sweep {
		in = -time.Hour // straight into the fire queue
	}
	if kind == Deliver {
		target = carillon.ToWebhook("https://example.com")
	}
	for range laps {
		b.bare.ask(b.o.Batch)
		if err := errors.Join(b.create(ctx, b.specs(in, target)), b.bare.create(ctx)); err != nil {
			return err
		}
		if kind != Sweep {
			if err := b.bare.sweep(ctx, b.o.Batch); err != nil {
				return err
			}
		}
	}
	return nil
}

// Lap is what one batch took.
type Lap struct {
	Timers      int
	Store, Bare time.Duration
}

// Lap measures one batch on both sides, which take turns in going first.
func (b *Bench) Lap(ctx context.Context, kind Kind) (Lap, error) {
	ours, theirs := b.sides(ctx, kind)
	lap := Lap{Timers: b.o.Batch}
	steps := []func() error{
		func() (err error) { lap.Store, err = took(ours); return err },
		func() (err error) { lap.Bare, err = took(theirs); return err },
	}
	first := b.turns % 2
	b.turns++
	if err := steps[first](); err != nil {
		return lap, err
	}
	if err := steps[1-first](); err != nil {
		return lap, err
	}
	return lap, b.tidy(ctx, kind)
}

// tidy takes away what a lap has handed on, to a lane or to a reader: a queue and a mailbox that are full would take no more.
func (b *Bench) tidy(ctx context.Context, kind Kind) error {
	var streams []string
	prefix := "carillon:{" + b.store.Group() + ":0}:"
	switch kind {
	case Sweep:
		streams = []string{prefix + "fire", b.bare.queue}
	case Mailbox:
		streams = []string{prefix + "mbox:" + clientID}
	case Create, Deliver:
	}
	for _, stream := range streams {
		if err := b.client.XTrimMaxLen(ctx, stream, 0).Err(); err != nil {
			return fmt.Errorf("storebench: %w", err)
		}
	}
	return nil
}

func took(f func() error) (time.Duration, error) {
	start := time.Now()
	err := f()
	return time.Since(start), err
}

// sides are what the two do, with all that they need made ready.
func (b *Bench) sides(ctx context.Context, kind Kind) (ours, theirs func() error) {
	switch kind {
	case Create:
		specs := b.specs(time.Hour, carillon.ToWebhook("https://example.com"))
		b.bare.ask(b.o.Batch)
		return func() error { return b.create(ctx, specs) }, func() error { return b.bare.create(ctx) }
	case Sweep:
		return func() error { return b.sweepBatch(ctx) }, func() error { return b.bare.sweep(ctx, b.o.Batch) }
	default:
		return func() error { return b.fireBatch(ctx, kind) }, func() error { return b.bare.fire(ctx, b.o.Batch) }
	}
}

// sweepBatch moves a batch. It takes more than one call where a batch lies in two windows, or a window has just become empty.
func (b *Bench) sweepBatch(ctx context.Context) error {
	moved := 0
	for range 5 {
		out, err := b.far.Sweep(ctx, store.Partition{}, b.sweep, b.o.Batch-moved)
		if err != nil {
			return err
		}
		if moved += out.Moved; moved == b.o.Batch {
			return nil
		}
	}
	return fmt.Errorf("storebench: sweep: %d timers, not %d", moved, b.o.Batch)
}

// fireBatch is what a lane does with timers whose time has come, the delivery left out.
func (b *Bench) fireBatch(ctx context.Context, kind Kind) error {
	entries, err := b.store.Read(ctx, store.LaneID{}, b.lane, b.after, b.o.Batch)
	if err != nil {
		return err
	}
	if len(entries) != b.o.Batch {
		return fmt.Errorf("storebench: read: %d timers, not %d", len(entries), b.o.Batch)
	}
	b.after = entries[len(entries)-1].ID
	firings, err := b.store.Fetch(ctx, store.LaneID{}, entries)
	if err != nil {
		return err
	}
	claims := make([]store.Claim, len(entries))
	for i, e := range entries {
		claims[i] = store.Claim{Entry: e, Firing: firings[i], Timeout: time.Minute}
	}
	claimed, err := b.store.Claim(ctx, store.LaneID{}, b.lane, claims)
	if err != nil {
		return err
	}
	want := store.ClaimFired
	if kind == Deliver {
		want = store.ClaimTaken
	}
	completions := make([]store.Completion, len(entries))
	for i, c := range claimed {
		if c.Status != want {
			return fmt.Errorf("storebench: claim: status %c, not %c", c.Status, want)
		}
		completions[i] = store.Completion{Entry: entries[i], Firing: firings[i], Kind: store.CompleteFired}
	}
	if kind != Deliver {
		return nil
	}
	_, err = b.store.Complete(ctx, store.LaneID{}, b.lane, completions)
	return err
}
