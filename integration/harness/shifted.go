package harness

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// envClockShift is by how many seconds the clock of a shifted worker is off.
const envClockShift = "CARILLON_TEST_CLOCK_SHIFT"

// shiftedBinary builds a carillon-worker whose clock may be off. What shifts the clocks of other programs, libfaketime, does
// nothing to one in Go, which asks the kernel and not the C library; so time.Now itself is another one.
var shiftedBinary = sync.OnceValues(func() (string, error) {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOROOT: %w", err)
	}
	source := filepath.Join(strings.TrimSpace(string(root)), "src", "time", "time.go")
	text, err := os.ReadFile(source)
	if err != nil {
		return "", err
	}
	const ask = "sec, nsec, mono := runtimeNow()\n"
	if !strings.Contains(string(text), "func Now() Time {\n\t"+ask) {
		return "", fmt.Errorf("%s has another Now than this was written for", source)
	}
	shifted := strings.ReplaceAll(string(text), ask, ask+"\tsec += clockShift\n")
	const variable = `package time

import "syscall"

var clockShift = func() int64 {
	text, _ := syscall.Getenv("` + envClockShift + `")
	shift, _ := atoi(text)
	return int64(shift)
}()
`
	dir, err := os.MkdirTemp("", "carillon-clock-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	overlay := map[string]string{}
	for name, content := range map[string]string{"time.go": shifted, "clock_shift.go": variable} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			return "", err
		}
		overlay[filepath.Join(filepath.Dir(source), name)] = path
	}
	replace, err := json.Marshal(map[string]any{"Replace": overlay})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(path, replace, 0o600); err != nil {
		return "", err
	}
	return buildWorker("-overlay", path)
})

// StartShifted starts a worker process whose clock is off by the given time. Otherwise it is as StartProcess.
func (g *Group) StartShifted(t testing.TB, id string, shift time.Duration, args ...string) *Process {
	t.Helper()
	path, err := shiftedBinary()
	require.NoError(t, err)
	return g.startProcess(t, path, []string{envClockShift + "=" + strconv.Itoa(int(shift.Seconds()))}, id, args)
}
