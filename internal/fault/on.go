//go:build faultpoints

package fault

import (
	"fmt"
	"os"
	"syscall"
)

// EnvPoints holds the plan of the process.
const EnvPoints = "CARILLON_FAULT_POINTS"

// process is what the environment asks for.
var process = load()

func load() *board {
	b, err := newBoard(os.Getenv(EnvPoints))
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", EnvPoints, err)
		os.Exit(2)
	}
	b.out, b.signal = os.Stderr, raise
	return b
}

// At passes a point with the result of what lies before it. It gives that result back, unless the plan has something else
// happen; an error is no pass.
func At(p Point, err error) error { return process.at(p, err) }

// raise sends a signal to the process itself. The goroutine does not go past it before the signal has had its effect: a
// signal to a process reaches its threads one after the other.
func raise(s syscall.Signal) {
	if err := syscall.Kill(os.Getpid(), s); err != nil {
		panic(err)
	}
	if s == syscall.SIGKILL {
		select {}
	}
}
