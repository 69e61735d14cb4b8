package starter_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/mocks"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/starter"
	"github.com/carillon-io/carillon/starter/internal/startertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.DiscardHandler)

// connect makes a Client to the frontend.
func connect(t *testing.T, f *frontend, o starter.Options) *starter.Client {
	t.Helper()
	o.Logger = quiet
	c, err := starter.New(f.serve(t), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

func spec(i int) carillon.TimerSpec {
	return carillon.TimerSpec{ClientID: fmt.Sprintf("client-%d", i), Delay: time.Hour, Target: carillon.ToMailbox()}
}

// Every operation, on either road.
func TestOperations(t *testing.T) {
	t.Parallel()
	for _, road := range []starter.Road{starter.RoadAuto, starter.RoadActivity, starter.RoadWorkflow} {
		t.Run(string(road), func(t *testing.T) {
			t.Parallel()
			f := &frontend{}
			c := connect(t, f, starter.Options{Road: road, Group: "g1"})
			ctx := t.Context()

			payload, err := c.Payload("milk")
			require.NoError(t, err)
			milk := carillon.TimerRef{ClientID: "shop", Name: "milk"}
			timer, err := c.Create(ctx, carillon.TimerSpec{
				ClientID: "shop", Name: "milk", Delay: time.Hour, Payload: payload, Target: carillon.ToSignal("wf", "ring"),
				Labels: map[string]string{"a": "b"},
			})
			require.NoError(t, err)

			info, err := c.Describe(ctx, milk)
			require.NoError(t, err)
			require.Equal(t, timer.TimerID, info.TimerID)
			require.Equal(t, "ring", info.Target.Signal.SignalName)
			var value string
			require.NoError(t, c.Value(info.Payload, &value))
			require.Equal(t, "milk", value)

			moved, err := c.Reschedule(ctx, carillon.RescheduleTimerInput{
				TimerRef: milk, Delay: 2 * time.Hour, ExpectedVersion: timer.Version,
			})
			require.NoError(t, err)
			require.Greater(t, moved.Version, timer.Version)
			_, err = c.Reschedule(ctx, carillon.RescheduleTimerInput{
				TimerRef: milk, Delay: 2 * time.Hour, ExpectedVersion: timer.Version,
			})
			require.ErrorIs(t, err, carillon.ErrConflict)

			results, err := c.CreateAll(ctx, []carillon.TimerSpec{spec(1), {}, spec(3)})
			require.NoError(t, err)
			require.Nil(t, results[0].Error)
			require.ErrorIs(t, results[1].Error, carillon.ErrInvalidArgument)
			require.Nil(t, results[2].Error)

			n := 0
			for _, err := range c.List(ctx, carillon.ListTimersInput{PageSize: 2}) {
				require.NoError(t, err)
				n++
			}
			require.Equal(t, 3, n)
			redriven, err := c.Redrive(ctx, []carillon.TimerRef{milk})
			require.NoError(t, err)
			require.Nil(t, redriven[0].Error)
			require.NoError(t, c.Cancel(ctx, milk))
			err = c.Cancel(ctx, carillon.TimerRef{TimerID: carillon.NewID(1, 1, carillon.Unique{})})
			require.ErrorIs(t, err, carillon.ErrNotFound)
			count, err := c.Count(ctx, carillon.CountTimersInput{})
			require.NoError(t, err)
			require.EqualValues(t, 2, count.Pending)
			partitions, err := c.ListPartitions(ctx)
			require.NoError(t, err)
			require.Len(t, partitions.Lanes, 1)
			drained, err := c.DrainWorker(ctx, carillon.DrainWorkerInput{Worker: startertest.Worker, EvenLast: true})
			require.NoError(t, err)
			require.True(t, drained.Worker.Draining)
			_, err = c.DrainWorker(ctx, carillon.DrainWorkerInput{Worker: startertest.Worker})
			require.ErrorIs(t, err, carillon.ErrInvalidArgument)
			require.Equal(t, "even_last", carillon.AsError(err).Field)
			_, err = c.DrainWorker(ctx, carillon.DrainWorkerInput{Worker: "another"})
			require.ErrorIs(t, err, carillon.ErrNotFound)
			group, err := c.DescribeGroup(ctx, carillon.DescribeGroupInput{})
			require.NoError(t, err)
			require.True(t, group.Workers[0].Draining)
			require.Equal(t, startertest.Worker, group.Tasks[1].Worker)
			require.Equal(t, carillon.TaskSweep, group.Tasks[1].Kind)
			group, err = c.DescribeGroup(ctx, carillon.DescribeGroupInput{WithoutTasks: true})
			require.NoError(t, err)
			require.Empty(t, group.Tasks)

			if road == starter.RoadWorkflow {
				require.Empty(t, f.activities)
				r := f.workflows[0]
				require.Equal(t, "CreateTimers", r.WorkflowType.Name)
				require.Equal(t, "carillon.g1", r.TaskQueue.Name)
				require.Equal(t, "carillon/g1/CreateTimers/"+f.memory.Requests()[0].RequestID, r.WorkflowId)
				require.Equal(t, enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY, r.WorkflowIdReusePolicy)
				require.Equal(t, enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING, r.WorkflowIdConflictPolicy)
				require.Equal(t, time.Minute, r.WorkflowRunTimeout.AsDuration())
				require.Equal(t, `"1 timer"`, string(r.UserMetadata.Summary.Data))
				return
			}
			require.Empty(t, f.workflows)
			r := f.activities[0]
			require.Equal(t, "CreateTimers", r.ActivityType.Name)
			require.Equal(t, "carillon.g1", r.TaskQueue.Name)
			require.Equal(t, "carillon/g1/CreateTimers/"+f.memory.Requests()[0].RequestID, r.ActivityId)
			require.Equal(t, enumspb.ACTIVITY_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY, r.IdReusePolicy)
			require.Equal(t, enumspb.ACTIVITY_ID_CONFLICT_POLICY_USE_EXISTING, r.IdConflictPolicy)
			require.Nil(t, r.ScheduleToCloseTimeout, "workers would compute it by their own clock")
			require.Equal(t, 45*time.Second, r.ScheduleToStartTimeout.AsDuration())
			require.Equal(t, 15*time.Second, r.StartToCloseTimeout.AsDuration())
			require.EqualValues(t, 10, r.RetryPolicy.MaximumAttempts)
			require.Equal(t, `"1 timer"`, string(r.UserMetadata.Summary.Data))
			summary := f.activities[1].UserMetadata.Summary.Data
			require.Equal(t, `"a timer by its name"`, string(summary), "no names in clear")
		})
	}
}

func TestAServerWithoutStandaloneActivities(t *testing.T) {
	t.Parallel()
	f := &frontend{noActivities: true}
	c := connect(t, f, starter.Options{})
	for i := range 5 {
		_, err := c.Create(t.Context(), spec(i))
		require.NoError(t, err)
	}
	require.Len(t, f.activities, 1, "it is remembered")
	require.Len(t, f.workflows, 5)

	c = connect(t, &frontend{noActivities: true}, starter.Options{Road: starter.RoadActivity})
	_, err := c.Create(t.Context(), spec(1))
	require.ErrorIs(t, err, carillon.ErrUnavailable)
	require.ErrorContains(t, err, "use RoadAuto or RoadWorkflow")
}

func TestLostAnswersCreateNothingTwice(t *testing.T) {
	t.Parallel()
	for _, road := range []starter.Road{starter.RoadActivity, starter.RoadWorkflow} {
		t.Run(string(road), func(t *testing.T) {
			t.Parallel()
			f := &frontend{loseStarts: 2, losePolls: 1}
			c := connect(t, f, starter.Options{Road: road})
			result, err := c.Create(t.Context(), spec(1))
			require.NoError(t, err)
			require.False(t, result.TimerID.IsZero())
			require.Equal(t, 1, f.memory.Timers())
			ids := map[string]bool{}
			for _, r := range f.activities {
				ids[r.ActivityId] = true
			}
			for _, r := range f.workflows {
				ids[r.WorkflowId] = true
			}
			require.Len(t, ids, 1)
			require.Equal(t, 4, len(f.activities)+len(f.workflows))
		})
	}
}

// A worker that fails, and answers the same request when it is asked again.
func TestAFailedOperationRunsAgain(t *testing.T) {
	t.Parallel()
	for _, road := range []starter.Road{starter.RoadActivity, starter.RoadWorkflow} {
		t.Run(string(road), func(t *testing.T) {
			t.Parallel()
			f := &frontend{}
			c := connect(t, f, starter.Options{Road: road})
			failures := 2
			f.memory.After = func(string, string) error {
				if failures--; failures >= 0 {
					return carillon.Errorf(carillon.TypeUnavailable, "redis is away")
				}
				return nil
			}
			_, err := c.Create(t.Context(), spec(1))
			require.NoError(t, err)
			require.Equal(t, 1, f.memory.Timers())
			require.Len(t, f.memory.Requests(), 3)
		})
	}
}

func TestARepeatedRequestAttaches(t *testing.T) {
	t.Parallel()
	for _, road := range []starter.Road{starter.RoadActivity, starter.RoadWorkflow} {
		t.Run(string(road), func(t *testing.T) {
			t.Parallel()
			f := &frontend{}
			c := connect(t, f, starter.Options{Road: road})
			first, err := c.CreateRequest(t.Context(), "import/1", []carillon.TimerSpec{spec(1), spec(2)})
			require.NoError(t, err)
			again, err := c.CreateRequest(t.Context(), "import/1", []carillon.TimerSpec{spec(1), spec(2)})
			require.NoError(t, err)
			require.Equal(t, first, again)
			require.Len(t, f.memory.Requests(), 1, "Temporal knew the answer")
			require.Equal(t, "import/1/0", f.memory.Requests()[0].RequestID)

			long := strings.Repeat("ü", 400)
			_, err = c.CreateRequest(t.Context(), long, []carillon.TimerSpec{spec(1)})
			require.NoError(t, err)
			require.Equal(t, long+"/0", f.memory.Requests()[1].RequestID)
			var id string
			if road == starter.RoadWorkflow {
				id = f.workflows[len(f.workflows)-1].WorkflowId
			} else {
				id = f.activities[len(f.activities)-1].ActivityId
			}
			require.Regexp(t, "^carillon/default/CreateTimers/sha256-[0-9a-f]{64}$", id)
		})
	}
}

func TestConcurrentCreates(t *testing.T) {
	t.Parallel()
	f := &frontend{}
	c := connect(t, f, starter.Options{})
	var wg sync.WaitGroup
	for i := range 300 {
		wg.Go(func() {
			result, err := c.Create(t.Context(), spec(i))
			if err != nil || result.TimerID.IsZero() {
				t.Errorf("%d: %v", i, err)
			}
		})
	}
	wg.Wait()
	require.Equal(t, 300, f.memory.Timers())
	require.Less(t, len(f.activities), 100, "they travel together")
}

func TestALargeCreateIsSplit(t *testing.T) {
	t.Parallel()
	f := &frontend{}
	c := connect(t, f, starter.Options{})
	timers := make([]carillon.TimerSpec, 2500)
	for i := range timers {
		timers[i] = spec(i)
	}
	timers[7].Payload = &commonpb.Payload{Data: bytes.Repeat([]byte("x"), 255<<10)}
	for i := range 20 {
		timers[1000+i].Payload = timers[7].Payload
	}
	results, err := c.CreateAll(t.Context(), timers)
	require.NoError(t, err)
	require.Equal(t, 2500, f.memory.Timers())
	for i, r := range results {
		ref := carillon.TimerRef{TimerID: r.TimerID}
		info, err := f.memory.Describe(t.Context(), carillon.DescribeTimerInput{TimerRef: ref})
		require.NoError(t, err)
		require.Equal(t, timers[i].ClientID, info.Timer.ClientID)
	}
	for _, r := range f.activities {
		require.Less(t, proto.Size(r), 2<<20)
	}
}

func TestErrorsSayWhatToCheck(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		frontend *frontend
		options  starter.Options
		kind     error
		says     []string
	}{
		{
			"no such namespace", &frontend{},
			starter.Options{Namespace: "nowhere"},
			carillon.ErrUnavailable,
			[]string{`no namespace "nowhere"`, "Options.Namespace"},
		},
		{
			"no such namespace, workflow", &frontend{noActivities: true},
			starter.Options{Namespace: "nowhere"},
			carillon.ErrUnavailable,
			[]string{`no namespace "nowhere"`},
		},
		{
			"not allowed", &frontend{refuse: serviceerror.NewPermissionDenied("no", "")},
			starter.Options{},
			carillon.ErrUnavailable,
			[]string{"credentials"},
		},
		{
			"refused", &frontend{refuse: serviceerror.NewInvalidArgument("blob too large")},
			starter.Options{},
			carillon.ErrInvalidArgument,
			[]string{"Temporal refused", "blob too large"},
		},
		{
			"server away", &frontend{refuse: serviceerror.NewUnavailable("shutting down")},
			starter.Options{OperationTimeout: time.Second},
			carillon.ErrUnavailable,
			[]string{"shutting down", `namespace "default"`, "check that the server is up"},
		},
		{
			"no worker", &frontend{noWorker: true},
			starter.Options{OperationTimeout: time.Second, Group: "g"},
			carillon.ErrUnavailable,
			[]string{`no worker polls task queue "carillon.g"`, "start a Carillon worker"},
		},
		{
			"no worker, workflow", &frontend{noWorker: true},
			starter.Options{OperationTimeout: time.Second, Road: starter.RoadWorkflow},
			carillon.ErrUnavailable,
			[]string{`no worker polls task queue "carillon.default"`},
		},
		{
			"slow worker", &frontend{noWorker: true, busy: true},
			starter.Options{OperationTimeout: time.Second},
			carillon.ErrUnavailable,
			[]string{"no answer within 1s", "Temporal Web UI"},
		},
		{
			"schedule to start", &frontend{outcome: timedOut, noWorker: false, busy: true},
			starter.Options{},
			carillon.ErrUnavailable,
			[]string{"no answer within 1m0s"},
		},
		{"worker that panics", &frontend{outcome: func() *failurepb.Failure {
			return &failurepb.Failure{
				Message: "boom", FailureInfo: &failurepb.Failure_ApplicationFailureInfo{
					ApplicationFailureInfo: &failurepb.ApplicationFailureInfo{Type: "PanicError"},
				},
			}
		}}, starter.Options{OperationTimeout: time.Second}, carillon.ErrUnavailable, []string{"worker failed", "boom"}},
		{"cancelled in Temporal", &frontend{outcome: func() *failurepb.Failure {
			return &failurepb.Failure{FailureInfo: &failurepb.Failure_CanceledFailureInfo{
				CanceledFailureInfo: &failurepb.CanceledFailureInfo{},
			}}
		}}, starter.Options{}, carillon.ErrUnavailable, []string{"cancelled in Temporal"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := connect(t, test.frontend, test.options)
			_, err := c.Create(t.Context(), spec(1))
			require.ErrorIs(t, err, test.kind)
			for _, text := range test.says {
				require.ErrorContains(t, err, text)
			}
			if test.options.OperationTimeout == 0 { // the others take that long
				_, err = c.Count(t.Context(), carillon.CountTimersInput{})
				require.ErrorIs(t, err, test.kind)
			}
		})
	}
}

func timedOut() *failurepb.Failure {
	return &failurepb.Failure{FailureInfo: &failurepb.Failure_TimeoutFailureInfo{
		TimeoutFailureInfo: &failurepb.TimeoutFailureInfo{TimeoutType: enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START},
	}}
}

func TestTemporalIsNotThere(t *testing.T) {
	t.Parallel()
	lazy, err := client.NewLazyClient(client.Options{HostPort: "127.0.0.1:1"})
	require.NoError(t, err)
	defer lazy.Close()
	c, err := starter.New(lazy, starter.Options{OperationTimeout: time.Second, Logger: quiet})
	require.NoError(t, err)
	defer c.Close()
	_, err = c.Create(t.Context(), spec(1))
	require.ErrorIs(t, err, carillon.ErrUnavailable)
	require.ErrorContains(t, err, "127.0.0.1:1")
	require.ErrorContains(t, err, "check that the server is up and reachable")
}

func TestACallerLeaves(t *testing.T) {
	t.Parallel()
	f := &frontend{noWorker: true}
	c := connect(t, f, starter.Options{OperationTimeout: time.Second})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := c.Create(ctx, spec(1))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorIs(t, err, carillon.ErrUnavailable)
	require.ErrorContains(t, err, "may have been carried out")
	_, err = c.Count(ctx, carillon.CountTimersInput{})
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

// scramble stands for encryption: what it has encoded cannot be read without it.
type scramble struct{}

func (scramble) Encode(in []*commonpb.Payload) ([]*commonpb.Payload, error) {
	out := make([]*commonpb.Payload, len(in))
	for i, p := range in {
		data, err := proto.Marshal(p)
		if err != nil {
			return nil, err
		}
		out[i] = &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("binary/scrambled")}, Data: flip(data)}
	}
	return out, nil
}

