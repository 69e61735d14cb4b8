//go:build faultpoints

package fault

import (
	"fmt"
	"io"
	"sync"
	"syscall"
	"time"
)

// Error is what a point gives that fails.
type Error struct {
	Point Point
	// Pass says which time it was that the point was passed.
	Pass int
}

func (e *Error) Error() string { return fmt.Sprintf("injected fault at %s, pass %d", e.Point, e.Pass) }

// board counts the passes of each point, and does what its plan says.
type board struct {
	plan   map[Point]*strike
	out    io.Writer
	signal func(syscall.Signal)

	mu     sync.Mutex
	passes map[Point]int
}

func newBoard(plan string) (*board, error) {
	strikes, err := parse(plan)
	if err != nil {
		return nil, err
	}
	return &board{plan: strikes, out: io.Discard, passes: map[Point]int{}}, nil
}

func (b *board) at(p Point, err error) error {
	s := b.plan[p]
	if s == nil || err != nil {
		return err
	}
	b.mu.Lock()
	b.passes[p]++
	pass := b.passes[p]
	b.mu.Unlock()
	if !s.strikes(pass) {
		return nil
	}
	fmt.Fprintf(b.out, "carillon fault: %s: %s at pass %d\n", p, s.action, pass)
	switch s.action {
	case actionKill:
		b.signal(syscall.SIGKILL)
	case actionStop:
		b.signal(syscall.SIGSTOP)
	case actionPause:
		<-time.After(s.pause)
		fmt.Fprintf(b.out, "carillon fault: %s: goes on\n", p)
	case actionFail:
		return &Error{Point: p, Pass: pass}
	}
	return nil
}
