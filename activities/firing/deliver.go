package firing

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/activities/target"
	"github.com/carillon-io/carillon/internal/fault"
	"github.com/carillon-io/carillon/internal/lease"
	"github.com/carillon-io/carillon/store"
)

// outcome is a claimed timer and what became of its delivery.
type outcome struct {
	item   *item
	result store.ClaimResult
	full   bool // its mailbox is full
	err    error
}

const (
	// claimSlack is how much longer a claim lasts than the attempt: time to say what became of it.
	claimSlack = 3 * time.Second
	// fullMailboxWait is how long a timer waits that has found its mailbox full.
	fullMailboxWait = time.Second
)

// attemptTime is how long the claim of a timer lasts.
func (s *server) attemptTime(f *store.Firing) time.Duration {
	if f.Mailbox {
		return claimSlack // it is fired at once, or is put off
	}
	return s.lane.o.Deliverer.Timeout(f.Target) + claimSlack
}

// begin delivers a claimed timer in a goroutine of its own. A mailbox that is full has been tried already.
func (s *server) begin(o outcome) {
	s.free--
	s.count++
	s.deliverer.Go(func() {
		if !o.full {
			o.err = s.deliver(o)
		}
		s.delivered <- o
	})
}

// deliver makes one attempt. It does not outlast its claim.
func (s *server) deliver(o outcome) (err error) {
	l, f := s.lane, o.item.firing
	defer func() {
		if p := recover(); p != nil {
			l.o.Logger.Error("a delivery panicked", "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("the delivery panicked: %v", p)
		}
	}()
	ctx, cancel := context.WithTimeout(s.work, l.o.Deliverer.Timeout(f.Target))
	defer cancel()
	if err := fault.At(fault.LaneDelivering, nil); err != nil {
		return err
	}
	err = l.o.Deliverer.Deliver(ctx, &target.Delivery{
		TimerID: f.TimerID, ClientID: f.ClientID, Name: f.Name, Incarnation: f.Incarnation, FireAt: time.UnixMilli(f.Due).UTC(),
		Attempt: o.result.Attempt, At: l.clock.Now(), Target: f.Target, Payload: o.result.Payload,
	})
	return fault.At(fault.LaneDelivered, err)
}

// verdict says what to write of an outcome.
func (s *server) verdict(o outcome) store.Completion {
	f := o.item.firing
	c := store.Completion{Entry: o.item.entry, Firing: f, Kind: store.CompleteFired}
	now := s.lane.clock.NowMilli()
	if o.full {
		c.Kind, c.RetryAt, c.Error = store.CompleteDefer, now+fullMailboxWait.Milliseconds(), "the mailbox is full"
		return c
	}
	v := target.Classify(o.err)
	c.Error = target.Reason(o.err)
	switch v.Kind {
	case target.VerdictDelivered:
	case target.VerdictDefer:
		c.Kind, c.RetryAt = store.CompleteDefer, now+max(v.After.Milliseconds(), 1)
	case target.VerdictDead:
		c.Kind = store.CompleteDead
	default:
		wait, again := f.Retry.WithDefaults().Next(o.result.Attempt)
		if !again {
			c.Kind = store.CompleteDead
			break
		}
		c.Kind, c.RetryAt = store.CompleteRetry, now+max(wait, v.After).Milliseconds()
	}
	return c
}

// complete writes down what became of deliveries: all that have come in while the last script ran go into the next one.
func (s *server) complete(ctx context.Context) {
	for first := range s.delivered {
		batch := []outcome{first}
	more:
		for len(batch) < store.MaxScriptTimers {
			select {
			case o, open := <-s.delivered:
				if !open {
					break more
				}
				batch = append(batch, o)
			default:
				break more
			}
		}
		s.write(ctx, batch)
		s.freed <- batch
	}
}

// write completes a batch. It tries until it is done or the lease is lost: then somebody else delivers it again.
func (s *server) write(ctx context.Context, batch []outcome) {
	l := s.lane
	completions := make([]store.Completion, len(batch))
	for i, o := range batch {
		completions[i] = s.verdict(o)
	}
	wait := lease.Backoff()
	for {
		done, err := l.o.Store.Complete(ctx, l.o.Lane, s.token, completions)
		err = fault.At(fault.LaneCompleted, err)
		switch {
		case err == nil:
			s.tally(completions, done)
			return
		case errors.Is(err, store.ErrLeaseLost):
			s.lose(err)
			return
		case ctx.Err() != nil:
			return
		}
		l.failed(err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait.NextBackOff()):
		}
	}
}

// tally counts what has been written.
func (s *server) tally(completions []store.Completion, done []bool) {
	s.lane.update(func(st *carillon.TaskStatus) {
		for i, c := range completions {
			if !done[i] {
				continue
			}
			switch c.Kind {
			case store.CompleteFired:
				st.Fired++
			case store.CompleteDead:
				st.Dead++
			case store.CompleteRetry, store.CompleteDefer:
				st.Retried++
			}
		}
	})
}
