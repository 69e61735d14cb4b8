// Command withredis runs a command, as a rule "go test", with a real Redis at hand:
//
//	withredis [flags] [--] command [arguments]
//
// It takes the first Redis that it can get, in this order:
//
//	env        CARILLON_TEST_REDIS_URL, which has to answer
//	container  a container, where a Docker engine answers: of CARILLON_TEST_REDIS_IMAGE, else of redis:7.2-alpine, else,
//	           where neither can be pulled in time, of an image built from the installed redis-server
//	path       redis-server or valkey-server from PATH
//	install    the same after installing the distribution's package, as root on a machine with apt
//
// and runs the command with CARILLON_TEST_REDIS_URL set. One line on standard error tells which it is. Where there is
// none, the command runs without that variable, tests use the embedded Redis, and a loud line tells what is not tested.
//
// Fault tests start servers of their own, whatever the above gave them: when a container is used, and redis-server is not
// on PATH and can be installed, it is.
//
// The exit code is the command's; 125 if withredis itself fails, 127 if the command cannot be run.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/carillon-io/carillon/store/redistest/redisproc"
)

const (
	exitUsage  = 2
	exitFailed = 125
)

// findTimeout bounds everything before the command runs. Installing a package is the longest of it.
const findTimeout = 8 * time.Minute

type options struct {
	requireReal bool
	from        []string
	pullTimeout time.Duration
	command     []string
}

func main() {
	opts, err := parse(os.Args[1:], os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return
	case err != nil:
		fmt.Fprintln(os.Stderr, "withredis:", err)
		os.Exit(exitUsage)
	}
	os.Exit(run(opts))
}

func parse(args []string, out io.Writer) (options, error) {
	opts := options{from: slices.Clone(sources)}
	flags := flag.NewFlagSet("withredis", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.Usage = func() {
		fmt.Fprintln(out, "usage: withredis [flags] [--] command [arguments]")
		flags.PrintDefaults()
	}
	flags.BoolVar(&opts.requireReal, "require-real", false,
		"fail where no real Redis can be had, and make tests fail that would be skipped without one")
	flags.DurationVar(&opts.pullTimeout, "pull-timeout", 30*time.Second, "how long to wait for an image")
	flags.Func("from", "comma-separated `sources` to try (default "+strings.Join(sources, ",")+")", func(text string) error {
		opts.from = strings.Split(text, ",")
		for _, name := range opts.from {
			if !slices.Contains(sources, name) {
				return fmt.Errorf("no source %q", name)
			}
		}
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return opts, err
	}
	if opts.command = flags.Args(); len(opts.command) == 0 {
		return opts, errors.New("no command given")
	}
	return opts, nil
}

func run(opts options) (code int) {
	ctx, cancel := context.WithTimeout(context.Background(), findTimeout)
	defer cancel()
	found, err := find(ctx, opts)
	if err != nil {
		say("%v", err)
		return exitFailed
	}
	defer func() {
		if err := found.close(); err != nil {
			say("get rid of the Redis from %s: %v", found.from, err)
			if code == 0 {
				code = exitFailed
			}
		}
	}()
	environment := []string{redisproc.EnvURL + "=" + found.url}
	if found.real() {
		say("real %s from %s at %s", found.version, found.from, found.url)
		if _, err := redisproc.LookPath(); err != nil {
			say("*** %v. NOT TESTED: what needs servers of a test's own: crashes, restarts, Cluster ***", err)
		}
	} else {
		say("*** NO REAL REDIS: tests use the embedded one. NOT TESTED: scripts on a real Redis (shebang flags, struct, " +
			"memory limit), the append-only file, crashes, restarts, Cluster ***")
		if opts.requireReal {
			return exitFailed
		}
	}
	if opts.requireReal {
		environment = append(environment, redisproc.EnvRequire+"=1")
	}
	return command(opts.command, environment)
}

func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "carillon tests: "+format+"\n", args...)
}
