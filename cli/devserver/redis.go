package devserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// defaultRedisStartTimeout leaves time to load an append-only file of some gigabytes.
const defaultRedisStartTimeout = time.Minute

// RedisOptions configures [StartRedis]. The zero value is a real server if PATH has one, with its files in a temporary
// directory, else the embedded one.
type RedisOptions struct {
	// DataDir is the directory of the append-only file; it is created if missing. Default "": a temporary one, removed at
	// Stop. The embedded server writes no files.
	DataDir string
	// Port is the port on 127.0.0.1; Redis's usual one is 6379. Default 0: a free one.
	Port int
	// Embedded starts the embedded server even if a real one could be found. Default false.
	Embedded bool
	// Binary is the server to run, a name in PATH or a path; if it cannot be used, StartRedis fails. Default "": redis-server
	// or else valkey-server, 7.0 or newer, and if there is none the embedded server.
	Binary string
	// Args are more command line arguments of a real server, such as {"--maxmemory", "64mb"}; they win over this package's
	// own. Default none. The embedded server has none.
	Args []string
	// StartTimeout is how long a real server may take to load its data and answer. Default 0: one minute.
	StartTimeout time.Duration
	// Logger is told why the embedded server was chosen, and at debug level what a real one prints. Default nil: silence.
	Logger *slog.Logger
}

// Redis is a running Redis, real or embedded.
type Redis struct {
	backend redisBackend
	address string
	release func() error // gives the data directory back

	stop    sync.Once
	stopErr error
}

// redisBackend is what differs between the two.
type redisBackend interface {
	kind() string
	pid() int
	done() <-chan struct{}
	stop() error
}

// StartRedis starts a Redis on 127.0.0.1 and returns when it answers. ctx bounds the start only; it runs until [Redis.Stop].
func StartRedis(ctx context.Context, options RedisOptions) (*Redis, error) {
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	if options.StartTimeout <= 0 {
		options.StartTimeout = defaultRedisStartTimeout
	}
	if options.Embedded {
		if options.Binary != "" {
			return nil, fmt.Errorf("redis: both Embedded and Binary %q are set: choose one", options.Binary)
		}
		return startEmbeddedRedis(options)
	}
	binary, err := findRedis(ctx, options.Binary)
	if err == nil {
		return startRealRedis(ctx, options, binary)
	}
	if options.Binary != "" || ctx.Err() != nil {
		return nil, fmt.Errorf("redis: %w", err)
	}
	options.Logger.Warn("no Redis to run: using the embedded one, which forgets everything when it stops",
		"reason", err.Error(), "remedy", "install redis-server or valkey-server 7.0 or newer")
	return startEmbeddedRedis(options)
}

func startEmbeddedRedis(options RedisOptions) (*Redis, error) {
	address, err := redisAddress(options)
	if err != nil {
		return nil, err
	}
	backend, err := newEmbeddedRedis(address)
	if err != nil {
		return nil, fmt.Errorf("redis: start the embedded one on %s: %w", address, err)
	}
	return &Redis{backend: backend, address: address, release: func() error { return nil }}, nil
}

func startRealRedis(ctx context.Context, options RedisOptions, binary redisBinary) (*Redis, error) {
	dir, release, err := redisDir(options.DataDir)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, options.StartTimeout)
	defer cancel()
	for attempt := 1; ; attempt++ {
		address, err := redisAddress(options)
		if err != nil {
			return nil, errors.Join(err, release())
		}
		backend, err := newRealRedis(ctx, binary, address, dir, options)
		if err == nil {
			return &Redis{backend: backend, address: address, release: release}, nil
		}
		// A picked port may be taken by the time it is used; a given one was just seen to be free.
		if options.Port != 0 || attempt == startAttempts || !isPortInUse(err) {
			return nil, errors.Join(err, release())
		}
	}
}

func redisAddress(options RedisOptions) (string, error) {
	port := options.Port
	if port != 0 {
		if err := checkPort("redis", loopback, port); err != nil {
			return "", err
		}
	} else {
		ports, err := freePorts(loopback, 1)
		if err != nil {
			return "", fmt.Errorf("redis: %w", err)
		}
		port = ports[0]
	}
	return net.JoinHostPort(loopback, strconv.Itoa(port)), nil
}

// redisDir creates the data directory. It returns what gives it back: unlocks it, or removes a temporary one.
func redisDir(dataDir string) (dir string, release func() error, err error) {
	if dataDir == "" {
		dir, err := os.MkdirTemp("", "carillon-redis-")
		if err != nil {
			return "", nil, fmt.Errorf("redis: create a temporary data directory: %w", err)
		}
		return dir, func() error { return os.RemoveAll(dir) }, nil
	}
	if dir, err = filepath.Abs(dataDir); err != nil {
		return "", nil, fmt.Errorf("redis: data directory %s: %w", dataDir, err)
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return "", nil, fmt.Errorf("redis: create its data directory %s: %w", dir, err)
	}
	release, err = lockData("redis data directory", filepath.Join(dir, "carillon.lock"))
	if err != nil {
		return "", nil, err
	}
	return dir, release, nil
}

// Address is the host:port that clients connect to.
func (r *Redis) Address() string { return r.address }

// URL is the address as redis.ParseURL takes it.
func (r *Redis) URL() string { return "redis://" + r.address + "/0" }

// Kind says in words what it is and what it remembers: "redis-server 7.0.15 (append-only file)", "valkey-server 8.1.1
// (append-only file, removed when it stops)" or "embedded (forgets everything when it stops)".
func (r *Redis) Kind() string { return r.backend.kind() }

// Real says that it is a Redis or Valkey server, in a process of its own, and not the embedded one.
func (r *Redis) Real() bool { return r.PID() != 0 }

// PID is the process id of a real server, which fault tests send signals to. It is 0 for the embedded one.
func (r *Redis) PID() int { return r.backend.pid() }

// Done is closed when it has stopped, whether Stop was called or its process died.
func (r *Redis) Done() <-chan struct{} { return r.backend.done() }

// Stop stops it: a real server by SIGTERM, on which it writes its files, and by SIGKILL if that takes longer than ten seconds.
// It may be called more than once, and after the process has died.
func (r *Redis) Stop() error {
	r.stop.Do(func() {
		if err := r.backend.stop(); err != nil {
			r.stopErr = fmt.Errorf("stop redis on %s: %w", r.address, err)
		}
		r.stopErr = errors.Join(r.stopErr, r.release())
	})
	return r.stopErr
}
