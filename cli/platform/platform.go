// Package platform runs everything that Carillon needs in one process: Temporal with its Web UI, Redis, and a worker.
// It is what the commands dev and demo stand on, and the only part of the command line that embeds a server.
package platform

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/server/common/headers"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/activities/target"
	"github.com/carillon-io/carillon/cli"
	"github.com/carillon-io/carillon/cli/devserver"
	"github.com/carillon-io/carillon/starter"
	"github.com/carillon-io/carillon/store"
	"github.com/carillon-io/carillon/worker"
)

// Platform runs. Start makes one.
type Platform struct {
	info     cli.PlatformInfo
	server   *devserver.Server
	temporal client.Client
	redis    redis.UniversalClient
	store    *store.Redis
	worker   *worker.Worker
	timers   *starter.Client

	failed   chan error
	stopping chan struct{}
	muted    atomic.Bool
	stop     sync.Once
	stopErr  error
}

var _ cli.Platform = (*Platform)(nil)

// Start starts all parts and returns when they serve. It is cli.Env.StartPlatform. A port that is taken is
// carillon.ErrInvalidArgument.
func Start(ctx context.Context, o cli.PlatformOptions) (cli.Platform, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Namespace == "" {
		o.Namespace = devserver.DefaultNamespace
	}
	if o.Group == "" {
		o.Group = carillon.DefaultGroup
	}
	p := &Platform{failed: make(chan error, 1), stopping: make(chan struct{})}
	if err := p.start(ctx, o); err != nil {
		return nil, errors.Join(err, p.Stop(context.WithoutCancel(ctx)))
	}
	go p.watch()
	return p, nil
}

// StartRedis starts a Redis alone, as Start would. It is cli.Env.StartRedis.
func StartRedis(ctx context.Context, embedded bool) (cli.RedisServer, error) {
	return devserver.StartRedis(ctx, devserver.RedisOptions{Embedded: embedded})
}

func (p *Platform) start(ctx context.Context, o cli.PlatformOptions) (err error) {
	p.server, err = devserver.Start(ctx, devserver.Options{
		DataDir:  o.DataDir,
		Temporal: devserver.TemporalOptions{IP: o.IP, Port: o.Port, Namespaces: []string{o.Namespace}},
		UI:       devserver.UIOptions{IP: o.IP, Port: o.UIPort},
		NoUI:     o.NoUI,
		Redis:    devserver.RedisOptions{Port: o.RedisPort, Embedded: o.EmbeddedRedis},
		Logger:   slog.New(mutable{o.Logger.Handler(), &p.muted}),
	})
	if errors.Is(err, devserver.ErrPortInUse) {
		return carillon.InvalidArgument("port", "%w", err)
	}
	if err != nil {
		return err
	}
	log := sdklog.NewStructuredLogger(o.Logger)
	p.temporal, err = client.DialContext(ctx, client.Options{
		HostPort: p.server.Temporal.Address(), Namespace: o.Namespace, Logger: log,
	})
	if err != nil {
		return fmt.Errorf("connect to the embedded Temporal: %w", err)
	}
	// A worker keeps a connection for each slot's lane, beside those that it works with.
	if p.redis, err = store.Connect(fmt.Sprintf("%s?pool_size=%d", p.server.Redis.URL(), o.Slots+64)); err != nil {
		return err
	}
	storeOptions := store.Options{Slots: o.Slots, AllowVolatile: !p.server.Redis.Real()}
	p.worker, err = worker.New(ctx, worker.Options{
		Temporal: p.temporal, Namespace: o.Namespace, Redis: p.redis, Group: o.Group, Store: storeOptions, Logger: o.Logger,
		// On a developer's machine the webhooks' receivers are there too.
		Webhook: target.WebhookOptions{AllowPrivate: true},
	})
	if err != nil {
		return err
	}
	storeOptions.Group, storeOptions.Slots = o.Group, 0
	if p.store, err = store.Open(ctx, p.redis, storeOptions); err != nil {
		return fmt.Errorf("open the store: %w", err)
	}
	p.timers, err = starter.New(p.temporal, starter.Options{Group: o.Group, Namespace: o.Namespace, Logger: o.Logger})
	if err != nil {
		return err
	}
	if err := p.worker.Start(); err != nil {
		return err
	}
	p.describe(o)
	return nil
}

func (p *Platform) describe(o cli.PlatformOptions) {
	volatile := o.DataDir == "" || !p.server.Redis.Real()
	where := "in memory"
	if o.DataDir != "" {
		where = "in " + o.DataDir
	}
	p.info = cli.PlatformInfo{
		Temporal: fmt.Sprintf("temporal server %s (embedded, %s)", headers.ServerVersion, where),
		Redis:    p.server.Redis.Kind(),
		Volatile: volatile,
		Address:  p.server.Temporal.Address(), Namespace: o.Namespace, RedisURL: p.server.Redis.URL(),
		Group: o.Group, Slots: p.store.Slots(), Worker: p.worker.ID(), DataDir: o.DataDir,
	}
	if p.server.UI != nil {
		p.info.UI = p.server.UI.URL()
	}
}

// watch reports a part that ends by itself.
func (p *Platform) watch() {
	select {
	case <-p.stopping:
	case err := <-p.worker.Failed():
		p.failed <- err
	case <-p.server.Redis.Done():
		p.failed <- carillon.Errorf(carillon.TypeUnavailable, "%s has ended", p.server.Redis.Kind())
	}
}

// Info implements cli.Platform.
func (p *Platform) Info() cli.PlatformInfo { return p.info }

// Timers implements cli.Platform.
func (p *Platform) Timers() starter.Timers { return p.timers }

// Temporal implements cli.Platform.
func (p *Platform) Temporal() client.Client { return p.temporal }

// Store implements cli.Platform.
func (p *Platform) Store() *store.Redis { return p.store }

// Failed implements cli.Platform.
func (p *Platform) Failed() <-chan error { return p.failed }

// Stop implements cli.Platform: clients first, then the worker, which hands back its leases, then the servers. It may
// be called more than once.
func (p *Platform) Stop(ctx context.Context) error {
	p.stop.Do(func() {
		close(p.stopping)
		p.muted.Store(true)
		var errs []error
		if p.timers != nil {
			errs = append(errs, p.timers.Close())
		}
		if p.worker != nil {
			errs = append(errs, p.worker.Stop(ctx))
		}
		if p.store != nil {
			errs = append(errs, p.store.Close())
		}
		if p.temporal != nil {
			p.temporal.Close()
		}
		if p.redis != nil {
			errs = append(errs, p.redis.Close())
		}
		if p.server != nil {
			errs = append(errs, p.server.Stop())
		}
		p.stopErr = errors.Join(errs...)
	})
	return p.stopErr
}

// mutable is a log that can be silenced: servers that are being stopped complain of it.
type mutable struct {
	slog.Handler
	muted *atomic.Bool
}

func (m mutable) Enabled(ctx context.Context, level slog.Level) bool {
	return !m.muted.Load() && m.Handler.Enabled(ctx, level)
}

func (m mutable) WithAttrs(attrs []slog.Attr) slog.Handler {
	return mutable{m.Handler.WithAttrs(attrs), m.muted}
}

func (m mutable) WithGroup(name string) slog.Handler {
	return mutable{m.Handler.WithGroup(name), m.muted}
}
