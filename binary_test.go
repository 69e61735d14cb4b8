package carillon

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"google.golang.org/protobuf/proto"

	"github.com/carillon-io/carillon/internal/wire"
)

func TestCreateInputBinary(t *testing.T) {
	t.Parallel()
	in := CreateTimersInput{RequestID: "r", Timers: sampleSpecs()}
	data, err := in.MarshalBinary()
	require.NoError(t, err)
	var out CreateTimersInput
	require.NoError(t, out.UnmarshalBinary(data))
	require.Equal(t, "r", out.RequestID)
	requireSpecs(t, in.Timers, out.Timers)

	none := CreateTimersInput{Timers: []TimerSpec{}}
	data, err = none.MarshalBinary()
	require.NoError(t, err)
	require.NoError(t, out.UnmarshalBinary(data))
	require.Equal(t, none, out)
}

func TestCreateInputBinaryRefuses(t *testing.T) {
	t.Parallel()
	var in CreateTimersInput
	require.ErrorIs(t, in.UnmarshalBinary([]byte{0xff}), ErrInvalidArgument)
	in = CreateTimersInput{Timers: []TimerSpec{{ClientID: "\xff"}}}
	_, err := in.MarshalBinary()
	require.ErrorIs(t, err, ErrInvalidArgument)

	good := &wire.TimerSpec{ClientId: "c", DelayMs: 1, Target: ToMailbox().toWire()}
	bad := proto.Clone(good).(*wire.TimerSpec)
	bad.Payload = []byte{0xff}
	data, err := proto.Marshal(&wire.CreateTimersInput{Timers: []*wire.TimerSpec{good, bad, good}})
	require.NoError(t, err)
	require.NoError(t, in.UnmarshalBinary(data))
	require.NoError(t, in.Timers[0].Validate(testNow))
	err = in.Timers[1].Validate(testNow)
	require.ErrorIs(t, err, ErrInvalidArgument)
	require.Equal(t, "payload", AsError(err).Field)
	require.NoError(t, in.Timers[2].Validate(testNow))
}

// What is out of range on the wire must not wrap into something valid.
func TestBinaryOutOfRange(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*wire.TimerSpec)
		field  string
	}{
		"delay that wraps":    {func(w *wire.TimerSpec) { w.DelayMs = math.MaxInt64/int64(time.Millisecond) + 1 }, "fire_at"},
		"longest delay":       {func(w *wire.TimerSpec) { w.DelayMs = math.MaxInt64 }, "fire_at"},
		"delay over the end":  {func(w *wire.TimerSpec) { w.DelayMs = MaxHorizon.Milliseconds() + 1 }, "fire_at"},
		"most negative delay": {func(w *wire.TimerSpec) { w.DelayMs = math.MinInt64 }, "delay"},
		"end of time":         {func(w *wire.TimerSpec) { w.DelayMs, w.FireAtMs = 0, math.MaxInt64 }, "fire_at"},
		"retry that wraps": {
			func(w *wire.TimerSpec) { w.Retry = &wire.RetryPolicy{InitialIntervalMs: 1 << 60} },
			"retry.initial_interval",
		},
		"negative retry": {
			func(w *wire.TimerSpec) { w.Retry = &wire.RetryPolicy{MaximumIntervalMs: math.MinInt64} },
			"retry.maximum_interval",
		},
		"timeout that wraps": {func(w *wire.TimerSpec) {
			w.Target = ToWebhook("https://h").toWire()
			w.Target.GetWebhook().TimeoutMs = 1 << 62
		}, "target.webhook.timeout"},
	} {
		w := &wire.TimerSpec{ClientId: "c", DelayMs: 1, Target: ToMailbox().toWire()}
		test.change(w)
		var s TimerSpec
		require.NoError(t, s.fromWire(w))
		err := s.Validate(testNow)
		require.ErrorIs(t, err, ErrInvalidArgument, name)
		require.Equal(t, test.field, AsError(err).Field, name)
	}
	many := (&RetryPolicy{MaximumAttempts: 1<<32 + 5}).toWire()
	require.Error(t, retryFromWire(many).validate())
	few := (&RetryPolicy{MaximumAttempts: math.MinInt64}).toWire()
	require.Error(t, retryFromWire(few).validate())

	past := TimerSpec{FireAt: time.Unix(-5, 0)}
	w, err := past.toWire()
	require.NoError(t, err)
	require.EqualValues(t, 1, w.FireAtMs, "0 would mean that there is no time")
	require.NoError(t, past.fromWire(&wire.TimerSpec{FireAtMs: -5}))
	require.Equal(t, time.UnixMilli(1).UTC(), past.FireAt)
}

func TestBinaryRounds(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]int64{
		0: 0, 1: 1, time.Millisecond: 1, time.Millisecond + 1: 2, -1: -1, -time.Millisecond: -1, -time.Millisecond - 1: -2,
		math.MaxInt64: math.MaxInt64/1_000_000 + 1, math.MinInt64: math.MinInt64/1_000_000 - 1,
	} {
		require.Equal(t, want, ceilMillis(d), d)
	}
	require.Equal(t, Duration(math.MaxInt64), fromMillis(math.MaxInt64/1_000_000+1))
	require.Equal(t, Duration(math.MinInt64), fromMillis(math.MinInt64/1_000_000-1))
	s := TimerSpec{FireAt: time.UnixMilli(5).Add(1)}
	w, err := s.toWire()
	require.NoError(t, err)
	require.EqualValues(t, 6, w.FireAtMs)
}

