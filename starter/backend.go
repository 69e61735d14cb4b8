package starter

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/starter/internal/engine"
)

// backend carries operations through Temporal. It calls the service itself, where the SDK's client would send the
// operation through the user's data converter, and make a request id of its own at every attempt.
type backend struct {
	service   workflowservice.WorkflowServiceClient
	namespace string
	group     string
	identity  string
	timeout   time.Duration
	logger    *slog.Logger

	encodeRequests bool
	answers        answers
	failures       converter.FailureConverter

	road Road
	// noActivities says that the server has refused standalone activities.
	noActivities atomic.Bool
}

var (
	_ engine.Backend   = (*backend)(nil)
	_ engine.Explainer = (*backend)(nil)
)

func newBackend(service workflowservice.WorkflowServiceClient, o Options) *backend {
	a := answers{DataConverter: converter.GetDefaultDataConverter(), encoded: o.DataConverter}
	return &backend{
		service: service, namespace: o.Namespace, group: o.Group, identity: o.Identity, timeout: o.OperationTimeout,
		logger: o.Logger, encodeRequests: o.EncodeRequests, answers: a, road: o.Road,
		failures: temporal.NewDefaultFailureConverter(temporal.DefaultFailureConverterOptions{DataConverter: a}),
	}
}

// request is one operation on its way.
type request struct {
	operation string
	id        string
	summary   string
	input     *commonpb.Payloads
}

// executionID is the id of the activity or workflow that carries the operation.
func (b *backend) executionID(r *request) string {
	return executionID(b.group, r.operation, r.id)
}

// do carries out one operation and gives the payload of its result.
func (b *backend) do(ctx context.Context, r request, input *commonpb.Payload) (*commonpb.Payload, error) {
	if r.id == "" {
		r.id = uuid.NewString()
	}
	if b.encodeRequests {
		encoded, err := b.answers.encoded.ToPayload(converter.NewRawValue(input))
		if err != nil {
			return nil, carillon.InvalidArgument("", "the data converter cannot encode the operation: %w", err)
		}
		input = encoded
	}
	r.input = &commonpb.Payloads{Payloads: []*commonpb.Payload{input}}
	result, err := b.travel(ctx, &r)
	if err != nil {
		return nil, b.failed(ctx, r.operation, err)
	}
	return b.answers.raw(result)
}

// travel takes the road that the server has.
func (b *backend) travel(ctx context.Context, r *request) (*commonpb.Payloads, error) {
	if b.road == RoadWorkflow || b.noActivities.Load() {
		return b.runWorkflow(ctx, r)
	}
	result, err := b.runActivity(ctx, r)
	if b.road == RoadActivity || !unimplemented(err) {
		return result, err
	}
	if b.noActivities.CompareAndSwap(false, true) {
		b.logger.InfoContext(ctx, "carillon: no standalone activities here; operations travel as workflows",
			"namespace", b.namespace)
	}
	return b.runWorkflow(ctx, r)
}

// doJSON carries out an operation whose input and result are JSON.
func doJSON[Out any](ctx context.Context, b *backend, r request, in any) (Out, error) {
	var out Out
	input, err := encodeInput(in)
	if err != nil {
		return out, err
	}
	result, err := b.do(ctx, r, input)
	if err != nil {
		return out, err
	}
	err = decodeResult(result, &out)
	return out, err
}

func (b *backend) Create(ctx context.Context, in carillon.CreateTimersInput) (carillon.CreateTimersResult, error) {
	input, err := encodeCreate(in)
	if err != nil {
		return carillon.CreateTimersResult{}, err
	}
	r := request{operation: carillon.OpCreateTimers, id: in.RequestID, summary: countSummary(len(in.Timers))}
	result, err := b.do(ctx, r, input)
	if err != nil {
		return carillon.CreateTimersResult{}, err
	}
	var out carillon.CreateTimersResult
	err = decodeResult(result, &out)
	return out, err
}

func (b *backend) Cancel(ctx context.Context, in carillon.CancelTimersInput) (carillon.CancelTimersResult, error) {
	r := request{operation: carillon.OpCancelTimers, id: in.RequestID, summary: countSummary(len(in.Timers))}
	return doJSON[carillon.CancelTimersResult](ctx, b, r, in)
}

func (b *backend) Reschedule(
	ctx context.Context, in carillon.RescheduleTimerInput,
) (carillon.RescheduleTimerResult, error) {
	r := request{operation: carillon.OpRescheduleTimer, id: in.RequestID, summary: refSummary(in.TimerRef)}
	return doJSON[carillon.RescheduleTimerResult](ctx, b, r, in)
}

func (b *backend) Redrive(ctx context.Context, in carillon.RedriveTimersInput) (carillon.RedriveTimersResult, error) {
	r := request{operation: carillon.OpRedriveTimers, id: in.RequestID, summary: countSummary(len(in.Timers))}
	return doJSON[carillon.RedriveTimersResult](ctx, b, r, in)
}

func (b *backend) Describe(ctx context.Context, in carillon.DescribeTimerInput) (carillon.DescribeTimerResult, error) {
	r := request{operation: carillon.OpDescribeTimer, summary: refSummary(in.TimerRef)}
	return doJSON[carillon.DescribeTimerResult](ctx, b, r, in)
}

func (b *backend) List(ctx context.Context, in carillon.ListTimersInput) (carillon.ListTimersResult, error) {
	return doJSON[carillon.ListTimersResult](ctx, b, request{operation: carillon.OpListTimers}, in)
}

func (b *backend) Count(ctx context.Context, in carillon.CountTimersInput) (carillon.CountTimersResult, error) {
	return doJSON[carillon.CountTimersResult](ctx, b, request{operation: carillon.OpCountTimers}, in)
}

func (b *backend) ListPartitions(ctx context.Context) (carillon.ListPartitionsResult, error) {
	r := request{operation: carillon.OpListPartitions}
	return doJSON[carillon.ListPartitionsResult](ctx, b, r, carillon.ListPartitionsInput{})
}

func (b *backend) DescribeGroup(
	ctx context.Context, in carillon.DescribeGroupInput,
) (carillon.DescribeGroupResult, error) {
	return doJSON[carillon.DescribeGroupResult](ctx, b, request{operation: carillon.OpDescribeGroup}, in)
}

func (b *backend) DrainWorker(ctx context.Context, in carillon.DrainWorkerInput) (carillon.DrainWorkerResult, error) {
	summary := "drain " + in.Worker
	if in.Undo {
		summary = "undrain " + in.Worker
	}
	return doJSON[carillon.DrainWorkerResult](ctx, b, request{operation: carillon.OpDrainWorker, summary: summary}, in)
}

// The summaries are not encoded, whatever the codec: they say how many, and ids that mean nothing to others.

func countSummary(n int) string {
	if n == 1 {
		return "1 timer"
	}
	return fmt.Sprintf("%d timers", n)
}

func refSummary(r carillon.TimerRef) string {
	if r.TimerID.IsZero() {
		return "a timer by its name"
	}
	return "timer " + r.TimerID.String()
}
