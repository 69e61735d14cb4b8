package devserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/server/common/authorization"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/dynamicconfig"
	"go.temporal.io/server/temporal"
)

// DefaultNamespace is the namespace that is created when none is named.
const DefaultNamespace = "default"

// startAttempts is how often a start is tried when a port that was free when it was picked is taken by the time it is used.
const startAttempts = 3

// errHalfWay is the error of a start that did not come to its end.
var errHalfWay = errors.New("its start ended half-way")

// TemporalOptions configures [StartTemporal]. The zero value is a server that keeps everything in memory.
type TemporalOptions struct {
	// IP is where the frontend listens. Default "": 127.0.0.1. Anything but a loopback address opens a server without any
	// authentication to the network. The other services always listen on 127.0.0.1.
	IP string
	// Port is the gRPC port of the frontend; Temporal's usual one is 7233. Default 0: a free one.
	Port int
	// HTTPPort is the port of the frontend's HTTP API, which Nexus needs too. Default 0: a free one.
	HTTPPort int
	// Namespaces are registered before the server starts; those that exist stay as they are. Their retention is one day.
	// Default none: "default".
	Namespaces []string
	// SearchAttributes are the custom search attributes, by name, that each of Namespaces has; missing ones are added.
	// Default none.
	SearchAttributes map[string]enumspb.IndexedValueType
	// DBFile is the SQLite file; it and its directory are created if missing, and its lock file and write-ahead log lie beside
	// it. Default "": in memory, forgotten at Stop.
	DBFile string
	// DynamicConfig are dynamic configuration values by key, such as {"frontend.namespaceRPS": 100}, written over this
	// package's own, which lift the rate limits. A duration may be a time.Duration or a string. An unknown key or a value of
	// the wrong type is an error. Default none.
	DynamicConfig map[string]any
	// Logger takes the server's log. Default nil: silence.
	Logger *slog.Logger
	// LogLevel is the least severe level that reaches Logger. Default nil: slog.LevelWarn, since the server logs a lot.
	LogLevel slog.Leveler //nolint:misspell // log/slog spells it so
}

// Temporal is a running Temporal server.
type Temporal struct {
	server      temporal.Server
	database    *database
	dynamic     *dynamicconfig.MemoryClient
	namespaces  []string
	address     string
	httpAddress string
	muted       *atomic.Bool

	stop    sync.Once
	stopErr error
}

// StartTemporal starts a Temporal server and returns when its frontend serves and its namespaces take requests. ctx bounds
// the start only; the server runs until [Temporal.Stop].
func StartTemporal(ctx context.Context, options TemporalOptions) (*Temporal, error) {
	options, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	for attempt := 1; ; attempt++ {
		ports, err := pickTemporalPorts(options)
		if err != nil {
			return nil, err
		}
		t, err := startTemporal(ctx, options, ports)
		if err == nil || attempt == startAttempts || !isPortInUse(err) {
			return t, err
		}
	}
}

func (o TemporalOptions) withDefaults() (TemporalOptions, error) {
	var err error
	if o.IP, err = checkIP("temporal", o.IP); err != nil {
		return o, err
	}
	var namespaces []string
	for _, name := range o.Namespaces {
		if name == "" {
			return o, fmt.Errorf("temporal: namespaces %q: one has no name: remove it", o.Namespaces)
		}
		if !slices.Contains(namespaces, name) {
			namespaces = append(namespaces, name)
		}
	}
	if len(namespaces) == 0 {
		namespaces = []string{DefaultNamespace}
	}
	o.Namespaces = namespaces
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.LogLevel == nil {
		o.LogLevel = slog.LevelWarn
	}
	return o, nil
}

