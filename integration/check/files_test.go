package check_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon/integration/check"
)

// A run that has been written down and read again is judged as it was.
func TestRunIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	l := check.NewLedger()
	due := time.Date(2030, 1, 31, 12, 0, 0, 250e6, time.UTC)
	l.Asked(id(0), due, check.ExactlyOnce)
	l.Asked(id(1), due, check.AtLeastOnce)
	l.Asked(id(1), due.Add(time.Second), check.AtLeastOnce) // put off
	l.Asked(id(2), due, check.ExactlyOnce)
	l.Cancelled(id(2))
	l.Received(id(0), due, due.Add(3*time.Millisecond))
	l.Received(id(1), due.Add(time.Second), due.Add(time.Second))
	l.Received(id(1), due.Add(time.Second), due.Add(2*time.Second))
	l.Received(id(3), due, due)

	var asked, received bytes.Buffer
	require.NoError(t, l.Write(&asked, &received))
	require.Equal(t, 5, strings.Count(asked.String(), "\n"))
	require.Contains(t, asked.String(),
		`{"timer_id":"`+id(1).String()+`","fire_at":"2030-01-31T12:00:00.25Z","effects":"at_least_once"}`)
	require.Contains(t, asked.String(), `{"timer_id":"`+id(2).String()+`","cancelled":true}`)
	require.Contains(t, received.String(),
		`{"timer_id":"`+id(0).String()+`","fire_at":"2030-01-31T12:00:00.25Z","received_at":"2030-01-31T12:00:00.253Z"}`)

	again, err := check.Read(&asked, &received)
	require.NoError(t, err)
	require.Equal(t, l.Judge(0, nil), again.Judge(0, nil))
	require.Equal(t, 1, again.Report(0).Unexpected)

	dir := t.TempDir() + "/run"
	require.NoError(t, l.WriteDir(dir))
	again, err = check.ReadFiles(dir+"/"+check.AskedFile, dir+"/"+check.ReceivedFile)
	require.NoError(t, err)
	require.Equal(t, l.Report(0), again.Report(0))
}

func TestLinesThatSayNothingAreRefused(t *testing.T) {
	t.Parallel()
	timer := `{"timer_id":"` + id(0).String() + `"`
	good := timer + `,"fire_at":"2030-01-31T12:00:00Z"}` + "\n"
	for _, bad := range []string{
		"oops", timer + "}", `{"fire_at":"2030-01-31T12:00:00Z"}`, `{"timer_id":"x","cancelled":true}`,
		timer + `,"fire_at":"2030-01-31T12:00:00Z","effects":"sometimes"}`,
		timer + `,"fire_at":"2030-01-31T12:00:00Z","cancelled":true}`,
	} {
		_, err := check.Read(strings.NewReader(good+bad), strings.NewReader(""))
		require.ErrorContains(t, err, "asked.jsonl: line 2", bad)
	}
	_, err := check.Read(strings.NewReader(good), strings.NewReader(good))
	require.ErrorContains(t, err, "received.jsonl: line 1: it needs timer_id, fire_at and received_at")
}
