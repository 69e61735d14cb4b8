package starter

import (
	"iter"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/starter/internal/engine"
)

// How calls from a workflow are split into activities, and how many run at once. The history of running workflows
// depends on these numbers: they must never change.
const (
	workflowBatch      = 500
	workflowBatchBytes = 1 << 20
	workflowInFlight   = 4
)

// readableBytes is how large the input of a create may be to be sent as JSON, for those who look at the history, and
// not in its binary form.
const readableBytes = 16 << 10

// WorkflowOptions of FromWorkflow. The zero value is a good start.
type WorkflowOptions struct {
	// Group is the group of timers. Empty: carillon.DefaultGroup.
	Group string
	// DataConverter encodes what Payload is given: the data converter of the timers' receivers, with its codec. A
	// workflow does not know its worker's. Nil: the SDK's default.
	DataConverter converter.DataConverter
	// AttemptTimeout is after how long an attempt that does not answer is given up and another is made. 0: 30 s.
	AttemptTimeout time.Duration
	// Timeout bounds an operation with all its attempts, at most MaxOperationTimeout. 0: that.
	Timeout time.Duration
}

// WorkflowTimers are the operations on timers for use inside a workflow. Each is an activity that Carillon's worker
// carries out on its own task queue: the workflow's worker registers nothing for it. An operation runs exactly once,
// whatever is retried or replayed: its request id is made of the ids of the workflow, the run and the activity.
//
// Errors are carillon.Error values, but for a cancellation of the workflow, which stays one (temporal.IsCanceledError).
type WorkflowTimers struct {
	ctx     workflow.Context
	answers answers
	err     error
}

// FromWorkflow makes WorkflowTimers that use the given context: a cancelled one cancels their operations. For a part
// of the workflow with another context, call it again; that costs nothing. Bad options are reported by the
// operations.
func FromWorkflow(ctx workflow.Context, options WorkflowOptions) *WorkflowTimers {
	if options.Group == "" {
		options.Group = carillon.DefaultGroup
	}
	if options.DataConverter == nil {
		options.DataConverter = converter.GetDefaultDataConverter()
	}
	if options.AttemptTimeout == 0 {
		options.AttemptTimeout = 30 * time.Second
	}
	if options.Timeout == 0 {
		options.Timeout = MaxOperationTimeout
	}
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:              carillon.TaskQueue(options.Group),
		StartToCloseTimeout:    options.AttemptTimeout,
		ScheduleToCloseTimeout: options.Timeout,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: 250 * time.Millisecond, BackoffCoefficient: 2, MaximumInterval: 10 * time.Second,
		},
	})
	// Carillon's worker has to read the operation: the codec of the workflow's worker must not get hold of it. The
	// payloads of timers have been encoded before.
	ctx = workflow.WithDataConverter(ctx, converter.GetDefaultDataConverter())
	t := &WorkflowTimers{
		ctx:     ctx,
		answers: answers{DataConverter: converter.GetDefaultDataConverter(), encoded: options.DataConverter},
		err:     carillon.CheckGroup(options.Group),
	}
	if t.err == nil && options.AttemptTimeout < 0 {
		t.err = carillon.InvalidArgument("AttemptTimeout", "%s is negative", options.AttemptTimeout)
	}
	if t.err == nil && (options.Timeout < 0 || options.Timeout > MaxOperationTimeout) {
		t.err = carillon.InvalidArgument("Timeout", "%s is not between 0 and %s", options.Timeout, MaxOperationTimeout)
	}
	return t
}

// Payload encodes a value with the data converter of the options, as the payload of a timer.
func (t *WorkflowTimers) Payload(value any) (*commonpb.Payload, error) {
	return encodePayload(t.answers.encoded, value)
}

// Create creates one timer.
func (t *WorkflowTimers) Create(timer carillon.TimerSpec) (carillon.CreateResult, error) {
	results, err := t.CreateAll([]carillon.TimerSpec{timer})
	if err != nil {
		return carillon.CreateResult{Error: carillon.AsError(err)}, err
	}
	if results[0].Error != nil {
		return results[0], results[0].Error
	}
	return results[0], nil
}

