package worker

import (
	"crypto/rand"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"go.temporal.io/sdk/client"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/activities/target"
	"github.com/carillon-io/carillon/store"
)

// Options say what a worker is. Temporal and Redis are required; the zero value of every other field is its default.
type Options struct {
	// Temporal is required: the client, which stays the caller's. One of client.NewLazyClient lets the worker start while
	// Temporal is away. Its data converter reads what clients send: if they encrypt, it has to have their codec.
	Temporal client.Client
	// Namespace is that of the Temporal client, where targets are that name none. Empty: "default".
	Namespace string
	// Redis is required: the client, which stays the caller's. store.Connect makes one with settings that fit.
	Redis redis.UniversalClient

	// Group is the group that the worker serves. Empty: carillon.DefaultGroup.
	Group string
	// Store says how the group keeps its timers. Group and Logger are taken from here; the store's own are ignored.
	Store store.Options
	// WorkerID tells this worker from all others of the group; it must not be used again by a process that runs beside
	// this one. 1 to 100 letters, digits, '_', '-' and '.'. Empty: the host's name and a random suffix.
	WorkerID string

	// Capacity is the worker's share of the tasks, in relation to that of other workers: one of 2 gets twice as many as one
	// of 1. 0: 1.
	Capacity int
	// Zone is where the worker runs: standbys are chosen from other zones first. Empty: none.
	Zone string
	// Labels are shown beside the worker.
	Labels map[string]string

	// LanesPerSlot is how many lanes each slot's fire queue has, the same for all workers of a group. 0: 1.
	LanesPerSlot int
	// Concurrency is how many deliveries of one lane may be under way at the same time. 0: the lane's own default.
	Concurrency int
	// SegmentCapacity is how many index entries a slot's open segment takes before a new one is opened. 0: 1,000,000.
	SegmentCapacity int64
	// Webhook says how webhooks are posted. The zero value posts to public addresses only.
	Webhook target.WebhookOptions
	// TemporalTimeout bounds one delivery to a workflow. 0: target.DefaultTemporalTimeout.
	TemporalTimeout time.Duration
	// OperationConcurrency is how many operations of clients this worker carries out at the same time. 0: 200.
	OperationConcurrency int
	// ObserveInterval is how often the worker looks which segments there are, while nothing else is news. It has to be well
	// below Store.LookAhead: what is in a new segment is swept only when it has been noticed. 0: 5 s, or half of the
	// look-ahead if that is less.
	ObserveInterval time.Duration
	// StopTimeout bounds Run's graceful stop, and how long Temporal's activities may take to end. 0: 30 s.
	StopTimeout time.Duration
	// Logger receives what happens. Nil: slog.Default().
	Logger *slog.Logger

	// buildID names this build in Temporal.
	buildID string
}

const maxCapacity = 1000

// withDefaults fills what is zero, and fails with carillon.ErrInvalidArgument, naming the option.
func (o Options) withDefaults() (Options, error) {
	switch {
	case o.Temporal == nil:
		return o, carillon.InvalidArgument("Temporal",
			"a client is required; client.NewLazyClient makes one while Temporal is away")
	case o.Redis == nil:
		return o, carillon.InvalidArgument("Redis", "a client is required")
	case o.LanesPerSlot < 0 || o.LanesPerSlot > 64:
		return o, carillon.InvalidArgument("LanesPerSlot", "%d is not between 1 and 64", o.LanesPerSlot)
	case o.Capacity < 0 || o.Capacity > maxCapacity:
		return o, carillon.InvalidArgument("Capacity", "%d is not between 1 and %d", o.Capacity, maxCapacity)
	case o.Concurrency < 0:
		return o, carillon.InvalidArgument("Concurrency", "%d is negative", o.Concurrency)
	case o.SegmentCapacity < 0:
		return o, carillon.InvalidArgument("SegmentCapacity", "%d is negative", o.SegmentCapacity)
	case o.OperationConcurrency < 0:
		return o, carillon.InvalidArgument("OperationConcurrency", "%d is negative", o.OperationConcurrency)
	case o.ObserveInterval < 0:
		return o, carillon.InvalidArgument("ObserveInterval", "%s is negative", o.ObserveInterval)
	case o.StopTimeout < 0:
		return o, carillon.InvalidArgument("StopTimeout", "%s is negative", o.StopTimeout)
	}
	if o.Namespace == "" {
		o.Namespace = client.DefaultNamespace
	}
	if o.Group == "" {
		o.Group = carillon.DefaultGroup
	}
	if err := carillon.CheckGroup(o.Group); err != nil {
		return o, err
	}
	if o.WorkerID == "" {
		o.WorkerID = newWorkerID()
	}
	if err := carillon.CheckWorkerID(o.WorkerID); err != nil {
		return o, carillon.InvalidArgument("WorkerID", "%s", carillon.AsError(err).Message)
	}
	o.Capacity = or(o.Capacity, 1)
	o.LanesPerSlot = or(o.LanesPerSlot, 1)
	o.SegmentCapacity = or(o.SegmentCapacity, 1_000_000)
	o.OperationConcurrency = or(o.OperationConcurrency, 200)
	lookAhead := or(o.Store.LookAhead, store.DefaultLookAhead)
	o.ObserveInterval = or(o.ObserveInterval, min(5*time.Second, lookAhead/2))
	o.StopTimeout = or(o.StopTimeout, 30*time.Second)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	o.Logger = o.Logger.With("group", o.Group, "worker", o.WorkerID)
	o.Store.Group, o.Store.Logger = o.Group, o.Logger
	o.buildID = buildID()
	return o, nil
}

// or is the value, or the default for zero.
func or[T comparable](value, fallback T) T {
	var zero T
	if value == zero {
		return fallback
	}
	return value
}

// newWorkerID is the host's name and something random: two processes of a host, or of two hosts of the same name,
// differ.
func newWorkerID() string {
	host, err := os.Hostname()
	if err != nil {
		host = "worker" // the random part tells workers apart; the host only helps people
	}
	host = strings.Map(func(r rune) rune {
		if carillon.CheckWorkerID(string(r)) == nil {
			return r
		}
		return '-'
	}, host)
	return host[:min(len(host), 60)] + "-" + strings.ToLower(rand.Text()[:8])
}

// buildID names the build: the revision it was built from, else the module's version.
func buildID() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value[:min(len(s.Value), 12)]
		}
	}
	return or(strings.Trim(info.Main.Version, "()"), "unknown")
}
