package store_test

import (
	"crypto/rand"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/store"
	"github.com/carillon-io/carillon/store/redistest"
	"github.com/carillon-io/carillon/store/storetest"
)

// The benchmarks measure batches of 500 timers through one connection, each beside the least that Redis would have to
// do for them in the same run: "x-bare" is how many times as long the store takes, whatever the machine.

// bench is a group on a Redis of the benchmark's own.
type bench struct {
	*testing.B

	client *redis.Client
	store  *store.Redis
	far    *store.Redis // the same group, by one who looks two hours ahead

	spent, bare time.Duration
	timers      int
}

func newBench(b *testing.B) *bench {
	b.Helper()
	x := &bench{B: b, client: redistest.Start(b, redistest.Options{}).Client()}
	o := store.Options{Group: storetest.GroupPrefix + rand.Text(), Slots: 1}
	for s, lookAhead := range map[**store.Redis]time.Duration{&x.store: 10 * time.Second, &x.far: 2 * time.Hour} {
		o.LookAhead = lookAhead
		opened, err := store.Open(b.Context(), x.client, o)
		require.NoError(b, err)
		b.Cleanup(func() { require.NoError(b, opened.Close()) })
		*s = opened
	}
	return x
}

func (x *bench) batch(in time.Duration, target carillon.Target) []carillon.TimerSpec {
	at := x.store.Clock(0).Now().Add(in)
	specs := make([]carillon.TimerSpec, store.MaxScriptTimers)
	for i := range specs {
		specs[i] = carillon.TimerSpec{
			ClientID: "client", FireAt: at.Add(time.Duration(i) * time.Millisecond), Target: target, Payload: &commonpb.Payload{
				Metadata: map[string][]byte{"encoding": []byte("binary/plain")}, Data: make([]byte, 64),
			},
		}
	}
	return specs
}

func (x *bench) create(specs []carillon.TimerSpec) {
	x.Helper()
	out, err := x.store.Create(x.Context(), carillon.CreateTimersInput{Timers: specs})
	require.NoError(x, err)
	require.Nil(x, out.Timers[0].Error)
}

// measure adds up what the two take.
func (x *bench) measure(timers int, run, bare func()) {
	start := time.Now()
	run()
	between := time.Now()
	bare()
	x.spent += between.Sub(start)
	x.bare += time.Since(between)
	x.timers += timers
}

func (x *bench) report() {
	x.ReportMetric(float64(x.timers)/x.spent.Seconds(), "timers/s")
	x.ReportMetric(float64(x.timers)/x.bare.Seconds(), "bare/s")
	x.ReportMetric(float64(x.spent)/float64(x.bare), "x-bare")
}

// bareCreate is the least that a create has to do: one hash field and one index entry for each, one event for all.
var bareCreate = redis.NewScript(`
for i = 1, #ARGV, 3 do
  redis.call('HSETNX', KEYS[1], ARGV[i], ARGV[i + 2])
  redis.call('ZADD', KEYS[2], ARGV[i + 1], ARGV[i])
end
redis.call('XADD', KEYS[3], 'MAXLEN', '~', 1000, '*', 'e', #ARGV)
return 1`)

func bareKeys() []string { return []string{"{bare}:rec", "{bare}:due", "{bare}:events"} }

func bareArgs() []any {
	args := make([]any, 0, 3*store.MaxScriptTimers)
	prefix := rand.Text()[:6]
	record := make([]byte, 160)
	for i := range store.MaxScriptTimers {
		args = append(args, prefix+strconv.Itoa(i), time.Now().UnixMilli()+int64(i), record)
	}
	return args
}

func BenchmarkCreate(b *testing.B) {
	x := newBench(b)
	webhook := carillon.ToWebhook("https://example.com")
	for b.Loop() {
		specs, args := x.batch(time.Hour, webhook), bareArgs()
		x.measure(len(specs), func() { x.create(specs) },
			func() { require.NoError(x, bareCreate.Run(x.Context(), x.client, bareKeys(), args...).Err()) })
	}
	x.report()
}

// BenchmarkSweep moves entries from the index to the queue; the bare one does it with a range, adds and a removal.
func BenchmarkSweep(b *testing.B) {
	x := newBench(b)
	token, err := x.far.AcquireSweep(b.Context(), store.Partition{}, "bench")
	require.NoError(b, err)
	bareSweep := redis.NewScript(`
local found = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', '+inf', 'LIMIT', 0, 500)
for i = 1, #found do redis.call('XADD', KEYS[3], '*', 'e', found[i]) end
redis.call('ZREMRANGEBYRANK', KEYS[2], 0, #found - 1)
return #found`)
	for b.Loop() {
		b.StopTimer()
		x.create(x.batch(time.Hour, carillon.ToMailbox()))
		require.NoError(b, bareCreate.Run(b.Context(), x.client, bareKeys(), bareArgs()...).Err())
		b.StartTimer()
		x.measure(store.MaxScriptTimers, func() {
			moved := 0
			for moved < store.MaxScriptTimers { // more than once where the hour changes within the batch
				out, err := x.far.Sweep(b.Context(), store.Partition{}, token, store.MaxScriptTimers)
				require.NoError(b, err)
				moved += out.Moved
			}
		}, func() {
			n, err := bareSweep.Run(b.Context(), x.client, bareKeys()).Int()
			require.NoError(b, err)
			require.Equal(b, store.MaxScriptTimers, n)
		})
	}
	x.report()
}

