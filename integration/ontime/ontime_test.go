// Package ontime_test holds the tests that bound how late a timer may be. They are apart from the others, so that they run in
// a process, and on a Temporal server, that have nothing else to do.
package ontime_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/integration/check"
	"github.com/carillon-io/carillon/integration/harness"
	"github.com/carillon-io/carillon/starter"
	"github.com/carillon-io/carillon/store"
)

// punctual runs a scenario until one run of it was on time, three times at the most: the machine may be shared, and what else
// it does makes timers late that a lane has not. What is lost, early or double fails any run.
func punctual(t *testing.T, scenario func(*testing.T) (late, bound time.Duration)) {
	t.Helper()
	const runs = 3
	var measured []string
	for range runs {
		var late, bound time.Duration
		if !t.Run("run", func(t *testing.T) { late, bound = scenario(t) }) {
			return
		}
		if late <= bound {
			return
		}
		measured = append(measured, fmt.Sprintf("%s, over %s", late, bound))
	}
	t.Fatalf("late in each of %d runs: %s", runs, strings.Join(measured, "; "))
}

// 10,000 timers over 20 s to a mailbox and 300 signals to a workflow, created through Temporal: each is received once and
// none early. The lateness is measured where the receivers receive.
func TestTimersFireOnTime(t *testing.T) {
	punctual(t, fireOverTwentySeconds)
}

func fireOverTwentySeconds(t *testing.T) (late, bound time.Duration) {
	const mailbox, signals = 10_000, 300
	const over = 20 * time.Second
	g := harness.NewGroup(t, store.Options{}, starter.Options{})
	w := g.StartWorker(t, nil)
	harness.WaitForTasks(t, w, 2*g.Store.Slots())
	receiver := g.StartReceiver(t)
	g.ReadMailbox(t, "client")

	// The first due time leaves room to create them all.
	base := g.Store.Clock(0).Now().Add(3 * time.Second).Truncate(time.Millisecond)
	specs := make([]carillon.TimerSpec, 0, mailbox)
	for i := range mailbox {
		specs = append(specs, carillon.TimerSpec{
			ClientID: "client", FireAt: base.Add(time.Duration(i) * over / mailbox).Truncate(time.Millisecond), Target: carillon.ToMailbox(),
		})
	}
	notes := make([]harness.Note, signals)
	ids := make([]carillon.ID, signals)
	var creating sync.WaitGroup
	creating.Go(func() {
		results, err := g.Timers.CreateAll(t.Context(), specs)
		if !check.NoError(t, err) {
			return
		}
		for _, r := range results {
			if check.True(t, r.Error == nil, "%v", r.Error) {
				g.Ledger.Asked(r.TimerID, r.FireAt, check.ExactlyOnce)
			}
		}
	})
	for i := range signals { // one by one, by as many callers: they travel together
		creating.Go(func() {
			notes[i] = harness.Note{Serial: i, Due: base.Add(time.Duration(i) * over / signals).Truncate(time.Millisecond)}
			payload, err := g.Timers.Payload(notes[i])
			if !check.NoError(t, err) {
				return
			}
			r, err := g.Timers.Create(t.Context(), carillon.TimerSpec{
				ClientID: "client", FireAt: notes[i].Due, Payload: payload,
				Target: carillon.ToSignal(receiver.ID, harness.SignalName),
			})
			if check.NoError(t, err) {
				ids[i] = r.TimerID
				g.Ledger.Asked(r.TimerID, r.FireAt, check.ExactlyOnce)
			}
		})
	}
	creating.Wait()
	require.True(t, g.Store.Clock(0).Now().Before(base), "the timers were created in time")

	harness.Eventually(t, "all signals have arrived", func() bool { return len(receiver.Got()) == signals })
	for serial, times := range receiver.Got() {
		for _, at := range times {
			g.Ledger.Received(ids[serial], notes[serial].Due, at)
		}
	}
	r := g.Verify(t, mailbox+signals)
	require.Equal(t, mailbox+signals, r.Fired)

	count, err := g.Timers.Count(t.Context(), carillon.CountTimersInput{})
	require.NoError(t, err)
	require.Equal(t, carillon.CountTimersResult{Created: mailbox + signals, Fired: mailbox + signals}, count)
	return r.P99, 50 * time.Millisecond
}

// A worker that is stopped in good order under load, while another one runs, makes nothing late and nothing twice.
func TestGracefulStopIsNotNoticed(t *testing.T) {
	punctual(t, stopUnderLoad)
}

func stopUnderLoad(t *testing.T) (late, bound time.Duration) {
	const n = 6000
	const over = 6 * time.Second
	g := harness.NewGroup(t, store.Options{}, starter.Options{})
	first := g.StartWorker(t, nil)
	harness.WaitForTasks(t, first, 2*g.Store.Slots())
	g.StartWorker(t, nil)
	g.ReadMailbox(t, "client")
	receiver := g.StartReceiver(t)

	base := g.Store.Clock(0).Now().Add(2 * time.Second).Truncate(time.Millisecond)
	var specs []carillon.TimerSpec
	serials := map[int]int{}
	for i := range n {
		spec := carillon.TimerSpec{
			ClientID: "client", FireAt: base.Add(time.Duration(i) * over / n).Truncate(time.Millisecond), Target: carillon.ToMailbox(),
		}
		if i%50 == 0 {
			var err error
			spec.Payload, err = g.Timers.Payload(harness.Note{Serial: i, Due: spec.FireAt})
			require.NoError(t, err)
			spec.Target = carillon.ToSignal(receiver.ID, harness.SignalName)
			serials[i] = i
		}
		specs = append(specs, spec)
	}
	results, err := g.Direct.CreateAll(t.Context(), specs)
	require.NoError(t, err)
	for _, r := range results {
		require.Nil(t, r.Error)
		g.Ledger.Asked(r.TimerID, r.FireAt, check.ExactlyOnce)
	}
	harness.Eventually(t, "a third has fired", func() bool { return g.Ledger.Count() > n/3 })
	undisturbed := g.Ledger.Report(g.Store.Clock(0).Error()).Max
	for serial, times := range receiver.Got() {
		undisturbed = max(undisturbed, times[0].Sub(specs[serial].FireAt))
	}
	stop, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	require.NoError(t, first.Stop(stop))
	t.Logf("the first worker has stopped with %d timers received", g.Ledger.Count())

	harness.Eventually(t, "all signals have arrived", func() bool { return len(receiver.Got()) == len(serials) })
	for serial, times := range receiver.Got() {
		for _, at := range times {
			g.Ledger.Received(results[serial].TimerID, specs[serial].FireAt, at)
		}
	}
	// On a machine that is busy with other things the first third was late too, without any worker being stopped.
	return g.Verify(t, n).Max, max(100*time.Millisecond, 2*undisturbed)
}
