package importer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/carillon-io/carillon"
)

// Refusal is a line of the refused file: a line of the input of which no timer was made.
type Refusal struct {
	// Line is its number in the input; 1 is the first.
	Line int64 `json:"line"`
	// Error says why.
	Error *carillon.Error `json:"error"`
	// Text is the line as it was. Of one that is too long it is the beginning.
	Text string `json:"text"`
}

// refusedFile takes the refusals. The file is made when there is one.
type refusedFile struct {
	path string
	size int64 // what the journal knows of
	file *os.File
}

// isNew says whether an import with this journal is begun, and not resumed.
func isNew(journal string) bool {
	info, err := os.Stat(journal)
	return journal == "" || err != nil || info.Size() == 0
}

// checkNoRefused refuses to write over a file that somebody may still want to read.
func checkNoRefused(path string) error {
	info, err := os.Stat(path)
	if path == "" || err != nil || info.Size() == 0 {
		return nil //nolint:nilerr // what else is wrong with the file shows when it is opened
	}
	return carillon.InvalidArgument("refused", "%s exists already, and not from this import; remove it or name another", path)
}

// prepare cuts the file back to what the journal knows of.
func (r *refusedFile) prepare() error {
	if r.path == "" {
		return nil
	}
	info, err := os.Stat(r.path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		r.size = 0 // removed by somebody who has read it
		return nil
	case err != nil:
		return fmt.Errorf("the file of refused lines: %w", err)
	}
	r.size = min(r.size, info.Size())
	return r.open()
}

func (r *refusedFile) open() (err error) {
	if r.file, err = os.OpenFile(r.path, os.O_WRONLY|os.O_CREATE, 0o600); err != nil {
		return fmt.Errorf("the file of refused lines: %w", err)
	}
	if err := r.file.Truncate(r.size); err != nil {
		return fmt.Errorf("the file of refused lines: %w", err)
	}
	if _, err := r.file.Seek(r.size, io.SeekStart); err != nil {
		return fmt.Errorf("the file of refused lines: %w", err)
	}
	return nil
}

func (r *refusedFile) write(refusals []Refusal) error {
	if r.path == "" || len(refusals) == 0 {
		return nil
	}
	if r.file == nil {
		if err := r.open(); err != nil {
			return err
		}
	}
	var data []byte
	for _, refusal := range refusals {
		text, err := json.Marshal(refusal)
		if err != nil {
			return fmt.Errorf("the file of refused lines: %w", err)
		}
		data = append(append(data, text...), '\n')
	}
	n, err := r.file.Write(data)
	r.size += int64(n)
	if err != nil {
		return fmt.Errorf("the file of refused lines: %w", err)
	}
	return nil
}

func (r *refusedFile) close() error {
	if r.file == nil {
		return nil
	}
	if err := r.file.Close(); err != nil {
		return fmt.Errorf("the file of refused lines: %w", err)
	}
	return nil
}
