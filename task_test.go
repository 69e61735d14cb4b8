package carillon

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTaskText(t *testing.T) {
	t.Parallel()
	for text, task := range map[string]Task{
		"sweep/0/12/3":      {Kind: TaskSweep, Slot: 12, Number: 3},
		"fire/255/4095/0":   {Kind: TaskFire, Store: 255, Slot: 4095},
		"sweep/0/0/1000000": {Kind: TaskSweep, Number: 1_000_000},
	} {
		require.Equal(t, text, task.String())
		got, err := ParseTask(text)
		require.NoError(t, err)
		require.Equal(t, task, got)

		id := TaskWorkflowID("a-group_1.x", task)
		require.Equal(t, "carillon/a-group_1.x/"+text, id)
		group, got, err := ParseTaskWorkflowID(id)
		require.NoError(t, err)
		require.Equal(t, "a-group_1.x", group)
		require.Equal(t, task, got)
	}
}

func TestParseTaskRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "sweep", "sweep/0/1", "sweep/0/1/2/3", "dance/0/1/2", "Sweep/0/1/2", "sweep/-1/1/2", "sweep/0/+1/2",
		"sweep/0/01/2", "sweep/0/1/", "sweep/0/1/x", "sweep/0/1/99999999999999999999", "sweep/0/1/2 ", "/0/1/2",
		strings.Repeat("/", 1000),
	} {
		_, err := ParseTask(text)
		require.ErrorIs(t, err, ErrInvalidArgument, text)
		require.Equal(t, "task", AsError(err).Field)
		_, _, err = ParseTaskWorkflowID("carillon/group/" + text)
		require.ErrorIs(t, err, ErrInvalidArgument, text)
	}
	for _, id := range []string{
		"", "carillon", "carillon/group", "carillon//sweep/0/1/2", "other/group/sweep/0/1/2", "carillon/gr oup/sweep/0/1/2",
		"carillon/group/coordinator",
	} {
		_, _, err := ParseTaskWorkflowID(id)
		require.ErrorIs(t, err, ErrInvalidArgument, id)
	}
}
