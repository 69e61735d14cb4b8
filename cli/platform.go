package cli

import (
	"context"
	"log/slog"

	"go.temporal.io/sdk/client"

	"github.com/carillon-io/carillon/starter"
	"github.com/carillon-io/carillon/store"
)

// PlatformOptions say what dev and demo run on.
type PlatformOptions struct {
	// DataDir keeps Temporal's database and Redis's append-only file. Empty: nothing survives.
	DataDir string
	// IP is where Temporal and its Web UI listen. Empty: 127.0.0.1. Redis listens on that in any case.
	IP string
	// Port, UIPort and RedisPort are those of Temporal, its Web UI and Redis. 0: a free one.
	Port, UIPort, RedisPort int
	// NoUI leaves the Web UI out.
	NoUI bool
	// EmbeddedRedis takes the embedded Redis even if there is a real one.
	EmbeddedRedis bool
	// Namespace of Temporal that is created. Empty: default.
	Namespace string
	// Group of timers. Empty: carillon.DefaultGroup.
	Group string
	// Slots of the group. 0: what it has, or store.DefaultSlots.
	Slots int
	// Logger of the parts. Nil: silence.
	Logger *slog.Logger
}

// PlatformInfo says what runs. It holds nothing secret.
type PlatformInfo struct {
	// Temporal and Redis say in words what they are.
	Temporal string `json:"temporal"`
	Redis    string `json:"redis"`
	// Volatile says that the timers are forgotten when it stops.
	Volatile  bool   `json:"volatile"`
	Address   string `json:"address"`
	Namespace string `json:"namespace"`
	UI        string `json:"ui,omitempty"`
	RedisURL  string `json:"redis_url"`
	Group     string `json:"group"`
	Slots     int    `json:"slots"`
	Worker    string `json:"worker"`
	DataDir   string `json:"data_dir,omitempty"`
}

// Platform is Temporal, its Web UI, Redis and a worker, running.
type Platform interface {
	Info() PlatformInfo
	// Timers is a client through Temporal.
	Timers() starter.Timers
	// Temporal is a client of the Temporal server, Store the timers' store.
	Temporal() client.Client
	Store() *store.Redis
	// Failed receives an error if a part ends by itself.
	Failed() <-chan error
	// Stop stops all parts in good order. ctx bounds it.
	Stop(ctx context.Context) error
}

// RedisServer is a Redis of the app's own, running.
type RedisServer interface {
	// URL is where it listens, Kind says in words what it is.
	URL() string
	Kind() string
	// Stop ends it and forgets what it holds.
	Stop() error
}
