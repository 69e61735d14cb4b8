package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/lmittmann/tint"
	"github.com/urfave/cli/v2"

	"github.com/carillon-io/carillon"
)

const (
	flagDataDir       = "data-dir"
	flagIP            = "ip"
	flagPort          = "port"
	flagUIPort        = "ui-port"
	flagRedisPort     = "redis-port"
	flagHeadless      = "headless"
	flagEmbeddedRedis = "embedded-redis"
	flagSlots         = "slots"
	flagLogLevel      = "log-level"
)

// Ports of dev: Temporal's own, and one beside Redis's own, which may be in use.
const (
	defaultPort      = 7233
	defaultUIPort    = 8233
	defaultRedisPort = 6380
)

const (
	// startTimeout bounds the start of dev and demo: a Redis with much data takes long to load it.
	startTimeout = 2 * time.Minute
	// stopTimeout bounds their end.
	stopTimeout = 30 * time.Second
)

func (a *app) devCommand() *cli.Command {
	return &cli.Command{
		Name:  "dev",
		Usage: "run Temporal with its Web UI, Redis and a worker on this machine",
		Description: "Temporal and its Web UI run in this process; so does Carillon's worker. Redis is the redis-server " +
			"or valkey-server\n" +
			"in PATH, with an append-only file; without one it is an embedded one that forgets everything. It " +
			"serves until you\n" +
			"interrupt. Nothing asks for a password: this is for development.\n\n" +
			"Examples:\n\n" +
			"  carillon dev\n" +
			"  carillon dev --data-dir ./carillon-data       keep timers and workflows\n" +
			"  carillon dev --port 0 --ui-port 0 --redis-port 0 -o json",
		Flags: flags([]cli.Flag{
			&cli.StringFlag{
				Name:        flagDataDir,
				Usage:       "a `directory` that keeps timers and workflows",
				DefaultText: "nothing is kept",
			},
			&cli.StringFlag{
				Name:        flagIP,
				Usage:       "where Temporal and its Web UI listen; anybody who reaches that can do everything",
				DefaultText: "127.0.0.1",
			},
			&cli.IntFlag{Name: flagPort, Value: defaultPort, Usage: "port of Temporal; 0 takes a free one"},
			&cli.IntFlag{Name: flagUIPort, Value: defaultUIPort, Usage: "port of the Web UI; 0 takes a free one"},
			&cli.IntFlag{Name: flagRedisPort, Value: defaultRedisPort, Usage: "port of Redis; 0 takes a free one"},
			&cli.BoolFlag{Name: flagHeadless, Usage: "no Web UI", DisableDefaultText: true},
			&cli.StringFlag{Name: flagNamespace, Value: defaultNamespace, Usage: "Temporal's `namespace`"},
		}, platformFlags()),
		Action: a.action(func(ctx context.Context, in *invocation) error {
			o, err := in.readPlatform()
			if err != nil {
				return err
			}
			o.DataDir, o.IP, o.Namespace = in.String(flagDataDir), in.String(flagIP), in.String(flagNamespace)
			o.Port, o.UIPort, o.RedisPort, o.NoUI = in.Int(
				flagPort,
			), in.Int(
				flagUIPort,
			), in.Int(
				flagRedisPort,
			), in.Bool(
				flagHeadless,
			)
			for flag, port := range map[string]int{flagPort: o.Port, flagUIPort: o.UIPort, flagRedisPort: o.RedisPort} {
				if port < 0 || port > 65535 {
					return flagError(flag, "%d is no port", port)
				}
			}
			return in.withPlatform(ctx, o, func(ctx context.Context, p Platform) error {
				if err := in.out.one(p.Info(), func() []field { return platformCard(p.Info()) }); err != nil {
					return err
				}
				return in.serve(ctx, p)
			})
		}),
	}
}

// platformFlags are those of dev and demo.
func platformFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{
			Name:  flagGroup,
			Usage: "`name` of the group of timers (default: " + carillon.DefaultGroup + ") [$" + envGroup + "]",
		},
		&cli.IntFlag{Name: flagSlots, Usage: "how many slots the group is founded with, a power of two", DefaultText: "16"},
		&cli.BoolFlag{
			Name:               flagEmbeddedRedis,
			Usage:              "take the embedded Redis even if there is a real one",
			DisableDefaultText: true,
		},
		&cli.StringFlag{
			Name:  flagLogLevel,
			Value: "warn",
			Usage: "what is logged to standard error: debug, info, warn or error",
		},
	}
}

// readPlatform reads platformFlags.
func (in *invocation) readPlatform() (o PlatformOptions, err error) {
	if o.Group, err = in.readGroup(in.Context); err != nil {
		return o, err
	}
	o.Slots, o.EmbeddedRedis = in.Int(flagSlots), in.Bool(flagEmbeddedRedis)
	if in.IsSet(flagSlots) && (o.Slots < 1 || o.Slots > carillon.MaxSlots || o.Slots&(o.Slots-1) != 0) {
		return o, flagError(flagSlots, "%d is not a power of two between 1 and %d", o.Slots, carillon.MaxSlots)
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(in.String(flagLogLevel))); err != nil {
		return o, flagError(flagLogLevel, "%q is none of debug, info, warn, error", in.String(flagLogLevel))
	}
	o.Logger = slog.New(tint.NewTextHandler(in.Stderr, &tint.Options{Level: level, NoColor: !in.IsTerminal(in.Stderr)}))
	return o, nil
}

// withPlatform starts the platform, uses it, and stops it whatever happens.
func (in *invocation) withPlatform(
	ctx context.Context, o PlatformOptions, use func(ctx context.Context, p Platform) error,
) (err error) {
	if in.StartPlatform == nil {
		return errors.New("this build has no servers inside")
	}
	in.note("Starting Temporal, Redis and a worker …")
	starting, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	p, err := in.StartPlatform(starting, o)
	if err != nil {
		return err
	}
	defer func() {
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		if stopErr := p.Stop(stopping); stopErr != nil {
			err = errors.Join(err, fmt.Errorf("stop: %w", stopErr))
		}
	}()
	if info := p.Info(); info.Volatile {
		in.note("Redis is %s. Timers are forgotten at the end.", info.Redis)
	}
	return use(ctx, p)
}

// serve waits for the end.
func (in *invocation) serve(ctx context.Context, p Platform) error {
	in.note("Serving until you interrupt (Ctrl-C).")
	select {
	case <-ctx.Done():
		in.note("Stopping …")
		return nil // that is how it is ended
	case err := <-p.Failed():
		return err
	}
}

func platformCard(i PlatformInfo) []field {
	create := "carillon timer create --client-id me --delay 5s --target mailbox"
	if i.Address != fmt.Sprintf("127.0.0.1:%d", defaultPort) {
		create += " --address " + i.Address
	}
	if i.Namespace != defaultNamespace {
		create += " --namespace " + i.Namespace
	}
	if i.Group != carillon.DefaultGroup {
		create += " --group " + i.Group
	}
	return []field{
		{"Web UI", i.UI},
		{"Temporal", i.Address + ", namespace " + i.Namespace},
		{"Redis", i.RedisURL + ", " + i.Redis},
		{"Group", fmt.Sprintf("%s, %d slots", i.Group, i.Slots)},
		{"Worker", i.Worker},
		{"Data", i.DataDir},
		{"Try", create},
	}
}
