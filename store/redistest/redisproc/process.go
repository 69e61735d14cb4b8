package redisproc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/carillon-io/carillon/internal/aof"
)

// How long a server may take to come up and to go, whatever the caller's context allows.
const (
	startTimeout = 20 * time.Second
	stopTimeout  = 20 * time.Second
)

// errEnded says that the server is gone.
var errEnded = errors.New("the server has ended")

// state is what became of a server since it was last asked for.
type state int

const (
	unchanged state = iota
	halted
	ended
)

// Process is one server that can be killed, halted and brought back on the same port and directory. Its methods may be
// called from any goroutine.
type Process struct {
	cfg     Config
	dir     string
	ownsDir bool
	port    *port

	mu     sync.Mutex
	pid    int // 0: not running
	paused bool
	closed bool
}

// Start runs a server and returns when it answers.
func Start(ctx context.Context, cfg Config) (*Process, error) {
	if cfg.Fsync == "" {
		cfg.Fsync = "everysec"
	}
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cfg.Binary == "" {
		path, err := LookPath()
		if err != nil {
			return nil, err
		}
		cfg.Binary = path
	}
	p := &Process{cfg: cfg, dir: cfg.Dir}
	if p.dir == "" {
		dir, err := os.MkdirTemp("", "carillon-redis-")
		if err != nil {
			return nil, err
		}
		p.dir, p.ownsDir = dir, true
		if err := tellGuard("remove", dir); err != nil {
			return nil, errors.Join(err, p.Close())
		}
	}
	// A port that looked free can be taken before the server binds it, by a program that does not use this package.
	const tries = 5
	for try := 1; ; try++ {
		var err error
		if p.port, err = reservePort(cfg.Port); err != nil {
			return nil, errors.Join(err, p.Close())
		}
		err = p.Restart(ctx)
		if err == nil {
			return p, nil
		}
		if cfg.Port != 0 || try == tries || !strings.Contains(p.Log(), "Address already in use") {
			return nil, errors.Join(fmt.Errorf("start %s: %w\n%s", cfg.Binary, err, p.Log()), p.Close())
		}
		if err := p.port.release(); err != nil {
			return nil, errors.Join(err, p.Close())
		}
		p.port = nil
	}
}

// Addr is the server's host:port.
func (p *Process) Addr() string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port.number))
}

// URL is the server's address as a redis:// URL.
func (p *Process) URL() string { return "redis://" + p.Addr() }

// Dir holds the append-only file and the log.
func (p *Process) Dir() string { return p.dir }

// PID is the running server's process number, or 0.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pid
}

// VersionOf reads the product and its version from an INFO reply, for example "Redis 7.0.15".
func VersionOf(info string) string {
	// Valkey gives Redis's field too, for old clients.
	if v := infoField(info, "valkey_version"); v != "" {
		return "Valkey " + v
	}
	return "Redis " + infoField(info, "redis_version")
}

// Kill ends the server by SIGKILL, as a crash would, and returns when it is gone. A server that is not running stays so.
func (p *Process) Kill() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.end(kill)
}

// Stop ends the server by SIGTERM, in order, and returns when it is gone. A server that is not running stays so.
func (p *Process) Stop() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.resume(); err != nil { // a halted process does not see SIGTERM
		return err
	}
	return p.end(terminate)
}

// Restart starts the server again on the same port and directory, after stopping it if it runs and repairing the append-only
// file that a crash may have left, and returns when it has loaded its data and answers.
func (p *Process) Restart(ctx context.Context) error {
	if err := p.Stop(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return errors.New("the server is closed")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, errors.New("the server does not answer in time"))
	defer cancel()
	if err := aof.Repair(ctx, p.cfg.Binary, p.dir); err != nil {
		return err
	}
	if err := p.spawn(); err != nil {
		return err
	}
	if err := poll(ctx, func() (bool, error) { return p.ready(ctx) }); err != nil {
		return errors.Join(err, p.end(kill))
	}
	return nil
}

// Pause halts the server by SIGSTOP: connections stay open and nothing answers, as on a machine that hangs.
func (p *Process) Pause() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pid == 0 {
		return errors.New("pause: the server is not running")
	}
	if p.paused {
		return nil
	}
	if err := pause(p.pid); err != nil {
		return fmt.Errorf("pause: %w", err)
	}
	p.paused = true
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	return poll(ctx, func() (bool, error) {
		s, err := p.check()
		return s == halted, err
	})
}

// Resume lets a halted server go on by SIGCONT. A server that is not halted goes on as it is.
func (p *Process) Resume() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.resume()
}

// Close kills the server, gives its port back, and removes its directory if the server made it.
func (p *Process) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	p.closed = true
	errs := []error{p.end(kill)}
	if p.port != nil {
		errs = append(errs, p.port.release())
	}
	if p.ownsDir {
		errs = append(errs, os.RemoveAll(p.dir))
	}
	return errors.Join(errs...)
}

// Log is the end of what the server has written to its log.
func (p *Process) Log() string {
	const most = 4 << 10
	text, err := os.ReadFile(p.logPath())
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-most):])
}

func (p *Process) logPath() string { return filepath.Join(p.dir, "server.log") }

func (p *Process) spawn() error {
	log, err := os.OpenFile(p.logPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer func() { _ = null.Close() }()
	pid, err := spawn(p.cfg.Binary, p.cfg.commandLine(p.dir, p.port.number), p.dir, null, log, log)
	if err != nil {
		return err
	}
	p.pid = pid
	if err := tellGuard("watch", strconv.Itoa(pid)); err != nil {
		return errors.Join(err, p.end(kill))
	}
	return nil
}

// ready reports whether the server answers, and that it is this one.
func (p *Process) ready(ctx context.Context) (bool, error) {
	if _, err := p.check(); err != nil {
		return false, err
	}
	answer, err := ask(ctx, p.Addr(), "PING")
	switch {
	case err != nil:
		return false, nil //nolint:nilerr // not yet: nothing listens
	case strings.HasPrefix(answer, "-NOAUTH"):
		return true, nil // it answers; who asks later brings the password
	case answer != "+PONG":
		return false, nil // still loading its data
	}
	info, err := ask(ctx, p.Addr(), "INFO server")
	if err != nil {
		return false, nil //nolint:nilerr // asked again
	}
	// Somebody else's server on this port would answer in the place of ours, which is about to end.
	return infoField(info, "process_id") == strconv.Itoa(p.pid), nil
}

func (p *Process) resume() error {
	if !p.paused {
		return nil
	}
	if err := resume(p.pid); err != nil {
		return fmt.Errorf("resume: %w", err)
	}
	p.paused = false
	return nil
}

// end sends a signal that ends the server, and awaits its end.
func (p *Process) end(signal func(pid int) error) error {
	if p.pid == 0 {
		return nil
	}
	// The server may have ended by itself; its number is still ours as long as its status has not been taken.
	if err := signal(p.pid); err != nil {
		return fmt.Errorf("signal the server: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), stopTimeout, errors.New("the server does not end in time"))
	defer cancel()
	err := poll(ctx, func() (bool, error) {
		_, err := p.check()
		return false, err
	})
	if errors.Is(err, errEnded) {
		return nil
	}
	return err
}

// check asks for the server's state. When the server has ended, it records that and answers errEnded.
func (p *Process) check() (state, error) {
	s, err := check(p.pid)
	if s != ended || err != nil {
		return s, err
	}
	pid := p.pid
	p.pid, p.paused = 0, false
	if err := tellGuard("forget", strconv.Itoa(pid)); err != nil {
		return s, err
	}
	return s, errEnded
}
