package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"strings"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/workflow"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/worker"
)

// settings are what the command line and the environment say.
type settings struct {
	worker   worker.Options
	redisURL string
	// stickyCache is of the process, not of a worker: the SDK has one for all.
	stickyCache int

	profile, configFile, address, namespace, codecEndpoint string

	logLevel  slog.Level
	logFormat string
	lookup    lookup
}

// lookup finds an environment variable.
type lookup func(string) (string, bool)

// LookupEnv implements envconfig.EnvLookup.
func (l lookup) LookupEnv(name string) (string, bool) { return l(name) }

// Environ implements envconfig.EnvLookup: it lists what gRPC metadata may be given by, TEMPORAL_GRPC_META_*.
func (l lookup) Environ() []string {
	var out []string
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if value, found := l(name); found {
			out = append(out, name+"="+value)
		}
	}
	return out
}

const envPrefix = "CARILLON_"

func parse(args []string, env func(string) (string, bool), out io.Writer) (*settings, error) {
	s := &settings{lookup: env}
	var redisURL, redisFile, networks string
	f := flag.NewFlagSet("carillon-worker", flag.ContinueOnError)
	f.SetOutput(out)
	f.StringVar(&s.worker.Group, "group", carillon.DefaultGroup, "the `name` of the group to serve")
	f.StringVar(&s.worker.WorkerID, "worker-id", "",
		"this worker's `id`, unique in the group (default: host name and a random suffix)")
	f.StringVar(&redisURL, "redis-url", "", "the `URL` of Redis: redis://host:6379, or rediss:// for TLS; several, "+
		"separated by commas, for a Cluster; one with a password only by CARILLON_REDIS_URL or --redis-url-file")
	f.StringVar(&redisFile, "redis-url-file", "", "a `file` that holds the URL of Redis")
	f.IntVar(&s.worker.Store.Slots, "slots", 0,
		"how many slots a new group gets, a power of two (default: 16, or what the group has)")
	f.IntVar(&s.worker.Store.Number, "store", 0, "the `number` of the store within its group")
	f.IntVar(&s.worker.Capacity, "capacity", 1,
		"this worker's share of the tasks: one of 2 gets twice as many as one of 1")
	f.StringVar(&s.worker.Zone, "zone", "", "the `zone` that the worker runs in: others of another zone stand by for its tasks")
	f.IntVar(&s.worker.LanesPerSlot, "lanes", 1, "how many lanes each slot has; the same for all workers of a group")
	f.IntVar(&s.worker.Concurrency, "concurrency", 0, "how many deliveries of one lane may be under way (default: 64)")
	f.DurationVar(&s.worker.Store.LookAhead, "look-ahead", 0,
		"how long before its time a timer enters the fire queue (default: 10s)")
	f.Int64Var(&s.worker.SegmentCapacity, "segment-capacity", 0,
		"how many timers a segment holds before the next one is opened (default: 1000000)")
	f.BoolVar(&s.worker.Store.AllowVolatile, "allow-volatile", false,
		"accept a Redis that forgets everything when it restarts")
	f.BoolVar(&s.worker.Webhook.AllowPrivate, "webhook-allow-private", false, "let webhooks go to private addresses")
	f.StringVar(&networks, "webhook-allow-networks", "", "let webhooks go to these private networks, `10.1.0.0/16,…`")
	f.DurationVar(&s.worker.StopTimeout, "stop-timeout", 0, "how long a graceful stop may take (default: 30s)")
	f.IntVar(&s.stickyCache, "sticky-cache", 10_000,
		"how many workflows stay in memory between their tasks; 0: none, each is replayed from its history")
	f.StringVar(&s.profile, "profile", "", "the `name` of a profile in Temporal's configuration (default: TEMPORAL_PROFILE)")
	f.StringVar(&s.configFile, "config-file", "",
		"Temporal's configuration `file` (default: TEMPORAL_CONFIG_FILE, or temporal.toml)")
	f.StringVar(&s.address, "address", "", "Temporal's `host:port` (default: TEMPORAL_ADDRESS, the profile's, or localhost:7233)")
	f.StringVar(&s.namespace, "namespace", "",
		"Temporal's `namespace` (default: TEMPORAL_NAMESPACE, the profile's, or default)")
	f.StringVar(&s.codecEndpoint, "codec-endpoint", "", "the `URL` of a codec server, where clients encrypt; "+
		"its Authorization header by TEMPORAL_CODEC_AUTH (default: the profile's codec, or none)")
	f.TextVar(&s.logLevel, "log-level", slog.LevelInfo, "debug, info, warn or error")
	f.StringVar(&s.logFormat, "log-format", "text", "text or json")

	if err := fromEnv(f, env); err != nil {
		return nil, err
	}
	fromEnvironment := redisURL
	redisURL = ""
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil, err
		}
		return nil, carillon.InvalidArgument("flags", "%w", err)
	}
	if f.NArg() > 0 {
		return nil, carillon.InvalidArgument("flags", "%q is no flag; this command takes no arguments", f.Arg(0))
	}
	if s.stickyCache < 0 {
		return nil, carillon.InvalidArgument("sticky-cache", "%d is negative", s.stickyCache)
	}
	if s.logFormat != "text" && s.logFormat != "json" {
		return nil, carillon.InvalidArgument("log-format", "%q is neither text nor json", s.logFormat)
	}
	var err error
	if s.redisURL, err = chooseRedis(redisURL, redisFile, fromEnvironment); err != nil {
		return nil, err
	}
	for _, n := range strings.FieldsFunc(networks, func(r rune) bool { return r == ',' || r == ' ' }) {
		prefix, err := netip.ParsePrefix(n)
		if err != nil {
			return nil, carillon.InvalidArgument("webhook-allow-networks", "%q is no network; one looks like 10.1.0.0/16", n)
		}
		s.worker.Webhook.AllowNetworks = append(s.worker.Webhook.AllowNetworks, prefix)
	}
	return s, nil
}

