//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package devserver

import (
	"os"
	"syscall"
)

func lockFile(file *os.File) error {
	return syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}
