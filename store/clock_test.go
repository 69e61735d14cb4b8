package store_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon/store"
)

// measured makes a measurement: the store's clock is so much ahead of the process's when it answers, and the way there
// and the way back take so long.
func measured(c *store.Clock, ahead, there, back time.Duration) {
	sent := c.Mark()
	time.Sleep(there) //nolint:forbidigo // the bubble's own time
	micros := time.Now().Add(ahead).UnixMicro()
	time.Sleep(back) //nolint:forbidigo // the bubble's own time
	c.Observe(sent, micros)
}

// ahead is how far the clock believes the store to be ahead of the process.
func ahead(c *store.Clock) time.Duration { return time.Until(c.Now()) }

func TestClock(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	for name, test := range map[string]func(t *testing.T, c *store.Clock){
		"knows nothing yet": func(t *testing.T, c *store.Clock) {
			require.Zero(t, ahead(c))
			require.Equal(t, time.Hour, c.Error())
		},
		"the round trip is halved": func(t *testing.T, c *store.Clock) {
			measured(c, 3*time.Hour, 5*ms, 5*ms)
			require.Equal(t, 3*time.Hour, ahead(c))
			require.Equal(t, 5*ms, c.Error())
		},
		"an uneven round trip is within the error": func(t *testing.T, c *store.Clock) {
			measured(c, time.Hour, 2*ms, 18*ms)
			require.InDelta(t, time.Hour, ahead(c), float64(c.Error()))
			require.NotEqual(t, time.Hour, ahead(c))
		},
		"a better measurement counts": func(t *testing.T, c *store.Clock) {
			measured(c, time.Hour, 2*ms, 18*ms)
			measured(c, time.Hour, 1*ms, 1*ms)
			require.Equal(t, time.Hour, ahead(c))
			require.Equal(t, ms, c.Error())
		},
		"a worse measurement does not": func(t *testing.T, c *store.Clock) {
			measured(c, time.Hour, 1*ms, 1*ms)
			measured(c, time.Hour, 10*ms, 500*ms)
			require.Equal(t, time.Hour, ahead(c))
			require.Equal(t, ms, c.Error())
			require.Zero(t, c.Steps())
		},
		"an old measurement is worth less": func(t *testing.T, c *store.Clock) {
			measured(c, time.Hour, 1*ms, 1*ms)
			time.Sleep(time.Minute) //nolint:forbidigo // the bubble's own time: clocks may drift apart by 30 ms meanwhile
			measured(c, time.Hour+20*ms, 5*ms, 5*ms)
			require.Equal(t, time.Hour+20*ms, ahead(c))
			require.Zero(t, c.Steps(), "that was drift")
		},
		"drift is followed": func(t *testing.T, c *store.Clock) {
			for i := range 1000 {
				drift := time.Duration(i) * 100 * time.Microsecond // 100 parts in a million
				measured(c, time.Hour+drift, 1*ms, 1*ms)
				require.InDelta(t, time.Hour+drift, ahead(c), float64(2*ms))
				time.Sleep(time.Second - 2*ms) //nolint:forbidigo // the bubble's own time
			}
			require.Zero(t, c.Steps())
		},
		"a step is followed at once": func(t *testing.T, c *store.Clock) {
			measured(c, 0, 1*ms, 1*ms)
			for i, step := range []time.Duration{time.Hour, 0, -time.Hour, 50 * ms} {
				measured(c, step, 3*ms, 3*ms)
				require.Equal(t, step, ahead(c))
				require.EqualValues(t, i+1, c.Steps())
			}
		},
		"a slow answer may hide a step, the next one shows it": func(t *testing.T, c *store.Clock) {
			measured(c, 0, 1*ms, 1*ms)
			measured(c, 100*ms, 200*ms, 200*ms)
			require.Zero(t, ahead(c))
			measured(c, 100*ms, 1*ms, 1*ms)
			require.Equal(t, 100*ms, ahead(c))
		},
		"until": func(t *testing.T, c *store.Clock) {
			measured(c, time.Hour, 1*ms, 1*ms)
			at := c.NowMilli() + 1500
			require.InDelta(t, 1500*ms, c.Until(at), float64(ms))
			time.Sleep(2 * time.Second) //nolint:forbidigo // the bubble's own time
			require.Zero(t, c.Until(at))
			require.LessOrEqual(t, c.NowMilli(), c.Now().UnixMilli())
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := store.NewClock()
				time.Sleep(time.Second) //nolint:forbidigo // the bubble's own time
				test(t, c)
			})
		})
	}
}
