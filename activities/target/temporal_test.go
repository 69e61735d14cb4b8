package target

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"

	"github.com/carillon-io/carillon"
)

// fakeTemporal is a Temporal server that remembers what it was asked, and answers as it is told.
type fakeTemporal struct {
	workflowservice.UnimplementedWorkflowServiceServer
	onSignal   func(context.Context, *workflowservice.SignalWorkflowExecutionRequest) error
	onStart    func(context.Context, *workflowservice.StartWorkflowExecutionRequest) error
	onDescribe func(
		*workflowservice.DescribeWorkflowExecutionRequest,
	) (*workflowservice.DescribeWorkflowExecutionResponse, error)

	mu      sync.Mutex
	signals []*workflowservice.SignalWorkflowExecutionRequest
	starts  []*workflowservice.StartWorkflowExecutionRequest
}

func (f *fakeTemporal) SignalWorkflowExecution(
	ctx context.Context, request *workflowservice.SignalWorkflowExecutionRequest,
) (*workflowservice.SignalWorkflowExecutionResponse, error) {
	f.mu.Lock()
	f.signals = append(f.signals, request)
	f.mu.Unlock()
	if f.onSignal != nil {
		if err := f.onSignal(ctx, request); err != nil {
			return nil, serviceerror.ToStatus(err).Err()
		}
	}
	return &workflowservice.SignalWorkflowExecutionResponse{}, nil
}

func (f *fakeTemporal) StartWorkflowExecution(
	ctx context.Context, request *workflowservice.StartWorkflowExecutionRequest,
) (*workflowservice.StartWorkflowExecutionResponse, error) {
	f.mu.Lock()
	f.starts = append(f.starts, request)
	f.mu.Unlock()
	if f.onStart != nil {
		if err := f.onStart(ctx, request); err != nil {
			return nil, serviceerror.ToStatus(err).Err()
		}
	}
	return &workflowservice.StartWorkflowExecutionResponse{RunId: "run"}, nil
}

func (f *fakeTemporal) DescribeWorkflowExecution(
	_ context.Context, request *workflowservice.DescribeWorkflowExecutionRequest,
) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	reply, err := f.onDescribe(request)
	if err != nil {
		return nil, serviceerror.ToStatus(err).Err()
	}
	return reply, nil
}

// serve serves the fake within the process and gives the options of a worker that is connected to it by the SDK.
func (f *fakeTemporal) serve(t *testing.T) Options {
	t.Helper()
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer()
	workflowservice.RegisterWorkflowServiceServer(server, f)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		require.NoError(t, <-served)
	})
	c, err := client.NewLazyClient(client.Options{
		HostPort: "passthrough:///temporal",
		ConnectionOptions: client.ConnectionOptions{DialOptions: []grpc.DialOption{
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		}},
	})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return Options{
		Temporal:  func() workflowservice.WorkflowServiceClient { return c.WorkflowService() },
		Namespace: "home", Identity: "worker-1",
	}
}

func signalTarget(namespace string) carillon.Target {
	return carillon.Target{Signal: &carillon.SignalTarget{
		Namespace: namespace, WorkflowID: "order-7", RunID: "run-7", SignalName: "due",
	}}
}

func TestSignal(t *testing.T) {
	t.Parallel()
	f := &fakeTemporal{}
	targets := newTargets(t, f.serve(t))
	encrypted := &commonpb.Payload{
		Metadata: map[string][]byte{"encoding": []byte("binary/encrypted"), "key-id": []byte("k")}, Data: []byte{0, 255, 1},
	}
	bytes, err := carillon.MarshalPayload(encrypted)
	require.NoError(t, err)

	d := delivery(signalTarget(""))
	d.Payload = bytes
	require.NoError(t, targets.Deliver(t.Context(), d))
	d.Attempt = 2
	require.NoError(t, targets.Deliver(t.Context(), d))
	other := delivery(signalTarget("abroad"))
	require.NoError(t, targets.Deliver(t.Context(), other))

	require.Len(t, f.signals, 3)
	want := &workflowservice.SignalWorkflowExecutionRequest{
		Namespace:         "home",
		WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: "order-7", RunId: "run-7"},
		SignalName:        "due",
		Input:             &commonpb.Payloads{Payloads: []*commonpb.Payload{encrypted}},
		Identity:          "worker-1",
		RequestId:         testID.String() + "-42",
	}
	require.True(t, proto.Equal(want, f.signals[0]), "%v", f.signals[0])
	require.True(t, proto.Equal(want, f.signals[1]), "a second attempt has the same request id")
	require.Equal(t, "abroad", f.signals[2].Namespace)
	null := f.signals[2].Input.Payloads[0]
	require.Equal(t, "binary/null", string(null.Metadata["encoding"]))
	require.Empty(t, null.Data)
}

