package devserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"

	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/log/tag"
)

// serverLog is the Temporal server's logger. It passes records on to a slog.Logger, and remembers a fatal one.
type serverLog struct {
	slog  *slog.Logger
	fatal *fatalRecord
}

var (
	_ log.Logger      = serverLog{}
	_ log.WithLogger  = serverLog{}
	_ log.SLogWrapper = serverLog{}
)

// newServerLog returns the server's logger and the switch that silences it: a stopping server complains about the connections
// that it closes itself.
func newServerLog(logger *slog.Logger, level func() slog.Level) (serverLog, *atomic.Bool) {
	muted := new(atomic.Bool)
	handler := leveledHandler{Handler: logger.Handler(), level: level, muted: muted}
	return serverLog{slog: slog.New(handler), fatal: new(fatalRecord)}, muted
}

func (l serverLog) Debug(msg string, tags ...tag.Tag)  { l.log(slog.LevelDebug, msg, tags) }
func (l serverLog) Info(msg string, tags ...tag.Tag)   { l.log(slog.LevelInfo, msg, tags) }
func (l serverLog) Warn(msg string, tags ...tag.Tag)   { l.log(slog.LevelWarn, msg, tags) }
func (l serverLog) Error(msg string, tags ...tag.Tag)  { l.log(slog.LevelError, msg, tags) }
func (l serverLog) DPanic(msg string, tags ...tag.Tag) { l.log(slog.LevelError, msg, tags) }

// Panic panics, as its callers rely on: most of them stand below a recover of the server's own.
func (l serverLog) Panic(msg string, tags ...tag.Tag) {
	l.log(slog.LevelError, msg, tags)
	panic(msg)
}

// Fatal ends the goroutine, not the process: the server lives inside somebody else's program. Returning is no choice, because
// the code after it counts on never being reached. During a start the error reaches the caller of StartTemporal.
func (l serverLog) Fatal(msg string, tags ...tag.Tag) {
	l.log(slog.LevelError, msg, tags)
	l.fatal.set(fatalError(msg, tags))
	runtime.Goexit()
}

// With implements log.WithLogger.
func (l serverLog) With(tags ...tag.Tag) log.Logger {
	return serverLog{slog: slog.New(l.slog.Handler().WithAttrs(attrs(tags))), fatal: l.fatal}
}

// SLog implements log.SLogWrapper, for the SDK workers inside the server.
func (l serverLog) SLog() *slog.Logger { return l.slog }

func (l serverLog) log(level slog.Level, msg string, tags []tag.Tag) {
	if l.slog.Enabled(context.Background(), level) {
		l.slog.LogAttrs(context.Background(), level, msg, attrs(tags)...)
	}
}

func attrs(tags []tag.Tag) []slog.Attr {
	list := make([]slog.Attr, len(tags))
	for i, t := range tags {
		list[i] = slog.Any(t.Key(), t.Value())
	}
	return list
}

// fatalError makes an error of a fatal record. The error in it stays one, so that errors.Is finds it.
func fatalError(msg string, tags []tag.Tag) error {
	var cause error
	for _, t := range tags {
		// Value would only give the error's text.
		if zap, ok := t.(tag.ZapTag); ok && cause == nil {
			cause, _ = zap.Field().Interface.(error)
			if cause != nil {
				continue
			}
		}
		msg += fmt.Sprintf(" %s=%v", t.Key(), t.Value())
	}
	if cause == nil {
		return errors.New(msg)
	}
	return fmt.Errorf("%s: %w", msg, cause)
}

// fatalRecord keeps the first fatal error.
type fatalRecord struct {
	mu  sync.Mutex
	err error
}

func (f *fatalRecord) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
}

func (f *fatalRecord) get() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// leveledHandler drops what is below a level, whatever its handler would let through.
type leveledHandler struct {
	slog.Handler
	level func() slog.Level
	muted *atomic.Bool
}

func (h leveledHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= h.level() && !h.muted.Load() && h.Handler.Enabled(ctx, level)
}

func (h leveledHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	h.Handler = h.Handler.WithAttrs(attrs)
	return h
}

func (h leveledHandler) WithGroup(name string) slog.Handler {
	h.Handler = h.Handler.WithGroup(name)
	return h
}
