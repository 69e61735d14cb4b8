package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/carillon-io/carillon"
)

// Message is a timer that was fired into a mailbox.
type Message struct {
	// Slot and ID say where the message lies; Ack takes them.
	Slot int
	ID   string
	// Timer is the timer; its state is fired.
	Timer carillon.TimerInfo
	// Incarnation tells timers apart that had the same name, one after the other.
	Incarnation int64
}

// Key is the idempotency key of the message: timer id and incarnation.
func (m *Message) Key() string { return fmt.Sprintf("%s-%d", m.Timer.TimerID, m.Incarnation) }

// Mailbox reads a client's mailbox: a stream in every slot.
type Mailbox struct {
	store  *Redis
	client string
	group  string
}

// Mailbox opens a client's mailbox for a consumer group; consumers of the same group share the messages. A group that is new
// begins with the oldest message. An acknowledged message is removed, so that one client should have one group.
func (s *Redis) Mailbox(ctx context.Context, clientID, group string) (*Mailbox, error) {
	ref := carillon.TimerRef{ClientID: clientID, Name: "any"}
	if err := ref.Validate(); err != nil {
		return nil, err
	}
	if group == "" || strings.ContainsAny(group, " \r\n") || len(group) > carillon.MaxClientID {
		return nil, carillon.InvalidArgument("consumer_group", "it is empty, too long, or holds white space")
	}
	m := &Mailbox{store: s, client: clientID, group: group}
	return m, m.prepare(ctx)
}

// prepare makes the consumer group in every slot, also where nothing has arrived yet.
func (m *Mailbox) prepare(ctx context.Context) error {
	return m.store.eachSlot(ctx, func(ctx context.Context, sl *slot) error {
		_, err := m.store.run(ctx, "open mailbox", m.store.scripts.mailboxOpen, sl.clock, []string{sl.keys.mailbox(m.client)},
			[]any{m.group})
		return err
	})
}

// Read takes up to limit messages that no consumer of the group has got yet, from each slot. It waits for one for as long as
// block says (0: not at all) and may return none. In a Redis Cluster it asks every slot about 50 times a second meanwhile, since
// no command waits for several slots there.
func (m *Mailbox) Read(ctx context.Context, consumer string, limit int, block time.Duration) ([]Message, error) {
	if _, cluster := m.store.client.(*redis.ClusterClient); !cluster {
		return m.readAll(ctx, consumer, limit, block)
	}
	const interval = 20 * time.Millisecond
	for deadline := time.Now().Add(block); ; {
		out, err := m.readEach(ctx, consumer, limit, ">")
		if err != nil || len(out) > 0 || !time.Now().Before(deadline) {
			return out, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(interval):
		}
	}
}

// readAll reads all slots with one command.
func (m *Mailbox) readAll(ctx context.Context, consumer string, limit int, block time.Duration) ([]Message, error) {
	slots := m.store.slots
	args := &redis.XReadGroupArgs{
		Group: m.group, Consumer: consumer, Count: int64(limit), Block: -1, Streams: make([]string, 0, 2*len(slots)),
	}
	if block > 0 {
		args.Block = max(block, time.Millisecond)
	}
	for _, sl := range slots {
		args.Streams = append(args.Streams, sl.keys.mailbox(m.client))
	}
	for range slots {
		args.Streams = append(args.Streams, ">")
	}
	streams, err := m.store.blocked.XReadGroup(ctx, args).Result()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, m.readError(ctx, err)
	}
	bySlot := make(map[string]*slot, len(slots))
	for _, sl := range slots {
		bySlot[sl.keys.mailbox(m.client)] = sl
	}
	var out []Message
	for _, stream := range streams {
		messages, err := m.parse(bySlot[stream.Stream], stream.Messages)
		if err != nil {
			return nil, err
		}
		out = append(out, messages...)
	}
	return out, nil
}

