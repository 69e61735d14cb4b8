//go:build unix

package main

import (
	"errors"
	"syscall"
)

// alive reports whether a process exists, be it another user's.
func alive(pid int) bool {
	return !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
}
