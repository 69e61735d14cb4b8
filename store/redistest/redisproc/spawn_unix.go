//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package redisproc

import (
	"errors"
	"os"
	"syscall"
)

const supported = true

// Programs are started and awaited by system calls, not by os/exec: os/exec needs a goroutine to notice that a program
// has ended, and that goroutine would live as long as the program does.

// spawn starts a program in a process group of its own, out of reach of a terminal's interrupt.
func spawn(path string, args []string, dir string, stdin, stdout, stderr *os.File) (pid int, err error) {
	for {
		pid, err = syscall.ForkExec(path, append([]string{path}, args...), &syscall.ProcAttr{
			Dir:   dir,
			Env:   os.Environ(),
			Files: []uintptr{stdin.Fd(), stdout.Fd(), stderr.Fd()},
			Sys:   &syscall.SysProcAttr{Setpgid: true},
		})
		if !errors.Is(err, syscall.EINTR) {
			return pid, err
		}
	}
}

// check takes what the kernel has to say of a child's state, without waiting. Once it has said ended, the number may
// belong to another program.
func check(pid int) (state, error) {
	for {
		var status syscall.WaitStatus
		got, err := syscall.Wait4(pid, &status, syscall.WNOHANG|syscall.WUNTRACED, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.ECHILD):
			return ended, nil
		case err != nil:
			return unchanged, err
		case got != pid:
			return unchanged, nil
		case status.Stopped():
			return halted, nil
		default:
			return ended, nil
		}
	}
}

func kill(pid int) error      { return syscall.Kill(pid, syscall.SIGKILL) }
func terminate(pid int) error { return syscall.Kill(pid, syscall.SIGTERM) }
func pause(pid int) error     { return syscall.Kill(pid, syscall.SIGSTOP) }
func resume(pid int) error    { return syscall.Kill(pid, syscall.SIGCONT) }

func lockFile(file *os.File) error {
	return syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}
