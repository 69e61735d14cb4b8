package devserver

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
)

// Names of what a data directory holds.
const (
	databaseFileName = "temporal.db"
	redisDirName     = "redis"
)

// Options says what [Start] starts.
type Options struct {
	// DataDir keeps Temporal's database (temporal.db) and Redis's files (redis/) across restarts. It is created if missing.
	// Default "": nothing survives Stop. Temporal.DBFile and Redis.DataDir, where set, win over it.
	DataDir string
	// Temporal configures the Temporal server. The zero value: in memory, namespace "default", a free port.
	Temporal TemporalOptions
	// UI configures the Web UI. The zero value: a free port. TemporalAddress is filled in when empty, and so is
	// DefaultNamespace, with the first of Temporal.Namespaces.
	UI UIOptions
	// NoUI leaves the Web UI out; Server.UI is then nil. Default false: it is started.
	NoUI bool
	// Redis configures Redis. The zero value: a real server if PATH has one, with temporary files, on a free port.
	Redis RedisOptions
	// Logger is the logger of each part that has none of its own. Default nil: silence.
	Logger *slog.Logger
}

// Server is all parts, running.
type Server struct {
	// Temporal is never nil.
	Temporal *Temporal
	// UI is nil when Options.NoUI was set.
	UI *UI
	// Redis is never nil.
	Redis *Redis
}

// Start starts Redis, Temporal and the Web UI, and returns when all of them serve. ctx bounds the start only; the parts run
// until [Server.Stop]. When one part fails, those already running are stopped.
func Start(ctx context.Context, options Options) (*Server, error) {
	options = options.withDefaults()

	var (
		server             Server
		temporalErr, rdErr error
		both               sync.WaitGroup
	)
	// The two have nothing to do with each other, and each spends most of its start waiting.
	both.Go(func() { server.Redis, rdErr = StartRedis(ctx, options.Redis) })
	both.Go(func() { server.Temporal, temporalErr = StartTemporal(ctx, options.Temporal) })
	both.Wait()
	if err := errors.Join(rdErr, temporalErr); err != nil {
		return nil, errors.Join(err, server.Stop())
	}
	if options.NoUI {
		return &server, nil
	}
	if options.UI.TemporalAddress == "" {
		options.UI.TemporalAddress = server.Temporal.Address()
	}
	if options.UI.DefaultNamespace == "" {
		options.UI.DefaultNamespace = server.Temporal.Namespaces()[0]
	}
	ui, err := StartUI(ctx, options.UI)
	if err != nil {
		return nil, errors.Join(err, server.Stop())
	}
	server.UI = ui
	return &server, nil
}

func (o Options) withDefaults() Options {
	if o.DataDir != "" {
		if o.Temporal.DBFile == "" {
			o.Temporal.DBFile = filepath.Join(o.DataDir, databaseFileName)
		}
		if o.Redis.DataDir == "" {
			o.Redis.DataDir = filepath.Join(o.DataDir, redisDirName)
		}
	}
	if o.Temporal.Logger == nil {
		o.Temporal.Logger = o.Logger
	}
	if o.Redis.Logger == nil {
		o.Redis.Logger = o.Logger
	}
	return o
}

// Stop stops the Web UI, Temporal and Redis, in this order: Redis goes last so that whatever still ends its work in Temporal
// finds its store. It may be called more than once.
func (s *Server) Stop() error {
	var errs []error
	if s.UI != nil {
		errs = append(errs, s.UI.Stop())
	}
	if s.Temporal != nil {
		errs = append(errs, s.Temporal.Stop())
	}
	if s.Redis != nil {
		errs = append(errs, s.Redis.Stop())
	}
	return errors.Join(errs...)
}
