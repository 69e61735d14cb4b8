package worker

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/store"
)

// membership keeps the worker on its group's roster, and tells what the group looks like from there.
type membership struct {
	store store.Coordination
	self  func() carillon.Member // what the worker says of itself
	nonce string                 // tells this process from another one under the same id
	log   *slog.Logger
	seen  func(view) // is told after every heartbeat
	idle  func()     // is told when nobody controls the group

	assigned      carillon.Assignments
	epoch, number int64 // of the decision that assigned holds
}

// leaveTimeout bounds the last word of a worker that stops.
const leaveTimeout = 2 * time.Second

// run heartbeats until ctx is done; then the worker leaves the roster, so that others take over what it hands back.
func (m *membership) run(ctx context.Context) {
	tick := time.NewTicker(carillon.MemberHeartbeat)
	defer tick.Stop()
	var trouble string
	for ctx.Err() == nil {
		err := m.beat(ctx)
		switch {
		case ctx.Err() != nil:
		case err != nil && err.Error() != trouble:
			trouble = err.Error()
			m.log.Error("The worker cannot keep its place in the group.", "error", err)
		case err == nil && trouble != "":
			trouble = ""
			m.log.Info("The worker has its place in the group again.")
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer cancel()
	if err := m.store.Leave(last, m.self().Worker, m.nonce); err != nil {
		m.log.Warn("The worker could not say that it leaves; the others notice it in a moment.", "error", err)
	}
}

// beat heartbeats once, and tells what has come back.
func (m *membership) beat(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, carillon.MemberTTL)
	defer cancel()
	self := m.self()
	roster, err := m.store.Heartbeat(ctx, self, m.nonce)
	if errors.Is(err, carillon.ErrAlreadyExists) {
		// Another process lives under this id, for example since this one was frozen: all tasks are the other's.
		m.seen(view{self: self.Worker, members: []carillon.Member{{Worker: self.Worker + " (the other process)"}}})
		return err
	}
	if err != nil {
		return err // what was known last stands: the leases are what counts
	}
	control := roster.Control
	if m.assigned == nil || control.Epoch != m.epoch || control.Number != m.number {
		assigned, err := m.store.Assignments(ctx)
		if err != nil {
			return err
		}
		// Should a decision have been written in between, the next heartbeat shows another number, and they are read again.
		m.assigned, m.epoch, m.number = assigned, control.Epoch, control.Number
	}
	controlled := control.Controlled(roster.Now)
	for i := range roster.Members { // what changes all the time is nothing that a share depends on
		roster.Members[i].Seen, roster.Members[i].Load = time.Time{}, 0
	}
	m.seen(view{self: self.Worker, members: roster.Members, assigned: m.assigned, controlled: controlled})
	if !controlled {
		m.idle()
	}
	return nil
}