// BenchmarkFire reads, fetches and claims timers that go to a mailbox; the bare one reads a stream, the records, and
// removes both.
func BenchmarkFire(b *testing.B) {
	x := newBench(b)
	token, err := x.store.AcquireLane(b.Context(), store.LaneID{}, "bench")
	require.NoError(b, err)
	require.NoError(b, x.client.XGroupCreateMkStream(b.Context(), "bare", "g", "0").Err())
	claims := make([]store.Claim, 0, store.MaxScriptTimers)
	after := ""
	for b.Loop() {
		b.StopTimer()
		x.create(x.batch(-time.Hour, carillon.ToMailbox()))
		args := bareArgs()
		require.NoError(b, bareCreate.Run(b.Context(), x.client, bareKeys(), args...).Err())
		_, err := x.client.Pipelined(b.Context(), func(p redis.Pipeliner) error {
			for i := 0; i < len(args); i += 3 {
				p.XAdd(b.Context(), &redis.XAddArgs{Stream: "bare", Values: []any{"e", args[i]}})
			}
			return nil
		})
		require.NoError(b, err)
		b.StartTimer()
		x.measure(store.MaxScriptTimers, func() {
			entries, err := x.store.Read(b.Context(), store.LaneID{}, token, after, store.MaxScriptTimers)
			require.NoError(b, err)
			require.Len(b, entries, store.MaxScriptTimers)
			after = entries[len(entries)-1].ID
			firings, err := x.store.Fetch(b.Context(), store.LaneID{}, entries)
			require.NoError(b, err)
			claims = claims[:0]
			for i := range entries {
				claims = append(claims, store.Claim{Entry: entries[i], Firing: firings[i], Timeout: time.Second})
			}
			out, err := x.store.Claim(b.Context(), store.LaneID{}, token, claims)
			require.NoError(b, err)
			require.Equal(b, store.ClaimFired, out[len(out)-1].Status)
		}, func() { x.bareFire() })
		b.StopTimer()
		require.NoError(b, x.client.XTrimMaxLen(b.Context(), "carillon:{"+x.store.Group()+":0}:mbox:client", 0).Err())
		b.StartTimer()
	}
	x.report()
}

func (x *bench) bareFire() {
	x.Helper()
	streams, err := x.client.XReadGroup(x.Context(), &redis.XReadGroupArgs{
		Group: "g", Consumer: "c", Streams: []string{"bare", ">"}, Count: store.MaxScriptTimers,
	}).Result()
	require.NoError(x, err)
	var entries, fields []string
	for _, m := range streams[0].Messages {
		entries, fields = append(entries, m.ID), append(fields, m.Values["e"].(string))
	}
	require.NoError(x, x.client.HMGet(x.Context(), "{bare}:rec", fields...).Err())
	require.NoError(x, x.client.HDel(x.Context(), "{bare}:rec", fields...).Err())
	require.NoError(x, x.client.XAck(x.Context(), "bare", "g", entries...).Err())
	require.NoError(x, x.client.XDel(x.Context(), "bare", entries...).Err())
}

// BenchmarkMemory measures what Redis needs for a pending timer with a payload of 64 bytes.
func BenchmarkMemory(b *testing.B) {
	x := newBench(b)
	used := func() int64 {
		info, err := x.client.InfoMap(b.Context(), "memory").Result()
		require.NoError(b, err)
		n, err := strconv.ParseInt(info["Memory"]["used_memory_dataset"], 10, 64)
		require.NoError(b, err)
		return n
	}
	const batches = 100
	for b.Loop() {
		before := used()
		for range batches {
			x.create(x.batch(time.Hour, carillon.ToMailbox()))
		}
		// Answers to requests and events are kept for minutes only.
		keys, err := x.client.Keys(b.Context(), "*:req:*").Result()
		require.NoError(b, err)
		require.NoError(b, x.client.Del(b.Context(), append(keys, "carillon:{"+x.store.Group()+":0}:events")...).Err())
		b.ReportMetric(float64(used()-before)/(batches*store.MaxScriptTimers), "B/timer")
		require.NoError(b, x.client.FlushAll(b.Context()).Err()) // the server is the benchmark's own
	}
}
