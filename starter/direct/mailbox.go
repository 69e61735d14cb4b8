package direct

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
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
// again: Message.Key tells.
//
// Receive is for one goroutine at a time; Ack may be called from any.
type Mailbox struct {
	o   MailboxOptions
	box *store.Mailbox

	mu      sync.Mutex
	resumed bool            // what this consumer had before has been received
	handed  map[string]bool // what Resume has returned: it would return it again until it is acknowledged
	looked  time.Time       // when messages of others were looked for
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
	return &Mailbox{o: o, box: box, handed: map[string]bool{}, looked: time.Now()}, nil
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

func (m *Mailbox) next(ctx context.Context) ([]Message, error) {
	if !m.resumed {
		out, err := m.resume(ctx)
		if err != nil || len(out) > 0 {
			return out, err
		}
		m.resumed = true
	}
	if time.Since(m.looked) >= m.o.Idle/2 {
		m.looked = time.Now()
		out, err := m.box.Claim(ctx, m.o.Consumer, m.o.Idle, m.o.Batch)
		if err != nil || len(out) > 0 {
			return out, err
		}
	}
	return m.box.Read(ctx, m.o.Consumer, m.o.Batch, wait)
}

// resume receives what the consumer had before. What has been handed out and is not acknowledged yet is left out.
func (m *Mailbox) resume(ctx context.Context) ([]Message, error) {
	all, err := m.box.Resume(ctx, m.o.Consumer, m.o.Batch+len(m.handed))
	if err != nil {
		return nil, err
	}
	var out []Message
	for _, msg := range all {
		at := fmt.Sprintf("%d/%s", msg.Slot, msg.ID)
		if !m.handed[at] {
			m.handed[at] = true
			out = append(out, msg)
		}
	}
	if len(out) == 0 {
		m.handed = nil
	}
	return out, nil
}

// Ack says that messages have been worked off, and removes them from the mailbox.
func (m *Mailbox) Ack(ctx context.Context, messages ...Message) error {
	return m.box.Ack(ctx, messages...)
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
