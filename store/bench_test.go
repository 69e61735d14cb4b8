package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon/store"
	"github.com/carillon-io/carillon/store/redistest"
	"github.com/carillon-io/carillon/store/storebench"
)

// The benchmarks measure batches of 500 timers through one connection, each beside the least that Redis would have to do for
// them in the same run: "x-bare" is the store's rate as a part of that one's, whatever the machine. What is measured is that
// of package storebench; "carillon bench store" shows the same.

func BenchmarkCreate(b *testing.B)  { measure(b, storebench.Create) }
func BenchmarkSweep(b *testing.B)   { measure(b, storebench.Sweep) }
func BenchmarkFire(b *testing.B)    { measure(b, storebench.Mailbox) }
func BenchmarkDeliver(b *testing.B) { measure(b, storebench.Deliver) }

// measure benchmarks one kind on a Redis of its own.
func measure(b *testing.B, kind storebench.Kind) {
	x := openBench(b)
	var spent, bare time.Duration
	timers := 0
	for b.Loop() {
		b.StopTimer()
		require.NoError(b, x.Prepare(b.Context(), kind, 1))
		b.StartTimer()
		lap, err := x.Lap(b.Context(), kind)
		require.NoError(b, err)
		timers += lap.Timers
		spent += lap.Store
		bare += lap.Bare
	}
	b.ReportMetric(float64(timers)/spent.Seconds(), "timers/s")
	b.ReportMetric(float64(timers)/bare.Seconds(), "bare/s")
	b.ReportMetric(float64(bare)/float64(spent), "x-bare")
}

func openBench(b *testing.B) *storebench.Bench {
	b.Helper()
	client := redistest.Start(b, redistest.Options{}).Client()
	x, err := storebench.Open(b.Context(), client, storebench.Options{})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, x.Close(context.WithoutCancel(b.Context()))) })
	return x
}

// BenchmarkMemory measures what Redis needs for a pending timer with a payload of 128 bytes.
func BenchmarkMemory(b *testing.B) {
	const timers = 100 * store.MaxScriptTimers
	for b.Loop() {
		m, ok, err := openBench(b).Memory(b.Context(), timers)
		require.NoError(b, err)
		require.True(b, ok)
		b.ReportMetric(m.Timer, "B/timer")
	}
}