// readEach reads every slot with a command of its own; from is ">" for new messages, "0" for the consumer's own.
func (m *Mailbox) readEach(ctx context.Context, consumer string, limit int, from string) ([]Message, error) {
	answers := make([]*redis.XStreamSliceCmd, len(m.store.slots))
	_, err := m.store.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, sl := range m.store.slots {
			answers[i] = redis.NewXStreamSliceCmd(ctx,
				"xreadgroup", "group", m.group, consumer, "count", limit, "streams", sl.keys.mailbox(m.client), from)
			if err := p.Process(ctx, readOnce{answers[i]}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, m.readError(ctx, err)
	}
	var out []Message
	for i, a := range answers {
		if err := a.Err(); err != nil && !errors.Is(err, redis.Nil) { // a pipeline reports its first error only
			return nil, m.readError(ctx, err)
		}
		for _, stream := range a.Val() {
			messages, err := m.parse(m.store.slots[i], stream.Messages)
			if err != nil {
				return nil, err
			}
			out = append(out, messages...)
		}
	}
	return out, nil
}

// What takes messages is sent once: were the client to send it again after a lost answer, the messages of that answer would
// lie with the consumer and nobody would know. As it is, the caller gets an error, and resumes.
type (
	readOnce  struct{ *redis.XStreamSliceCmd }
	claimOnce struct{ *redis.XAutoClaimCmd }
)

// NoRetry is asked by the client.
func (readOnce) NoRetry() bool { return true }

// NoRetry is asked by the client.
func (claimOnce) NoRetry() bool { return true }

// readError makes the mailbox ready again should Redis have lost it.
func (m *Mailbox) readError(ctx context.Context, err error) error {
	out := redisError("read mailbox", err)
	if isMissingGroup(err) {
		return errors.Join(out, m.prepare(ctx))
	}
	return out
}

// Resume returns messages that the consumer has got and not acknowledged, from each slot up to limit: what a consumer of
// that name was working on when it died.
func (m *Mailbox) Resume(ctx context.Context, consumer string, limit int) ([]Message, error) {
	return m.readEach(ctx, consumer, limit, "0")
}

// Claim takes over messages that another consumer of the group has had for longer than idle, from each slot up to limit.
func (m *Mailbox) Claim(ctx context.Context, consumer string, idle time.Duration, limit int) ([]Message, error) {
	answers := make([]*redis.XAutoClaimCmd, len(m.store.slots))
	_, err := m.store.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, sl := range m.store.slots {
			answers[i] = redis.NewXAutoClaimCmd(ctx,
				"xautoclaim", sl.keys.mailbox(m.client), m.group, consumer, idle.Milliseconds(), "0", "count", limit)
			if err := p.Process(ctx, claimOnce{answers[i]}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, m.readError(ctx, err)
	}
	var out []Message
	for i, a := range answers {
		got, _ := a.Val()
		messages, err := m.parse(m.store.slots[i], got)
		if err != nil {
			return nil, err
		}
		out = append(out, messages...)
	}
	return out, nil
}

// Ack says that messages have been worked off, and removes them. Those that are gone already are no error.
func (m *Mailbox) Ack(ctx context.Context, messages ...Message) error {
	bySlot := map[int][]any{}
	for _, msg := range messages {
		if msg.Slot < 0 || msg.Slot >= len(m.store.slots) {
			return carillon.InvalidArgument("slot", "the group has no slot %d", msg.Slot)
		}
		bySlot[msg.Slot] = append(bySlot[msg.Slot], msg.ID)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(16)
	for number, ids := range bySlot {
		sl := m.store.slots[number]
		g.Go(func() error {
			for len(ids) > 0 {
				n := min(len(ids), MaxScriptTimers)
				_, err := m.store.run(ctx, "acknowledge", m.store.scripts.mailboxAck, sl.clock, []string{sl.keys.mailbox(m.client)},
					append([]any{m.group}, ids[:n]...))
				if err != nil {
					return err
				}
				ids = ids[n:]
			}
			return nil
		})
	}
	return g.Wait()
}

// Len is how many messages lie in the mailbox, read ones that are not acknowledged among them.
func (m *Mailbox) Len(ctx context.Context) (int64, error) {
	answers := make([]*redis.IntCmd, len(m.store.slots))
	_, err := m.store.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, sl := range m.store.slots {
			answers[i] = p.XLen(ctx, sl.keys.mailbox(m.client))
		}
		return nil
	})
	if err != nil {
		return 0, redisError("mailbox length", err)
	}
	var n int64
	for _, a := range answers {
		n += a.Val()
	}
	return n, nil
}

// Clock tells the store's time: what a message's lateness is measured by.
func (m *Mailbox) Clock() *Clock { return m.store.slots[0].clock }

// parse reads messages as lua/claim.lua writes them: h is unique 9 and the time of firing 6, r the record, b the payload where
// it lies apart. A message that was thrown away meanwhile comes without fields, and is left out.
func (m *Mailbox) parse(sl *slot, messages []redis.XMessage) ([]Message, error) {
	out := make([]Message, 0, len(messages))
	for _, x := range messages {
		head, _ := x.Values["h"].(string)
		raw, _ := x.Values["r"].(string)
		if len(x.Values) == 0 {
			continue
		}
		if len(head) != 15 {
			return nil, fmt.Errorf("store: message %s of mailbox %q cannot be read", x.ID, m.client)
		}
		h, err := parseHeader(raw)
		if err != nil {
			return nil, fmt.Errorf("store: message %s of mailbox %q: %w", x.ID, m.client, err)
		}
		record, err := h.decode()
		if err != nil {
			return nil, err
		}
		if body, apart := x.Values["b"].(string); apart {
			record.Payload = []byte(body)
		}
		payload, err := carillon.UnmarshalPayload(record.Payload)
		if err != nil {
			return nil, err
		}
		out = append(out, Message{Slot: sl.number, ID: x.ID, Incarnation: h.incarnation, Timer: carillon.TimerInfo{
			TimerID: carillon.NewID(m.store.options.Number, sl.number, carillon.Unique([]byte(head[:9]))), ClientID: h.clientID,
			Name: record.Name, State: carillon.StateFired, Version: h.version, FireAt: milli(h.due), CreatedAt: record.CreatedAt,
			Target: record.Target, Retry: record.Retry, Labels: record.Labels, Payload: payload, Attempts: h.attempts + 1,
			DoneAt: milli(get48(head[9:])),
		}})
	}
	return out, nil
}
