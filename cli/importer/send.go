package importer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/sync/errgroup"

	"github.com/carillon-io/carillon"
)

// describers is how many timers in doubt are asked about at once.
const describers = 16

// item is a line that became a timer to create.
type item struct {
	line   *line
	spec   carillon.TimerSpec
	ours   bool // the import gave it its name
	answer carillon.CreateResult
}

// outcome is what became of a batch.
type outcome struct {
	batch             *batch
	created, existing int64
	refusals          []Refusal
}

// send makes timers of a batch's lines and sees to it that each line has its answer. It goes on until the answers are
// there; ctx ends that, and stopping (the caller's wish to stop) ends waiting for another attempt.
func (r *run) send(ctx, stopping context.Context, b *batch) (*outcome, error) {
	out := &outcome{batch: b}
	items := make([]*item, 0, len(b.lines))
	for i := range b.lines {
		it, refused := r.parse(&b.lines[i])
		if refused != nil {
			out.refuse(&b.lines[i], refused)
			continue
		}
		items = append(items, it)
	}
	id := r.requestID(b)
	if b.again {
		// A clock that was set back makes the age negative; then nothing is known about it.
		if age := r.Now().Sub(b.sentAt); age < 0 || age > RequestMemory {
			var err error
			if items, err = r.lookUp(ctx, stopping, items, b.sentAt, out); err != nil {
				return nil, err
			}
			id += "/late/" + subset(items)
		}
	}
	if err := r.create(ctx, stopping, id, items); err != nil {
		return nil, fmt.Errorf("lines %d to %d: %w", b.first, b.first+b.lineCount()-1, err)
	}
	for _, it := range items {
		switch {
		case it.answer.Error != nil:
			out.refuse(it.line, it.answer.Error)
		case it.answer.Existing && !it.ours:
			out.existing++
		default:
			out.created++
		}
	}
	return out, nil
}

func (o *outcome) refuse(l *line, err *carillon.Error) {
	o.refusals = append(o.refusals, Refusal{Line: l.number, Error: err, Text: string(l.text)})
}

// parse makes a timer of a line, or says why not.
func (r *run) parse(l *line) (*item, *carillon.Error) {
	switch {
	case l.tooLong:
		return nil, carillon.InvalidArgument("", "the line has more than %d bytes", maxLine)
	case !utf8.Valid(l.text):
		return nil, carillon.InvalidArgument("", "the line is not valid UTF-8")
	}
	it := &item{line: l}
	if err := json.Unmarshal(l.text, &it.spec); err != nil {
		var ours *carillon.Error
		if errors.As(err, &ours) {
			return nil, ours
		}
		return nil, carillon.InvalidArgument("", "the line is not one JSON object: %w", err)
	}
	if it.spec.Name == "" && it.spec.OnConflict == carillon.ConflictDefault && r.journal.info.ExactlyOnce {
		it.ours = true
		it.spec.Name = "import/" + r.journal.info.ID + "/" + strconv.FormatInt(l.number, 10)
		it.spec.OnConflict = carillon.ConflictKeep
	}
	return it, nil
}

// requestID is the same in every run.
func (r *run) requestID(b *batch) string {
	return "import/" + r.journal.info.ID + "/" + strconv.FormatInt(b.start, 10)
}

// subset names a part of a batch.
func subset(items []*item) string {
	h := fnv.New64a()
	for _, it := range items {
		fmt.Fprintln(h, it.line.number)
	}
	return strconv.FormatUint(h.Sum64(), 36)
}

// create asks until every item has its answer. What was refused for a quota is asked for again, under a request id of
// its own, since the answer of the first is remembered.
func (r *run) create(ctx, stopping context.Context, id string, items []*item) error {
	deadline := r.Now().Add(r.RetryFor)
	for round := 1; len(items) > 0; round++ {
		specs := make([]carillon.TimerSpec, len(items))
		for i, it := range items {
			specs[i] = it.spec
		}
		answers, err := retry(ctx, stopping, r, func(ctx context.Context) ([]carillon.CreateResult, error) {
			answers, err := r.Service.CreateRequest(ctx, id, specs)
			if err == nil && len(answers) != len(specs) {
				return nil, backoff.Permanent(fmt.Errorf("%d answers came to %d timers", len(answers), len(specs)))
			}
			for _, a := range answers {
				// It is not known whether there is a timer now: the same request, asked again, will tell.
				if a.Error != nil && errors.Is(a.Error, carillon.ErrUnavailable) {
					return nil, a.Error
				}
			}
			return answers, err
		})
		if err != nil {
			return err
		}
		var (
			later []*item
			wait  time.Duration
		)
		for i, it := range items {
			it.answer = answers[i]
			if e := answers[i].Error; e != nil && errors.Is(e, carillon.ErrQuotaExceeded) {
				later = append(later, it)
				wait = max(wait, time.Duration(e.RetryAfter), time.Second)
			}
		}
		if len(later) < len(items) {
			deadline = r.Now().Add(r.RetryFor)
		}
		if len(later) == 0 || r.Now().Add(wait).After(deadline) {
			return nil
		}
		if err := pause(ctx, stopping, wait); err != nil {
			return err
		}
		items, id = later, id+"/"+strconv.Itoa(round)
	}
	return nil
}

