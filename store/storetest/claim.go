package storetest

import (
	"fmt"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/store"
)

// claimed reads what Redis keeps of a claim.
func (f *fixture) claimed(e store.Entry) *claim {
	f.Helper()
	raw, err := f.redis.HGet(f.Context(), f.key("inflight"), string(e.Unique[:])).Result()
	require.NoError(f, err)
	c, err := parseClaim(raw)
	require.NoError(f, err)
	return c
}

var claimCases = []testCase{
	{"never early", store.Options{}, func(f *fixture) {
		l := f.lane()
		out := f.create(f.spec(300 * time.Millisecond))
		e := l.readOne()
		firing := l.fetchOne(e)
		answer := l.claimWith(e, firing)
		require.Equal(f, store.ClaimHold, answer.Status)
		require.Equal(f, out.FireAt.UnixMilli(), answer.Due)
		f.eventually("it comes due", func() bool { return l.claimWith(e, firing).Status == store.ClaimTaken })
		at := f.claimed(e).deadline - claimTimeout.Milliseconds() // when the script claimed it, by the store itself
		require.GreaterOrEqual(f, at, out.FireAt.UnixMilli())
		require.Equal(f, carillon.StateFiring, f.state(out.TimerID))
	}},
	{"a lane whose own clock is ahead", store.Options{}, func(f *fixture) {
		l := f.lane()
		f.create(f.mail(5 * time.Second))
		e := l.readOne()
		firing := l.fetchOne(e)
		firing.Due -= 10_000 // what it believes does not count
		e.Due -= 10_000
		require.Equal(f, store.ClaimHold, l.claimWith(e, firing).Status)
		require.Zero(f, f.mailbox("g").len())
	}},
	{"the store's clock steps back", store.Options{}, func(f *fixture) {
		l := f.lane()
		f.create(f.mail(5 * time.Second))
		e := l.readOne()
		firing := l.fetchOne(e)
		f.advance(10 * time.Second)
		f.advance(-10 * time.Second)
		require.Equal(f, store.ClaimHold, l.claimWith(e, firing).Status)
		f.advance(10 * time.Second)
		require.Equal(f, store.ClaimFired, l.claimWith(e, firing).Status)
	}},
	{"taken", store.Options{}, func(f *fixture) {
		l := f.lane()
		for _, size := range []int{0, 100, 1024, 1025, 100_000} {
			spec := f.spec(0)
			if size > 0 {
				spec.Payload = payloadOf(size)
			}
			_, e := l.due(spec)
			out, firing := l.take(e)
			require.Equal(f, 1, out.Attempt)
			got, err := carillon.UnmarshalPayload(out.Payload)
			require.NoError(f, err)
			require.Equal(f, spec.Payload.GetData(), got.GetData(), "%d bytes", size)
			require.True(f, l.complete(e, firing, store.CompleteFired, 0))
		}
	}},
	{"a batch of all kinds", store.Options{}, func(f *fixture) {
		l := f.lane()
		gone, hold := f.spec(-time.Second), f.spec(5*time.Second)
		apart1, apart2, small := gone, gone, gone
		apart1.Payload, apart2.Payload, small.Payload = payloadOf(2000), payloadOf(3000), payloadOf(100)
		f.createAll(apart1, small, gone, f.mail(-time.Second), hold, apart2)
		entries := l.read()
		firings := l.fetch(entries...)
		require.NoError(f, f.cancel(byID(firings[2].TimerID)))
		claims := make([]store.Claim, len(entries))
		for i := range entries {
			claims[i] = store.Claim{Entry: entries[i], Firing: firings[i], Timeout: claimTimeout}
		}
		out, err := f.Claim(f.Context(), l.id, l.token, claims)
		require.NoError(f, err)
		status := ""
		for _, r := range out {
			status += string(r.Status)
		}
		require.Equal(f, "KKGFHK", status)
		require.Len(f, out[0].Payload, 2000)
		require.Len(f, out[1].Payload, 100)
		require.Len(f, out[5].Payload, 3000)
	}},
	{"the same claim again does not count as an attempt", store.Options{}, func(f *fixture) {
		l := f.lane()
		_, e := l.due(f.spec(0))
		firing := l.fetchOne(e)
		for range 3 {
			out := l.claimWith(e, firing)
			require.Equal(f, store.ClaimTaken, out.Status)
			require.Equal(f, 1, out.Attempt)
		}
		require.True(f, l.complete(e, firing, store.CompleteRetry, f.in(-time.Second).UnixMilli()))
		e = l.readOne()
		out, _ := l.take(e)
		require.Equal(f, 2, out.Attempt)
	}},
	{"the script runs twice", store.Options{}, func(f *fixture) {
		l := f.lane()
		spec := f.mail(-time.Second)
		f.createAll(spec, f.spec(-time.Second), spec)
		entries := l.read()
		claims := make([]store.Claim, len(entries))
		for i, firing := range l.fetch(entries...) {
			claims[i] = store.Claim{Entry: entries[i], Firing: firing, Timeout: claimTimeout}
		}
		out, err := f.Claim(Twice(f.Context()), l.id, l.token, claims)
		require.NoError(f, err)
		require.Equal(f, store.ClaimTaken, out[1].Status)
		require.Equal(f, 1, out[1].Attempt)
		for _, i := range []int{0, 2} { // the second run finds them gone
			require.Contains(f, []store.ClaimStatus{store.ClaimFired, store.ClaimGone}, out[i].Status)
		}
		require.Equal(f, 2, f.mailbox("g").len())
		require.EqualValues(f, 2, f.count().Fired)
	}},
	{"one timer twice in a batch", store.Options{}, func(f *fixture) {
		l := f.lane()
		_, e := l.due(f.mail(0))
		firing := l.fetchOne(e)
		c := store.Claim{Entry: e, Firing: firing, Timeout: claimTimeout}
		_, err := f.Claim(f.Context(), l.id, l.token, []store.Claim{c, c})
		require.NoError(f, err)
		require.Equal(f, 1, f.mailbox("g").len())
	}},
	{"an answer that was lost", store.Options{}, func(f *fixture) {
		l := f.lane()
		_, e := l.due(f.mail(0))
		firing := l.fetchOne(e)
		_, err := f.Claim(Lost(f.Context()), l.id, l.token, []store.Claim{{Entry: e, Firing: firing, Timeout: claimTimeout}})
		require.Error(f, err)
		require.Equal(f, store.ClaimGone, l.claimWith(e, firing).Status)
		require.Equal(f, 1, f.mailbox("g").len())
	}},
	{"changed since it was fetched", store.Options{LookAhead: time.Minute}, func(f *fixture) {
		l := f.lane()
		id := f.create(f.spec(10 * time.Second)).TimerID
		e := l.readOne()
		old := l.fetchOne(e)
		_, err := f.Reschedule(f.Context(), carillon.RescheduleTimerInput{
			TimerRef: byID(id), FireAt: f.in(10 * time.Second), Payload: payload("new"),
		})
		require.NoError(f, err)
		f.advance(15 * time.Second)
		require.Equal(f, store.ClaimChanged, l.claimWith(e, old).Status)
		out, firing := l.take(e)
		require.Contains(f, string(out.Payload), "new")
		require.True(f, l.complete(e, firing, store.CompleteFired, 0))
	}},
	{"after a take-over", store.Options{}, func(f *fixture) {
		first := f.lane()
		_, e := first.due(f.spec(0))
		first.take(e)
		f.lapse()
		second := f.laneOf(f.process(), store.LaneID{})
		require.Len(f, second.adopt(), 1)
		before := f.claimed(e)
		out, _ := second.take(e)
		require.Equal(f, 2, out.Attempt)
		after := f.claimed(e)
		require.Equal(f, string(second.token), after.token)
		require.GreaterOrEqual(f, after.deadline, before.deadline)
	}},
	{"a mailbox that is full", store.Options{MailboxLimit: 2}, func(f *fixture) {
		l := f.lane()
		specs := make([]carillon.TimerSpec, 3)
		for i := range specs {
			specs[i] = f.mail(-time.Second)
			specs[i].Payload = payloadOf(500 + 700*i)
		}
		f.createAll(specs...)
		entries := l.read()
		out, firings := l.claim(entries...)
		require.Equal(f, store.ClaimFired, out[0].Status)
		require.Equal(f, store.ClaimFired, out[1].Status)
		require.Equal(f, store.ClaimFull, out[2].Status)
		require.Equal(f, 1, out[2].Attempt)
		require.True(f, l.complete(entries[2], firings[2], store.CompleteDefer, f.in(-time.Second).UnixMilli()))
		box := f.mailbox("g")
		require.Equal(f, 2, box.len())
		messages := box.read()
		e := l.readOne()
		out, firings = l.claim(e)
		require.Equal(f, store.ClaimFull, out[0].Status, "read is not acknowledged")
		require.Equal(f, 1, out[0].Attempt, "a full mailbox costs no attempt")
		require.True(f, l.complete(e, firings[0], store.CompleteDefer, f.in(-time.Second).UnixMilli()))
		box.ack(messages...)
		e = l.readOne()
		out, _ = l.claim(e)
		require.Equal(f, store.ClaimFired, out[0].Status)
		messages = box.read()
		require.Len(f, messages, 1)
		require.Equal(f, specs[2].Payload.Data, messages[0].Timer.Payload.Data)
		require.Equal(f, 1, messages[0].Timer.Attempts)
		require.EqualValues(f, 3, f.count().Fired)
	}},
	{"a mailbox that is full for one client only", store.Options{MailboxLimit: 1}, func(f *fixture) {
		l := f.lane()
		a1, a2, b := f.mail(-time.Second), f.mail(-time.Second), f.mail(-time.Second)
		b.ClientID = "other"
		f.createAll(a1, a2, b)
		entries := l.read()
		out, firings := l.claim(entries...)
		require.Equal(f, store.ClaimFired, out[0].Status)
		require.Equal(f, store.ClaimFull, out[1].Status)
		require.Equal(f, store.ClaimFired, out[2].Status)
		require.True(f, l.complete(entries[1], firings[1], store.CompleteDefer, f.in(time.Hour).UnixMilli()))
	}},
	{"a full mailbox and a lane that dies", store.Options{MailboxLimit: 1}, func(f *fixture) {
		first := f.lane()
		f.createAll(f.mail(-time.Second), f.mail(-time.Second))
		entries := first.read()
		out, _ := first.claim(entries...)
		require.Equal(f, store.ClaimFull, out[1].Status)
		f.lapse()
		box := f.mailbox("g")
		box.ack(box.read()...)
		second := f.lane()
		require.Len(f, second.adopt(), 1)
		out, _ = second.claim(entries[1])
		require.Equal(f, store.ClaimFired, out[0].Status)
		require.Zero(f, f.count().Firing)
	}},
	{"many", store.Options{}, func(f *fixture) {
		l := f.lane()
		specs := make([]carillon.TimerSpec, store.MaxScriptTimers)
		for i := range specs {
			specs[i] = f.mail(-time.Second)
			specs[i].ClientID = fmt.Sprintf("client %d", i%250)
			specs[i].Payload = payloadOf(900 + i)
		}
		f.createAll(specs...)
		out, _ := l.claim(l.read()...)
		for _, r := range out {
			require.Equal(f, store.ClaimFired, r.Status)
		}
		require.Zero(f, f.queueEntries())
		require.EqualValues(f, len(specs), f.count().Fired)
	}},
}
