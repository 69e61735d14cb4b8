package activities

import (
	"context"
	"crypto/sha256"
	"encoding/hex"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/internal/fault"
	"github.com/carillon-io/carillon/store"
)

// maxResultBytes keeps a result below Temporal's limit of 2 MiB for a blob, beyond which it would be refused without a
// word on what to do about it.
const maxResultBytes = carillon.MaxBatchBytes

// Registry is where activities are registered: a worker of the Temporal SDK, its test environment.
type Registry interface {
	RegisterActivityWithOptions(a any, options activity.RegisterOptions)
}

// Operations are the activities that clients ask for. Register registers them.
type Operations struct {
	// Store is required.
	Store store.Store
}

// Register registers the operations under the names of carillon's Op constants. They are served on carillon.TaskQueue
// of the group.
func (o *Operations) Register(r Registry) {
	for _, op := range []struct {
		name string
		run  func(context.Context, converter.RawValue) (converter.RawValue, error)
	}{
		{carillon.OpCreateTimers, o.CreateTimers},
		{carillon.OpCancelTimers, o.CancelTimers},
		{carillon.OpRescheduleTimer, o.RescheduleTimer},
		{carillon.OpDescribeTimer, o.DescribeTimer},
		{carillon.OpListTimers, o.ListTimers},
		{carillon.OpCountTimers, o.CountTimers},
		{carillon.OpRedriveTimers, o.RedriveTimers},
		{carillon.OpListPartitions, o.ListPartitions},
		{carillon.OpDescribeGroup, o.DescribeGroup},
		{carillon.OpDrainWorker, o.DrainWorker},
	} {
		r.RegisterActivityWithOptions(op.run, activity.RegisterOptions{Name: op.name})
	}
}

// CreateTimers takes a carillon.CreateTimersInput and gives a carillon.CreateTimersResult, both as JSON or both as
// binary protobuf. A timer that is not one has an answer of its own and fails none of the others.
func (o *Operations) CreateTimers(ctx context.Context, raw converter.RawValue) (converter.RawValue, error) {
	p := raw.Payload()
	if carillon.IsBinaryPayload(p) {
		return answer(func() (*commonpb.Payload, error) {
			var in carillon.CreateTimersInput
			if err := firstError(checkSize(p), carillon.InputFromPayload(p, &in)); err != nil {
				return nil, err
			}
			out, err := o.create(ctx, in)
			if err != nil {
				return nil, err
			}
			return carillon.BinaryPayload(&out)
		})
	}
	return answer(func() (*commonpb.Payload, error) {
		b, err := readBatch[carillon.TimerSpec](p)
		if err != nil {
			return nil, err
		}
		out, err := merge(b, func(timers []carillon.TimerSpec) ([]carillon.CreateResult, error) {
			out, err := o.create(ctx, carillon.CreateTimersInput{RequestID: b.requestID, Timers: timers})
			return out.Timers, err
		}, createRefused)
		if err != nil {
			return nil, err
		}
		return jsonAnswer(carillon.CreateTimersResult{Timers: out})
	})
}

func createRefused(_ carillon.TimerSpec, err *carillon.Error) carillon.CreateResult {
	return carillon.CreateResult{Error: err}
}

func (o *Operations) create(
	ctx context.Context, in carillon.CreateTimersInput,
) (out carillon.CreateTimersResult, err error) {
	if err := checkCount(len(in.Timers)); err != nil {
		return out, err
	}
	if in.RequestID, err = requestID(ctx, in.RequestID); err != nil {
		return out, err
	}
	if err := fault.At(fault.CreateBegun, nil); err != nil {
		return out, err
	}
	out, err = o.Store.Create(ctx, in)
	return out, fault.At(fault.CreateDone, err)
}

// CancelTimers takes a carillon.CancelTimersInput and gives a carillon.CancelTimersResult, as JSON.
func (o *Operations) CancelTimers(ctx context.Context, raw converter.RawValue) (converter.RawValue, error) {
	return callForEach(ctx, raw, func(id string, timers []carillon.TimerRef) ([]carillon.CancelResult, error) {
		out, err := o.Store.Cancel(ctx, carillon.CancelTimersInput{RequestID: id, Timers: timers})
		return out.Timers, fault.At(fault.CancelDone, err)
	}, func(ref carillon.TimerRef, err *carillon.Error) carillon.CancelResult {
		return carillon.CancelResult{TimerID: ref.TimerID, Error: err}
	}, func(timers []carillon.CancelResult) any {
		return carillon.CancelTimersResult{Timers: timers}
	})
}

// RedriveTimers takes a carillon.RedriveTimersInput and gives a carillon.RedriveTimersResult, as JSON.
func (o *Operations) RedriveTimers(ctx context.Context, raw converter.RawValue) (converter.RawValue, error) {
	return callForEach(ctx, raw, func(id string, timers []carillon.TimerRef) ([]carillon.CreateResult, error) {
		out, err := o.Store.Redrive(ctx, carillon.RedriveTimersInput{RequestID: id, Timers: timers})
		return out.Timers, err
	}, func(ref carillon.TimerRef, err *carillon.Error) carillon.CreateResult {
		return carillon.CreateResult{TimerID: ref.TimerID, Error: err}
	}, func(timers []carillon.CreateResult) any {
		return carillon.RedriveTimersResult{Timers: timers}
	})
}