func startTemporal(ctx context.Context, options TemporalOptions, ports temporalPorts) (*Temporal, error) {
	dynamic, err := newDynamicConfig(options.DynamicConfig)
	if err != nil {
		return nil, fmt.Errorf("temporal: %w", err)
	}
	db, err := openDatabase(ctx, options.DBFile, options.Namespaces, options.SearchAttributes)
	if err != nil {
		return nil, err
	}
	serverLog, muted := newServerLog(options.Logger, options.LogLevel.Level)
	t := &Temporal{
		database:    db,
		dynamic:     dynamic,
		namespaces:  options.Namespaces,
		address:     net.JoinHostPort(dialable(options.IP), strconv.Itoa(ports.frontend)),
		httpAddress: net.JoinHostPort(dialable(options.IP), strconv.Itoa(ports.http)),
		muted:       muted,
	}
	serverOptions := []temporal.ServerOption{
		temporal.WithConfig(serverConfig(options, ports, db.config)),
		temporal.ForServices(temporal.DefaultServices),
		temporal.WithStaticHosts(staticHosts(options, ports)),
		temporal.WithDynamicConfigClient(dynamic),
		temporal.WithLogger(serverLog),
		// Both are what the server does by default, but only after a warning.
		temporal.WithAuthorizer(authorization.NewNoopAuthorizer()),
		temporal.WithClaimMapper(func(*config.Config) authorization.ClaimMapper {
			return authorization.NewNoopClaimMapper()
		}),
	}
	if err := t.start(ctx, serverOptions, serverLog.fatal); err != nil {
		return nil, fmt.Errorf("start temporal on %s: %w", t.address, err)
	}
	if err := t.awaitReady(ctx, options.SearchAttributes); err != nil {
		return nil, errors.Join(fmt.Errorf("temporal on %s started but does not serve: %w", t.address, err), t.Stop())
	}
	return t, nil
}

// start runs the server's constructor and its start, which take no context, in a goroutine that can be left behind. The
// database is closed when it fails.
func (t *Temporal) start(ctx context.Context, options []temporal.ServerOption, fatal *fatalRecord) error {
	var (
		server  temporal.Server
		err     error
		settled = make(chan struct{})
	)
	go func() {
		defer close(settled)
		// A fatal log record, which ends this goroutine, leaves this error behind.
		err = errHalfWay
		var started temporal.Server
		if started, err = newServer(options); err != nil {
			return
		}
		err = errHalfWay
		if err = started.Start(); err == nil {
			server = started
		}
	}()
	select {
	case <-settled:
	case <-ctx.Done():
		go func() {
			<-settled
			if server != nil {
				t.server = server
				_ = t.Stop()
				return
			}
			_ = t.database.close()
		}()
		return fmt.Errorf("not finished in time: %w", context.Cause(ctx))
	}
	if reason := fatal.get(); reason != nil {
		err = errors.Join(reason, err)
		if errors.Is(err, errHalfWay) {
			err = reason
		}
	}
	if err != nil {
		return errors.Join(err, t.database.close())
	}
	t.server = server
	return nil
}

// newServer is temporal.NewServer with its panics as errors.
func newServer(options []temporal.ServerOption) (server temporal.Server, err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("panic: %v", reason)
		}
	}()
	return temporal.NewServer(options...)
}

// Address is the host:port that clients and workers connect to.
func (t *Temporal) Address() string { return t.address }

// HTTPAddress is the host:port of the HTTP API.
func (t *Temporal) HTTPAddress() string { return t.httpAddress }

// Namespaces are the registered namespaces in the order given, never empty.
func (t *Temporal) Namespaces() []string { return slices.Clone(t.namespaces) }

// SetDynamicConfig changes a dynamic configuration value of the running server, within a second or so, and returns the
// function that takes the change back. Some keys are only read at the start: give those in TemporalOptions.
func (t *Temporal) SetDynamicConfig(key string, value any) (restore func(), err error) {
	checked, err := checkDynamicConfig(key, value)
	if err != nil {
		return nil, fmt.Errorf("temporal: %w", err)
	}
	return t.dynamic.OverrideValue(dynamicconfig.MakeKey(key), checked), nil
}

// Stop stops the server and gives its ports and its database file back. It takes a second or two while
// clients are connected, because the server lets their requests end. It may be called more than once.
func (t *Temporal) Stop() error {
	t.stop.Do(func() {
		t.muted.Store(true)
		if err := t.server.Stop(); err != nil {
			t.stopErr = fmt.Errorf("stop temporal on %s: %w", t.address, err)
		}
		t.stopErr = errors.Join(t.stopErr, t.database.close())
	})
	return t.stopErr
}