// CreateAll creates timers and answers each in its place: a bad one does not fail the others. If an operation failed
// as a whole, its timers are answered with its error, which is also given for the call.
//
// What is in a workflow's history stays there: for many timers, start one activity of your own that uses a Client.
func (t *WorkflowTimers) CreateAll(timers []carillon.TimerSpec) ([]carillon.CreateResult, error) {
	if t.err != nil {
		return nil, t.err
	}
	// Timers are checked by the worker. Were they checked here, the next release might find something else, and the
	// replay of a running workflow would take another way.
	results := make([]carillon.CreateResult, len(timers))
	sizes := make([]int, len(timers))
	for i := range timers {
		sizes[i] = engine.Size(&timers[i])
	}
	chunks := engine.Split(sizes, workflowBatch, workflowBatchBytes)
	return results, t.each(len(chunks), func(n int) workflow.Future {
		from, to := chunks[n].From, chunks[n].To
		return t.create(timers[from:to], sizes[from:to])
	}, func(n int, payload *commonpb.Payload, err error) error {
		from, to := chunks[n].From, chunks[n].To
		var out carillon.CreateTimersResult
		if err == nil {
			err = decodeResult(payload, &out)
		}
		if err == nil && len(out.Timers) != to-from {
			err = carillon.Errorf(carillon.TypeUnavailable, "%s answered %d timers of %d", carillon.OpCreateTimers,
				len(out.Timers), to-from)
		}
		for i := from; i < to; i++ {
			if err != nil {
				results[i].Error = carillon.AsError(err)
			} else {
				results[i] = out.Timers[i-from]
			}
		}
		return err
	})
}

func (t *WorkflowTimers) create(timers []carillon.TimerSpec, sizes []int) workflow.Future {
	in := carillon.CreateTimersInput{Timers: timers}
	total := 0
	for _, size := range sizes {
		total += size
	}
	var input *commonpb.Payload
	var err error
	if total <= readableBytes {
		input, err = encodeInput(in)
	} else {
		input, err = encodeCreate(in)
	}
	return t.start(carillon.OpCreateTimers, countSummary(len(timers)), input, err)
}

// Cancel cancels one timer.
func (t *WorkflowTimers) Cancel(timer carillon.TimerRef) error {
	results, err := t.CancelAll([]carillon.TimerRef{timer})
	if err != nil {
		return err
	}
	if results[0].Error != nil {
		return results[0].Error
	}
	return nil
}

// CancelAll cancels timers and answers each in its place.
func (t *WorkflowTimers) CancelAll(timers []carillon.TimerRef) ([]carillon.CancelResult, error) {
	results := make([]carillon.CancelResult, 0, len(timers))
	err := t.eachRefs(timers, carillon.OpCancelTimers,
		func(from, to int) any { return carillon.CancelTimersInput{Timers: timers[from:to]} },
		func(from, to int, payload *commonpb.Payload, err error) error {
			var out carillon.CancelTimersResult
			if err = decoded(payload, err, &out, func() int { return len(out.Timers) }, to-from); err != nil {
				out.Timers = make([]carillon.CancelResult, to-from)
				for i := range out.Timers {
					out.Timers[i] = carillon.CancelResult{TimerID: timers[from+i].TimerID, Error: carillon.AsError(err)}
				}
			}
			results = append(results, out.Timers...)
			return err
		})
	return results, err
}

// Redrive gives dead timers another series of attempts.
func (t *WorkflowTimers) Redrive(timers []carillon.TimerRef) ([]carillon.CreateResult, error) {
	results := make([]carillon.CreateResult, 0, len(timers))
	err := t.eachRefs(timers, carillon.OpRedriveTimers,
		func(from, to int) any { return carillon.RedriveTimersInput{Timers: timers[from:to]} },
		func(from, to int, payload *commonpb.Payload, err error) error {
			var out carillon.RedriveTimersResult
			if err = decoded(payload, err, &out, func() int { return len(out.Timers) }, to-from); err != nil {
				out.Timers = make([]carillon.CreateResult, to-from)
				for i := range out.Timers {
					out.Timers[i] = carillon.CreateResult{TimerID: timers[from+i].TimerID, Error: carillon.AsError(err)}
				}
			}
			results = append(results, out.Timers...)
			return err
		})
	return results, err
}