// fromEnv sets the flags that the environment has. What is on the command line is parsed later, and wins.
func fromEnv(f *flag.FlagSet, env func(string) (string, bool)) error {
	var failure error
	f.VisitAll(func(fl *flag.Flag) {
		name := envPrefix + strings.ToUpper(strings.ReplaceAll(fl.Name, "-", "_"))
		value, found := env(name)
		if !found || value == "" || failure != nil {
			return
		}
		if err := f.Set(fl.Name, value); err != nil {
			failure = carillon.InvalidArgument(name, "its value does not fit: %w", err)
		}
	})
	return failure
}

// chooseRedis finds the URL of Redis: that of the command line, else that of the file, else that of the environment.
func chooseRedis(flagged, file, environment string) (string, error) {
	switch {
	case flagged != "":
		if strings.Contains(flagged, "@") {
			return "", carillon.InvalidArgument("redis-url",
				"it holds a user or a password, which everyone on this machine can see; "+
					"put the URL into %sREDIS_URL or a file (--redis-url-file)", envPrefix)
		}
		return flagged, nil
	case file != "":
		data, err := os.ReadFile(file)
		if err != nil {
			return "", carillon.InvalidArgument("redis-url-file", "%w", err)
		}
		return strings.TrimSpace(string(data)), nil
	case environment != "":
		return environment, nil
	default:
		return "", carillon.InvalidArgument("redis-url", "it is required: set %sREDIS_URL, --redis-url-file or --redis-url",
			envPrefix)
	}
}

func (s *settings) logger(out io.Writer) *slog.Logger {
	o := &slog.HandlerOptions{Level: s.logLevel}
	if s.logFormat == "json" {
		return slog.New(slog.NewJSONHandler(out, o))
	}
	return slog.New(slog.NewTextHandler(out, o))
}

// temporal makes the options of the Temporal client.
func (s *settings) temporal(log *slog.Logger) (client.Options, error) {
	profile, err := envconfig.LoadClientConfigProfile(envconfig.LoadClientConfigProfileOptions{
		ConfigFilePath: s.configFile, ConfigFileProfile: s.profile, EnvLookup: s.lookup,
	})
	if err != nil {
		return client.Options{}, carillon.InvalidArgument("temporal", "its settings cannot be read: %w", err)
	}
	if s.address != "" {
		profile.Address = s.address
	}
	if s.namespace != "" {
		profile.Namespace = s.namespace
	}
	if profile.Namespace == "" {
		profile.Namespace = client.DefaultNamespace
	}
	if s.codecEndpoint != "" {
		if profile.Codec == nil {
			profile.Codec = &envconfig.ClientConfigCodec{}
		}
		profile.Codec.Endpoint = s.codecEndpoint
	}
	remote := profile.Codec != nil && profile.Codec.Endpoint != ""
	o, err := profile.ToClientOptions(envconfig.ToClientOptionsRequest{IncludeRemoteCodec: remote})
	if err != nil {
		return client.Options{}, carillon.InvalidArgument("temporal", "its settings do not fit: %w", err)
	}
	if o.DataConverter != nil { // it calls a server, for which a workflow may have to wait
		o.DataConverter = workflow.DataConverterWithoutDeadlockDetection(o.DataConverter)
	}
	o.Logger = sdklog.NewStructuredLogger(log)
	o.Identity = fmt.Sprintf("carillon-worker@%s", s.worker.Group)
	return o, nil
}
