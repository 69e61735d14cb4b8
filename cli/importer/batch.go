package importer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/carillon-io/carillon"
)

const (
	// maxLine is the longest line, in bytes: a payload of the largest size in base64, and room for the rest.
	maxLine = 1 << 20
	// keptOfLongLine is how much of a longer line is reported.
	keptOfLongLine = 4 << 10
	// maxBatchBytes cuts a batch: well below what one operation of the service takes.
	maxBatchBytes = 1 << 20
	// linger is how long a batch that is not full waits for more lines from an input that has none ready.
	linger = 100 * time.Millisecond
	// chunkSize is how much is read at once.
	chunkSize = 256 << 10
)

// line is one line of the input, without its line break.
type line struct {
	number  int64 // 1 is the first
	text    []byte
	tooLong bool // text is only its beginning
}

// batch is a range of the input: what is sent in one request.
type batch struct {
	start, end int64 // bytes
	first      int64 // the number of its first line
	lines      []line
	blank      int64 // lines that hold nothing
	sum        string
	cut        bool      // its last line has no line break: it is the end of the input
	sentAt     time.Time // when it was sent for the first time
	again      bool      // an earlier run has sent it and has not seen the answer
}

func (b *batch) lineCount() int64 { return int64(len(b.lines)) + b.blank }

// chunk is what one read gave.
type chunk struct {
	data []byte
	err  error
}

// source cuts an input into batches.
type source struct {
	input  io.Reader
	seeker io.Seeker // nil: the input can only be read through
	base   int64     // where the seeker stood at the beginning

	chunks chan chunk // nil: nothing is being read
	stop   context.CancelFunc

	rest   []byte // of the chunk in hand
	err    error  // what ended the input: io.EOF or a failure
	offset int64
	number int64 // of the line that comes next
}

func newSource(input io.Reader) *source {
	s := &source{input: input, number: 1}
	if seeker, ok := input.(io.Seeker); ok {
		// A pipe has the method too, and refuses.
		if base, err := seeker.Seek(0, io.SeekCurrent); err == nil {
			s.seeker, s.base = seeker, base
		}
	}
	return s
}

