//go:build unix

package importer

import (
	"os"
	"syscall"
)

// lockFile keeps other processes from using the file, for as long as this one lives. It does not wait.
func lockFile(f *os.File) (unlock func() error, err error) {
	fd := int(f.Fd())
	if err := syscall.Flock(fd, syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return func() error { return nil }, err
	}
	return func() error { return syscall.Flock(fd, syscall.LOCK_UN) }, nil
}
