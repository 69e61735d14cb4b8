package harness

import (
	"os/exec"
	"syscall"
)

// endWithParent makes the process end with the test binary, should that be killed.
func endWithParent(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
