package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/carillon-io/carillon"
)

// exitInterrupted is what a shell expects of a program that a signal has ended.
const exitInterrupted = 130

// hinted is an error with a word about what to do.
type hinted struct {
	error
	hint string
}

func (h hinted) Unwrap() error { return h.error }

// report writes an error to standard error, in the form that --output asks for, and gives the exit code.
func (a *app) report(ctx context.Context, err error) int {
	switch {
	case err == nil, isBrokenPipe(err):
		return 0
	case ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.Cause(ctx))):
		fmt.Fprintln(a.Stderr, "Interrupted.")
		a.hint(err)
		return exitInterrupted
	}
	code := carillon.ExitCode(err)
	if a.format != FormatText {
		e := &carillon.Error{Type: "Error", Message: err.Error()}
		var ours *carillon.Error
		if errors.As(err, &ours) {
			e.Type, e.Field, e.RetryAfter = ours.Type, ours.Field, ours.RetryAfter
			if err.Error() == ours.Error() { // nothing is said around it
				e.Message = ours.Message
			}
		}
		if data, failed := json.Marshal(map[string]any{"error": e, "exit_code": code}); failed == nil {
			fmt.Fprintln(a.Stderr, string(data))
			return code
		}
	}
	fmt.Fprintln(a.Stderr, "Error:", printable(err.Error()))
	a.hint(err)
	return code
}

// hint says what to do about an error, if it knows.
func (a *app) hint(err error) {
	var h hinted
	if errors.As(err, &h) {
		fmt.Fprintln(a.Stderr, h.hint)
	}
}

// flagError says what is wrong with a flag.
func flagError(flag, format string, args ...any) error {
	return carillon.InvalidArgument("--"+flag, format, args...)
}

// usageError is what urfave makes of a command line that it cannot read.
func (a *app) usageError(c *cli.Context, err error, _ bool) error {
	text := strings.TrimPrefix(err.Error(), "flag provided but not defined: ")
	hint := "See " + fullName(c) + " --help."
	if text == err.Error() {
		return hinted{carillon.InvalidArgument("", "%s", text), hint}
	}
	name := strings.TrimLeft(text, "-")
	var flags []string
	for _, f := range c.Command.Flags {
		flags = append(flags, f.Names()...)
	}
	if near := nearest(name, flags); near != "" {
		hint = "Did you mean --" + near + "? " + hint
	}
	return hinted{carillon.InvalidArgument("--"+name, "there is no such flag"), hint}
}

func (a *app) unknownCommand(c *cli.Context, name string) error {
	commands := c.Command.Subcommands
	if len(commands) == 0 {
		commands = c.App.Commands
	}
	var names []string
	for _, sub := range commands {
		names = append(names, sub.Name)
	}
	hint := "There are: " + strings.Join(names, ", ") + "."
	if near := nearest(name, names); near != "" {
		hint = "Did you mean " + fullName(c) + " " + near + "? " + hint
	}
	return hinted{carillon.InvalidArgument("", "there is no command %q", fullName(c)+" "+name), hint}
}

// refuseArguments refuses what is neither a flag nor a command.
func refuseArguments(c *cli.Context) error {
	if !c.Args().Present() {
		return nil
	}
	return hinted{
		carillon.InvalidArgument(
			"",
			"%q is not expected: this command takes flags only, each before its value",
			c.Args().First(),
		),
		"See " + fullName(c) + " --help.",
	}
}

func fullName(c *cli.Context) string {
	if c.Command != nil && c.Command.HelpName != "" {
		return c.Command.HelpName
	}
	return c.App.HelpName
}

// nearest is the name that is at most two edits away, or begins with what was typed.
func nearest(typed string, names []string) string {
	best, distance := "", 3
	for _, name := range names {
		d := edits(typed, name)
		if len(typed) >= 2 && strings.HasPrefix(name, typed) {
			d = min(d, 1)
		}
		if d < distance && d < max(len(name), 2) {
			best, distance = name, d
		}
	}
	return best
}

// edits is the Levenshtein distance.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next := slices.Clone(row)
		next[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next[j+1] = min(row[j+1]+1, next[j]+1, row[j]+cost)
		}
		row = next
	}
	return row[len(b)]
}
