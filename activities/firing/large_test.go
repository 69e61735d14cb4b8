package firing_test

import (
	"bytes"
	"context"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/activities/firing"
	"github.com/carillon-io/carillon/activities/target"
	"github.com/carillon-io/carillon/store"
	"github.com/carillon-io/carillon/store/redistest"
	"github.com/carillon-io/carillon/store/storetest"
)

// byteCounter is a store that knows how many bytes of payload one claim moved at the most.
type byteCounter struct {
	*store.Redis
	most atomic.Int64
}

func (b *byteCounter) Claim(ctx context.Context, l store.LaneID, token store.Token, claims []store.Claim) ([]store.ClaimResult, error) {
	out, err := b.Redis.Claim(ctx, l, token, claims)
	var n int64
	for i, r := range out {
		if r.Status == store.ClaimTaken || r.Status == store.ClaimFired {
			n += int64(claims[i].Firing.PayloadSize)
		}
	}
	most(&b.most, n)
	return out, err
}

func most(of *atomic.Int64, n int64) {
	for {
		old := of.Load()
		if n <= old || of.CompareAndSwap(old, n) {
			return
		}
	}
}

// A thousand of the largest payloads are due at once. Each script moves a bounded number of bytes, and the lane holds a bounded
// number of payloads; none is lost, and none is spoilt.
func TestPayloadsOf256KiBByTheThousand(t *testing.T) {
	t.Parallel()
	const n, concurrency, claimBytes = 1000, 8, 1 << 20
	server := redistest.Start(t, redistest.Options{Args: []string{"--appendonly", "no"}})
	s, client := openAt(t, server.URL(), ahead())
	require.NoError(t, client.ConfigSet(t.Context(), "slowlog-log-slower-than", "1000").Err())

	text := bytes.Repeat([]byte("carillon"), (carillon.MaxPayload-64)/8)
	marked := func(i int) *commonpb.Payload {
		data := bytes.Clone(text)
		copy(data, strconv.Itoa(i)+" ")
		return &commonpb.Payload{Data: data}
	}
	intact := func(p *commonpb.Payload) string {
		mark, _, _ := bytes.Cut(p.GetData()[:10], []byte(" "))
		require.True(t, bytes.Equal(p.GetData()[10:], text[10:]), "payload %s", mark)
		return string(mark)
	}
	const batch = 20
	for i := 0; i < n; i += batch {
		specs := make([]carillon.TimerSpec, batch)
		for k := range specs {
			specs[k] = carillon.TimerSpec{ClientID: "client", Delay: time.Hour, Target: carillon.ToMailbox(), Payload: marked(i + k)}
			if k%2 == 0 {
				specs[k].Target = carillon.ToSignal(strconv.Itoa(i+k), "s")
			}
		}
		create(t, s, specs...)
	}

	var under, held, spoilt atomic.Int64
	r := newReceiver(s, func(d *target.Delivery) error {
		most(&held, under.Add(int64(len(d.Payload))))
		defer under.Add(-int64(len(d.Payload)))
		p, err := carillon.UnmarshalPayload(d.Payload)
		if err != nil || !bytes.HasPrefix(p.GetData(), []byte(d.Target.Signal.WorkflowID+" ")) || len(p.GetData()) != len(text) {
			spoilt.Add(1)
		}
		return err
	})
	counter := &byteCounter{Redis: s}
	startLaneWith(t, firing.Options{Store: counter, Worker: "worker", Deliverer: r, Concurrency: concurrency, HandOver: -1})
	storetest.Shift(t, s, client, 90*time.Minute)
	box, err := s.Mailbox(t.Context(), "client", "test")
	require.NoError(t, err)
	marks := map[string]bool{}
	for until := time.Now().Add(2 * time.Minute); len(marks) < n/2; {
		require.True(t, time.Now().Before(until), "%d of %d messages have come", len(marks), n/2)
		messages, err := box.Read(t.Context(), "reader", 20, 200*time.Millisecond)
		require.NoError(t, err)
		for i := range messages {
			mark := intact(messages[i].Timer.Payload)
			require.False(t, marks[mark], "payload %s came twice", mark)
			marks[mark] = true
		}
		require.NoError(t, box.Ack(t.Context(), messages...))
	}
	eventually(t, "everything is fired", func() bool { return count(t, s).Fired == n })
	keys, deliveries, early := r.counts()
	require.Equal(t, []int{n / 2, n / 2, 0}, []int{keys, deliveries, early})
	require.Zero(t, spoilt.Load())
	require.LessOrEqual(t, counter.most.Load(), int64(claimBytes+carillon.MaxPayload))
	require.LessOrEqual(t, held.Load(), int64(concurrency*carillon.MaxPayload))
	storetest.CheckInvariants(t, s, client)

	var slowest time.Duration
	slow, err := client.SlowLogGet(t.Context(), 128).Result()
	require.NoError(t, err)
	for _, entry := range slow {
		if entry.Args[0] == "evalsha" || entry.Args[0] == "eval" {
			slowest = max(slowest, entry.Duration)
		}
	}
	t.Logf("a claim moved %d KiB at the most, deliveries held %d KiB; the longest script took %s",
		counter.most.Load()>>10, held.Load()>>10, slowest)
}
