package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/starter"
)

const defaultTimeout = 30 * time.Second

// invocation is one call of a command.
type invocation struct {
	*app
	*cli.Context
	out *printer
}

// note writes a remark to standard error.
func (in *invocation) note(format string, args ...any) {
	fmt.Fprintf(in.Stderr, format+"\n", args...)
}

// action makes urfave's action of ours: it reads --output and refuses positional arguments.
func (a *app) action(run func(ctx context.Context, in *invocation) error) cli.ActionFunc {
	return func(c *cli.Context) error {
		format, err := readFormat(c)
		if err != nil {
			return err
		}
		a.format = format
		if err := refuseArguments(c); err != nil {
			return err
		}
		return run(c.Context, &invocation{app: a, Context: c, out: &printer{w: a.Stdout, format: format, now: a.Now}})
	}
}

// session is a call of a command that talks to Carillon.
type session struct {
	*invocation
	timers  starter.Timers
	to      Connection
	timeout time.Duration
}

// connected makes urfave's action of one that talks to Carillon.
func (a *app) connected(run func(ctx context.Context, s *session) error) cli.ActionFunc {
	return a.action(func(ctx context.Context, in *invocation) error { return in.connect(ctx, run) })
}

func (in *invocation) connect(ctx context.Context, run func(ctx context.Context, s *session) error) (err error) {
	timeout, err := readDelay(in.Context, flagTimeout)
	if err != nil {
		return err
	}
	to, err := in.readConnection(in.Context)
	if err != nil {
		return err
	}
	s := &session{invocation: in, to: to, timeout: timeout}
	if timeout > 0 {
		// The client knows best why there is no answer, if it has a moment to find out.
		to.Timeout = min(max(timeout-timeout/10, time.Second), time.Hour)
	}
	s.timers, err = call(ctx, s, func(ctx context.Context) (starter.Timers, error) { return in.Connect(ctx, to) })
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.timers.Close()) }()
	return run(ctx, s)
}

// call bounds one question by --timeout.
func call[T any](ctx context.Context, s *session, ask func(context.Context) (T, error)) (T, error) {
	if s.timeout == 0 {
		return ask(ctx)
	}
	bounded, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	answer, err := ask(bounded)
	if err != nil && ctx.Err() == nil && bounded.Err() != nil {
		return answer, carillon.Errorf(
			carillon.TypeUnavailable,
			"there was no answer within %s from %s; check that a worker of "+
				"the group runs (carillon dev, carillon-worker), and --group: %w",
			s.timeout,
			s.to.Destination(),
			err,
		)
	}
	return answer, err
}

// probe asks something cheap, so that a command that goes on for long knows early that nobody answers.
func (s *session) probe(ctx context.Context) error {
	_, err := call(ctx, s, func(ctx context.Context) (carillon.CountTimersResult, error) {
		return s.timers.Count(ctx, carillon.CountTimersInput{})
	})
	return err
}

// confirm asks whether to go on with many timers.
func (in *invocation) confirm(question string) error {
	return in.ask(question, "this may change many timers: look at them first with --dry-run, then say --yes")
}

// ask asks whether to go on. Where there is nobody to ask, that is an error with the warning.
func (in *invocation) ask(question, warning string) error {
	if in.Bool(flagYes) {
		return nil
	}
	if !in.IsTerminal(in.Stdin) {
		return flagError(flagYes, "%s", warning)
	}
	fmt.Fprint(in.Stderr, question+" [y/N] ")
	answer, err := bufio.NewReader(in.Stdin).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	default:
		return errors.New("nothing was done")
	}
}
