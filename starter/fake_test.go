package starter_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	activitypb "go.temporal.io/api/activity/v1"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/serviceerror"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/starter/internal/startertest"
)

// frontend is as much of a Temporal server as the client needs, with a Carillon worker behind it that keeps timers in
// memory. The client talks to it over gRPC, so that errors take the way that they take in earnest.
type frontend struct {
	workflowservice.UnimplementedWorkflowServiceServer
	memory *startertest.Memory

	// namespace is the one that exists.
	namespace string
	// noActivities refuses standalone activities, as older servers do.
	noActivities bool
	// noWorker leaves operations without an answer; busy says that there are pollers all the same.
	noWorker, busy bool
	// loseStarts is how many answers to starts are lost after they have been carried out, losePolls the same for polls.
	loseStarts, losePolls int
	// refuse is what every call is answered with.
	refuse error
	// outcome replaces the worker's.
	outcome func() *failurepb.Failure
	// converter is what the worker encodes with. Nil: the SDK's default.
	converter converter.DataConverter

	mu         sync.Mutex
	executions map[string]*execution
	activities []*workflowservice.StartActivityExecutionRequest
	workflows  []*workflowservice.StartWorkflowExecutionRequest
	polls      int
}

type execution struct {
	run     string
	result  *commonpb.Payloads
	failure *failurepb.Failure
}

// serve starts the frontend and gives a client of the namespace "default" that is connected to it.
func (f *frontend) serve(t *testing.T) client.Client {
	t.Helper()
	if f.memory == nil {
		f.memory = startertest.NewMemory()
	}
	if f.namespace == "" {
		f.namespace = "default"
	}
	if f.converter == nil {
		f.converter = converter.GetDefaultDataConverter()
	}
	f.executions = map[string]*execution{}
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer()
	workflowservice.RegisterWorkflowServiceServer(server, f)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener) // ends with Stop
	}()
	c, err := client.DialContext(t.Context(), client.Options{
		HostPort: "passthrough:///frontend",
		ConnectionOptions: client.ConnectionOptions{DialOptions: []grpc.DialOption{
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		}},
	})
	require.NoError(t, err)
	t.Cleanup(func() {
		c.Close()
		server.Stop()
		<-served
	})
	return c
}

func (f *frontend) check(namespace string) error {
	if f.refuse != nil {
		return serviceerror.ToStatus(f.refuse).Err()
	}
	if namespace != f.namespace {
		return serviceerror.ToStatus(serviceerror.NewNamespaceNotFound(namespace)).Err()
	}
	return nil
}

func (f *frontend) GetSystemInfo(
	context.Context, *workflowservice.GetSystemInfoRequest,
) (*workflowservice.GetSystemInfoResponse, error) {
	return &workflowservice.GetSystemInfoResponse{
		Capabilities: &workflowservice.GetSystemInfoResponse_Capabilities{InternalErrorDifferentiation: true},
	}, nil
}

// start carries out an operation, or finds the execution that has the id already: again is then true.
func (f *frontend) start(id, operation string, input *commonpb.Payloads) (e *execution, again bool) {
	if e := f.executions[id]; e != nil && e.failure == nil {
		return e, true
	}
	e = &execution{run: fmt.Sprintf("run-%d", len(f.activities)+len(f.workflows))}
	f.executions[id] = e
	switch {
	case f.noWorker:
	case f.outcome != nil:
		e.failure = f.outcome()
	default:
		result, err := f.work(operation, input)
		if err != nil {
			options := temporal.DefaultFailureConverterOptions{DataConverter: f.converter}
			e.failure = temporal.NewDefaultFailureConverter(options).ErrorToFailure(carillon.ToTemporal(err))
		}
		e.result = result
	}
	return e, false
}

