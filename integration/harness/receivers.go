package harness

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	sdkworker "go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/starter/direct"
)

var countAll = carillon.CountTimersInput{}

// ReadMailbox writes down what arrives in a client's mailbox until the test ends.
func (g *Group) ReadMailbox(t testing.TB, clientID string) {
	t.Helper()
	box, err := direct.OpenMailbox(t.Context(), g.Store, direct.MailboxOptions{ClientID: clientID})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var reading sync.WaitGroup
	reading.Go(func() {
		err := box.Consume(ctx, func(_ context.Context, m direct.Message) error {
			g.Ledger.Received(m.Timer.TimerID, m.Timer.FireAt, box.Clock().Now())
			return nil
		})
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("mailbox: %v", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		reading.Wait()
	})
}

// Note is the payload of a timer that goes to a workflow: the receiver has to be told which timer it is and when it is due.
type Note struct {
	Serial int
	Due    time.Time
}

// Receiver is a live workflow that notes when signals arrive: in the workflow task itself, outside of replay.
type Receiver struct {
	ID, TaskQueue string

	mu  sync.Mutex
	got map[int][]time.Time
}

// SignalName is the signal that receivers listen to.
const SignalName = "timer"

// StartReceiver starts a worker and a workflow that receives signals.
func (g *Group) StartReceiver(t testing.TB) *Receiver {
	t.Helper()
	r := &Receiver{ID: g.Name + "-receiver", TaskQueue: g.Name + "-receivers", got: map[int][]time.Time{}}
	w := sdkworker.New(g.Temporal, r.TaskQueue, sdkworker.Options{})
	clock := g.Store.Clock(0)
	w.RegisterWorkflowWithOptions(func(ctx workflow.Context) error {
		signals := workflow.GetSignalChannel(ctx, SignalName)
		for {
			var note Note
			if ok, _ := signals.ReceiveWithTimeout(ctx, time.Hour, &note); !ok {
				return nil
			}
			if note.Serial < 0 {
				return nil
			}
			if !workflow.IsReplaying(ctx) {
				r.note(note.Serial, clock.Now())
			}
		}
	}, workflow.RegisterOptions{Name: "receiver"})
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
	_, err := g.Temporal.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: r.ID, TaskQueue: r.TaskQueue}, "receiver")
	require.NoError(t, err)
	return r
}

func (r *Receiver) note(serial int, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got[serial] = append(r.got[serial], at)
}

// Got is when each serial number arrived.
func (r *Receiver) Got() map[int][]time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make(map[int][]time.Time, len(r.got))
	for k, v := range r.got {
		out[k] = append([]time.Time(nil), v...)
	}
	return out
}