func TestStart(t *testing.T) {
	t.Parallel()
	f := &fakeTemporal{}
	targets := newTargets(t, f.serve(t))
	d := delivery(carillon.Target{Start: &carillon.StartTarget{
		WorkflowType: "Invoice", TaskQueue: "billing", RunTimeout: carillon.Duration(90 * time.Second),
	}})
	d.Payload = payloadBytes(t, "json/plain", `7`)
	require.NoError(t, targets.Deliver(t.Context(), d))
	d.Name = "n"
	d.Target.Start.ExecutionTimeout, d.Target.Start.Namespace = carillon.Duration(time.Hour), "abroad"
	require.NoError(t, targets.Deliver(t.Context(), d))
	d.Target.Start.WorkflowID = "invoice-7"
	require.NoError(t, targets.Deliver(t.Context(), d))

	require.Len(t, f.starts, 3)
	got := f.starts[0]
	require.Equal(t, "home", got.Namespace)
	require.Equal(t, testID.String(), got.WorkflowId)
	require.Equal(t, "Invoice", got.WorkflowType.Name)
	require.Equal(t, "billing", got.TaskQueue.Name)
	require.Equal(t, `7`, string(got.Input.Payloads[0].Data))
	require.Nil(t, got.WorkflowExecutionTimeout)
	require.Equal(t, 90*time.Second, got.WorkflowRunTimeout.AsDuration())
	require.Equal(t, "worker-1", got.Identity)
	require.Equal(t, d.Key(), got.RequestId)
	require.Equal(t, enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE, got.WorkflowIdReusePolicy)
	require.Equal(t, enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL, got.WorkflowIdConflictPolicy)
	require.Equal(t, d.Key(), f.starts[1].WorkflowId, "a name can be used again")
	require.Equal(t, "abroad", f.starts[1].Namespace)
	require.Equal(t, time.Hour, f.starts[1].WorkflowExecutionTimeout.AsDuration())
	require.Equal(t, "invoice-7", f.starts[2].WorkflowId)
}

func TestStartAlreadyStarted(t *testing.T) {
	t.Parallel()
	own := carillon.Target{Start: &carillon.StartTarget{WorkflowID: "mine", WorkflowType: "Invoice", TaskQueue: "billing"}}
	key := delivery(own).Key()
	knows := func(requests ...string) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
		infos := map[string]*workflowpb.RequestIdInfo{}
		for _, r := range requests {
			infos[r] = &workflowpb.RequestIdInfo{EventType: enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED}
		}
		return &workflowservice.DescribeWorkflowExecutionResponse{
			WorkflowExtendedInfo: &workflowpb.WorkflowExecutionExtendedInfo{RequestIdInfos: infos},
		}, nil
	}
	started := func(request, first string) error {
		return serviceerror.NewWorkflowExecutionAlreadyStartedWithFirstExecutionRunId(
			"already started", request, "run-2", first)
	}
	for _, test := range []struct {
		name     string
		target   carillon.Target
		err      error
		asked    string // the run that has to be asked
		describe func() (*workflowservice.DescribeWorkflowExecutionResponse, error)
		want     VerdictKind
	}{
		{name: "by us", target: own, err: started(key, "run-1"), want: VerdictDelivered},
		{
			name: "made of the timer's id", target: carillon.ToStart("Invoice", "billing"), err: started("other", "run-1"),
			want: VerdictDelivered,
		},
		{
			name: "by us, continued as new", target: own, err: started("other", "run-1"), asked: "run-1",
			describe: func() (*workflowservice.DescribeWorkflowExecutionResponse, error) { return knows("x", key) },
			want:     VerdictDelivered,
		},
		{
			name: "by someone else", target: own, err: started("other", "run-1"), asked: "run-1",
			describe: func() (*workflowservice.DescribeWorkflowExecutionResponse, error) { return knows("x") },
			want:     VerdictDead,
		},
		{
			name: "older server", target: own, err: started("other", ""), asked: "run-2",
			describe: func() (*workflowservice.DescribeWorkflowExecutionResponse, error) { return knows() },
			want:     VerdictDead,
		},
		{
			name: "first run gone", target: own, err: started("other", "run-1"), asked: "run-1",
			describe: func() (*workflowservice.DescribeWorkflowExecutionResponse, error) {
				return nil, serviceerror.NewNotFound("gone")
			}, want: VerdictDead,
		},
		{
			name: "may not ask", target: own, err: started("other", "run-1"), asked: "run-1",
			describe: func() (*workflowservice.DescribeWorkflowExecutionResponse, error) {
				return nil, serviceerror.NewPermissionDenied("no", "")
			}, want: VerdictDead,
		},
		{
			name: "cannot ask", target: own, err: started("other", "run-1"), asked: "run-1",
			describe: func() (*workflowservice.DescribeWorkflowExecutionResponse, error) {
				return nil, serviceerror.NewUnavailable("away")
			}, want: VerdictDefer,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			asked := ""
			f := &fakeTemporal{
				onStart: func(context.Context, *workflowservice.StartWorkflowExecutionRequest) error { return test.err },
				onDescribe: func(
					r *workflowservice.DescribeWorkflowExecutionRequest,
				) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
					mu.Lock()
					defer mu.Unlock()
					asked = r.Execution.RunId
					return test.describe()
				},
			}
			err := newTargets(t, f.serve(t)).Deliver(t.Context(), delivery(test.target))
			require.Equal(t, test.want, Classify(err).Kind, "%v", err)
			if test.want == VerdictDead {
				require.ErrorContains(t, err, `start of workflow "mine" in namespace "home"`)
				require.ErrorContains(t, err, "already used by another execution (run run-2)")
			}
			mu.Lock()
			defer mu.Unlock()
			require.Equal(t, test.asked, asked)
		})
	}
}