// callForEach carries out an operation on timers that the JSON input refers to, each of which has its own answer.
func callForEach[R any](
	ctx context.Context, raw converter.RawValue, ask func(id string, timers []carillon.TimerRef) ([]R, error),
	refuse func(carillon.TimerRef, *carillon.Error) R, result func([]R) any,
) (converter.RawValue, error) {
	return answer(func() (*commonpb.Payload, error) {
		b, err := readBatch[carillon.TimerRef](raw.Payload())
		if err != nil {
			return nil, err
		}
		id, err := requestID(ctx, b.requestID)
		if err != nil {
			return nil, err
		}
		out, err := merge(b, func(timers []carillon.TimerRef) ([]R, error) { return ask(id, timers) }, refuse)
		if err != nil {
			return nil, err
		}
		return jsonAnswer(result(out))
	})
}

// RescheduleTimer takes a carillon.RescheduleTimerInput and gives a carillon.RescheduleTimerResult, as JSON.
func (o *Operations) RescheduleTimer(ctx context.Context, raw converter.RawValue) (converter.RawValue, error) {
	return call(ctx, raw, o.reschedule)
}

func (o *Operations) reschedule(
	ctx context.Context, in carillon.RescheduleTimerInput,
) (out carillon.RescheduleTimerResult, err error) {
	if in.RequestID, err = requestID(ctx, in.RequestID); err != nil {
		return out, err
	}
	out, err = o.Store.Reschedule(ctx, in)
	return out, fault.At(fault.RescheduleDone, err)
}

// DescribeTimer takes a carillon.DescribeTimerInput and gives a carillon.DescribeTimerResult, as JSON.
func (o *Operations) DescribeTimer(ctx context.Context, raw converter.RawValue) (converter.RawValue, error) {
	return call(ctx, raw, o.Store.Describe)
}

// ListTimers takes a carillon.ListTimersInput and gives a carillon.ListTimersResult, as JSON.
func (o *Operations) ListTimers(ctx context.Context, raw converter.RawValue) (converter.RawValue, error) {
	return call(ctx, raw, o.Store.List)
}

// CountTimers takes a carillon.CountTimersInput and gives a carillon.CountTimersResult, as JSON.
func (o *Operations) CountTimers(ctx context.Context, raw converter.RawValue) (converter.RawValue, error) {
	return call(ctx, raw, o.Store.Count)
}

// ListPartitions takes a carillon.ListPartitionsInput and gives a carillon.ListPartitionsResult, as JSON.
func (o *Operations) ListPartitions(ctx context.Context, raw converter.RawValue) (converter.RawValue, error) {
	return call(ctx, raw, o.listPartitions)
}

func (o *Operations) listPartitions(
	ctx context.Context, _ carillon.ListPartitionsInput,
) (carillon.ListPartitionsResult, error) {
	return o.Store.ListPartitions(ctx)
}

// DescribeGroup takes a carillon.DescribeGroupInput and gives a carillon.DescribeGroupResult, as JSON.
func (o *Operations) DescribeGroup(ctx context.Context, raw converter.RawValue) (converter.RawValue, error) {
	return call(ctx, raw, o.Store.DescribeGroup)
}

// DrainWorker takes a carillon.DrainWorkerInput and gives a carillon.DrainWorkerResult, as JSON.
func (o *Operations) DrainWorker(ctx context.Context, raw converter.RawValue) (converter.RawValue, error) {
	return call(ctx, raw, o.Store.DrainWorker)
}

// call makes one call of the store: input and result as JSON.
func call[In, Out any](
	ctx context.Context, raw converter.RawValue, run func(context.Context, In) (Out, error),
) (converter.RawValue, error) {
	return answer(func() (*commonpb.Payload, error) {
		var in In
		if err := firstError(checkSize(raw.Payload()), carillon.InputFromPayload(raw.Payload(), &in)); err != nil {
			return nil, err
		}
		out, err := run(ctx, in)
		if err != nil {
			return nil, err
		}
		return jsonAnswer(out)
	})
}

func jsonAnswer(out any) (*commonpb.Payload, error) {
	p, err := carillon.JSONPayload(out)
	if err != nil {
		return nil, err
	}
	if len(p.Data) > maxResultBytes {
		return nil, carillon.InvalidArgument("page_size",
			"the answer has %d bytes, over the limit of %d; ask for less at a time",
			len(p.Data), maxResultBytes)
	}
	return p, nil
}

// answer is the boundary to Temporal: errors of Carillon become errors of Temporal here, and nowhere else.
func answer(run func() (*commonpb.Payload, error)) (converter.RawValue, error) {
	p, err := run()
	if err != nil {
		return converter.RawValue{}, carillon.ToTemporal(err)
	}
	return converter.NewRawValue(p), nil
}

// requestID is the id under which a request is safe to repeat: the caller's own, else one that is the same for all
// attempts of this activity, and no other's.
func requestID(ctx context.Context, given string) (string, error) {
	if len(given) > carillon.MaxRequestID {
		return "", carillon.InvalidArgument("request_id", "it has %d bytes, the limit is %d", len(given),
			carillon.MaxRequestID)
	}
	if given != "" {
		return given, nil
	}
	info := activity.GetInfo(ctx)
	run := info.WorkflowExecution.RunID
	if run == "" {
		run = info.ActivityRunID // it stands alone
	}
	// Run ids are unique all over Temporal; an activity's id, which a caller may choose, is so within its run.
	id := run + "/" + info.ActivityID
	if len(id) > carillon.MaxRequestID {
		sum := sha256.Sum256([]byte(info.ActivityID))
		id = run + "/" + hex.EncodeToString(sum[:])
	}
	return id, nil
}
