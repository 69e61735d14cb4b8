package direct

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"iter"
	"os"
	"sync"
	"time"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/store"
)

// Message is a timer that was fired into a mailbox. Its Key is the same however often it is delivered.
type Message = store.Message

// MailboxOptions say who reads which mailbox.
type MailboxOptions struct {
	// ClientID is required: whose mailbox it is.
	ClientID string
	// Group is the consumer group: its consumers share the messages. Empty: "default". An acknowledged message is removed,
	// so that a mailbox is meant for one group.
	Group string
	// Consumer is the name of this consumer within the group. A consumer that comes back under its name first gets what it
	// had not acknowledged. Empty: the host's name and a random part, so that it never comes back; what it leaves
	// behind goes to the others after Idle.
	Consumer string
	// Batch is how many messages are read from each slot at the most. 0: 100.
	Batch int
	// Idle is how long a message may be with a consumer before another one gets it: longer than the work on a batch
	// takes. 0: 1 min.
	Idle time.Duration
}

func (o MailboxOptions) withDefaults() (MailboxOptions, error) {
	if o.Group == "" {
		o.Group = "default"
	}
	if o.Consumer == "" {
		host, err := os.Hostname()
		if err != nil {
			host = "consumer" // the random part is what counts
		}
		var nonce [6]byte
		_, _ = rand.Read(nonce[:]) // never fails: crypto/rand ends the program instead
		o.Consumer = host + "-" + hex.EncodeToString(nonce[:])
	}
	if o.Batch < 0 {
		return o, carillon.InvalidArgument("batch", "%d is negative", o.Batch)
	}
	if o.Batch == 0 {
		o.Batch = 100
	}
	if o.Idle < 0 {
		return o, carillon.InvalidArgument("idle", "%s is negative", o.Idle)
	}
	if o.Idle == 0 {
		o.Idle = time.Minute
	}
	return o, nil
}

// Mailbox is a consumer of a client's mailbox. Consumers of a group share its messages; each message is with one of them
// until it is acknowledged, or until that consumer has had it for too long. So a message whose consumer dies is received
// again: Message.Key tells. What was in an answer that Redis gave and the network lost is received at the next try.
//
// Receive is for one goroutine at a time; Ack may be called from any.
type Mailbox struct {
	o   MailboxOptions
	box *store.Mailbox

	mu      sync.Mutex
	resumed bool      // nothing lies with this consumer that it has not been given
	looked  time.Time // when messages of others were looked for

	handed handed
}

// handed is what a consumer has been given and has not acknowledged: its own messages, but for those in answers that were lost.
type handed struct {
	sync.Mutex

	messages map[place]bool
}

// place is where a message lies.
type place struct {
	slot int
	id   string
}

func placeOf(msg *Message) place { return place{slot: msg.Slot, id: msg.ID} }

// give marks messages as given, and returns those that were not.
func (h *handed) give(messages []Message) []Message {
	h.Lock()
	defer h.Unlock()
	var out []Message
	for _, msg := range messages {
		if at := placeOf(&msg); !h.messages[at] {
			h.messages[at] = true
			out = append(out, msg)
		}
	}
	return out
}

func (h *handed) forget(messages []Message) {
	h.Lock()
	defer h.Unlock()
	for _, msg := range messages {
		delete(h.messages, placeOf(&msg))
	}
}

func (h *handed) len() int {
	h.Lock()
	defer h.Unlock()
	return len(h.messages)
}

// OpenMailbox opens a client's mailbox. It needs the store, as everything in this package does. It fails with
// carillon.ErrInvalidArgument or carillon.ErrUnavailable.
func OpenMailbox(ctx context.Context, s *store.Redis, o MailboxOptions) (*Mailbox, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	box, err := s.Mailbox(ctx, o.ClientID, o.Group)
	if err != nil {
		return nil, err
	}
	return &Mailbox{o: o, box: box, handed: handed{messages: map[place]bool{}}, looked: time.Now()}, nil
}

// Clock tells the store's time: the lateness of a message is measured by it.
func (m *Mailbox) Clock() *store.Clock { return m.box.Clock() }

// Len is how many messages lie in the mailbox, those that are not acknowledged among them.
func (m *Mailbox) Len(ctx context.Context) (int64, error) { return m.box.Len(ctx) }

// wait is how long one command waits for messages.
const wait = time.Second

// Receive waits for messages: first those that this consumer had not acknowledged when it ended, then those that others have
// had for too long, then new ones. It returns at least one unless it fails or ctx ends.
func (m *Mailbox) Receive(ctx context.Context) ([]Message, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		out, err := m.next(ctx)
		if err != nil || len(out) > 0 {
			return out, err
		}
	}
}

func (m *Mailbox) next(ctx context.Context) (out []Message, err error) {
	defer func() {
		if err != nil {
			m.resumed = false // the answer may have been lost on its way, with messages in it that are ours now
		}
	}()
	if !m.resumed {
		all, err := m.box.Resume(ctx, m.o.Consumer, m.o.Batch+m.handed.len())
		if err != nil {
			return nil, err
		}
		if out := m.handed.give(all); len(out) > 0 {
			return out, nil
		}
		m.resumed = true
	}
	if time.Since(m.looked) >= m.o.Idle/2 {
		m.looked = time.Now()
		out, err := m.box.Claim(ctx, m.o.Consumer, m.o.Idle, m.o.Batch)
		if err != nil || len(out) > 0 {
			m.handed.give(out) // those that it had before come once more
			return out, err
		}
	}
	out, err = m.box.Read(ctx, m.o.Consumer, m.o.Batch, wait)
	m.handed.give(out)
	return out, err
}

// Ack says that messages have been worked off, and removes them from the mailbox.
func (m *Mailbox) Ack(ctx context.Context, messages ...Message) error {
	if err := m.box.Ack(ctx, messages...); err != nil {
		return err
	}
	m.handed.forget(messages)
	return nil
}

// Messages goes through the messages as they come, until the loop ends, ctx ends, or something fails. Each has to be
// acknowledged.
func (m *Mailbox) Messages(ctx context.Context) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		for {
			batch, err := m.Receive(ctx)
			if err != nil {
				if ctx.Err() == nil {
					yield(Message{}, err)
				}
				return
			}
			for _, msg := range batch {
				if !yield(msg, nil) {
					return
				}
			}
		}
	}
}

// Consume gives every message to the handler, and acknowledges it when the handler returns nil. A message whose handler fails
// comes again after MailboxOptions.Idle. Consume returns nil when ctx ends; while the store is away it waits.
func (m *Mailbox) Consume(ctx context.Context, handle func(ctx context.Context, msg Message) error) error {
	for {
		batch, err := m.Receive(ctx)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // it has been told to stop: that is how it ends
		case errors.Is(err, carillon.ErrUnavailable):
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(wait):
			}
			continue
		case err != nil:
			return err
		}
		done := make([]Message, 0, len(batch))
		for _, msg := range batch {
			if handle(ctx, msg) == nil {
				done = append(done, msg)
			}
		}
		// What was worked off is acknowledged also while the consumer is being stopped.
		if err := m.Ack(context.WithoutCancel(ctx), done...); err != nil && !errors.Is(err, carillon.ErrUnavailable) {
			return err
		}
	}
}
