package devserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/carillon-io/carillon/internal/aof"
)

const (
	// redisStopTimeout is how long a server may take to end after SIGTERM before it is killed.
	redisStopTimeout = 10 * time.Second
	// redisLogLines is how many of the last lines that a server printed go into the error when it dies.
	redisLogLines = 5
)

// realRedis is a redis-server or valkey-server in a child process.
type realRedis struct {
	binary    redisBinary
	temporary bool
	cmd       *exec.Cmd
	log       *redisLog
	ended     chan struct{} // closed when the process has ended
	exit      error         // how it ended, once ended is closed
}

func newRealRedis(
	ctx context.Context,
	binary redisBinary,
	address, dir string,
	options RedisOptions,
) (*realRedis, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("redis: address %q: %w", address, err)
	}
	args := append([]string{
		"--bind", host,
		"--port", port,
		"--dir", dir,
		"--daemonize", "no",
		"--logfile", "", // standard output
		// What the timer store needs: every write in a file within a second, and never a key thrown away.
		"--appendonly", "yes",
		"--appendfsync", "everysec",
		"--maxmemory-policy", "noeviction",
		"--save", "",
	}, options.Args...)
	r := &realRedis{
		binary:    binary,
		temporary: options.DataDir == "",
		// The context of the start ends with it; the server does not.
		cmd:   exec.CommandContext(context.WithoutCancel(ctx), binary.path, args...),
		ended: make(chan struct{}),
		log:   &redisLog{logger: options.Logger},
	}
	r.cmd.Dir = dir
	r.cmd.SysProcAttr = childAttributes()
	r.cmd.Stdout, r.cmd.Stderr = r.log, r.log
	// A child of the child, which rewrites the append-only file, holds the output open for longer than its parent lives.
	r.cmd.WaitDelay = time.Second
	if err := aof.Repair(ctx, binary.path, dir); err != nil { // it may have crashed
		return nil, fmt.Errorf("redis: %w", err)
	}
	if err := r.start(); err != nil {
		return nil, fmt.Errorf("redis: run %s: %w", binary.path, err)
	}
	if err := r.awaitReady(ctx, address); err != nil {
		return nil, errors.Join(fmt.Errorf("redis: %s on %s: %w", binary.path, address, err), r.stop())
	}
	return r, nil
}

// start starts the process and the goroutine that waits for its end.
func (r *realRedis) start() error {
	started := make(chan error)
	go func() {
		// The kernel kills the child when the thread that started it ends, not when the process does. So the thread stays
		// with this goroutine, and this goroutine with the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := r.cmd.Start(); err != nil {
			started <- err
			return
		}
		defer close(r.ended)
		started <- nil
		r.exit = r.cmd.Wait()
	}()
	return <-started
}

// awaitReady returns when the child answers PING, that is when it has loaded its data. That something answers on the port is not
// enough: it may be another server that took the port first.
func (r *realRedis) awaitReady(ctx context.Context, address string) error {
	client := redis.NewClient(&redis.Options{
		Addr:                  address,
		MaxRetries:            -1,
		PoolSize:              1,
		DialerRetries:         1,
		ContextTimeoutEnabled: true,
		DisableIdentity:       true,
	})
	defer client.Close()
	var last error
	err := poll(ctx, func() bool {
		select {
		case <-r.ended:
			return true
		default:
		}
		// The client writes a refused connection to standard error, so it only comes into play once there is a listener.
		var conn net.Conn
		if conn, last = new(net.Dialer).DialContext(ctx, "tcp", address); last != nil {
			return false
		}
		_ = conn.Close()
		if last = client.Ping(ctx).Err(); last != nil {
			return false
		}
		last = r.answers(ctx, client)
		return last == nil
	})
	select {
	case <-r.ended:
		return r.deathError()
	default:
	}
	if err != nil {
		return errors.Join(err, last, r.log.last())
	}
	return nil
}

// answers says whether the server on the other end is the child.
func (r *realRedis) answers(ctx context.Context, client *redis.Client) error {
	info, err := client.Info(ctx, "server").Result()
	if err != nil {
		return err
	}
	for line := range strings.Lines(info) {
		if id, ok := strings.CutPrefix(strings.TrimSpace(line), "process_id:"); ok {
			if id != strconv.Itoa(r.pid()) {
				return fmt.Errorf("process %s answers, not the started one: %w", id, ErrPortInUse)
			}
			return nil
		}
	}
	return errors.New("INFO names no process_id")
}

// deathError says why the process ended by itself.
func (r *realRedis) deathError() error {
	err := errors.Join(fmt.Errorf("it ended at once: %w", r.exitError()), r.log.last())
	if r.log.contains("Address already in use") {
		err = errors.Join(err, ErrPortInUse)
	}
	return err
}

func (r *realRedis) exitError() error {
	if r.exit == nil {
		return errors.New("exit status 0")
	}
	return r.exit
}

func (r *realRedis) kind() string {
	memory := "append-only file"
	if r.temporary {
		memory += ", removed when it stops"
	}
	return fmt.Sprintf("%s %s (%s)", r.binary.name, r.binary.version, memory)
}

func (r *realRedis) pid() int              { return r.cmd.Process.Pid }
func (r *realRedis) done() <-chan struct{} { return r.ended }

func (r *realRedis) stop() error {
	// A stopped (SIGSTOP) server would not hear it; SIGKILL reaches that one too.
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		_ = r.cmd.Process.Kill() // where there is no SIGTERM
	}
	select {
	case <-r.ended:
		return nil
	case <-time.After(redisStopTimeout):
	}
	if err := r.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill process %d: %w", r.pid(), err)
	}
	<-r.ended
	return fmt.Errorf("process %d did not end within %s of SIGTERM: killed", r.pid(), redisStopTimeout)
}

// redisLog takes what the server prints. It is written to by one goroutine.
type redisLog struct {
	logger *slog.Logger
	rest   []byte // of a line whose end has not come yet

	mu    sync.Mutex
	lines []string
}

func (l *redisLog) Write(output []byte) (int, error) {
	l.rest = append(l.rest, output...)
	for {
		line, rest, complete := bytes.Cut(l.rest, []byte("\n"))
		if !complete {
			return len(output), nil
		}
		l.rest = rest
		l.add(string(bytes.TrimSpace(line)))
	}
}

func (l *redisLog) add(line string) {
	if line == "" {
		return
	}
	l.logger.Debug("redis", "line", line)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lines = append(l.lines, line); len(l.lines) > redisLogLines {
		l.lines = l.lines[1:]
	}
}

// last is the end of the log, as an error to join to another; nil if nothing was printed.
func (l *redisLog) last() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) == 0 {
		return nil
	}
	return fmt.Errorf("the last it said: %s", strings.Join(l.lines, "\n"))
}

func (l *redisLog) contains(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(strings.Join(l.lines, "\n"), text)
}
