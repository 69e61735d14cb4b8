package importer

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/carillon-io/carillon"
)

// journalVersion is the version of the journal's format.
const journalVersion = 1

// entry is a line of the journal. Exactly one of its fields is set.
type entry struct {
	Import *importEntry `json:"import,omitempty"`
	Send   *sendEntry   `json:"send,omitempty"`
	Answer *answerEntry `json:"answer,omitempty"`
}

// importEntry is the first line of a journal.
type importEntry struct {
	Version   int       `json:"version"`
	ID        string    `json:"id"`
	StartedAt time.Time `json:"started_at"`
	// Destination is where the timers go. A journal is good for one destination.
	Destination string `json:"destination"`
	ExactlyOnce bool   `json:"exactly_once"`
}

// sendEntry says that a batch is about to be sent.
type sendEntry struct {
	Start int64     `json:"start"`
	End   int64     `json:"end"`
	Line  int64     `json:"line"`
	Lines int64     `json:"lines"`
	Sum   string    `json:"sum"`
	At    time.Time `json:"at"`
}

// answerEntry says what became of the batch that begins at Start.
type answerEntry struct {
	Start    int64 `json:"start"`
	Lines    int64 `json:"lines"`
	Created  int64 `json:"created"`
	Existing int64 `json:"existing"`
	Refused  int64 `json:"refused"`
	// RefusedBytes is the length of the refused file with this batch's refusals.
	RefusedBytes int64 `json:"refused_bytes"`
}

// journal is the memory of an import. Without a file it forgets.
type journal struct {
	file   *os.File
	unlock func() error
	info   importEntry

	// What the journal says:
	totals      Totals
	answers     int64 // batches that were answered
	refusedSize int64
	first, last *sendEntry
	open        map[int64]*sendEntry // sent and not answered, by their start
}

// openJournal opens the journal at the path, or begins it. An empty path is a journal in memory.
func openJournal(path string, fresh importEntry) (*journal, error) {
	fresh.Version = journalVersion
	j := &journal{info: fresh, open: map[int64]*sendEntry{}, unlock: func() error { return nil }}
	if path == "" {
		j.info.ID = uuid.NewString()
		return j, nil
	}
	var err error
	if j.file, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, fmt.Errorf("the import's journal: %w; name another place with --journal", err)
	}
	if err := j.begin(path, fresh); err != nil {
		return nil, errors.Join(err, j.close())
	}
	return j, nil
}

// begin locks the journal and reads it, or writes its first line.
func (j *journal) begin(path string, fresh importEntry) (err error) {
	if j.unlock, err = lockFile(j.file); err != nil {
		return carillon.InvalidArgument("journal",
			"%s is in use: another import of the same file is running (%w); wait for it, or stop it first", path, err)
	}
	size, err := j.load(path)
	if err != nil {
		return err
	}
	// What a crash has left half-written at the end was never acted upon.
	if err := j.file.Truncate(size); err != nil {
		return fmt.Errorf("the import's journal: %w", err)
	}
	if _, err := j.file.Seek(size, io.SeekStart); err != nil {
		return fmt.Errorf("the import's journal: %w", err)
	}
	if size == 0 {
		j.info.ID = uuid.NewString()
		return j.append(entry{Import: &j.info}, true)
	}
	if j.info.Version != journalVersion {
		return carillon.InvalidArgument("journal", "%s is of version %d; this release reads version %d",
			path, j.info.Version, journalVersion)
	}
	if j.info.Destination != fresh.Destination {
		return carillon.InvalidArgument("journal", "%s is about an import into %s, not into %s; name another with --journal",
			path, j.info.Destination, fresh.Destination)
	}
	return nil
}

// load reads the journal and gives the length of what is whole.
func (j *journal) load(path string) (size int64, err error) {
	if _, err := j.file.Seek(0, io.SeekStart); err != nil {
		return 0, fmt.Errorf("the import's journal: %w", err)
	}
	in := bufio.NewReaderSize(j.file, 64<<10)
	for n := 1; ; n++ {
		text, err := in.ReadSlice('\n')
		switch {
		case errors.Is(err, io.EOF):
			return size, nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return 0, fmt.Errorf("the import's journal %s: %w", path, err)
		}
		var e entry
		dec := json.NewDecoder(bytes.NewReader(text))
		dec.DisallowUnknownFields()
		if err != nil || dec.Decode(&e) != nil || !j.apply(n, e) {
			return 0, carillon.InvalidArgument(
				"journal",
				"%s, line %d: this is no journal of an import; name another with --journal",
				path,
				n,
			)
		}
		size += int64(len(text))
	}
}

func (j *journal) apply(n int, e entry) bool {
	switch {
	case (n == 1) != (e.Import != nil):
		return false
	case e.Import != nil:
		j.info = *e.Import
	case e.Send != nil:
		if j.last != nil && e.Send.Start < j.last.End {
			return false
		}
		if j.first == nil {
			j.first = e.Send
		}
		j.last = e.Send
		j.open[e.Send.Start] = e.Send
	case e.Answer != nil:
		if j.open[e.Answer.Start] == nil {
			return false
		}
		j.settle(*e.Answer)
	default:
		return false
	}
	return true
}

func (j *journal) settle(a answerEntry) {
	delete(j.open, a.Start)
	j.answers++
	j.totals.Lines += a.Lines
	j.totals.Created += a.Created
	j.totals.Existing += a.Existing
	j.totals.Refused += a.Refused
	j.refusedSize = a.RefusedBytes
}

// send says that the batch is about to be sent. When it returns, that is on the disk.
func (j *journal) send(b *batch) error {
	return j.append(entry{Send: &sendEntry{
		Start: b.start, End: b.end, Line: b.first, Lines: b.lineCount(), Sum: b.sum, At: b.sentAt,
	}}, true)
}

// answer says what became of a batch. It is not synced: if it is lost, the batch is in doubt, and that is dealt with.
func (j *journal) answer(a answerEntry) error {
	return j.append(entry{Answer: &a}, false)
}

// append writes with one call, so that a process that dies leaves whole lines. It may be called by several goroutines:
// files that are written at their end need no lock for that, and nothing else of the journal is touched.
func (j *journal) append(e entry, sync bool) error {
	if j.file == nil {
		return nil
	}
	data, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("the import's journal: %w", err)
	}
	if _, err := j.file.Write(append(data, '\n')); err != nil {
		return fmt.Errorf("the import's journal: %w", err)
	}
	if sync {
		if err := j.file.Sync(); err != nil {
			return fmt.Errorf("the import's journal: %w", err)
		}
	}
	return nil
}

// unanswered gives the batches in doubt, in the input's order.
func (j *journal) unanswered() []*sendEntry {
	open := make([]*sendEntry, 0, len(j.open))
	for _, s := range j.open {
		open = append(open, s)
	}
	slices.SortFunc(open, func(a, b *sendEntry) int { return int(a.Start - b.Start) })
	return open
}

func (j *journal) close() error {
	if j.file == nil {
		return nil
	}
	err := errors.Join(j.file.Sync(), j.unlock(), j.file.Close())
	if err != nil {
		return fmt.Errorf("the import's journal: %w", err)
	}
	return nil
}
