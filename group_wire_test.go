package carillon

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestCheckWorkerID(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"a", "Host-1.example_com", strings.Repeat("x", MaxWorkerID)} {
		require.NoError(t, CheckWorkerID(good))
	}
	for _, bad := range []string{"", "a b", "a/b", "a:b", "ä", "a\x00", strings.Repeat("x", MaxWorkerID+1)} {
		err := CheckWorkerID(bad)
		require.ErrorIs(t, err, ErrInvalidArgument, bad)
		require.Equal(t, "worker", AsError(err).Field)
	}
}

// What other languages read must not change by accident.
func TestGroupAsJSON(t *testing.T) {
	t.Parallel()
	at := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	group := DescribeGroupResult{
		Group: "g", Now: at, Control: Control{Epoch: 2, Number: 7, DecidedAt: at}, Controlled: true,
		Workers: []WorkerInfo{{
			Member: Member{Worker: "w", Capacity: 2, Load: 0.5, Zone: "z", Draining: true, Joined: at, Seen: at},
			Sweep:  1, Fire: 2, Assigned: 3,
		}},
		Tasks: []TaskInfo{{
			Task: Task{Kind: TaskFire, Slot: 3, Number: 1}, Worker: "w", Since: at, Assigned: "v",
			Problem: ProblemElsewhere,
		}},
	}
	data, err := json.Marshal(group)
	require.NoError(t, err)
	require.JSONEq(t, `{
		"group": "g", "now": "2030-01-01T00:00:00Z",
		"control": {"epoch": 2, "number": 7, "decided_at": "2030-01-01T00:00:00Z"}, "controlled": true,
		"workers": [{
			"worker": "w", "capacity": 2, "load": 0.5, "zone": "z", "draining": true, "joined": "2030-01-01T00:00:00Z",
			"seen": "2030-01-01T00:00:00Z", "sweep": 1, "fire": 2, "assigned": 3
		}],
		"tasks": [{
			"kind": "fire", "store": 0, "slot": 3, "number": 1, "worker": "w", "since": "2030-01-01T00:00:00Z",
			"assigned": "v", "problem": "run elsewhere"
		}]
	}`, string(data))
	var back DescribeGroupResult
	require.NoError(t, json.Unmarshal(data, &back))
	require.Equal(t, group, back)

	var in DrainWorkerInput
	require.NoError(t, DecodeInput([]byte(`{"worker": "w", "even_last": true}`), &in))
	require.Equal(t, DrainWorkerInput{Worker: "w", EvenLast: true}, in)
	require.ErrorIs(t, DecodeInput([]byte(`{"worker": "w", "even_lats": true}`), &in), ErrInvalidArgument)
}
