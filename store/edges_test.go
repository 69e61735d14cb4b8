package store_test

import (
	"context"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/store"
	"github.com/carillon-io/carillon/store/redistest"
	"github.com/carillon-io/carillon/store/storetest"
)

// Sharp edges of the store that are no case of the conformance suite: what a failover, a retirement or a restart leaves behind.
// Those of the loops are in activities/firing.

// edge is a group of one test's own.
type edge struct {
	*testing.T

	store  *store.Redis
	client redis.UniversalClient
}

// onEach runs a test on the embedded Redis and on a real one, and checks the invariants at its end.
func onEach(t *testing.T, test func(e *edge)) {
	t.Helper()
	for name, url := range map[string]func(testing.TB) string{
		"embedded": func(t testing.TB) string { return "redis://" + redistest.Embedded(t).Addr() },
		"real":     func(t testing.TB) string { return redistest.Start(t, redistest.Options{Fsync: "no"}).URL() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := &edge{T: t, client: connector(url(t))(t)}
			e.store = e.open(redistest.Group(t))
			test(e)
			storetest.CheckInvariants(t, e.store, e.client)
		})
	}
}

// open opens the group for one more process.
func (e *edge) open(group string) *store.Redis {
	e.Helper()
	s, err := store.Open(e.Context(), e.client, store.Options{Group: group, Slots: 1, AllowVolatile: true})
	require.NoError(e, err)
	e.Cleanup(func() { require.NoError(e, s.Close()) })
	return s
}

// create creates timers that are due so much later.
func (e *edge) create(n int, in time.Duration, target carillon.Target) []carillon.ID {
	e.Helper()
	specs := make([]carillon.TimerSpec, n)
	for i := range specs {
		specs[i] = carillon.TimerSpec{ClientID: "client", FireAt: e.store.Clock(0).Now().Add(in), Target: target}
	}
	out, err := e.store.Create(e.Context(), carillon.CreateTimersInput{Timers: specs})
	require.NoError(e, err)
	ids := make([]carillon.ID, n)
	for i, r := range out.Timers {
		require.Nil(e, r.Error)
		ids[i] = r.TimerID
	}
	return ids
}

// taken is what a lane has read and claimed.
type taken struct {
	entries []store.Entry
	firings []*store.Firing
}

func (e *edge) lane(s *store.Redis) store.Token {
	e.Helper()
	token, err := s.AcquireLane(e.Context(), store.LaneID{}, rand.Text())
	require.NoError(e, err)
	return token
}

// claim fetches entries and claims them; all of them have to be due.
func (e *edge) claim(s *store.Redis, token store.Token, entries []store.Entry) taken {
	e.Helper()
	firings, err := s.Fetch(e.Context(), store.LaneID{}, entries)
	require.NoError(e, err)
	claims := make([]store.Claim, len(entries))
	for i, entry := range entries {
		require.NotNil(e, firings[i])
		claims[i] = store.Claim{Entry: entry, Firing: firings[i], Timeout: time.Minute}
	}
	answers, err := s.Claim(e.Context(), store.LaneID{}, token, claims)
	require.NoError(e, err)
	for _, a := range answers {
		require.Contains(e, []store.ClaimStatus{store.ClaimTaken, store.ClaimFired}, a.Status)
	}
	return taken{entries, firings}
}

func (c taken) completions(kind store.CompletionKind, retryAt time.Time) []store.Completion {
	out := make([]store.Completion, len(c.entries))
	for i := range out {
		out[i] = store.Completion{Entry: c.entries[i], Firing: c.firings[i], Kind: kind, RetryAt: retryAt.UnixMilli()}
	}
	return out
}

// epochOf is a token without its owner.
func epochOf(token store.Token) string {
	epoch, _, _ := strings.Cut(string(token), "-")
	return epoch
}

// A failover may lose the newest epoch of a lease, which is then given out once more: the owner tells the two holders apart.
func TestLeaseTokenRepeatsAfterAFailover(t *testing.T) {
	t.Parallel()
	for name, failover := range map[string]func(e *edge, key string, before map[string]string){
		"the lease is lost": func(e *edge, key string, _ map[string]string) {
			require.NoError(e, e.client.Del(e.Context(), key).Err())
		},
		"the lease is that of earlier": func(e *edge, key string, before map[string]string) {
			require.NoError(e, e.client.Del(e.Context(), key).Err())
			require.NoError(e, e.client.HSet(e.Context(), key, before).Err())
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onEach(t, func(e *edge) { leaseTokenRepeats(e, failover) })
		})
	}
}

