package integration_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/carillon-io/carillon/starter"
)

func TestMain(m *testing.M) {
	if os.Getenv(envMintFile) != "" { // this process is one of TestIDsOfKilledProcessesAreUnique
		fmt.Fprintln(os.Stderr, mintForever())
		os.Exit(1)
	}
	os.Exit(m.Run())
}

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
