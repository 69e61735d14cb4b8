package redistest

import (
	"context"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/carillon-io/carillon/store/redistest/redisproc"
)

const startTimeout = 30 * time.Second

// URL returns a redis:// URL of a Redis that all tests of the test binary share: the one of CARILLON_TEST_REDIS_URL,
// else a server process of the test binary's own, else an embedded miniredis, which lasts as long as a test uses it.
func URL(t testing.TB) string {
	t.Helper()
	if url := realURL(t); url != "" {
		return url
	}
	needServer(t)
	warn("no real Redis: tests use the embedded one. NOT TESTED: scripts on a real Redis (shebang flags, struct, " +
		"memory limit), the append-only file, restarts, Cluster")
	return "redis://" + sharedEmbedded(t)
}

// RealURL is URL for tests that the embedded Redis cannot serve: without a real one, the test is skipped, or fails if
// CARILLON_TEST_REQUIRE_REDIS is 1.
func RealURL(t testing.TB) string {
	t.Helper()
	url := realURL(t)
	if url == "" {
		skip(t)
	}
	return url
}

// realURL is the shared real Redis, or "" if there is none.
func realURL(t testing.TB) string {
	t.Helper()
	if url := os.Getenv(redisproc.EnvURL); url != "" {
		if err := reachable(url); err != nil {
			t.Fatalf("redistest: %s=%s: %v", redisproc.EnvURL, url, err)
		}
		return url
	}
	if _, err := redisproc.LookPath(); err != nil {
		return ""
	}
	server, err := sharedServer()
	if err != nil {
		t.Fatalf("redistest: %v", err)
	}
	return server.URL()
}

// sharedServer runs one server for the test binary, which ends with it.
var sharedServer = sync.OnceValues(func() (*redisproc.Process, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	return redisproc.Start(ctx, redisproc.Config{})
})

// reachable asks the Redis of an URL once for the whole test binary, so that a wrong address fails with its reason and
// not as a row of timeouts.
func reachable(url string) error {
	reachability.Lock()
	defer reachability.Unlock()
	if reachability.url == url {
		return reachability.err
	}
	_, err := redisproc.Probe(context.Background(), url)
	reachability.url, reachability.err = url, err
	return err
}

var reachability struct {
	sync.Mutex

	url string
	err error
}
