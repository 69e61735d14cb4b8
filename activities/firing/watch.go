package firing

import (
	"context"
	"time"
)

// watchTime is how long one command waits for entries. It is much longer than the time between two renewals of the lease, so
// that an idle lane costs Redis little more than those.
const watchTime = 5 * time.Second

// watch waits for entries of the fire queue beside the reader, which goes on renewing the lease meanwhile.
type watch struct {
	s       *server
	ctx     context.Context
	cancel  context.CancelFunc
	seen    string // the greatest entry id that has been shown
	waiting bool   // a command is under way
	shown   chan answer
}

type answer struct {
	seen string
	err  error
}

func (s *server) watch(ctx context.Context) *watch {
	w := &watch{s: s, shown: make(chan answer, 1)}
	w.ctx, w.cancel = context.WithCancel(ctx)
	return w
}

// stop lets go of the command that is under way. It does not wait for it: Redis' client does not interrupt what it has sent, so
// that it may last for another watchTime, or until the store is closed.
func (w *watch) stop() { w.cancel() }

// await returns when there is an entry after the given one, when the pause is over, or when the reader has to stop.
func (w *watch) await(after string, pause time.Duration) error {
	if !w.waiting {
		w.waiting = true
		from, slot := maxID(after, w.seen), w.s.lane.o.Lane.Slot
		go func() {
			seen, err := w.s.lane.o.Store.Wait(w.ctx, slot, from, watchTime)
			w.shown <- answer{seen: seen, err: err} // there is room for the one answer
		}()
	}
	over := time.NewTimer(pause)
	defer over.Stop()
	select {
	case a := <-w.shown:
		w.waiting, w.seen = false, maxID(w.seen, a.seen)
		if a.err != nil && w.ctx.Err() == nil {
			return a.err
		}
	case <-over.C:
	case <-w.s.quit:
	case <-w.ctx.Done():
	}
	return nil
}
