package storetest

import (
	"context"
	"fmt"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/store"
)

// leaser is one of the two kinds of leases.
type leaser struct {
	ttl     func(f *fixture) time.Duration
	acquire func(f *fixture, owner string) (store.Token, error)
	release func(f *fixture, token store.Token) error
	renew   func(f *fixture, token store.Token) error
	holder  func(f *fixture) string
}

func (f *fixture) partitions() carillon.ListPartitionsResult {
	f.Helper()
	out, err := f.ListPartitions(f.Context())
	require.NoError(f, err)
	return out
}

var sweepLease = leaser{
	ttl: func(f *fixture) time.Duration { return f.Options().LeaseTTL },
	acquire: func(f *fixture, owner string) (store.Token, error) {
		return f.AcquireSweep(f.Context(), store.Partition{}, owner)
	},
	release: func(f *fixture, token store.Token) error {
		return f.ReleaseSweep(f.Context(), store.Partition{}, token)
	},
	renew: func(f *fixture, token store.Token) error {
		_, err := f.Sweep(f.Context(), store.Partition{}, token, 10)
		return err
	},
	holder: func(f *fixture) string { return f.partitions().Partitions[0].Sweeper },
}

var laneLease = leaser{
	ttl: func(f *fixture) time.Duration { return f.Options().LaneTTL },
	acquire: func(f *fixture, owner string) (store.Token, error) {
		return f.AcquireLane(f.Context(), store.LaneID{}, owner)
	},
	release: func(f *fixture, token store.Token) error { return f.ReleaseLane(f.Context(), store.LaneID{}, token) },
	renew: func(f *fixture, token store.Token) error {
		_, err := f.Read(f.Context(), store.LaneID{}, token, "", 10)
		return err
	},
	holder: func(f *fixture) string { return f.partitions().Lanes[0].Holder },
}

// leaseCase is a test of both kinds of leases.
func leaseCase(name string, test func(f *fixture, l leaser)) []testCase {
	return []testCase{
		{name + " of a partition", store.Options{}, func(f *fixture) { test(f, sweepLease) }},
		{name + " of a lane", store.Options{}, func(f *fixture) { test(f, laneLease) }},
	}
}