// eachRefs carries out an operation on references.
func (t *WorkflowTimers) eachRefs(
	timers []carillon.TimerRef, operation string, input func(from, to int) any,
	done func(from, to int, payload *commonpb.Payload, err error) error,
) error {
	if t.err != nil {
		return t.err
	}
	sizes := make([]int, len(timers))
	for i, ref := range timers {
		sizes[i] = engine.RefSize(ref)
	}
	chunks := engine.Split(sizes, workflowBatch, workflowBatchBytes)
	return t.each(len(chunks), func(k int) workflow.Future {
		from, to := chunks[k].From, chunks[k].To
		in, err := encodeInput(input(from, to))
		return t.start(operation, countSummary(to-from), in, err)
	}, func(k int, payload *commonpb.Payload, err error) error {
		return done(chunks[k].From, chunks[k].To, payload, err)
	})
}

// decoded reads a JSON result with one answer for each of want references.
func decoded(payload *commonpb.Payload, err error, out any, got func() int, want int) error {
	if err == nil {
		err = decodeResult(payload, out)
	}
	if err == nil && got() != want {
		err = carillon.Errorf(carillon.TypeUnavailable, "the worker answered %d timers of %d", got(), want)
	}
	return err
}

// Reschedule moves a timer to another time, in place.
func (t *WorkflowTimers) Reschedule(in carillon.RescheduleTimerInput) (carillon.RescheduleTimerResult, error) {
	return one[carillon.RescheduleTimerResult](t, carillon.OpRescheduleTimer, refSummary(in.TimerRef), in)
}

// Describe tells what is known about a timer.
func (t *WorkflowTimers) Describe(timer carillon.TimerRef) (carillon.TimerInfo, error) {
	in := carillon.DescribeTimerInput{TimerRef: timer}
	out, err := one[carillon.DescribeTimerResult](t, carillon.OpDescribeTimer, refSummary(timer), in)
	return out.Timer, err
}

// List goes through timers, page by page as the loop asks for more. An error ends it.
func (t *WorkflowTimers) List(in carillon.ListTimersInput) iter.Seq2[carillon.TimerInfo, error] {
	return func(yield func(carillon.TimerInfo, error) bool) {
		for page := in; ; {
			out, err := one[carillon.ListTimersResult](t, carillon.OpListTimers, "", page)
			if err != nil {
				yield(carillon.TimerInfo{}, err)
				return
			}
			for _, timer := range out.Timers {
				if !yield(timer, nil) {
					return
				}
			}
			if out.NextCursor == "" {
				return
			}
			page.Cursor = out.NextCursor
		}
	}
}

// Count counts timers.
func (t *WorkflowTimers) Count(in carillon.CountTimersInput) (carillon.CountTimersResult, error) {
	return one[carillon.CountTimersResult](t, carillon.OpCountTimers, "", in)
}

// one carries out an operation with JSON input and result.
func one[Out any](t *WorkflowTimers, operation, summary string, in any) (Out, error) {
	var out Out
	if t.err != nil {
		return out, t.err
	}
	input, err := encodeInput(in)
	err = t.each(1, func(int) workflow.Future { return t.start(operation, summary, input, err) },
		func(_ int, payload *commonpb.Payload, err error) error {
			if err != nil {
				return err
			}
			return decodeResult(payload, &out)
		})
	return out, err
}

// start schedules one activity. An error in making its input is the future's.
func (t *WorkflowTimers) start(operation, summary string, input *commonpb.Payload, err error) workflow.Future {
	if err != nil {
		future, settable := workflow.NewFuture(t.ctx)
		settable.SetError(err)
		return future
	}
	options := workflow.GetActivityOptions(t.ctx)
	options.Summary = summary
	ctx := workflow.WithActivityOptions(t.ctx, options)
	return workflow.ExecuteActivity(ctx, operation, converter.NewRawValue(input))
}

// each runs n activities, some at once, and hands their results over in order. It gives the first error of done.
func (t *WorkflowTimers) each(
	n int, start func(i int) workflow.Future, done func(i int, payload *commonpb.Payload, err error) error,
) error {
	var first error
	var futures []workflow.Future
	for i := range n {
		for len(futures) < n && len(futures) < i+workflowInFlight {
			futures = append(futures, start(len(futures)))
		}
		var value converter.RawValue
		err := futures[i].Get(t.ctx, &value)
		if err != nil && !temporal.IsCanceledError(err) {
			err = carillon.AsError(carillon.FromTemporal(err))
		}
		var payload *commonpb.Payload
		if err == nil {
			payload, err = t.answers.raw(&commonpb.Payloads{Payloads: []*commonpb.Payload{value.Payload()}})
		}
		if err = done(i, payload, err); err != nil && first == nil {
			first = err
		}
	}
	return first
}
