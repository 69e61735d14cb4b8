package redisproc

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
)

// Ports come from below every usual range of ephemeral ports, and so do the cluster bus ports above them. A client that
// keeps dialling a dead port of the ephemeral range sooner or later gets that port as its own source port, connects to
// itself, and the server cannot bind it when it comes back.
const (
	firstPort = 14000
	lastPort  = 17999
	busOffset = 10000
	maxPort   = 65535 - busOffset
)

var errPortTaken = errors.New("port is taken")

// port is a TCP port that no other program using this package takes until it is released, not even while nothing
// listens on it: a server that was killed has to come back on the same one.
type port struct {
	number int
	lock   *os.File
}

// reservePort reserves the wanted port, or any free one if wanted is 0.
func reservePort(wanted int) (*port, error) {
	if wanted != 0 {
		return tryPort(wanted)
	}
	const count = lastPort - firstPort + 1
	start := rand.IntN(count)
	for i := range count {
		p, err := tryPort(firstPort + (start+i)%count)
		if errors.Is(err, errPortTaken) {
			continue
		}
		return p, err
	}
	return nil, fmt.Errorf("no free port from %d to %d", firstPort, lastPort)
}

func tryPort(number int) (*port, error) {
	// The lock belongs to the open file: the kernel drops it when this program ends in whatever way. The file stays,
	// because removing a file that others may be locking gives two of them the lock.
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("carillon-test-ports-%d", os.Getuid()))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(dir, strconv.Itoa(number)), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := lockFile(file); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %d: another test holds it", errPortTaken, number), file.Close())
	}
	for _, n := range []int{number, number + busOffset} {
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(n)))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%w: %w", errPortTaken, err), file.Close())
		}
		if err := listener.Close(); err != nil {
			return nil, errors.Join(err, file.Close())
		}
	}
	return &port{number: number, lock: file}, nil
}

func (p *port) release() error {
	return p.lock.Close()
}