// work is what Carillon's worker does.
func (f *frontend) work(operation string, input *commonpb.Payloads) (*commonpb.Payloads, error) {
	var raw converter.RawValue
	if err := f.converter.FromPayloads(input, &raw); err != nil {
		return nil, err
	}
	ctx := context.Background()
	data, m := raw.Payload().GetData(), f.memory
	switch operation {
	case carillon.OpCreateTimers:
		if string(raw.Payload().Metadata["encoding"]) != "binary/protobuf" ||
			string(raw.Payload().Metadata["messageType"]) != "carillon.v1.CreateTimersInput" {
			return nil, fmt.Errorf("cannot read %v", raw.Payload().Metadata)
		}
		var in carillon.CreateTimersInput
		if err := in.UnmarshalBinary(data); err != nil {
			return nil, err
		}
		out, err := m.Create(ctx, in)
		if err != nil {
			return nil, err
		}
		encoded, err := out.MarshalBinary()
		if err != nil {
			return nil, err
		}
		return f.converter.ToPayloads(converter.NewRawValue(&commonpb.Payload{
			Metadata: map[string][]byte{
				"encoding": []byte("binary/protobuf"), "messageType": []byte("carillon.v1.CreateTimersResult"),
			},
			Data: encoded,
		}))
	case carillon.OpCancelTimers:
		return answer(ctx, f, data, m.Cancel)
	case carillon.OpRescheduleTimer:
		return answer(ctx, f, data, m.Reschedule)
	case carillon.OpRedriveTimers:
		return answer(ctx, f, data, m.Redrive)
	case carillon.OpDescribeTimer:
		return answer(ctx, f, data, m.Describe)
	case carillon.OpListTimers:
		return answer(ctx, f, data, m.List)
	case carillon.OpCountTimers:
		return answer(ctx, f, data, m.Count)
	case carillon.OpListPartitions:
		list := func(ctx context.Context, _ carillon.ListPartitionsInput) (carillon.ListPartitionsResult, error) {
			return m.ListPartitions(ctx)
		}
		return answer(ctx, f, data, list)
	case carillon.OpDescribeGroup:
		return answer(ctx, f, data, m.DescribeGroup)
	case carillon.OpDrainWorker:
		return answer(ctx, f, data, m.DrainWorker)
	default:
		return nil, fmt.Errorf("unknown operation %q", operation)
	}
}

func answer[In, Out any](
	ctx context.Context, f *frontend, data []byte, do func(context.Context, In) (Out, error),
) (*commonpb.Payloads, error) {
	var in In
	if err := carillon.DecodeInput(data, &in); err != nil {
		return nil, err
	}
	out, err := do(ctx, in)
	if err != nil {
		return nil, err
	}
	encoded, err := json.Marshal(out)
	if err != nil {
		return nil, err
	}
	return f.converter.ToPayloads(converter.NewRawValue(&commonpb.Payload{
		Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: encoded,
	}))
}

func (f *frontend) StartActivityExecution(
	_ context.Context, r *workflowservice.StartActivityExecutionRequest,
) (*workflowservice.StartActivityExecutionResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.activities = append(f.activities, r)
	if f.noActivities {
		return nil, serviceerror.ToStatus(serviceerror.NewUnimplemented("Standalone activity is disabled")).Err()
	}
	if err := f.check(r.Namespace); err != nil {
		return nil, err
	}
	e, again := f.start(r.ActivityId, r.ActivityType.Name, r.Input)
	if f.loseStarts > 0 {
		f.loseStarts--
		return nil, serviceerror.ToStatus(serviceerror.NewUnavailable("the answer is lost")).Err()
	}
	if again && e.result != nil {
		return nil, serviceerror.ToStatus(serviceerror.NewActivityExecutionAlreadyStarted("completed", "", e.run)).Err()
	}
	return &workflowservice.StartActivityExecutionResponse{RunId: e.run, Started: !again}, nil
}

