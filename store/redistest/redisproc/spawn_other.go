//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package redisproc

import (
	"errors"
	"os"
)

const supported = false

var errUnsupported = errors.New("running a Redis server is not supported on this platform")

func spawn(string, []string, string, *os.File, *os.File, *os.File) (int, error) {
	return 0, errUnsupported
}

func check(int) (state, error) { return ended, nil }
func kill(int) error           { return errUnsupported }
func terminate(int) error      { return errUnsupported }
func pause(int) error          { return errUnsupported }
func resume(int) error         { return errUnsupported }
func lockFile(*os.File) error  { return errUnsupported }