func TestCreateResultBinary(t *testing.T) {
	t.Parallel()
	failed := InvalidArgument("payload", "too large")
	failed.RetryAfter = Duration(1500 * time.Millisecond)
	in := CreateTimersResult{Timers: []CreateResult{
		{TimerID: testID, Version: 1 << 62, FireAt: testTime, Existing: true}, {Error: failed}, {},
	}}
	data, err := in.MarshalBinary()
	require.NoError(t, err)
	var out CreateTimersResult
	require.NoError(t, out.UnmarshalBinary(data))
	require.Equal(t, in, out)

	failed = &Error{Type: TypeNotFound, Field: "a\xff", Message: "b\xff"}
	odd := CreateTimersResult{Timers: []CreateResult{{Error: failed}}}
	data, err = odd.MarshalBinary()
	require.NoError(t, err, "one odd message must not lose a thousand answers")
	require.NoError(t, out.UnmarshalBinary(data))
	require.Equal(t, "b\uFFFD", out.Timers[0].Error.Message)

	require.ErrorIs(t, out.UnmarshalBinary([]byte{0xff}), ErrInvalidArgument)
	data, err = proto.Marshal(&wire.CreateTimersResult{Timers: []*wire.CreateResult{{TimerId: []byte("short")}}})
	require.NoError(t, err)
	require.ErrorIs(t, out.UnmarshalBinary(data), ErrInvalidArgument)
}

func TestRecordBinary(t *testing.T) {
	t.Parallel()
	for _, s := range sampleSpecs() {
		payload, err := MarshalPayload(s.Payload)
		require.NoError(t, err)
		in := Record{
			Name: s.Name, CreatedAt: testTime, Target: s.Target, Retry: s.Retry, Labels: s.Labels, Payload: payload,
			PayloadSize: 7, LastError: "no",
		}
		data, err := in.MarshalBinary()
		require.NoError(t, err)
		again, err := in.MarshalBinary()
		require.NoError(t, err)
		require.Equal(t, data, again)
		var out Record
		require.NoError(t, out.UnmarshalBinary(data))
		require.Equal(t, in, out)
	}
	odd := Record{LastError: "it answered \xff"}
	data, err := odd.MarshalBinary()
	require.NoError(t, err, "a target's answer must not spoil the record")
	var out Record
	require.NoError(t, out.UnmarshalBinary(data))
	require.Equal(t, "it answered \uFFFD", out.LastError)
	require.Error(t, out.UnmarshalBinary([]byte{0xff}))
	require.NoError(t, out.UnmarshalBinary(nil))
	require.Equal(t, Record{}, out)
}

func TestPayloadBinary(t *testing.T) {
	t.Parallel()
	for _, p := range []*commonpb.Payload{nil, plainPayload(`1`), encodedPayload()} {
		data, err := MarshalPayload(p)
		require.NoError(t, err)
		require.Equal(t, p == nil, data == nil)
		back, err := UnmarshalPayload(data)
		require.NoError(t, err)
		require.True(t, proto.Equal(p, back))
	}
	_, err := MarshalPayload(&commonpb.Payload{Metadata: map[string][]byte{"\xff": nil}})
	require.ErrorIs(t, err, ErrInvalidArgument)
	_, err = UnmarshalPayload([]byte{0xff})
	require.ErrorIs(t, err, ErrInvalidArgument)

	// Fields of a newer Temporal pass through.
	newer := append([]byte{0xfa, 0x3f, 0x01, 'x'}, []byte{0x12, 0x01, 'd'}...)
	p, err := UnmarshalPayload(newer)
	require.NoError(t, err)
	data, err := MarshalPayload(p)
	require.NoError(t, err)
	require.ElementsMatch(t, newer, data)
}

func FuzzCreateTimersBinary(f *testing.F) {
	for _, s := range sampleSpecs() {
		in := CreateTimersInput{RequestID: "r", Timers: []TimerSpec{s}}
		data, err := in.MarshalBinary()
		require.NoError(f, err)
		f.Add(data)
	}
	odd, err := proto.Marshal(&wire.CreateTimersInput{Timers: []*wire.TimerSpec{
		{DelayMs: math.MinInt64, FireAtMs: -1, Payload: []byte{0xff}},
		{FireAtMs: math.MaxInt64, Target: &wire.Target{}},
		{Retry: &wire.RetryPolicy{MaximumAttempts: -1, BackoffCoefficient: math.NaN()}},
	}})
	require.NoError(f, err)
	f.Add(odd)
	f.Fuzz(func(t *testing.T, data []byte) {
		var in CreateTimersInput
		if err := in.UnmarshalBinary(data); err != nil {
			require.ErrorIs(t, err, ErrInvalidArgument)
			return
		}
		for i := range in.Timers {
			s := &in.Timers[i]
			err := s.Validate(testNow)
			require.True(t, err == nil || AsError(err).Type == TypeInvalidArgument, "%v", err)
			if s.Retry != nil && math.IsNaN(s.Retry.BackoffCoefficient) {
				s.Retry.BackoffCoefficient = 0 // not equal to itself
			}
			s.invalid = nil
		}
		again, err := in.MarshalBinary()
		require.NoError(t, err)
		var back CreateTimersInput
		require.NoError(t, back.UnmarshalBinary(again))
		require.Equal(t, in.RequestID, back.RequestID)
		requireSpecs(t, in.Timers, back.Timers)
	})
}
