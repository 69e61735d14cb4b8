package redistest

import (
	"sync"
	"testing"

	"github.com/alicebob/miniredis/v2"
)

// Embedded runs a miniredis that ends with the test. Keys expire as the clock goes on, and as SetTime moves it; a plain
// miniredis expires nothing until it is told to.
func Embedded(t testing.TB) *miniredis.Miniredis {
	t.Helper()
	m := miniredis.RunT(t)
	m.ClockTTL(true)
	return m
}

// shared is the embedded Redis of URL. It ends with the last test that uses it, so that a test binary that looks for
// leaked goroutines at its end finds none.
var shared struct {
	sync.Mutex

	server *miniredis.Miniredis
	users  int
}

// sharedEmbedded returns the address of the shared embedded Redis.
func sharedEmbedded(t testing.TB) string {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.users == 0 {
		server, err := miniredis.Run()
		if err != nil {
			t.Fatalf("redistest: %v", err)
		}
		server.ClockTTL(true)
		shared.server = server
	}
	shared.users++
	t.Cleanup(func() {
		shared.Lock()
		defer shared.Unlock()
		if shared.users--; shared.users == 0 {
			shared.server.Close()
		}
	})
	return shared.server.Addr()
}
