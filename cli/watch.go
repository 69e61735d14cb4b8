package cli

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/urfave/cli/v2"
)

const flagWatch = "watch"

// watchFlags are those of commands whose answer can be looked at again and again.
func watchFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: flagWatch, Usage: "look again and again until you interrupt", DisableDefaultText: true},
		&cli.DurationFlag{Name: flagInterval, Value: defaultInterval, Usage: "how often to look, with --watch"},
	}
}

// view is an answer in all forms.
type view struct {
	value any   // one JSON document
	lines []any // the same as JSON lines
	text  func(p *printer) error
}

// watched makes urfave's action of one that shows a view, once or with --watch again and again.
func (a *app) watched(look func(ctx context.Context, s *session) (view, error)) cli.ActionFunc {
	return a.action(func(ctx context.Context, in *invocation) error {
		if in.Duration(flagInterval) < minimumInterval {
			return flagError(flagInterval, "%s is less than %s", in.Duration(flagInterval), minimumInterval)
		}
		return in.connect(ctx, func(ctx context.Context, s *session) error {
			once := func() (view, error) {
				return call(ctx, s, func(ctx context.Context) (view, error) { return look(ctx, s) })
			}
			if in.Bool(flagWatch) {
				return s.watchView(ctx, once)
			}
			v, err := once()
			if err != nil {
				return err
			}
			return s.out.view(v)
		})
	})
}

// view prints an answer in the form that is asked for.
func (p *printer) view(v view) error {
	switch p.format {
	case FormatJSON:
		return p.one(v.value, nil)
	case FormatJSONL:
		for _, line := range v.lines {
			if err := p.one(line, nil); err != nil {
				return err
			}
		}
		return nil
	default:
		return v.text(p)
	}
}

// clearScreen puts the cursor into the upper left corner of a terminal and erases what is behind it.
const clearScreen = "\x1b[H\x1b[J"

// watchView shows a view again and again: on a terminal in the same place, elsewhere one below the other; as JSON they
// are the elements of an array.
func (s *session) watchView(ctx context.Context, look func() (view, error)) (err error) {
	all := s.out.live()
	defer func() {
		if s.format == FormatJSON {
			err = errors.Join(err, all.close())
		}
	}()
	every := time.NewTicker(s.Duration(flagInterval))
	defer every.Stop()
	for first := true; ; first = false {
		v, err := look()
		switch {
		case err != nil && ctx.Err() != nil:
			return nil // that is how it is ended
		case err != nil:
			return err
		}
		switch s.format {
		case FormatJSON:
			err = all.add(v.value)
		case FormatJSONL:
			err = s.out.view(v)
		default:
			err = s.redraw(v, first)
		}
		if err != nil {
			return err
		}
		select {
		case <-every.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// redraw writes a view as a whole, so that a terminal does not flicker.
func (s *session) redraw(v view, first bool) error {
	var screen bytes.Buffer
	switch {
	case s.IsTerminal(s.Stdout):
		screen.WriteString(clearScreen)
	case !first:
		screen.WriteString("\n")
	}
	p := *s.out
	p.w = &screen
	if err := p.view(v); err != nil {
		return err
	}
	_, err := s.out.w.Write(screen.Bytes())
	return err
}