func leaseTokenRepeats(e *edge, failover func(e *edge, key string, before map[string]string)) {
	ctx, s, l, p := e.Context(), e.store, store.LaneID{}, store.Partition{}
	keys := []string{slotKey(s, 0, "lane:0"), slotKey(s, 0, "lease:0")}
	before := make([]map[string]string, len(keys))
	for i, key := range keys {
		var err error
		before[i], err = e.client.HGetAll(ctx, key).Result()
		require.NoError(e, err)
		if len(before[i]) == 0 {
			before[i] = map[string]string{"epoch": "0", "token": "", "until": "0", "owner": ""}
		}
	}
	ids := e.create(2, -time.Second, carillon.ToWebhook("https://example.com"))
	e.create(1, -time.Second, carillon.ToMailbox())
	e.create(1, 5*time.Hour, carillon.ToMailbox())
	old := e.lane(s)
	oldSweeper, err := s.AcquireSweep(ctx, p, rand.Text())
	require.NoError(e, err)
	read, err := s.Read(ctx, l, old, "", 10)
	require.NoError(e, err)
	require.Len(e, read, 3)
	mail, err := s.Fetch(ctx, l, read[2:])
	require.NoError(e, err)
	claimed := e.claim(s, old, read[:2])
	for i, key := range keys {
		failover(e, key, before[i])
	}

	other := e.open(s.Group())
	next := e.lane(other)
	nextSweeper, err := other.AcquireSweep(ctx, p, rand.Text())
	require.NoError(e, err)
	require.Equal(e, epochOf(old), epochOf(next), "the epoch alone would not tell them apart")
	require.Equal(e, epochOf(oldSweeper), epochOf(nextSweeper))
	records := e.client.HGetAll(ctx, slotKey(s, 0, "rec")).Val()
	for what, call := range map[string]func() error{
		"sweep": func() error { _, err := s.Sweep(ctx, p, oldSweeper, 10); return err },
		"read":  func() error { _, err := s.Read(ctx, l, old, read[2].ID, 10); return err },
		"adopt": func() error { _, _, err := s.Adopt(ctx, l, old, 10); return err },
		"drop":  func() error { return s.Drop(ctx, l, old, read) },
		"claim": func() error {
			_, err := s.Claim(ctx, l, old, []store.Claim{{Entry: read[2], Firing: mail[0], Timeout: time.Minute}})
			return err
		},
		"complete": func() error {
			_, err := s.Complete(ctx, l, old, claimed.completions(store.CompleteDead, time.Time{}))
			return err
		},
		"leave": func() error { return s.LeaveLane(ctx, l, old) },
	} {
		require.ErrorIs(e, call(), store.ErrLeaseLost, what)
	}
	require.NoError(e, s.ReleaseLane(ctx, l, old), "handing back what is lost is no error")
	require.NoError(e, s.ReleaseSweep(ctx, p, oldSweeper))
	require.Equal(e, records, e.client.HGetAll(ctx, slotKey(s, 0, "rec")).Val())

	adopted, more, err := other.Adopt(ctx, l, next, 10)
	require.NoError(e, err)
	require.False(e, more)
	require.Equal(e, read, adopted)
	again := e.claim(other, next, adopted[:2])
	done, err := other.Complete(ctx, l, next, again.completions(store.CompleteFired, time.Time{}))
	require.NoError(e, err)
	require.Equal(e, []bool{true, true}, done)
	e.claim(other, next, adopted[2:])
	for _, id := range ids {
		out, err := s.Describe(ctx, carillon.DescribeTimerInput{TimerRef: carillon.TimerRef{TimerID: id}})
		require.NoError(e, err)
		require.Equal(e, carillon.StateFired, out.Timer.State)
		require.Equal(e, 2, out.Timer.Attempts)
	}
	_, err = other.Sweep(ctx, p, nextSweeper, 10)
	require.NoError(e, err)
}

// Segments are sealed and retired all the time while attempts fail and are filed again: each of them ends up in a segment that
// is there, once.
func TestSegmentRetirementAgainstARetry(t *testing.T) {
	t.Parallel()
	onEach(t, func(e *edge) {
		const timers, rounds = 40, 15
		ids := e.create(timers, -time.Second, carillon.ToWebhook("https://example.com"))
		planner := e.open(e.store.Group())
		retired := 0
		turned := make(chan struct{}) // told whoever listens that another segment has been opened
		ctx, cancel := context.WithCancel(e.Context())
		defer cancel()
		g, gctx := errgroup.WithContext(ctx)
		g.Go(func() error {
			for gctx.Err() == nil {
				n, err := turnSegments(gctx, planner)
				if err != nil {
					return orEnded(ctx, err)
				}
				retired += n
				select {
				case turned <- struct{}{}:
				default:
				}
			}
			return nil
		})

		s, l := e.store, store.LaneID{}
		token, after := e.lane(s), ""
		for range rounds {
			entries, err := s.Read(ctx, l, token, after, timers)
			require.NoError(e, err)
			require.Len(e, entries, timers, "none is lost, none is there twice")
			after = entries[timers-1].ID
			claimed := e.claim(s, token, entries)
			retries := claimed.completions(store.CompleteRetry, s.Clock(0).Now().Add(3*time.Hour))
			select {
			case <-turned: // another segment is open than the lane knows of
			case <-gctx.Done():
				require.NoError(e, g.Wait(), "the segments are turned no more")
			}
			for _, half := range [][]store.Completion{retries[:timers/2], retries[timers/2:]} {
				done, err := s.Complete(ctx, l, token, half)
				require.NoError(e, err)
				require.NotContains(e, done, false)
			}
			for _, id := range ids {
				_, err := s.Reschedule(ctx, carillon.RescheduleTimerInput{
					TimerRef: carillon.TimerRef{TimerID: id}, FireAt: s.Clock(0).Now().Add(-time.Second),
				})
				require.NoError(e, err)
			}
		}
		cancel()
		require.NoError(e, g.Wait())
		require.Greater(e, retired, rounds/2)
		n, err := s.Count(e.Context(), carillon.CountTimersInput{})
		require.NoError(e, err)
		require.EqualValues(e, timers, n.Pending)
	})
}

