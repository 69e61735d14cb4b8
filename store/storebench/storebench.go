package storebench

import (
	"context"
	"errors"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/store"
)

// Defaults and limits of Options.
const (
	DefaultTimers       = 20_000
	DefaultPayloadBytes = 128
	DefaultRounds       = 9

	MaxTimers     = 200_000
	MaxRounds     = 1000
	MaxBatchBytes = 1 << 20
)

// Options say what is measured.
type Options struct {
	// Timers of each kind in each round; as many whole batches as fit, one at least. 0: DefaultTimers. The limit is
	// MaxTimers.
	Timers int
	// Batch is how many timers one call takes. 0: store.MaxScriptTimers, which is the limit.
	Batch int
	// PayloadBytes of each timer. 0: DefaultPayloadBytes. Those of a batch may be MaxBatchBytes together.
	PayloadBytes int
	// Rounds is how often each kind is measured, all of them in turn. 0: DefaultRounds. The limit is MaxRounds.
	Rounds int
	// Progress is told of each round that is done. Nil: nobody.
	Progress func(round int)
}

func (o Options) withDefaults() (Options, error) {
	for _, n := range []struct {
		name              string
		value             *int
		fallback, maximum int
	}{
		{"timers", &o.Timers, DefaultTimers, MaxTimers},
		{"batch", &o.Batch, store.MaxScriptTimers, store.MaxScriptTimers},
		{"payload_bytes", &o.PayloadBytes, DefaultPayloadBytes, carillon.MaxPayload - 64}, // its encoding takes some
		{"rounds", &o.Rounds, DefaultRounds, MaxRounds},
	} {
		if *n.value < 0 || *n.value > n.maximum {
			return o, carillon.InvalidArgument(n.name, "%d is not between 1 and %d", *n.value, n.maximum)
		}
		if *n.value == 0 {
			*n.value = n.fallback
		}
	}
	if o.Batch*o.PayloadBytes > MaxBatchBytes {
		return o, carillon.InvalidArgument("payload_bytes", "the payloads of a batch of %d are more than %d bytes", o.Batch,
			MaxBatchBytes)
	}
	if o.Progress == nil {
		o.Progress = func(int) {}
	}
	return o, nil
}

func (o Options) laps() int { return max(o.Timers/o.Batch, 1) }

// Result is what Run has measured: a documented contract in JSON.
type Result struct {
	// Server is the version that Redis tells; empty where it tells none.
	Server       string     `json:"-"`
	Timers       int        `json:"timers"`
	Batch        int        `json:"batch"`
	PayloadBytes int        `json:"payload_bytes"`
	Rounds       int        `json:"rounds"`
	Rates        []RateInfo `json:"rates"`
	// BytesPerTimer is nil where Redis does not tell: the embedded one, and a Cluster.
	BytesPerTimer *Memory `json:"bytes_per_timer,omitempty"`
}

// RateInfo compares the store with the bare loop.
type RateInfo struct {
	Kind Kind `json:"kind"`
	// PerSecond is how many timers the store has done in a second, BarePerSecond the bare loop: the medians of the rounds.
	PerSecond     float64 `json:"per_second"`
	BarePerSecond float64 `json:"bare_per_second"`
	// Ratio is the store's rate divided by that of the bare loop in the same round. 1 would be as fast.
	Ratio Spread `json:"ratio"`
}

// Spread is what several rounds have shown.
type Spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

func spreadOf(values []float64) Spread {
	v := slices.Sorted(slices.Values(values))
	n := len(v)
	return Spread{Median: (v[(n-1)/2] + v[n/2]) / 2, Min: v[0], Max: v[n-1]}
}

// Run measures all kinds. It works in groups of its own and removes them; what else is in the Redis stays as it is.
//
// It fails with carillon.ErrInvalidArgument if an option does not fit, naming it, and with carillon.ErrUnavailable if Redis does
// not answer.
func Run(ctx context.Context, client redis.UniversalClient, options Options) (Result, error) {
	o, err := options.withDefaults()
	if err != nil {
		return Result{}, err
	}
	result := Result{Timers: o.laps() * o.Batch, Batch: o.Batch, PayloadBytes: o.PayloadBytes, Rounds: o.Rounds}
	type series struct{ store, bare, ratio []float64 }
	measured := map[Kind]*series{}
	for round := range o.Rounds {
		for _, kind := range Kinds() {
			sum, err := measure(ctx, client, o, kind)
			if err != nil {
				return result, err
			}
			s := measured[kind]
			if s == nil {
				s = &series{}
				measured[kind] = s
			}
			s.store = append(s.store, float64(sum.Timers)/sum.Store.Seconds())
			s.bare = append(s.bare, float64(sum.Timers)/sum.Bare.Seconds())
			s.ratio = append(s.ratio, float64(sum.Bare)/float64(sum.Store))
		}
		o.Progress(round + 1)
	}
	for _, kind := range Kinds() {
		s := measured[kind]
		result.Rates = append(result.Rates, RateInfo{
			Kind: kind, PerSecond: spreadOf(s.store).Median, BarePerSecond: spreadOf(s.bare).Median, Ratio: spreadOf(s.ratio),
		})
	}
	return result, result.memory(ctx, client, o)
}

// measure is one round of one kind, in a group of its own.
func measure(ctx context.Context, client redis.UniversalClient, o Options, kind Kind) (sum Lap, err error) {
	b, err := Open(ctx, client, o)
	if err != nil {
		return sum, err
	}
	defer func() { err = errors.Join(err, b.Close(context.WithoutCancel(ctx))) }()
	if err := b.Prepare(ctx, kind, o.laps()); err != nil {
		return sum, err
	}
	for range o.laps() {
		lap, err := b.Lap(ctx, kind)
		if err != nil {
			return sum, err
		}
		sum.Timers += lap.Timers
		sum.Store += lap.Store
		sum.Bare += lap.Bare
	}
	return sum, nil
}

func (r *Result) memory(ctx context.Context, client redis.UniversalClient, o Options) (err error) {
	b, err := Open(ctx, client, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close(context.WithoutCancel(ctx))) }()
	r.Server = b.Info().Version
	m, ok, err := b.Memory(ctx, o.Timers)
	if ok && err == nil {
		r.BytesPerTimer = &m
	}
	return err
}