func (f *frontend) PollActivityExecution(
	ctx context.Context, r *workflowservice.PollActivityExecutionRequest,
) (*workflowservice.PollActivityExecutionResponse, error) {
	e, err := f.poll(ctx, r.Namespace, r.ActivityId, r.RunId)
	switch {
	case err != nil:
		return nil, err
	case e == nil:
		return &workflowservice.PollActivityExecutionResponse{}, nil
	}
	outcome := &activitypb.ActivityExecutionOutcome{Value: &activitypb.ActivityExecutionOutcome_Result{Result: e.result}}
	if e.failure != nil {
		outcome.Value = &activitypb.ActivityExecutionOutcome_Failure{Failure: e.failure}
	}
	return &workflowservice.PollActivityExecutionResponse{RunId: e.run, Outcome: outcome}, nil
}

// poll waits for the end of an execution; nil: the long poll has ended without news, as the first one always does.
func (f *frontend) poll(ctx context.Context, namespace, id, run string) (*execution, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.check(namespace); err != nil {
		return nil, err
	}
	if f.losePolls > 0 {
		f.losePolls--
		return nil, serviceerror.ToStatus(serviceerror.NewUnavailable("the answer is lost")).Err()
	}
	e := f.executions[id]
	if e == nil || e.run != run {
		return nil, serviceerror.ToStatus(serviceerror.NewNotFound("no such execution")).Err()
	}
	f.polls++
	if e.result == nil && e.failure == nil {
		f.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
		f.mu.Lock()
		return nil, nil
	}
	if f.polls == 1 {
		return nil, nil
	}
	return e, nil
}

func (f *frontend) StartWorkflowExecution(
	_ context.Context, r *workflowservice.StartWorkflowExecutionRequest,
) (*workflowservice.StartWorkflowExecutionResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.workflows = append(f.workflows, r)
	if err := f.check(r.Namespace); err != nil {
		return nil, err
	}
	e, again := f.start(r.WorkflowId, r.WorkflowType.Name, r.Input)
	if f.loseStarts > 0 {
		f.loseStarts--
		return nil, serviceerror.ToStatus(serviceerror.NewUnavailable("the answer is lost")).Err()
	}
	if again && e.result != nil {
		return nil, serviceerror.ToStatus(serviceerror.NewWorkflowExecutionAlreadyStarted("completed", "", e.run)).Err()
	}
	return &workflowservice.StartWorkflowExecutionResponse{RunId: e.run, Started: !again}, nil
}

func (f *frontend) GetWorkflowExecutionHistory(
	ctx context.Context, r *workflowservice.GetWorkflowExecutionHistoryRequest,
) (*workflowservice.GetWorkflowExecutionHistoryResponse, error) {
	if !r.WaitNewEvent || r.HistoryEventFilterType != enumspb.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT {
		return nil, errors.New("not a long poll for the close event")
	}
	e, err := f.poll(ctx, r.Namespace, r.Execution.WorkflowId, r.Execution.RunId)
	switch {
	case err != nil:
		return nil, err
	case e == nil:
		return &workflowservice.GetWorkflowExecutionHistoryResponse{NextPageToken: []byte("more")}, nil
	}
	event := &historypb.HistoryEvent{}
	if e.failure != nil {
		event.Attributes = &historypb.HistoryEvent_WorkflowExecutionFailedEventAttributes{
			WorkflowExecutionFailedEventAttributes: &historypb.WorkflowExecutionFailedEventAttributes{Failure: e.failure},
		}
	} else {
		event.Attributes = &historypb.HistoryEvent_WorkflowExecutionCompletedEventAttributes{
			WorkflowExecutionCompletedEventAttributes: &historypb.WorkflowExecutionCompletedEventAttributes{Result: e.result},
		}
	}
	return &workflowservice.GetWorkflowExecutionHistoryResponse{
		History: &historypb.History{Events: []*historypb.HistoryEvent{event}},
	}, nil
}

func (f *frontend) DescribeTaskQueue(
	_ context.Context, r *workflowservice.DescribeTaskQueueRequest,
) (*workflowservice.DescribeTaskQueueResponse, error) {
	if err := f.check(r.Namespace); err != nil {
		return nil, err
	}
	out := &workflowservice.DescribeTaskQueueResponse{}
	if !f.noWorker || f.busy {
		out.Pollers = []*taskqueuepb.PollerInfo{{Identity: "worker"}}
	}
	return out, nil
}
