package cli

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/carillon-io/carillon"
)

const (
	flagInterval    = "interval"
	defaultInterval = time.Second
	minimumInterval = 50 * time.Millisecond
)

func (a *app) watchCommand() *cli.Command {
	return &cli.Command{
		Name:  "watch",
		Usage: "follow a timer until it is done, or the counts of all",
		Description: "Each change of a timer is a line. When it is done: exit code 0 if it was fired, 1 if it was " +
			"cancelled or is dead.\n" +
			"Where no timer is named, the counts are shown until you interrupt.\n\n" +
			"Examples:\n\n" +
			"  carillon timer watch --client-id shop --name report-2030-01\n" +
			"  carillon timer watch --timer-id 04000332j4rad268w5a0 --interval 200ms -o jsonl\n" +
			"  carillon timer watch",
		Flags: flags(
			refFlags(),
			[]cli.Flag{&cli.DurationFlag{Name: flagInterval, Value: defaultInterval, Usage: "how often to look"}},
			connectionFlags(),
		),
		Action: a.action(func(ctx context.Context, in *invocation) error {
			if in.Duration(flagInterval) < minimumInterval {
				return flagError(flagInterval, "%s is less than %s", in.Duration(flagInterval), minimumInterval)
			}
			if !in.IsSet(flagTimerID) && !in.IsSet(flagName) && !in.IsSet(flagClientID) {
				return in.connect(ctx, func(ctx context.Context, s *session) error { return s.watchCounts(ctx) })
			}
			ref, err := readRef(in.Context)
			if err != nil {
				return err
			}
			return in.connect(ctx, func(ctx context.Context, s *session) error { return s.watchTimer(ctx, ref) })
		}),
	}
}

// errNotFired ends a watch whose timer will not fire.
var errNotFired = errors.New("the timer was not fired")

func (s *session) watchTimer(ctx context.Context, ref carillon.TimerRef) (err error) {
	out := s.out.live(
		column{name: "SEEN AT             "}, column{name: "STATE    "}, column{name: "VERSION", right: true},
		column{name: "FIRE AT                 "}, column{name: "ATTEMPTS", right: true}, column{name: "LAST ERROR"},
	)
	defer func() { err = errors.Join(err, out.close()) }()
	every := time.NewTicker(s.Duration(flagInterval))
	defer every.Stop()
	var last carillon.TimerInfo
	for {
		info, err := call(ctx, s,
			func(ctx context.Context) (carillon.TimerInfo, error) { return s.timers.Describe(ctx, ref) },
		)
		switch {
		case errors.Is(err, carillon.ErrNotFound) && out.count > 0:
			return fmt.Errorf("it was %s when it was seen last, and what became of it is not known: %w", last.State, err)
		case err != nil:
			return err
		}
		info.Payload = nil
		if !reflect.DeepEqual(info, last) {
			if err := out.add(info, stamp(s.Now()), string(info.State), fmt.Sprint(info.Version), stamp(info.FireAt),
				fmt.Sprint(info.Attempts), info.LastError); err != nil {
				return err
			}
			last = info
		}
		switch {
		case info.State == carillon.StateFired:
			return nil
		case info.State.Done():
			return fmt.Errorf("%w: it is %s", errNotFired, info.State)
		}
		select {
		case <-every.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *session) watchCounts(ctx context.Context) (err error) {
	out := s.out.live(
		column{name: "SEEN AT                 "},
		column{name: "     PENDING", right: true},
		column{name: "       DUE", right: true},
		column{name: "    FIRING", right: true},
		column{name: "      DEAD", right: true},
		column{name: "     CREATED", right: true},
		column{name: "       FIRED", right: true},
		column{name: "   CANCELLED", right: true},
	)
	defer func() { err = errors.Join(err, out.close()) }()
	every := time.NewTicker(s.Duration(flagInterval))
	defer every.Stop()
	for {
		n, err := call(ctx, s, func(ctx context.Context) (carillon.CountTimersResult, error) {
			return s.timers.Count(ctx, carillon.CountTimersInput{})
		})
		if err != nil {
			return err
		}
		now := s.Now().UTC()
		if err := out.add(struct {
			At time.Time `json:"at"`
			carillon.CountTimersResult
		}{now, n}, stamp(now), thousands(n.Pending), thousands(n.Due), thousands(n.Firing), thousands(n.Dead),
			thousands(n.Created),
			thousands(n.Fired), thousands(n.Cancelled)); err != nil {
			return err
		}
		select {
		case <-every.C:
		case <-ctx.Done():
			return nil // that is how it is ended
		}
	}
}
