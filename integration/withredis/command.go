package main

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
)

const exitNotRun = 127

// command runs the command with the given variables set, those with an empty value unset, passes signals on, and returns
// its exit code.
func command(args, variables []string) int {
	cmd := exec.Command(args[0], args[1:]...) //nolint:noctx // it ends when it likes; signals are passed on
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = environment(os.Environ(), variables)

	// Taken before the command starts: a signal that comes now must not end us without it, nor leave a container behind.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	if err := cmd.Start(); err != nil {
		say("%v", err)
		return exitNotRun
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case s := <-signals:
			_ = cmd.Process.Signal(s) // it may have ended this moment
		case err := <-ended:
			return exitCode(err)
		}
	}
}

func exitCode(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case !errors.As(err, &exit):
		say("%v", err)
		return exitFailed
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal()) // as shells do
	}
	return exit.ExitCode()
}

// environment is base with the variables, each "NAME=value", set or, with an empty value, removed.
func environment(base, variables []string) []string {
	var out []string
	named := func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		for _, v := range variables {
			if strings.HasPrefix(v, name+"=") {
				return true
			}
		}
		return false
	}
	for _, entry := range base {
		if !named(entry) {
			out = append(out, entry)
		}
	}
	for _, v := range variables {
		if !strings.HasSuffix(v, "=") {
			out = append(out, v)
		}
	}
	return out
}
