//go:build unix && !linux

package devserver

import "syscall"

// childAttributes gives a child a process group of its own, so that a Ctrl-C in the terminal reaches this process only, which
// then stops its child last. A child of a process that is killed outright survives it here: only Linux can prevent that.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
