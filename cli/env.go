package cli

import (
	"context"
	"io"
	"os"
	"runtime/debug"
	"time"

	"golang.org/x/term"

	"github.com/carillon-io/carillon/starter"
)

// Env is what the app takes from its surroundings. Tests put their own in.
type Env struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// IsTerminal says whether one of the three is a terminal.
	IsTerminal func(stream any) bool
	// LookupEnv finds an environment variable, Environ lists them all as name=value.
	LookupEnv func(name string) (string, bool)
	Environ   func() []string
	// Now is the time.
	Now func() time.Time
	// Connect makes the client of a command that talks to Carillon. Its Close closes the connection too. It fails with
	// carillon.ErrInvalidArgument or carillon.ErrUnavailable.
	Connect func(ctx context.Context, to Connection) (starter.Timers, error)
	// StartPlatform starts what dev and demo run on. Nil: this binary has none.
	StartPlatform func(ctx context.Context, options PlatformOptions) (Platform, error)
	// StartRedis starts the Redis that bench measures; embedded takes the one inside even if there is a real one. Nil: this
	// binary has none.
	StartRedis func(ctx context.Context, embedded bool) (RedisServer, error)
	// Version of this build.
	Version string
}

// OSEnv is the process's own surroundings.
func OSEnv() Env {
	return Env{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, IsTerminal: isTerminal,
		LookupEnv: os.LookupEnv, Environ: os.Environ, Now: time.Now, Connect: Connect, Version: buildVersion(),
	}
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	version := info.Main.Version
	if version == "" || version == "(devel)" {
		version = "development build"
	}
	return version + " (" + info.GoVersion + ")"
}