// turnSegments opens the next segment of slot 0, and retires what is empty.
func turnSegments(ctx context.Context, s *store.Redis) (retired int, err error) {
	segments, err := s.Segments(ctx)
	if err != nil {
		return 0, err
	}
	for _, seg := range segments {
		if seg.Open {
			if _, err := s.OpenSegment(ctx, 0, seg.Segment); err != nil {
				return retired, err
			}
			continue
		}
		gone, err := s.RetireSegment(ctx, seg.Partition)
		if err != nil {
			return retired, err
		}
		if gone {
			retired++
		}
	}
	return retired, nil
}

// orEnded is nil for what went wrong because it was told to end.
func orEnded(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil //nolint:nilerr // it has been told to end: that is how it ends
	}
	return err
}

// A Redis that has restarted or failed over knows no scripts: every call loads its own again.
func TestScriptsAreGone(t *testing.T) {
	t.Parallel()
	onEach(t, func(e *edge) {
		ctx, s, l, p := e.Context(), e.store, store.LaneID{}, store.Partition{}
		forget := func() { require.NoError(e, e.client.ScriptFlush(ctx).Err()) }
		forget()
		ids := e.create(4, -time.Second, carillon.ToWebhook("https://example.com"))
		forget()
		later := e.create(1, 5*time.Hour, carillon.ToMailbox())
		forget()
		token := e.lane(s)
		forget()
		entries, err := s.Read(ctx, l, token, "", 10)
		require.NoError(e, err)
		require.Len(e, entries, 4)
		forget()
		claimed := e.claim(s, token, entries[:2])
		forget()
		done, err := s.Complete(ctx, l, token, claimed.completions(store.CompleteDead, time.Time{}))
		require.NoError(e, err)
		require.Equal(e, []bool{true, true}, done)
		forget()
		cancelled, err := s.Cancel(ctx, carillon.CancelTimersInput{Timers: []carillon.TimerRef{{TimerID: ids[2]}}})
		require.NoError(e, err)
		require.Nil(e, cancelled.Timers[0].Error)
		forget()
		require.NoError(e, s.Drop(ctx, l, token, entries[2:3]))
		forget()
		redriven, err := s.Redrive(ctx, carillon.RedriveTimersInput{Timers: []carillon.TimerRef{{TimerID: ids[0]}, {TimerID: ids[1]}}})
		require.NoError(e, err)
		require.Nil(e, redriven.Timers[0].Error)
		forget()
		_, err = s.Reschedule(ctx, carillon.RescheduleTimerInput{TimerRef: carillon.TimerRef{TimerID: later[0]}, Delay: 6 * time.Hour})
		require.NoError(e, err)
		forget()
		sweeper, err := s.AcquireSweep(ctx, p, "sweeper")
		require.NoError(e, err)
		forget()
		_, err = s.Sweep(ctx, p, sweeper, 10)
		require.NoError(e, err)
		forget()
		require.NoError(e, s.ReleaseSweep(ctx, p, sweeper))
		forget()
		open, err := s.OpenSegment(ctx, 0, 0)
		require.NoError(e, err)
		require.Equal(e, 1, open)
		forget()
		_, err = s.RetireSegment(ctx, p)
		require.NoError(e, err)
		forget()
		require.NoError(e, s.LeaveLane(ctx, l, token))
		forget()
		require.NoError(e, s.ReleaseLane(ctx, l, token))
		next := e.lane(s)
		forget()
		adopted, _, err := s.Adopt(ctx, l, next, 10)
		require.NoError(e, err)
		require.Len(e, adopted, 1, "what was neither completed nor dropped")
		forget()
		e.open(s.Group())
	})
}
