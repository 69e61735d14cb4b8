package redistest

import (
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/carillon-io/carillon/store/redistest/redisproc"
)

// needServer fails the test if a real Redis is required: to be called when there is none.
func needServer(t testing.TB) {
	t.Helper()
	if os.Getenv(redisproc.EnvRequire) == "1" {
		t.Fatalf("redistest: %s=1, and %v", redisproc.EnvRequire, redisproc.ErrNoBinary)
	}
}

// skip ends a test that needs a real Redis.
func skip(t testing.TB) {
	t.Helper()
	needServer(t)
	warn("skipping tests: " + redisproc.ErrNoBinary.Error())
	t.Skipf("redistest: %v", redisproc.ErrNoBinary)
}

// warn prints a line once for the test binary. A skipped test says so only with -v.
func warn(line string) {
	if _, again := warned.LoadOrStore(line, true); !again {
		fmt.Fprintf(os.Stderr, "\n*** carillon tests: %s ***\n\n", line)
	}
}

var warned sync.Map
