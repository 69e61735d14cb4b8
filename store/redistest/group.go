package redistest

import (
	"crypto/rand"
	"encoding/hex"
	"testing"
)

// Group is a group name that nobody else uses, so that tests can share a Redis. It begins with "test-": such groups accept
// a shifted clock.
func Group(testing.TB) string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return "test-" + hex.EncodeToString(b[:])
}