func TestTemporalErrors(t *testing.T) {
	t.Parallel()
	exhausted := func(cause enumspb.ResourceExhaustedCause) error {
		return serviceerror.NewResourceExhausted(cause, "slow down")
	}
	for _, test := range []struct {
		name       string
		err        error
		own, other VerdictKind // in the worker's own namespace, and in another one
	}{
		{"workflow not found", serviceerror.NewNotFound("workflow execution not found"), VerdictDead, VerdictDead},
		{"namespace not found", serviceerror.NewNamespaceNotFound("x"), VerdictDefer, VerdictDead},
		{
			"namespace deleted", serviceerror.NewNamespaceInvalidState("x", enumspb.NAMESPACE_STATE_DELETED, nil),
			VerdictDefer, VerdictDead,
		},
		{"namespace not active", serviceerror.NewNamespaceNotActive("x", "a", "b"), VerdictDefer, VerdictDefer},
		{"namespace unavailable", serviceerror.NewNamespaceUnavailable("x"), VerdictDefer, VerdictDefer},
		{
			"invalid argument", serviceerror.NewInvalidArgument("exceeded workflow execution limit for signal events"),
			VerdictDead, VerdictDead,
		},
		{"permission denied", serviceerror.NewPermissionDenied("Request unauthorized.", ""), VerdictDefer, VerdictRetry},
		{"unauthenticated", grpcstatus.Error(codes.Unauthenticated, "who?"), VerdictDefer, VerdictDefer},
		{"unavailable", serviceerror.NewUnavailable("away"), VerdictDefer, VerdictDefer},
		{"rate limit", exhausted(enumspb.RESOURCE_EXHAUSTED_CAUSE_RPS_LIMIT), VerdictDefer, VerdictDefer},
		{"busy workflow", exhausted(enumspb.RESOURCE_EXHAUSTED_CAUSE_BUSY_WORKFLOW), VerdictDefer, VerdictDefer},
		{"storage full", exhausted(enumspb.RESOURCE_EXHAUSTED_CAUSE_PERSISTENCE_STORAGE_LIMIT), VerdictDefer, VerdictDefer},
		{
			"message too large", grpcstatus.Error(codes.ResourceExhausted, "grpc: received message larger than max (9 vs. 4)"),
			VerdictDead, VerdictDead,
		},
		{"deadline exceeded", serviceerror.NewDeadlineExceeded("slow"), VerdictDefer, VerdictDefer},
		{"cancelled", serviceerror.NewCanceled("shutting down"), VerdictDefer, VerdictDefer},
		{"aborted", serviceerror.NewAborted("conflict"), VerdictDefer, VerdictDefer},
		{"unimplemented", serviceerror.NewUnimplemented("unknown method"), VerdictDefer, VerdictDefer},
		{"client too old", serviceerror.NewClientVersionNotSupported("1", "go", ">2"), VerdictDefer, VerdictDefer},
		{"workflow not ready", serviceerror.NewWorkflowNotReady("wait"), VerdictDefer, VerdictDefer},
		{"failed precondition", serviceerror.NewFailedPrecondition("no"), VerdictRetry, VerdictRetry},
		{"already exists", serviceerror.NewAlreadyExists("it is there"), VerdictRetry, VerdictRetry},
		{"internal", serviceerror.NewInternal("oops"), VerdictRetry, VerdictRetry},
		{"data loss", serviceerror.NewDataLoss("gone"), VerdictRetry, VerdictRetry},
		{"unknown", errors.New("what is this"), VerdictRetry, VerdictRetry},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := &fakeTemporal{
				onSignal: func(context.Context, *workflowservice.SignalWorkflowExecutionRequest) error { return test.err },
				onStart:  func(context.Context, *workflowservice.StartWorkflowExecutionRequest) error { return test.err },
			}
			targets := newTargets(t, f.serve(t))
			for namespace, want := range map[string]VerdictKind{"": test.own, "home": test.own, "abroad": test.other} {
				start := carillon.ToStart("w", "q")
				start.Start.Namespace = namespace
				for _, to := range []carillon.Target{signalTarget(namespace), start} {
					err := targets.Deliver(t.Context(), delivery(to))
					require.Error(t, err)
					verdict := Classify(err)
					require.Equal(t, want, verdict.Kind, "%q: %v", namespace, err)
					require.Equal(t, want == VerdictDefer, verdict.After > 0)
				}
			}
		})
	}
}

