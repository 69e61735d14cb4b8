package cli

import (
	"fmt"
	"io"
	"time"
)

// liveLine is a line on standard error that tells how things are going: on a terminal always the same one, elsewhere a
// new one every few seconds.
type liveLine struct {
	w        io.Writer
	terminal bool
	now      func() time.Time
	last     time.Time
	shown    bool
}

// plainEvery is how often a line is written where there is no terminal.
const plainEvery = 5 * time.Second

func (in *invocation) liveLine() *liveLine {
	return &liveLine{w: in.Stderr, terminal: in.IsTerminal(in.Stderr), now: in.Now, last: in.Now()}
}

func (l *liveLine) show(text string) {
	switch {
	case l.terminal:
		fmt.Fprintf(l.w, "\r\x1b[K%s", text)
		l.shown = true
	case l.now().Sub(l.last) >= plainEvery:
		fmt.Fprintln(l.w, text)
		l.last = l.now()
	}
}

// end leaves the last text standing.
func (l *liveLine) end() {
	if l.shown {
		fmt.Fprintln(l.w)
		l.shown = false
	}
}
