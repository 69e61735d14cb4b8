package check

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/carillon-io/carillon"
)

// Names of the two files of a run.
const (
	AskedFile    = "asked.jsonl"
	ReceivedFile = "received.jsonl"
)

// Asked is a line of asked.jsonl: something that a client asked for and that was acknowledged. There is one for each create,
// one for each reschedule, with the new time, and one for each cancel.
//
//	{"timer_id":"04000332j4rad268w5a0","fire_at":"2030-01-31T12:00:00.25Z","effects":"at_least_once"}
//	{"timer_id":"04000332j4rad268w5a0","cancelled":true}
//
// effects is at_least_once for a receiver that cannot tell the second time from the first, else exactly_once or left out.
type Asked struct {
	TimerID   carillon.ID `json:"timer_id"`
	FireAt    time.Time   `json:"fire_at,omitzero"`
	Effects   Effects     `json:"effects,omitzero"`
	Cancelled bool        `json:"cancelled,omitempty"`
}

// Received is a line of received.jsonl: a receiver got a timer, was told when it was due, and looked at the clock (the
// store's, or one that is as good).
//
//	{"timer_id":"04000332j4rad268w5a0","fire_at":"2030-01-31T12:00:00.25Z","received_at":"2030-01-31T12:00:00.251Z"}
type Received struct {
	TimerID    carillon.ID `json:"timer_id"`
	FireAt     time.Time   `json:"fire_at"`
	ReceivedAt time.Time   `json:"received_at"`
}

// Write writes the run as lines of JSON.
func (l *Ledger) Write(asked, received io.Writer) error {
	l.mu.Lock()
	a, r := slices.Clone(l.asked), slices.Clone(l.received)
	l.mu.Unlock()
	return errors.Join(writeLines(asked, a), writeLines(received, r))
}

func writeLines[T any](w io.Writer, lines []T) error {
	buffered := bufio.NewWriter(w)
	enc := json.NewEncoder(buffered)
	for _, line := range lines {
		if err := enc.Encode(line); err != nil {
			return err
		}
	}
	return buffered.Flush()
}

// Read reads a run. What is not of the form that Asked and Received describe is an error that names the line.
func Read(asked, received io.Reader) (*Ledger, error) {
	l := NewLedger()
	err := readLines(asked, func(a Asked) error {
		if a.TimerID.IsZero() || a.FireAt.IsZero() == !a.Cancelled {
			return errors.New("it needs timer_id, and fire_at or cancelled")
		}
		l.ask(a)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", AskedFile, err)
	}
	err = readLines(received, func(r Received) error {
		if r.TimerID.IsZero() || r.FireAt.IsZero() || r.ReceivedAt.IsZero() {
			return errors.New("it needs timer_id, fire_at and received_at")
		}
		l.receive(r)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ReceivedFile, err)
	}
	return l, nil
}

func readLines[T any](r io.Reader, take func(T) error) error {
	lines := json.NewDecoder(bufio.NewReader(r))
	for n := 1; ; n++ {
		var value T
		err := lines.Decode(&value)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = take(value)
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
}

// WriteDir writes the run into the two files of a folder, which is made if it is not there.
func (l *Ledger) WriteDir(dir string) (err error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	asked, err := os.Create(filepath.Join(dir, AskedFile))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, asked.Close()) }()
	received, err := os.Create(filepath.Join(dir, ReceivedFile))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, received.Close()) }()
	return l.Write(asked, received)
}

// ReadFiles reads a run from two files.
func ReadFiles(asked, received string) (l *Ledger, err error) {
	a, err := os.Open(asked)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	r, err := os.Open(received)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return Read(a, r)
}
