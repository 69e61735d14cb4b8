package integration_test

import (
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon/integration/harness"
	"github.com/carillon-io/carillon/store"
	"github.com/carillon-io/carillon/store/storetest"
)

// A worker process whose clock is an hour off from the store's, either way, fires neither early nor late. It is the store's
// time that is shifted, as its scripts see it; worker, clients and Temporal all disagree with it.
func TestClocksThatDisagreeByAnHour(t *testing.T) {
	longer(t)
	for _, offset := range []time.Duration{time.Hour, -time.Hour} {
		t.Run(offset.String(), func(t *testing.T) {
			g := harness.NewGroup(t, store.Options{Slots: 4}, starterOptions)
			storetest.Shift(t, g.Store, g.Redis, offset)
			harness.Eventually(t, "the clock has followed", func() bool {
				_, err := g.Direct.Create(t.Context(), spread(time.Now().Add(-2*time.Hour), 1, time.Second, "")[0])
				off := time.Until(g.Store.Clock(0).Now())
				return err == nil && (off-offset).Abs() < time.Minute
			})
			hooks := startWebhooks(t, g)
			g.StartProcess(t, "worker")
			g.WaitForLanes(t, "worker")
			g.ReadMailbox(t, "client")
			const n = 2000
			base := g.Store.Clock(0).Now().Add(time.Second).Truncate(time.Millisecond)
			ask(t, g, spread(base, n, 15*time.Second, hooks.URL)) // beyond the look-ahead, so that sweepers take part
			g.WaitUntilIdle(t)
			harness.Eventually(t, "everything is received", func() bool { return g.Ledger.Report(time.Minute).Lost == 0 })
			r := g.Ledger.Report(g.Store.Clock(0).Error())
			t.Log(r)
			require.Empty(t, withoutStrangers(r.Broken))
			require.Zero(t, r.Duplicates)
		})
	}
}

// A worker process whose own clock is an hour off, either way, fires neither early nor late, and its log shows the clock.
func TestWorkerWhoseClockIsAnHourOff(t *testing.T) {
	longer(t)
	for _, offset := range []time.Duration{time.Hour, -time.Hour} {
		t.Run(offset.String(), func(t *testing.T) {
			g := harness.NewGroup(t, store.Options{Slots: 4}, starterOptions)
			hooks := startWebhooks(t, g)
			worker := g.StartShifted(t, "worker", offset, "--log-level", "info")
			g.WaitForLanes(t, "worker")
			g.ReadMailbox(t, "client")
			const n = 2000
			ask(t, g, spread(g.Store.Clock(0).Now().Add(time.Second), n, 15*time.Second, hooks.URL))
			r := g.Verify(t, n)
			require.Zero(t, r.Duplicates)
			require.Less(t, r.Max, 10*time.Second)

			stamp := regexp.MustCompile(`time=(\S+)`).FindStringSubmatch(worker.Log())
			require.NotEmpty(t, stamp, worker.Log())
			at, err := time.Parse(time.RFC3339Nano, stamp[1])
			require.NoError(t, err)
			require.InDelta(t, offset.Minutes(), time.Until(at).Minutes(), 10, "its clock really is off")
		})
	}
}
