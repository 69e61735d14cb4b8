// Package lease waits for leases: what the loops of sweepers and of lanes have in common.
package lease

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	mathrand "math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/carillon-io/carillon/store"
)

// Poll is how often somebody who waits for a lease asks for it: a holder that is leaving can count on being relieved within
// this time if anybody waits.
const Poll = 500 * time.Millisecond

// Backoff is how a loop waits when the store fails: 20 ms at first, a second at the most, for ever.
func Backoff() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval, b.Multiplier = 20*time.Millisecond, time.Second, 2
	b.Reset()
	return b
}

// Acquire asks for a lease until it has it or ctx ends. Each call asks as another owner, so that the lease of a loop that has
// ended is never mistaken for its own. A standby gives others a moment to take a lease that is free, and then asks only when it
// may have lapsed. What goes wrong is reported and tried again.
func Acquire(
	ctx context.Context, clock *store.Clock, worker string, standby bool,
	acquire func(owner string) (store.Token, error), failed func(error),
) (store.Token, error) {
	var nonce [6]byte
	_, _ = rand.Read(nonce[:]) // never fails: crypto/rand ends the program instead
	owner := worker + "-" + hex.EncodeToString(nonce[:])
	wait := Backoff()
	if standby {
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(2 * Poll):
		}
	}
	for {
		token, err := acquire(owner)
		if err == nil {
			return token, nil
		}
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		var pause time.Duration
		var held *store.HeldError
		if errors.As(err, &held) {
			wait.Reset()
			pause = clock.Until(held.UntilMilli) + time.Millisecond
			if !standby {
				pause = min(pause, Poll)
			}
			pause += mathrand.N(pause/10 + 1) // those who wait for the same lease do not all ask at once
		} else {
			failed(err)
			pause = wait.NextBackOff()
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(pause):
		}
	}
}
