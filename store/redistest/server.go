package redistest

import (
	"context"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/carillon-io/carillon/store/redistest/redisproc"
)

// Options says how to run a server. The zero value keeps an append-only file with an fsync every second, evicts nothing
// and has no memory limit.
type Options struct {
	// Args are appended to the server's command line and win over the other options. For a replica:
	// "--replicaof", host, port.
	Args []string
	// Dir holds the append-only file and the log. Default: a temporary directory.
	Dir string
	// Fsync is the append-only file's fsync policy: always, everysec or no. Default: everysec.
	Fsync string
	// MaxMemory in bytes. Default (0): no limit.
	MaxMemory int64
	// Port on 127.0.0.1. Default (0): a free one.
	Port int
}

// Server is a real server process of one test's own. Its methods may be called from any goroutine; a method that cannot
// do its work marks the test as failed.
type Server struct {
	t    testing.TB
	proc *redisproc.Process
}

// Start runs a server that ends with the test. Without redis-server or valkey-server on PATH the test is skipped, or
// fails if CARILLON_TEST_REQUIRE_REDIS is 1.
func Start(t testing.TB, opts Options) *Server {
	t.Helper()
	return start(t, opts, false)
}

func start(t testing.TB, opts Options, cluster bool) *Server {
	t.Helper()
	if _, err := redisproc.LookPath(); err != nil {
		skip(t)
	}
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	proc, err := redisproc.Start(ctx, redisproc.Config{
		Dir: opts.Dir, Port: opts.Port, Fsync: opts.Fsync, MaxMemory: opts.MaxMemory, Cluster: cluster, Args: opts.Args,
	})
	if err != nil {
		t.Fatalf("redistest: %v", err)
	}
	s := &Server{t: t, proc: proc}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the log of the Redis at %s ends:\n%s", s.Addr(), proc.Log())
		}
		s.check("close", proc.Close())
	})
	return s
}

// URL is the server's address as a redis:// URL.
func (s *Server) URL() string { return s.proc.URL() }

// Addr is the server's host:port.
func (s *Server) Addr() string { return s.proc.Addr() }

// Dir holds the append-only file and the log.
func (s *Server) Dir() string { return s.proc.Dir() }

// PID is the running server's process number, or 0.
func (s *Server) PID() int { return s.proc.PID() }

// Log is the end of the server's log.
func (s *Server) Log() string { return s.proc.Log() }

// Kill ends the server by SIGKILL, as a crash would, and returns when it is gone.
func (s *Server) Kill() {
	s.t.Helper()
	s.check("kill", s.proc.Kill())
}

// Stop ends the server by SIGTERM, in order, and returns when it is gone.
func (s *Server) Stop() {
	s.t.Helper()
	s.check("stop", s.proc.Stop())
}

// Restart starts the server again on the same port and directory, after stopping it if it still runs, and returns when it
// has loaded its data and answers.
func (s *Server) Restart() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	s.check("restart", s.proc.Restart(ctx))
}

// Pause halts the server by SIGSTOP: connections stay open and nothing answers. It returns when the server is halted.
func (s *Server) Pause() {
	s.t.Helper()
	s.check("pause", s.proc.Pause())
}

// Resume lets a halted server go on.
func (s *Server) Resume() {
	s.t.Helper()
	s.check("resume", s.proc.Resume())
}

// Client returns a new client of the server, closed with the test. It honours deadlines and does not retry, so that a
// test sees each failure.
func (s *Server) Client() *redis.Client {
	client := redis.NewClient(&redis.Options{
		Addr: s.Addr(), ContextTimeoutEnabled: true, MaxRetries: -1, DialerRetries: 1,
	})
	s.t.Cleanup(func() { _ = client.Close() })
	return client
}

// check does not use FailNow: a fault is often made from another goroutine than the test's.
func (s *Server) check(what string, err error) {
	s.t.Helper()
	if err != nil {
		s.t.Errorf("redistest: %s the Redis at %s: %v", what, s.Addr(), err)
	}
}
