package storetest

import (
	"bytes"
	"crypto/rand"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/store"
)

// client is who asks for timers where nothing else matters.
const client = "client"

// fixture is a group of one test's own.
type fixture struct {
	*testing.T
	*store.Redis

	redis   redis.UniversalClient
	connect Connector
	options store.Options
	shift   time.Duration
	moving  bool // slots are moved from node to node meanwhile
}

// newFixture founds a group and checks its invariants at the end of the test.
func newFixture(t *testing.T, connect Connector, o store.Options, still []sync.Locker) *fixture {
	t.Helper()
	o.Group = GroupPrefix + rand.Text()
	o.AllowVolatile = true
	if o.Slots == 0 {
		o.Slots = 1
	}
	f := &fixture{T: t, redis: connect(t), connect: connect, options: o, moving: len(still) > 0}
	f.redis.AddHook(Faults{})
	f.Redis = f.open(f.redis)
	t.Cleanup(func() {
		if t.Skipped() {
			return
		}
		for _, l := range still {
			l.Lock()
			defer l.Unlock()
		}
		CheckInvariants(t, f.Redis, f.redis)
	})
	return f
}

// needsStillSlots skips a test of listings, which are right only while a slot stays on its node.
func (f *fixture) needsStillSlots() {
	if f.moving {
		f.Skip("a cursor of HSCAN is the node's that gave it")
	}
}

func (f *fixture) open(client redis.UniversalClient) *store.Redis {
	f.Helper()
	s, err := store.Open(f.Context(), client, f.options)
	require.NoError(f, err)
	f.Cleanup(func() { require.NoError(f, s.Close()) })
	return s
}

// process is another process that uses the same group.
func (f *fixture) process() *store.Redis {
	f.Helper()
	return f.open(f.connect(f))
}

// now is the store's time, in milliseconds.
func (f *fixture) now() time.Time { return f.Clock(0).Now() }

// advance moves the store's clock.
func (f *fixture) advance(d time.Duration) {
	f.Helper()
	f.shift += d
	Shift(f, f.Redis, f.redis, f.shift)
}

// in is so much later than the store's time, in whole milliseconds.
func (f *fixture) in(d time.Duration) time.Time {
	return time.UnixMilli(f.now().Add(d).UnixMilli()).UTC()
}

// spec is a timer that goes to a webhook, which is to say: to the lane.
func (f *fixture) spec(in time.Duration) carillon.TimerSpec {
	return carillon.TimerSpec{ClientID: client, FireAt: f.in(in), Target: carillon.ToWebhook("https://example.com/hook")}
}

// mail is a timer that goes to the mailbox.
func (f *fixture) mail(in time.Duration) carillon.TimerSpec {
	return carillon.TimerSpec{ClientID: client, FireAt: f.in(in), Target: carillon.ToMailbox(), Payload: payload("mail")}
}

// named is a timer with a name.
func (f *fixture) named(name string, in time.Duration) carillon.TimerSpec {
	spec := f.spec(in)
	spec.Name = name
	return spec
}

func payload(text string) *commonpb.Payload {
	return &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: []byte(`"` + text + `"`)}
}

// payloadOf is a payload that is serialised in so many bytes, at least 64.
func payloadOf(size int) *commonpb.Payload {
	p := &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("binary/plain")}}
	for n := size; n > 0; n-- {
		p.Data = bytes.Repeat([]byte{'x'}, n)
		if data, err := carillon.MarshalPayload(p); err == nil && len(data) <= size {
			return p
		}
	}
	return p
}

// createAll creates timers and returns every answer.
func (f *fixture) createAll(specs ...carillon.TimerSpec) []carillon.CreateResult {
	f.Helper()
	out, err := f.Create(f.Context(), carillon.CreateTimersInput{Timers: specs})
	require.NoError(f, err)
	require.Len(f, out.Timers, len(specs))
	return out.Timers
}

