package firing_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/activities/firing"
	"github.com/carillon-io/carillon/activities/sweeping"
	"github.com/carillon-io/carillon/store"
	"github.com/carillon-io/carillon/store/redistest"
	"github.com/carillon-io/carillon/store/storetest"
)

// untilAvailable makes a call until its answer is not that the store is unavailable: all that a client may see of a slot that
// moves.
func untilAvailable[T any](ctx context.Context, call func(context.Context) (T, error)) (T, error) {
	for {
		out, err := call(ctx)
		if err == nil || !errors.Is(err, carillon.ErrUnavailable) || ctx.Err() != nil {
			return out, err
		}
	}
}

// Timers are created, put off, cancelled, swept, claimed and completed while the slots of their group are moved from node to node
// of a Redis Cluster. Everything that was accepted is fired once, never early.
func TestSlotsMoveUnderLoad(t *testing.T) {
	t.Parallel()
	cluster := redistest.Cluster(t, 3, redistest.Options{Fsync: "no"})
	var urls []string
	for _, addr := range cluster.Addrs() {
		urls = append(urls, "redis://"+addr)
	}
	s, client := openAt(t, strings.Join(urls, ","), store.Options{Slots: 4, LookAhead: time.Second})
	r := newReceiver(s, nil)
	var lanes []*firing.Lane
	for slot := range s.Slots() {
		l, _ := startLane(t, s, slot, "worker", r)
		lanes = append(lanes, l)
		start(t, sweeping.New(sweeping.Options{Store: s, Partition: store.Partition{Slot: slot}, Worker: "sweeper"}).Run)
	}
	ctx, stop := context.WithCancel(t.Context())
	var moved int
	shuffled := make(chan error, 1)
	go func() {
		var err error
		moved, err = cluster.Shuffle(ctx, &sync.Mutex{})
		shuffled <- err
	}()

	const clients, rounds, batch = 3, 20, 20
	load, gctx := errgroup.WithContext(t.Context())
	for c := range clients {
		load.Go(func() error { return moveLoad(gctx, s, c, rounds, batch) })
	}
	require.NoError(t, load.Wait())
	const created = clients * rounds * batch
	eventually(t, "everything is done", func() bool {
		c, err := s.Count(t.Context(), carillon.CountTimersInput{})
		return err == nil && c.Fired+c.Cancelled == created
	})
	stop()
	require.NoError(t, <-shuffled)
	t.Logf("%d slots were moved meanwhile", moved)
	require.Positive(t, moved)
	for _, l := range lanes {
		require.NotEmpty(t, l.Status().Lease, "no lane has ended")
	}
	require.Equal(t, carillon.CountTimersResult{
		Created: created, Fired: created - clients*rounds, Cancelled: clients * rounds,
	}, count(t, s))
	mails := 0
	for c := range clients {
		mails += rounds * batch / 2
		drainMailbox(t, s, fmt.Sprint("client", c), rounds*batch/2)
	}
	keys, deliveries, early := r.counts()
	require.Equal(t, []int{created - clients*rounds - mails, created - clients*rounds - mails, 0}, []int{keys, deliveries, early})
	storetest.CheckInvariants(t, s, client)
}

// moveLoad is a client that creates timers, half of them to its mailbox, puts one of each batch off, and cancels another.
func moveLoad(ctx context.Context, s *store.Redis, client, rounds, batch int) error {
	for round := range rounds {
		in := carillon.CreateTimersInput{RequestID: fmt.Sprint("create", client, "-", round)}
		for i := range batch {
			spec := carillon.TimerSpec{
				ClientID: fmt.Sprint("client", client), Delay: time.Duration(1+100*i) * time.Millisecond, Target: carillon.ToMailbox(),
			}
			if i%2 == 0 {
				spec.Target = carillon.ToSignal("w", "s")
			}
			if i == 0 {
				spec.Delay = time.Hour // it is cancelled
			}
			if i == 1 {
				spec.Delay = time.Hour // it is brought forward
			}
			in.Timers = append(in.Timers, spec)
		}
		out, err := untilAvailable(ctx, func(ctx context.Context) (carillon.CreateTimersResult, error) { return s.Create(ctx, in) })
		if err != nil {
			return err
		}
		_, err = untilAvailable(ctx, func(ctx context.Context) (carillon.RescheduleTimerResult, error) {
			return s.Reschedule(ctx, carillon.RescheduleTimerInput{
				RequestID: in.RequestID + "r", TimerRef: carillon.TimerRef{TimerID: out.Timers[1].TimerID}, Delay: 500 * time.Millisecond,
			})
		})
		if err != nil {
			return err
		}
		cancelled, err := untilAvailable(ctx, func(ctx context.Context) (carillon.CancelTimersResult, error) {
			return s.Cancel(ctx, carillon.CancelTimersInput{
				RequestID: in.RequestID + "x", Timers: []carillon.TimerRef{{TimerID: out.Timers[0].TimerID}},
			})
		})
		if err != nil {
			return err
		}
		if refused := cancelled.Timers[0].Error; refused != nil {
			return refused
		}
	}
	return nil
}
