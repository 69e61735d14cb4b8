package redisproc

import (
	"fmt"
	"os"
	"os/exec"
	"sync"
)

// guardScript kills what it was told to watch and removes what it was told to remove when its standard input ends, which
// the kernel brings about when this program is gone, even by SIGKILL.
//
// Linux's parent-death signal is not used: it fires when the thread that started the child ends, not the program, so
// that a goroutine that exits while locked to that thread would take a server away in the middle of a test. This also
// works elsewhere than on Linux, and removes directories.
const guardScript = `
trap '' HUP INT TERM
pids=
while read -r op arg; do
	case $op in
	watch) pids="$pids $arg" ;;
	forget)
		rest=
		for p in $pids; do [ "$p" = "$arg" ] || rest="$rest $p"; done
		pids=$rest
		;;
	remove) set -- "$@" "$arg" ;;
	esac
done
for p in $pids; do kill -9 "$p"; done
for d; do
	# A dying server may still be writing.
	for try in 1 2 3 4 5; do
		rm -rf "$d" && break
		sleep 0.2
	done
done
`

// guard is this program's one guard, started with the first server.
var guard struct {
	sync.Mutex

	in *os.File
}

// tellGuard sends one line, and starts the guard if need be.
func tellGuard(op, arg string) error {
	guard.Lock()
	defer guard.Unlock()
	if guard.in == nil {
		in, err := startGuard()
		if err != nil {
			return fmt.Errorf("start the guard process: %w", err)
		}
		guard.in = in
	}
	if _, err := fmt.Fprintln(guard.in, op, arg); err != nil {
		return fmt.Errorf("tell the guard process: %w", err)
	}
	return nil
}

func startGuard() (*os.File, error) {
	shell, err := exec.LookPath("sh")
	if err != nil {
		return nil, err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = null.Close() }()
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _ = reader.Close() }()
	// Not our own standard output or error: "go test" waits until nobody holds them any more.
	if _, err := spawn(shell, []string{"-c", guardScript, "guard"}, "/", reader, null, null); err != nil {
		_ = writer.Close()
		return nil, err
	}
	return writer, nil
}
