package devserver

import "syscall"

// childAttributes ties a child to this process. It gets a process group of its own, so that a Ctrl-C in the terminal reaches
// this process only, which then stops its child last. And the kernel kills it when this process dies in a way that leaves no
// time to stop it: nothing is lost by that, since what a server has answered it has also written.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
