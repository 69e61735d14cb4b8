package integration_test

import (
	"fmt"
	"os"
	"testing"

	"go.temporal.io/sdk/worker"

	"github.com/carillon-io/carillon/starter"
)

func TestMain(m *testing.M) {
	if os.Getenv(envCarillon) != "" { // this process is the command carillon
		os.Exit(carillonCommand())
	}
	if os.Getenv(envMintFile) != "" { // this process is one of TestIDsOfKilledProcessesAreUnique
		fmt.Fprintln(os.Stderr, mintForever())
		os.Exit(1)
	}
	if withoutStickyCache() {
		worker.SetStickyWorkflowCacheSize(0)
	}
	os.Exit(m.Run())
}

// envStickyCache, if it is 0, takes the workflow cache away from every worker of a run: of this process, and of those that it
// starts, since carillon-worker has a flag of that name.
const envStickyCache = "CARILLON_STICKY_CACHE"

func withoutStickyCache() bool { return os.Getenv(envStickyCache) == "0" }

// starterOptions are those of tests that have no wishes.
var starterOptions = starter.Options{}

// longer skips a test that "make test" has no time for.
func longer(t *testing.T) {
	t.Helper()
	if !faults() {
		t.Skip("a longer run, part of make faults: CARILLON_FAULTS=1")
	}
}

// faults says that the longer runs are asked for: make faults.
func faults() bool { return os.Getenv("CARILLON_FAULTS") == "1" }
