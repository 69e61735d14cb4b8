package importer

import (
	"cmp"
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/carillon-io/carillon"
)

// RequestMemory is how long an import counts on the service to remember the answer of a request. The service remembers
// longer.
const RequestMemory = 10 * time.Minute

// Defaults of Options.
const (
	DefaultParallel = 8
	DefaultRetryFor = 2 * time.Minute
	DefaultTimeout  = time.Minute
)

// Service is what an import needs of starter.Timers.
type Service interface {
	CreateRequest(ctx context.Context, requestID string, timers []carillon.TimerSpec) ([]carillon.CreateResult, error)
	Describe(ctx context.Context, timer carillon.TimerRef) (carillon.TimerInfo, error)
}

// Options says what [Run] imports.
type Options struct {
	// Service creates the timers. Required.
	Service Service
	// Input is the NDJSON. Required. One that is an io.Seeker is not read again from its beginning when an import resumes.
	Input io.Reader
	// Journal is the path of the import's memory. Default "": none; if the import is interrupted, it cannot be resumed.
	Journal string
	// Refused is the path of the file that takes the refused lines. Default "": they are only counted.
	Refused string
	// Destination says in words where the timers go; a journal is good for one destination.
	Destination string
	// ExactlyOnce gives each timer without a name the name "import/<import id>/<line number>" with on_conflict "keep", so
	// that it can be found again after a long pause. Default false: such a timer has an id only, and a line in doubt is
	// sent again within RequestMemory and reported as refused after that. A resumed import keeps to what it began with.
	ExactlyOnce bool
	// BatchLines is how many lines one request takes. Default 0: carillon.MaxBatch, which is also the limit.
	BatchLines int
	// Parallel is how many requests are under way at once. Default 0: DefaultParallel.
	Parallel int
	// RetryFor is how long a request is tried again while the service cannot be reached. Default 0: DefaultRetryFor; the
	// limit is half of RequestMemory.
	RetryFor time.Duration
	// Timeout bounds one request to the service. Default 0: DefaultTimeout.
	Timeout time.Duration
	// Now is the time. Default nil: time.Now.
	Now func() time.Time
	// Progress is told of every answered batch, by one goroutine. Default nil: nobody.
	Progress func(Progress)
}

// Totals counts lines over all runs of an import.
type Totals struct {
	// Lines that are settled, empty ones included.
	Lines int64 `json:"lines"`
	// Created timers.
	Created int64 `json:"created"`
	// Existing timers: a line named one that was pending already, and its on_conflict lets that stand.
	Existing int64 `json:"existing"`
	// Refused lines.
	Refused int64 `json:"refused"`
}

// Progress is how far an import is.
type Progress struct {
	Totals
	// Bytes of the input up to the last line that is settled; some before it may still be under way.
	Bytes int64
}

// Result is what an import has come to.
type Result struct {
	Totals
	// ImportID is the id that names and request ids are made of.
	ImportID string
	// Resumed says that an earlier run had begun the import; LinesBefore is what it had settled.
	Resumed     bool
	LinesBefore int64
	// Complete says that the input was imported to its end.
	Complete bool
}

func (o Options) withDefaults() Options {
	o.BatchLines = min(cmp.Or(max(o.BatchLines, 0), carillon.MaxBatch), carillon.MaxBatch)
	o.Parallel = cmp.Or(max(o.Parallel, 0), DefaultParallel)
	o.RetryFor = min(cmp.Or(max(o.RetryFor, 0), DefaultRetryFor), RequestMemory/2)
	o.Timeout = cmp.Or(max(o.Timeout, 0), DefaultTimeout)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	return o
}

// errStopped says inside that the caller's context has ended: what is under way is finished, nothing new is begun.
var errStopped = errors.New("stopped")

// Run imports timers, or goes on with an import that was interrupted. When ctx ends it lets the requests under way
// finish and returns the cause. The Result is right in either case. Errors are of the service, of the files, or
// carillon.ErrInvalidArgument for an input that is not the journal's; a refused line is no error.
func Run(ctx context.Context, options Options) (result Result, err error) {
	o := options.withDefaults()
	// Before the journal is begun: from then on, such a file is this import's own, even if the journal does not mention it yet.
	if isNew(o.Journal) {
		if err := checkNoRefused(o.Refused); err != nil {
			return Result{}, err
		}
	}
	journal, err := openJournal(o.Journal, importEntry{
		StartedAt: o.Now().UTC(), Destination: o.Destination, ExactlyOnce: o.ExactlyOnce,
	})
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, journal.close()) }()
	refused := &refusedFile{path: o.Refused, size: journal.refusedSize}
	if err := refused.prepare(); err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, refused.close()) }()

	r := &run{Options: o, journal: journal, refused: refused}
	result = Result{ImportID: journal.info.ID, Resumed: journal.last != nil, LinesBefore: journal.totals.Lines}
	err = r.all(ctx)
	result.Totals = journal.totals
	if errors.Is(err, errStopped) {
		return result, context.Cause(ctx)
	}
	result.Complete = err == nil
	return result, err
}