var leaseCases = join(
	leaseCase("take, hold and hand back the lease", func(f *fixture, l leaser) {
		require.Empty(f, l.holder(f))
		a, err := l.acquire(f, "a")
		require.NoError(f, err)
		require.Equal(f, string(a), l.holder(f))
		_, err = l.acquire(f, "b")
		require.ErrorIs(f, err, store.ErrLeaseHeld)
		var held *store.HeldError
		require.ErrorAs(f, err, &held)
		require.Equal(f, a, held.Holder)
		require.WithinDuration(f, f.now().Add(l.ttl(f)), time.UnixMilli(held.UntilMilli), time.Second)
		require.NoError(f, l.renew(f, a))
		require.NoError(f, l.release(f, a))
		require.Empty(f, l.holder(f))
		require.ErrorIs(f, l.renew(f, a), store.ErrLeaseLost)
		b, err := l.acquire(f, "b")
		require.NoError(f, err)
		require.NotEqual(f, a, b)
		require.NoError(f, l.release(f, a), "handing back what is lost is no error")
		require.NoError(f, l.renew(f, b), "and does not harm the one who has it")
	}),
	leaseCase("the same owner asks again for the lease", func(f *fixture, l leaser) {
		a, err := l.acquire(f, "a")
		require.NoError(f, err)
		again, err := l.acquire(f, "a")
		require.NoError(f, err)
		require.Equal(f, a, again)
		require.NoError(f, l.release(f, a))
		later, err := l.acquire(f, "a")
		require.NoError(f, err)
		require.NotEqual(f, a, later, "it was handed back: this is another lease")
	}),
	leaseCase("a lapsed lease", func(f *fixture, l leaser) {
		a, err := l.acquire(f, "a")
		require.NoError(f, err)
		f.advance(l.ttl(f) + time.Second)
		require.Empty(f, l.holder(f))
		require.NoError(f, l.renew(f, a), "nobody else wanted it")
		require.Equal(f, string(a), l.holder(f))
		_, err = l.acquire(f, "b")
		require.ErrorIs(f, err, store.ErrLeaseHeld)
		f.advance(l.ttl(f) + time.Second)
		b, err := l.acquire(f, "b")
		require.NoError(f, err)
		require.ErrorIs(f, l.renew(f, a), store.ErrLeaseLost)
		require.NoError(f, l.renew(f, b))
	}),
	leaseCase("renewing keeps the lease", func(f *fixture, l leaser) {
		a, err := l.acquire(f, "a")
		require.NoError(f, err)
		for range 4 {
			f.advance(l.ttl(f) * 6 / 10)
			require.NoError(f, l.renew(f, a))
			_, err = l.acquire(f, "b")
			require.ErrorIs(f, err, store.ErrLeaseHeld)
		}
	}),
	leaseCase("bad owners of the lease", func(f *fixture, l leaser) {
		for _, owner := range []string{"", "a:b", "a\x00b"} {
			_, err := l.acquire(f, owner)
			require.ErrorIs(f, err, carillon.ErrInvalidArgument)
		}
	}),
	leaseCase("no token at all for the lease", func(f *fixture, l leaser) {
		require.ErrorIs(f, l.renew(f, ""), store.ErrLeaseLost)
		a, err := l.acquire(f, "a")
		require.NoError(f, err)
		require.ErrorIs(f, l.renew(f, ""), store.ErrLeaseLost)
		require.NoError(f, l.release(f, a))
		require.ErrorIs(f, l.renew(f, ""), store.ErrLeaseLost)
	}),
	leaseCase("many want the lease", func(f *fixture, l leaser) {
		const n = 20
		won := make(chan store.Token, n)
		refused := make(chan error, n)
		for i := range n {
			go func() {
				token, err := l.acquire(f, fmt.Sprintf("owner %d", i))
				if err != nil {
					refused <- err
					return
				}
				won <- token
			}()
		}
		for range n - 1 {
			require.ErrorIs(f, <-refused, store.ErrLeaseHeld)
		}
		require.NoError(f, l.renew(f, <-won))
	}),
	[]testCase{
		{"every write of a lane is fenced", store.Options{}, func(f *fixture) {
			l := f.lane()
			id, e := l.due(f.spec(0))
			waiting := f.create(f.mail(-time.Second))
			_, firing := l.take(e)
			f.lapse()
			f.laneOf(f.process(), store.LaneID{})
			before := f.redis.Dump(f.Context(), f.key("rec")).Val()
			for what, call := range map[string]func(context.Context) error{
				"read": func(ctx context.Context) error { _, err := f.Read(ctx, l.id, l.token, "", 10); return err },
				"adopt": func(ctx context.Context) error {
					_, _, err := f.Adopt(ctx, l.id, l.token, 10)
					return err
				},
				"drop": func(ctx context.Context) error { return f.Drop(ctx, l.id, l.token, []store.Entry{e}) },
				"claim": func(ctx context.Context) error {
					_, err := f.Claim(ctx, l.id, l.token, []store.Claim{{Entry: e, Firing: firing, Timeout: claimTimeout}})
					return err
				},
				"complete": func(ctx context.Context) error {
					_, err := f.Complete(ctx, l.id, l.token, []store.Completion{{Entry: e, Firing: firing, Kind: store.CompleteFired}})
					return err
				},
			} {
				require.ErrorIs(f, call(f.Context()), store.ErrLeaseLost, what)
			}
			require.Equal(f, before, f.redis.Dump(f.Context(), f.key("rec")).Val())
			require.EqualValues(f, 2, f.queueEntries())
			require.Equal(f, carillon.StateFiring, f.state(id))
			require.Equal(f, carillon.StateDue, f.state(waiting.TimerID))
		}},
	},
)

func join(all ...[]testCase) (out []testCase) {
	for _, cases := range all {
		out = append(out, cases...)
	}
	return out
}
