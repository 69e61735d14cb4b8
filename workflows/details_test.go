package workflows

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon"
)

func TestDetails(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	in := carillon.TaskWorkflowInput{Group: "g", Task: carillon.Task{
		Kind: carillon.TaskFire, Store: 1, Slot: 2,
		Number: 3,
	}}
	s := carillon.TaskWorkflowState{
		Attached: &carillon.Assignment{Worker: "w|1", Lease: "5:w", Since: at},
		Attaches: 4, Fired: 10, Retried: 2,
		Refused: 1, LastRefusal: "bad\nnews",
		LastEnd: &carillon.AttachmentEnd{
			Assignment: carillon.Assignment{Worker: "w0"}, At: at, Reason: carillon.EndUnreachable, Error: "Heartbeat",
			Status: &carillon.TaskStatus{LastError: strings.Repeat("x", 500), LastErrorAt: at},
		},
	}
	text := details(in, s)
	for _, line := range []string{
		"| task | fire store 1, slot 2, lane 3 |",
		`| worker | w\|1 |`,
		"| since | 2026-01-02 03:04:05 UTC |",
		"| attachments | 4 |",
		"| done before | 10 fired, 2 retried, 0 dead |",
		"| ended | unreachable Heartbeat, at 2026-01-02 03:04:05 UTC |",
		"| refused signals | 1, the last: bad news |",
	} {
		require.Contains(t, text, line+"\n")
	}
	require.Contains(t, text, strings.Repeat("x", 300)+"… |", "long values are clipped")
	for line := range strings.Lines(text) {
		require.True(t, strings.HasPrefix(line, "|") && strings.HasSuffix(line, "|\n"), "%q is no row", line)
	}

	require.Contains(t, details(carillon.TaskWorkflowInput{}, carillon.TaskWorkflowState{}), "none: waiting")
}