func (scramble) Decode(in []*commonpb.Payload) ([]*commonpb.Payload, error) {
	out := make([]*commonpb.Payload, len(in))
	for i, p := range in {
		if string(p.Metadata["encoding"]) != "binary/scrambled" {
			out[i] = p
			continue
		}
		out[i] = &commonpb.Payload{}
		if err := proto.Unmarshal(flip(p.Data), out[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func flip(in []byte) []byte {
	out := make([]byte, len(in))
	for i, b := range in {
		out[i] = b ^ 0x5a
	}
	return out
}

var scrambling = converter.NewCodecDataConverter(converter.GetDefaultDataConverter(), scramble{})

func TestPayloadsAreEncodedAndRequestsAreNot(t *testing.T) {
	t.Parallel()
	f := &frontend{}
	c := connect(t, f, starter.Options{DataConverter: scrambling})
	payload, err := c.Payload("the secret")
	require.NoError(t, err)
	timer := spec(1)
	timer.Payload = payload
	result, err := c.Create(t.Context(), timer)
	require.NoError(t, err)

	sent := f.activities[0].Input.Payloads[0]
	require.Equal(t, "binary/protobuf", string(sent.Metadata["encoding"]))
	require.Contains(t, string(sent.Data), "client-1")
	require.NotContains(t, string(sent.Data), "the secret")
	info, err := c.Describe(t.Context(), carillon.TimerRef{TimerID: result.TimerID})
	require.NoError(t, err)
	require.True(t, proto.Equal(payload, info.Payload), "as it was")
	var value string
	require.NoError(t, c.Value(info.Payload, &value))
	require.Equal(t, "the secret", value)
	require.ErrorIs(t, c.Value(info.Payload, new(int)), carillon.ErrInvalidArgument)
	_, err = c.Payload(make(chan int))
	require.ErrorIs(t, err, carillon.ErrInvalidArgument)
}

func TestEncodedRequests(t *testing.T) {
	t.Parallel()
	for _, road := range []starter.Road{starter.RoadActivity, starter.RoadWorkflow} {
		f := &frontend{converter: scrambling}
		c := connect(t, f, starter.Options{DataConverter: scrambling, EncodeRequests: true, Road: road})
		_, err := c.Create(t.Context(), spec(1))
		require.NoError(t, err)
		var sent *commonpb.Payload
		if road == starter.RoadWorkflow {
			sent = f.workflows[0].Input.Payloads[0]
		} else {
			sent = f.activities[0].Input.Payloads[0]
		}
		require.Equal(t, "binary/scrambled", string(sent.Metadata["encoding"]))
		require.NotContains(t, string(sent.Data), "client-1")
		// Failures are encoded too, and are read.
		_, err = c.Describe(t.Context(), carillon.TimerRef{ClientID: "c", Name: "n"})
		require.ErrorIs(t, err, carillon.ErrNotFound)
		require.ErrorContains(t, err, "there is no such timer")
	}
}

// A worker that has a codec encodes its answers to all.
func TestAWorkerWithACodec(t *testing.T) {
	t.Parallel()
	c := connect(t, &frontend{converter: scrambling}, starter.Options{DataConverter: scrambling})
	_, err := c.Create(t.Context(), spec(1))
	require.NoError(t, err)

	c = connect(t, &frontend{converter: scrambling}, starter.Options{OperationTimeout: time.Second})
	_, err = c.Count(t.Context(), carillon.CountTimersInput{})
	require.ErrorIs(t, err, carillon.ErrUnavailable)
	require.ErrorContains(t, err, "binary/scrambled")
}

// wrapped is a client of somebody else's, around the SDK's.
type wrapped struct{ client.Client }

func TestNew(t *testing.T) {
	t.Parallel()
	sdk := (&frontend{}).serve(t)
	for field, options := range map[string]starter.Options{
		"group":            {Group: "no spaces"},
		"Road":             {Road: "air"},
		"MaxBatch":         {MaxBatch: -1},
		"MaxBatchBytes":    {MaxBatchBytes: 4 << 20},
		"MaxInFlight":      {MaxInFlight: 1000},
		"Linger":           {Linger: -1},
		"OperationTimeout": {OperationTimeout: 2 * time.Hour},
	} {
		_, err := starter.New(sdk, options)
		require.ErrorIs(t, err, carillon.ErrInvalidArgument)
		require.Equal(t, field, carillon.AsError(err).Field)
	}
	_, err := starter.New(nil, starter.Options{})
	require.ErrorIs(t, err, carillon.ErrInvalidArgument)

	c, err := starter.New(wrapped{sdk}, starter.Options{Logger: quiet})
	require.NoError(t, err)
	_, err = c.Create(t.Context(), spec(1))
	require.NoError(t, err)
	require.NoError(t, c.Close())
	_, err = c.Create(t.Context(), spec(1))
	require.ErrorContains(t, err, "closed")

	mock := &mocks.Client{}
	mock.On("WorkflowService").Return(nilService())
	_, err = starter.New(mock, starter.Options{})
	require.ErrorContains(t, err, "WorkflowService is nil")
}

func nilService() workflowservice.WorkflowServiceClient { return nil }
