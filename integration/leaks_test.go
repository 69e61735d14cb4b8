package integration_test

import (
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// ours are the goroutines that run code of a worker, of a store or of a client, or of the Redis client underneath: the embedded
// Temporal server, which starts and ends some of its own all the time, has none of them. It gives their stacks by number.
func ours() map[string]string {
	packages := []string{
		"carillon/worker.", "carillon/worker/", "carillon/store.", "carillon/activities", "carillon/starter",
		"carillon/internal/", "redis/go-redis",
	}
	text := make([]byte, 64<<10)
	for {
		n := runtime.Stack(text, true)
		if n < len(text) {
			text = text[:n]
			break
		}
		text = make([]byte, 2*len(text))
	}
	out := map[string]string{}
	for stack := range strings.SplitSeq(string(text), "\n\n") {
		if slices.ContainsFunc(packages, func(p string) bool { return strings.Contains(stack, p) }) {
			number, _, _ := strings.Cut(strings.TrimPrefix(stack, "goroutine "), " ")
			out[number] = stack
		}
	}
	return out
}

// noLeaks waits until there are no goroutines of ours but those that were there before.
func noLeaks(t *testing.T, before map[string]string) {
	t.Helper()
	var left map[string]string
	for deadline := time.Now().Add(2 * time.Minute); ; <-time.After(50 * time.Millisecond) {
		left = ours()
		maps.DeleteFunc(left, func(number, _ string) bool { return before[number] != "" })
		if len(left) == 0 || time.Now().After(deadline) {
			break
		}
	}
	require.Empty(t, slices.Collect(maps.Values(left)), "goroutines are left behind")
}