func TestTemporalNotThere(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]Options{
		"never":   {},
		"not yet": {Temporal: func() workflowservice.WorkflowServiceClient { return nil }},
	} {
		for _, to := range []carillon.Target{carillon.ToSignal("w", "s"), carillon.ToStart("w", "q")} {
			err := newTargets(t, o).Deliver(t.Context(), delivery(to))
			require.Equal(t, VerdictDefer, Classify(err).Kind, name)
			require.ErrorContains(t, err, `in namespace "default": there is no connection to Temporal`)
		}
	}
}

func TestTemporalUnreachable(t *testing.T) {
	t.Parallel()
	c, err := client.NewLazyClient(client.Options{HostPort: "127.0.0.1:" + freePort(t)})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	targets := newTargets(t, Options{
		Temporal: func() workflowservice.WorkflowServiceClient { return c.WorkflowService() },
	})
	err = targets.Deliver(t.Context(), delivery(carillon.ToSignal("w", "s")))
	require.Equal(t, VerdictDefer, Classify(err).Kind, "%v", err)
}

func TestTemporalSilent(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{}, 1)
	f := &fakeTemporal{onSignal: func(ctx context.Context, _ *workflowservice.SignalWorkflowExecutionRequest) error {
		arrived <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}}
	o := f.serve(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-arrived
		cancel()
	}()
	err := newTargets(t, o).Deliver(ctx, delivery(carillon.ToSignal("w", "s")))
	require.Equal(t, Verdict{Kind: VerdictDefer}, Classify(err), "the worker stopped: %v", err)

	o.TemporalTimeout = 20 * time.Millisecond
	err = newTargets(t, o).Deliver(t.Context(), delivery(carillon.ToSignal("w", "s")))
	verdict := Classify(err)
	require.Equal(t, VerdictDefer, verdict.Kind, "%v", err)
	require.NotZero(t, verdict.After)
}

func TestTemporalBadPayload(t *testing.T) {
	t.Parallel()
	f := &fakeTemporal{}
	targets := newTargets(t, f.serve(t))
	for _, to := range []carillon.Target{carillon.ToSignal("w", "s"), carillon.ToStart("w", "q")} {
		d := delivery(to)
		d.Payload = []byte{0xff}
		require.Equal(t, VerdictDead, Classify(targets.Deliver(t.Context(), d)).Kind)
	}
	require.Empty(t, f.signals)
	require.Empty(t, f.starts)
}

// Errors of a raw gRPC connection, and wrapped ones, mean the same as those of the SDK's.
func TestTemporalErrorForms(t *testing.T) {
	t.Parallel()
	targets := &temporalTargets{namespace: "home"}
	c := &call{temporalTargets: targets, parent: t.Context(), what: "signal", namespace: "home"}
	for _, err := range []error{
		serviceerror.NewUnavailable("x"), grpcstatus.Error(codes.Unavailable, "x"),
		fmt.Errorf("more: %w", serviceerror.NewUnavailable("x")), context.DeadlineExceeded,
	} {
		require.Equal(t, VerdictDefer, Classify(c.fail(err)).Kind, "%v", err)
		require.ErrorIs(t, c.fail(err), err)
	}
}