// run is one run of an import.
type run struct {
	Options
	journal *journal
	refused *refusedFile
	bytes   int64 // the furthest byte that a settled batch reaches
}

// all runs the pipeline: one goroutine reads and announces batches, some send them, one writes down what became of
// them. The first failure stops reading; what is under way is finished all the same, since it was sent and has to be
// answered.
func (r *run) all(ctx context.Context) error {
	var (
		batches  = make(chan *batch)
		outcomes = make(chan *outcome)
		failures = make(chan error, r.Parallel+2)

		working        = context.WithoutCancel(ctx)
		stopping, stop = context.WithCancel(ctx)
		senders, all   sync.WaitGroup
	)
	defer stop()
	report := func(err error) {
		if err != nil {
			failures <- err
			stop()
		}
	}
	all.Go(func() {
		defer close(batches)
		report(r.read(stopping, batches))
	})
	for range r.Parallel {
		senders.Go(func() {
			for b := range batches {
				out, err := r.send(working, stopping, b)
				if err != nil {
					report(err)
					return
				}
				outcomes <- out // the writer takes them until the channel is closed
			}
		})
	}
	all.Go(func() {
		senders.Wait()
		close(outcomes)
	})
	all.Go(func() {
		var failed bool
		for out := range outcomes {
			if failed {
				continue
			}
			if err := r.settle(out); err != nil {
				failed = true
				report(err)
			}
		}
	})
	all.Wait()
	close(failures)
	var stopped error
	for err := range failures {
		if !errors.Is(err, errStopped) {
			return err // the first; what came after it may be its consequence
		}
		stopped = err
	}
	return stopped
}

// read cuts the input into batches, those in doubt first, and announces each in the journal before it is sent.
func (r *run) read(ctx context.Context, batches chan<- *batch) error {
	src := newSource(r.Input)
	defer src.close()
	if err := r.resume(ctx, src, batches); err != nil {
		return err
	}
	for {
		b, err := src.next(ctx, r.BatchLines, 0)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		b.sentAt = r.Now().UTC()
		if err := ctx.Err(); err != nil {
			return errStopped
		}
		if err := r.journal.send(b); err != nil {
			return err
		}
		if err := hand(ctx, batches, b); err != nil {
			return err
		}
	}
}

// resume checks that the input is the journal's, sends again what is in doubt, and leaves the source at what is new.
func (r *run) resume(ctx context.Context, src *source, batches chan<- *batch) error {
	first, last, open := r.journal.first, r.journal.last, r.journal.unanswered()
	if last == nil {
		return nil
	}
	again := make(map[int64]bool, len(open))
	for _, s := range open {
		again[s.Start] = true
	}
	check := open
	if !again[first.Start] {
		check = append([]*sendEntry{first}, check...)
	}
	if !again[last.Start] && last != first {
		check = append(check, last)
	}

	cut := false
	for _, said := range check {
		if err := src.skip(ctx, said.Start, said.Line); err != nil {
			return err
		}
		b, err := src.next(ctx, 0, said.End)
		if errors.Is(err, io.EOF) {
			return changed("it ends at byte %d, and %d bytes of it have been imported already", said.Start, last.End)
		}
		if err != nil {
			return err
		}
		if b.sum != said.Sum || b.lineCount() != said.Lines {
			return changed("lines %d to %d read differently", said.Line, said.Line+said.Lines-1)
		}
		cut = b.cut
		if !again[said.Start] {
			continue
		}
		b.sentAt, b.again = said.At, true
		if err := hand(ctx, batches, b); err != nil {
			return err
		}
	}
	if !cut {
		return nil
	}
	end, err := src.atEnd(ctx)
	if err != nil {
		return err
	}
	if !end {
		return changed("line %d, which was the last one, has grown", last.Line+last.Lines-1)
	}
	return nil
}

func hand(ctx context.Context, batches chan<- *batch, b *batch) error {
	select {
	case batches <- b:
		return nil
	case <-ctx.Done():
		return errStopped
	}
}
