//go:build !faultpoints

package fault_test

import (
	"errors"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon/internal/fault"
)

// Not parallel: it looks at the environment.
func TestPointsAreNothingWithoutTheTag(t *testing.T) {
	t.Setenv("CARILLON_FAULT_POINTS", "lane.claimed=fail")
	lost := errors.New("lost")
	for _, p := range fault.Points() {
		require.NoError(t, fault.At(p, nil))
		require.Same(t, lost, fault.At(p, lost))
	}
}

// The worker's program has no file of the switchboard among its sources, unless the tag asks for it.
func TestSwitchboardIsBehindTheTag(t *testing.T) {
	t.Parallel()
	files := func(flags ...string) []string {
		args := append([]string{"list", "-f", "{{join .GoFiles \" \"}}"}, append(flags, ".")...)
		out, err := exec.CommandContext(t.Context(), "go", args...).Output()
		require.NoError(t, err)
		return strings.Fields(string(out))
	}
	require.ElementsMatch(t, []string{"doc.go", "off.go", "points.go"}, files())
	require.ElementsMatch(t, []string{"board.go", "doc.go", "on.go", "plan.go", "points.go"}, files("-tags", "faultpoints"))
}