// start reads ahead in a goroutine of its own, since a read from a pipe cannot be given up. The goroutine ends with
// close, at the latest after the read under way.
func (s *source) start(ctx context.Context) {
	ctx, s.stop = context.WithCancel(ctx)
	chunks := make(chan chunk, 2)
	s.chunks = chunks
	go func() {
		defer close(chunks)
		for {
			data := make([]byte, chunkSize)
			n, err := s.input.Read(data)
			select {
			case chunks <- chunk{data: data[:n], err: err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
}

// close ends reading ahead.
func (s *source) close() {
	if s.stop != nil {
		s.stop()
	}
}

// fill makes sure that there is something in rest, or err. ready says that nothing came within the patience; 0 is for
// ever.
func (s *source) fill(ctx context.Context, patience time.Duration) (ready bool, err error) {
	if s.chunks == nil && s.err == nil {
		s.start(ctx)
	}
	var impatient <-chan time.Time
	if patience > 0 && len(s.chunks) == 0 {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		impatient = timer.C
	}
	for len(s.rest) == 0 && s.err == nil {
		select {
		case c, open := <-s.chunks:
			if !open {
				return false, errStopped
			}
			s.rest, s.err = c.data, c.err
		case <-impatient:
			return false, nil
		case <-ctx.Done():
			return false, errStopped
		}
	}
	return true, nil
}

// next gives the next batch: at most maxLines lines, or exactly the bytes up to end if that is not 0. At the end of the
// input it fails with io.EOF.
func (s *source) next(ctx context.Context, maxLines int, end int64) (*batch, error) {
	b := &batch{start: s.offset, first: s.number}
	sum := sha256.New()
	var (
		text    []byte // of the line under way
		size    int    // of all lines
		partial bool   // a line is under way
		tooLong bool
	)
	finish := func() {
		partial = false
		l := line{number: s.number, text: text, tooLong: tooLong}
		if s.number == 1 {
			l.text = bytes.TrimPrefix(l.text, []byte("\ufeff")) // some editors begin a file with a byte order mark
		}
		l.text = bytes.TrimRight(l.text, "\r")
		s.number++
		size += len(text)
		text, tooLong = nil, false
		if len(bytes.TrimSpace(l.text)) == 0 {
			b.blank++
			return
		}
		b.lines = append(b.lines, l)
	}
	full := func() bool {
		if end != 0 {
			return s.offset >= end
		}
		return !partial && (b.lineCount() >= int64(maxLines) || size >= maxBatchBytes)
	}
	for !full() {
		var patience time.Duration
		if end == 0 && b.lineCount() > 0 && !partial {
			patience = linger
		}
		ready, err := s.fill(ctx, patience)
		if err != nil {
			return nil, err
		}
		if !ready {
			break
		}
		if len(s.rest) == 0 { // the input has ended
			if !errors.Is(s.err, io.EOF) {
				return nil, fmt.Errorf("read the input at byte %d: %w", s.offset, s.err)
			}
			break
		}
		piece := s.rest
		if end != 0 && int64(len(piece)) > end-s.offset {
			piece = piece[:end-s.offset]
		}
		broken := false
		if i := bytes.IndexByte(piece, '\n'); i >= 0 {
			piece, broken = piece[:i+1], true
		}
		s.rest = s.rest[len(piece):]
		s.offset += int64(len(piece))
		sum.Write(piece)
		partial = true
		if broken {
			piece = piece[:len(piece)-1]
		}
		if !tooLong {
			text = append(text, piece...)
			if len(text) > maxLine {
				tooLong, text = true, text[:keptOfLongLine:keptOfLongLine]
			}
		}
		if broken {
			finish()
		}
	}
	if partial { // the last line of an input that has no line break at its end
		b.cut = true
		finish()
	}
	b.end = s.offset
	b.sum = hex.EncodeToString(sum.Sum(nil)[:8])
	if b.end == b.start {
		return nil, io.EOF
	}
	return b, nil
}

// skip passes over the input up to the offset; the line there has the given number.
func (s *source) skip(ctx context.Context, offset, number int64) error {
	if s.seeker != nil && offset > s.offset+int64(len(s.rest)) {
		if err := s.seek(offset); err != nil {
			return err
		}
	}
	for s.offset < offset {
		if _, err := s.fill(ctx, 0); err != nil {
			return err
		}
		if len(s.rest) == 0 {
			if !errors.Is(s.err, io.EOF) {
				return fmt.Errorf("read the input at byte %d: %w", s.offset, s.err)
			}
			return changed("it ends at byte %d, and %d bytes of it have been imported already", s.offset, offset)
		}
		n := min(int64(len(s.rest)), offset-s.offset)
		s.rest = s.rest[n:]
		s.offset += n
	}
	s.number = number
	return nil
}

func (s *source) seek(offset int64) error {
	s.close()
	if s.chunks != nil {
		for range s.chunks { // until the goroutine has ended: it must not read from the new place
		}
	}
	if _, err := s.seeker.Seek(s.base+offset, io.SeekStart); err != nil {
		return fmt.Errorf("seek in the input: %w", err)
	}
	s.chunks, s.rest, s.err, s.offset = nil, nil, nil, offset
	return nil
}

// atEnd says whether the input has no more bytes.
func (s *source) atEnd(ctx context.Context) (bool, error) {
	if _, err := s.fill(ctx, 0); err != nil {
		return false, err
	}
	return len(s.rest) == 0, nil
}

// changed is the error of an input that is not the one that the journal is about.
func changed(format string, args ...any) error {
	return carillon.InvalidArgument("file", "this is not the input that the journal is about: %s; "+
		"to import it from its beginning, remove the journal", fmt.Sprintf(format, args...))
}
