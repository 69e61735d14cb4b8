package integration_test

import (
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// Without a cache every workflow task begins with a replay of the whole history: what a workflow does that is not in its
// history shows at once. The tests that have most to do with workflows run once more like that, in a process of their own,
// since the cache is the process's; in the longer runs it is all that have to do with Temporal.
func TestWithoutStickyCache(t *testing.T) {
	if withoutStickyCache() {
		t.Skip("this is the run without the cache already")
	}
	few := []string{
		"TestAllRoadsLeadToTheStore", "TestTimersFromInsideAWorkflow", "TestJSONIsTheContractWithOtherLanguages",
		"TestEncryptedPayloadsArriveAsTheyWere",
	}
	args := []string{
		"-test.v", "-test.timeout=10m",
		"-test.skip=^(TestWithoutStickyCache|TestIDs.*|TestEverybodySees.*|TestKilledImport.*|TestEveryFaultPoint.*|TestSoak.*)$",
	}
	if !faults() {
		pattern := ""
		for _, name := range few {
			pattern += "|" + name
		}
		args = append(args, "-test.run=^("+pattern[1:]+")$")
	}
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), self, args...)
	// What takes long takes long enough once.
	cmd.Env = append(os.Environ(), envStickyCache+"=0", "CARILLON_FAULTS=")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	for _, name := range few {
		require.Contains(t, string(out), "--- PASS: "+name+" ")
	}
}
