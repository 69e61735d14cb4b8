package cli

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/redis/go-redis/v9"
	"github.com/urfave/cli/v2"
)

// Names under which the binary works.
const (
	appName       = "carillon"
	extensionName = "temporal-timer"
)

// app is one run of the command line.
type app struct {
	Env
	// format is what --output said, once it has been read: errors are written in the same form.
	format Format
}

// Main runs the command line, args[0] being the program's name, and gives the exit code. SIGINT and SIGTERM end what
// runs in good order; a second one ends the process.
func Main(env Env, args []string) int {
	// A pipe whose reader has gone shall give an error, not kill the process. Unlike ignoring it, taking the signal is not
	// handed down to child processes.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	redis.SetLogger(quietRedis{})
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	defer context.AfterFunc(ctx, stop)() // the next signal is not taken any more
	return Run(ctx, env, args)
}

// Run runs the command line until it is done or ctx ends, and gives the exit code.
func Run(ctx context.Context, env Env, args []string) int {
	a := &app{Env: env, format: FormatText}
	name := appName
	if len(args) > 0 {
		base := strings.TrimSuffix(filepath.Base(args[0]), ".exe")
		if base == extensionName {
			name = extensionName
		}
		args = append([]string{name}, args[1:]...)
	} else {
		args = []string{name}
	}
	return a.report(ctx, a.build(name).RunContext(ctx, args))
}

// build makes the tree of commands.
func (a *app) build(name string) *cli.App {
	root := &cli.App{
		Name:      name,
		HelpName:  name,
		Usage:     "timers by the million for people who run Temporal",
		Writer:    a.Stdout,
		ErrWriter: a.Stderr,
		Reader:    a.Stdin,
		// A label may hold a comma.
		DisableSliceFlagSeparator: true,
		HideVersion:               true,
		HideHelp:                  true,
		Flags: []cli.Flag{
			helpFlag(),
			&cli.BoolFlag{Name: "version", Usage: "print the version"},
		},
		OnUsageError: a.usageError,
		// urfave would end the process here; report decides instead.
		ExitErrHandler: func(*cli.Context, error) {},
		Action: func(c *cli.Context) error {
			if c.Bool("version") {
				return a.printVersion()
			}
			return a.group(c)
		},
	}
	if name == extensionName {
		root.HelpName = "temporal timer"
		root.Usage = "timers by the million, beside Temporal's own"
		root.Commands = append(a.timerCommands(), a.partitionCommand(), a.deadCommand(), a.groupCommand(), a.workerCommand())
	} else {
		root.Description = "Try it:\n\n" +
			"  carillon demo                  see a thousand timers fire\n" +
			"  carillon dev                   run everything on this machine, with Temporal's Web UI\n" +
			"  carillon timer create --client-id me --delay 5s --target mailbox --payload '\"hello\"'\n"
		root.Commands = []*cli.Command{
			a.devCommand(), a.demoCommand(),
			{
				Name: "timer", Usage: "create timers, look at them, change them", Subcommands: a.timerCommands(),
			},
			a.partitionCommand(), a.deadCommand(), a.benchCommand(),
			a.groupCommand(), a.workerCommand(),
		}
	}
	for _, c := range root.Commands {
		a.finish(c)
	}
	return root
}

// finish gives every command what all have.
func (a *app) finish(c *cli.Command) {
	c.HideHelp = true
	c.Flags = append(c.Flags, helpFlag())
	c.OnUsageError = a.usageError
	if c.Action == nil {
		c.Action = a.group
	}
	for _, sub := range c.Subcommands {
		a.finish(sub)
	}
}

// helpFlag is a flag of its own for each command: urfave's global one is written to when it is parsed.
func helpFlag() cli.Flag {
	return &cli.BoolFlag{Name: "help", Aliases: []string{"h"}, Usage: "show this help", DisableDefaultText: true}
}

func (a *app) printVersion() error {
	_, err := a.Stdout.Write([]byte(appName + " " + a.Version + "\n"))
	return err
}

// group is the action of a command that is only a name for others.
func (a *app) group(c *cli.Context) error {
	if c.Args().Present() {
		return a.unknownCommand(c, c.Args().First())
	}
	if c.Command == nil || len(c.Lineage()) <= 2 {
		return cli.ShowAppHelp(c)
	}
	return cli.ShowSubcommandHelp(c)
}

// isBrokenPipe says whether an error is only that nobody reads any more.
func isBrokenPipe(err error) bool { return errors.Is(err, syscall.EPIPE) }
