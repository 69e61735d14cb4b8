package store

import (
	"sync"
	"time"
)

// Clock tells the time of a store by the process's monotonic clock and an offset that every answer of the store measures
// anew: the store's time at the middle of the round trip, as in NTP (RFC 5905, section 8). The process's own wall clock
// is never asked, so that it may be wrong.
//
// A measurement is off by at most half of its round trip, and by what two clocks can drift apart since; a new one counts
// if it is better than that. A step of the store's clock that no round trip explains is followed at once.
type Clock struct {
	start time.Time // carries the monotonic reading

	mu       sync.Mutex
	offset   time.Duration // the store's time since 1970, less the time since start
	error    time.Duration // half of the round trip it was measured with
	measured time.Duration // when that was, since start
	steps    int64
}

// clockDrift is how fast two clocks may drift apart: 500 parts in a million, the tolerance of NTP.
const clockDrift = 2000

// NewClock makes a clock that knows nothing yet. Until its first measurement it tells the process's own time.
func NewClock() *Clock {
	now := time.Now()
	return &Clock{start: now, offset: time.Duration(now.UnixNano()), error: time.Hour}
}

// Mark is a reading of the process's monotonic clock: take one before each round trip.
func (c *Clock) Mark() time.Duration { return time.Since(c.start) }

// Observe takes a measurement: the store's time in microseconds, as it answered between the mark and now.
func (c *Clock) Observe(sent time.Duration, storeMicros int64) {
	received := c.Mark()
	half := (received - sent) / 2
	offset := time.Duration(storeMicros)*time.Microsecond - (sent + half)

	c.mu.Lock()
	defer c.mu.Unlock()
	apart := offset - c.offset
	if apart < 0 {
		apart = -apart
	}
	bound := c.error + (received-c.measured)/clockDrift
	stepped := c.measured > 0 && apart > half+bound+time.Millisecond
	if stepped {
		c.steps++
	}
	if stepped || c.measured == 0 || half <= bound {
		c.offset, c.error, c.measured = offset, half, received
	}
}

// Now is the store's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	offset := c.offset
	c.mu.Unlock()
	return time.Unix(0, int64(c.Mark()+offset)).UTC()
}

// NowMilli is the store's time in milliseconds since 1970, rounded down.
func (c *Clock) NowMilli() int64 { return c.Now().UnixMilli() }

// Until is how long it is, by the store's clock, until the given millisecond begins. It is 0 for what is past.
func (c *Clock) Until(ms int64) time.Duration {
	return max(time.UnixMilli(ms).Sub(c.Now()), 0)
}

// Error is how far the clock may be off.
func (c *Clock) Error() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.error
}

// Steps is how often the store's clock was seen to step.
func (c *Clock) Steps() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.steps
}
