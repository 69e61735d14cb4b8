package devserver

import (
	"time"

	"github.com/alicebob/miniredis/v2"
)

// embeddedTick is how late a key of the embedded server may expire.
const embeddedTick = 100 * time.Millisecond

// embeddedRedis is miniredis, with a clock.
type embeddedRedis struct {
	server *miniredis.Miniredis
	quit   chan struct{}
	ended  chan struct{}
}

func newEmbeddedRedis(address string) (*embeddedRedis, error) {
	e := &embeddedRedis{
		server: miniredis.NewMiniRedis(),
		quit:   make(chan struct{}),
		ended:  make(chan struct{}),
	}
	if err := e.server.StartAddr(address); err != nil {
		return nil, err
	}
	go e.expire()
	return e, nil
}

// expire makes time pass for the TTLs, which miniredis leaves to its user. Its own ClockTTL would do so too, but walks over all
// keys at every command.
func (e *embeddedRedis) expire() {
	defer close(e.ended)
	ticker := time.NewTicker(embeddedTick)
	defer ticker.Stop()
	last := time.Now()
	for {
		select {
		case <-e.quit:
			return
		case <-ticker.C:
			// The real time that has passed, not the tick: a busy machine delays ticks.
			now := time.Now()
			e.server.FastForward(now.Sub(last))
			last = now
		}
	}
}

func (e *embeddedRedis) kind() string          { return "embedded (forgets everything when it stops)" }
func (e *embeddedRedis) pid() int              { return 0 }
func (e *embeddedRedis) done() <-chan struct{} { return e.ended }

func (e *embeddedRedis) stop() error {
	e.server.Close()
	close(e.quit)
	<-e.ended
	return nil
}