// lookUp asks the service about timers that an earlier run may have created, too long ago for the request's answer to
// be remembered. It gives those that are to be created.
func (r *run) lookUp(
	ctx, stopping context.Context, items []*item, sentAt time.Time, out *outcome,
) (missing []*item, err error) {
	verdicts := make([]verdict, len(items))
	asking, ctx := errgroup.WithContext(ctx)
	asking.SetLimit(describers)
	for i, it := range items {
		asking.Go(func() error {
			v, err := retry(ctx, stopping, r, func(ctx context.Context) (verdict, error) {
				return r.judge(ctx, it, sentAt)
			})
			verdicts[i] = v
			return err
		})
	}
	if err := asking.Wait(); err != nil {
		return nil, err
	}
	for i, it := range items {
		switch verdicts[i] {
		case isThere:
			out.created++
		case isMissing:
			missing = append(missing, it)
		case isUnknown:
			out.refuse(it.line, carillon.Errorf(carillon.TypeUnavailable,
				"it was sent at %s, in a run that was interrupted before the answer came, and whether it was created cannot be "+
					"told any more; the line is left to you", sentAt.Format(time.RFC3339)))
		}
	}
	return missing, nil
}

// verdict says what is known about a timer in doubt.
type verdict int

const (
	isThere verdict = iota
	isMissing
	isUnknown
)

// judge says whether the timer that was sent at sentAt has been created.
func (r *run) judge(ctx context.Context, it *item, sentAt time.Time) (verdict, error) {
	now := r.Now()
	if it.spec.Validate(now) != nil {
		return isMissing, nil //nolint:nilerr // the service has refused it, and says why when it is sent again
	}
	if it.spec.Name == "" {
		return isUnknown, nil
	}
	info, err := r.Service.Describe(ctx, carillon.TimerRef{ClientID: it.spec.ClientID, Name: it.spec.Name})
	switch {
	case errors.Is(err, carillon.ErrNotFound):
	case err != nil:
		return 0, err
	case it.ours, !info.State.Done() && !info.CreatedAt.Before(sentAt.Add(-time.Minute)),
		info.State.Done() && info.DoneAt.After(sentAt.Add(-time.Minute)):
		return isThere, nil
	default:
		return isMissing, nil // there is one of that name, from another time: on_conflict decides
	}
	// No timer of that name is remembered. Either it was never created, or it is done and forgotten, which may
	// be soon: how many outcomes are kept is bounded.
	due := it.spec.FireAt
	if due.IsZero() {
		due = sentAt.Add(it.spec.Delay)
	}
	if due.After(now) {
		return isMissing, nil
	}
	return isUnknown, nil
}

// settle writes down what became of a batch: the refusals first, then the journal, so that a refusal is never lost.
func (r *run) settle(out *outcome) error {
	if err := r.refused.write(out.refusals); err != nil {
		return err
	}
	answer := answerEntry{
		Start: out.batch.start, Lines: out.batch.lineCount(), Created: out.created, Existing: out.existing,
		Refused: int64(len(out.refusals)), RefusedBytes: r.refused.size,
	}
	if err := r.journal.answer(answer); err != nil {
		return err
	}
	r.journal.settle(answer)
	r.bytes = max(r.bytes, out.batch.end)
	r.Progress(Progress{Totals: r.journal.totals, Bytes: r.bytes})
	return nil
}

// retry asks again while the service cannot be reached.
func retry[T any](ctx, stopping context.Context, r *run, ask func(context.Context) (T, error)) (T, error) {
	waits := backoff.NewExponentialBackOff()
	waits.InitialInterval, waits.MaxInterval = 200*time.Millisecond, 10*time.Second
	deadline := r.Now().Add(r.RetryFor)
	for {
		attempt, cancel := context.WithTimeout(ctx, r.Timeout)
		answer, err := ask(attempt)
		cancel()
		if err == nil {
			return answer, nil
		}
		var permanent *backoff.PermanentError
		switch {
		case errors.As(err, &permanent):
			return answer, permanent.Unwrap()
		case ctx.Err() != nil:
			return answer, err
		case !carillon.Retryable(err):
			return answer, err
		}
		wait := max(waits.NextBackOff(), time.Duration(carillon.AsError(err).RetryAfter))
		if r.Now().Add(wait).After(deadline) {
			return answer, err
		}
		if e := pause(ctx, stopping, wait); e != nil {
			return answer, errors.Join(e, err)
		}
	}
}

// pause waits, unless this run fails or the caller wishes to stop.
func pause(ctx, stopping context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-stopping.Done():
		return errStopped
	}
}
