package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/store"
	"github.com/carillon-io/carillon/store/storebench"
)

const (
	flagPayloadBytes = "payload-bytes"
	flagRounds       = "rounds"
)

func (a *app) benchCommand() *cli.Command {
	return &cli.Command{
		Name: "bench", Usage: "measure how fast it is on this machine", Subcommands: []*cli.Command{a.benchStoreCommand()},
	}
}

func (a *app) benchStoreCommand() *cli.Command {
	return &cli.Command{
		Name:  "store",
		Usage: "measure the timer store: create, sweep, fire, and memory",
		Description: "Each batch is done by the store and by a bare loop of the same Redis commands that keeps no promise, " +
			"in turn.\n" +
			"The ratio is the store's rate as a part of the loop's in the same round; it holds whatever else the " +
			"machine does.\n" +
			"Everything happens in a group of its own, which is removed at the end. Memory is right only if " +
			"nobody else writes.\n\n" +
			"Examples:\n\n" +
			"  carillon bench store                          on a Redis of its own, as dev has it\n" +
			"  carillon bench store --payload-bytes 1024 --rounds 31 -o json\n" +
			"  carillon bench store --redis-url \"$CARILLON_REDIS_URL\"",
		Flags: flags([]cli.Flag{
			&cli.StringFlag{
				Name:        flagRedisURL,
				Usage:       "the Redis at this `URL`; the environment is not asked, so that nobody measures on a Redis in use by mistake",
				DefaultText: "one of its own",
			},
			&cli.BoolFlag{
				Name: flagEmbeddedRedis, Usage: "take the embedded Redis even if there is a real one", DisableDefaultText: true,
			},
			&cli.IntFlag{Name: flagTimers, Value: storebench.DefaultTimers, Usage: "how many timers of each kind in each round"},
			&cli.IntFlag{Name: flagBatch, Value: store.MaxScriptTimers, Usage: "how many timers one call takes"},
			&cli.IntFlag{Name: flagPayloadBytes, Value: storebench.DefaultPayloadBytes, Usage: "size of each timer's payload"},
			&cli.IntFlag{Name: flagRounds, Value: storebench.DefaultRounds, Usage: "how often everything is measured"},
		}),
		Action: a.action(func(ctx context.Context, in *invocation) error { return in.benchStore(ctx) }),
	}
}

// readBench reads the flags that say what is measured.
func (in *invocation) readBench() (o storebench.Options, err error) {
	for _, f := range []struct {
		flag    string
		value   *int
		maximum int
	}{
		{flagTimers, &o.Timers, storebench.MaxTimers},
		{flagBatch, &o.Batch, store.MaxScriptTimers},
		{flagPayloadBytes, &o.PayloadBytes, carillon.MaxPayload},
		{flagRounds, &o.Rounds, storebench.MaxRounds},
	} {
		if *f.value = in.Int(f.flag); *f.value < 1 || *f.value > f.maximum {
			return o, flagError(f.flag, "%d is not between 1 and %d", *f.value, f.maximum)
		}
	}
	if o.Batch*o.PayloadBytes > storebench.MaxBatchBytes {
		return o, flagError(flagPayloadBytes, "the payloads of a batch of %d are more than %s bytes; take a smaller --%s",
			o.Batch, thousands(storebench.MaxBatchBytes), flagBatch)
	}
	return o, nil
}

// benchResult is the answer of bench store: a documented contract.
type benchResult struct {
	Redis string `json:"redis"`
	storebench.Result
}

func (in *invocation) benchStore(ctx context.Context) (err error) {
	o, err := in.readBench()
	if err != nil {
		return err
	}
	if in.IsSet(flagRedisURL) && in.Bool(flagEmbeddedRedis) {
		return flagError(flagEmbeddedRedis, "leave it out: --%s names a Redis already", flagRedisURL)
	}
	url, kind := in.String(flagRedisURL), ""
	if url == "" {
		server, err := in.ownRedis(ctx)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, server.Stop()) }()
		url, kind = server.URL(), server.Kind()
	}
	client, err := store.Connect(url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	live := in.liveLine()
	o.Progress = func(round int) { live.show(fmt.Sprintf("round %d of %d", round, o.Rounds)) }
	result, err := storebench.Run(ctx, client, o)
	live.end()
	if err != nil {
		return err
	}
	return in.printBench(benchResult{Redis: cmp.Or(kind, result.Server), Result: result})
}

// ownRedis starts a Redis as dev does.
func (in *invocation) ownRedis(ctx context.Context) (RedisServer, error) {
	if in.StartRedis == nil {
		return nil, carillon.InvalidArgument("--"+flagRedisURL, "which Redis? This build has none inside")
	}
	starting, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return in.StartRedis(starting, in.Bool(flagEmbeddedRedis))
}

func (in *invocation) printBench(r benchResult) error {
	if in.format != FormatText {
		return in.out.one(r, nil)
	}
	out := in.out.list(
		column{name: "WHAT"},
		column{name: "TIMERS/S", right: true},
		column{name: "BARE LOOP", right: true},
		column{name: "RATIO", right: true},
		column{name: "MIN", right: true},
		column{name: "MAX", right: true},
	)
	ratio := func(v float64) string { return fmt.Sprintf("%.2f", v) }
	for _, rate := range r.Rates {
		if err := out.add(nil, string(rate.Kind), thousands(int64(rate.PerSecond)), thousands(int64(rate.BarePerSecond)),
			ratio(rate.Ratio.Median), ratio(rate.Ratio.Min), ratio(rate.Ratio.Max)); err != nil {
			return err
		}
	}
	if err := out.close(); err != nil {
		return err
	}
	if _, err := in.Stdout.Write([]byte("\n")); err != nil {
		return err
	}
	memory := ""
	if m := r.BytesPerTimer; m != nil {
		memory = fmt.Sprintf("%.0f bytes for each pending timer; %.0f for its answer and its event, for some minutes",
			m.Timer, m.Lately)
	}
	return in.out.card([]field{
		{"Memory", memory},
		{"Measured", fmt.Sprintf("%s of each kind in each of %s, %s at a time, %d bytes of payload", plural(int64(r.Timers),
			"timer"), plural(int64(r.Rounds), "round"), thousands(int64(r.Batch)), r.PayloadBytes)},
		{"Redis", r.Redis},
	})
}