// create creates one timer.
func (f *fixture) create(spec carillon.TimerSpec) carillon.CreateResult {
	f.Helper()
	out := f.createAll(spec)[0]
	require.NoError(f, asError(out.Error))
	require.False(f, out.TimerID.IsZero())
	return out
}

// asError keeps a nil *carillon.Error from becoming an error that is not nil.
func asError(err *carillon.Error) error {
	if err == nil {
		return nil
	}
	return err
}

func byID(id carillon.ID) carillon.TimerRef { return carillon.TimerRef{TimerID: id} }

func byName(name string) carillon.TimerRef { return carillon.TimerRef{ClientID: client, Name: name} }

// cancel cancels one timer.
func (f *fixture) cancel(ref carillon.TimerRef) error {
	f.Helper()
	out, err := f.Cancel(f.Context(), carillon.CancelTimersInput{Timers: []carillon.TimerRef{ref}})
	require.NoError(f, err)
	require.Len(f, out.Timers, 1)
	return asError(out.Timers[0].Error)
}

// reschedule moves a timer.
func (f *fixture) reschedule(id carillon.ID, in time.Duration) carillon.RescheduleTimerResult {
	f.Helper()
	at := f.in(in)
	out, err := f.Reschedule(f.Context(), carillon.RescheduleTimerInput{TimerRef: byID(id), FireAt: at})
	require.NoError(f, err)
	require.Equal(f, at, out.FireAt)
	return out
}

// describe tells about a timer.
func (f *fixture) describe(ref carillon.TimerRef) carillon.TimerInfo {
	f.Helper()
	out, err := f.Describe(f.Context(), carillon.DescribeTimerInput{TimerRef: ref})
	require.NoError(f, err)
	return out.Timer
}

// state is what a timer is doing.
func (f *fixture) state(id carillon.ID) carillon.State {
	f.Helper()
	return f.describe(byID(id)).State
}

// count counts everybody's timers.
func (f *fixture) count() carillon.CountTimersResult {
	f.Helper()
	out, err := f.Count(f.Context(), carillon.CountTimersInput{})
	require.NoError(f, err)
	return out
}

// sweep takes the lease on a partition, sweeps until no more is due, and hands the lease back.
func (f *fixture) sweep(p store.Partition) store.SweepResult {
	f.Helper()
	token, err := f.AcquireSweep(f.Context(), p, "sweep-"+rand.Text())
	require.NoError(f, err)
	var out store.SweepResult
	for moved := 0; ; {
		out, err = f.Sweep(f.Context(), p, token, 100)
		require.NoError(f, err)
		moved += out.Moved
		out.Moved = moved
		if !out.More {
			break
		}
	}
	require.NoError(f, f.ReleaseSweep(f.Context(), p, token))
	return out
}

// slotKey is a key of a slot.
func slotKey(s *store.Redis, slot int, key string) string { return slotPrefix(s.Group(), slot) + key }

// key is a key of slot 0.
func (f *fixture) key(key string) string { return slotKey(f.Redis, 0, key) }

// indexEntries is how many index entries slot 0 counts.
func (f *fixture) indexEntries() int64 {
	f.Helper()
	segments, err := f.Segments(f.Context())
	require.NoError(f, err)
	var n int64
	for _, seg := range segments {
		if seg.Slot == 0 {
			n += seg.Entries
		}
	}
	return n
}

// queueEntries is how many entries the fire queue of slot 0 has.
func (f *fixture) queueEntries() int64 {
	f.Helper()
	n, err := f.redis.XLen(f.Context(), f.key("fire")).Result()
	require.NoError(f, err)
	return n
}

// eventually polls, in the test's own goroutine, until done says so.
func (f *fixture) eventually(what string, done func() bool) {
	f.Helper()
	deadline := time.After(20 * time.Second)
	for tick := time.NewTicker(5 * time.Millisecond); !done(); {
		select {
		case <-tick.C:
		case <-deadline:
			f.Fatalf("%s: not within 20 s", what)
		}
	}
}
