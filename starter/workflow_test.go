package starter_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/starter"
	"github.com/carillon-io/carillon/starter/internal/startertest"
)

func environment() *testsuite.TestWorkflowEnvironment {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(quiet))
	return suite.NewTestWorkflowEnvironment()
}

// activityCall is one activity that a workflow has called.
type activityCall struct {
	operation, queue, encoding string
	data                       []byte
}

// carillonWorker registers the operations as Carillon's worker does, over timers in memory.
func carillonWorker(registry interface {
	RegisterActivityWithOptions(a any, options activity.RegisterOptions)
},
) (*startertest.Memory, func() []activityCall) {
	f := &frontend{memory: startertest.NewMemory(), converter: converter.GetDefaultDataConverter()}
	var mu sync.Mutex
	var calls []activityCall
	for _, operation := range []string{
		carillon.OpCreateTimers, carillon.OpCancelTimers, carillon.OpRescheduleTimer, carillon.OpRedriveTimers,
		carillon.OpDescribeTimer, carillon.OpListTimers, carillon.OpCountTimers,
	} {
		registry.RegisterActivityWithOptions(func(ctx context.Context, in converter.RawValue) (converter.RawValue, error) {
			p := in.Payload()
			mu.Lock()
			calls = append(calls, activityCall{
				operation, activity.GetInfo(ctx).TaskQueue, string(p.Metadata["encoding"]), p.Data,
			})
			mu.Unlock()
			if operation == carillon.OpCreateTimers && string(p.Metadata["encoding"]) == "json/plain" {
				out, err := answer(ctx, f, p.Data, f.memory.Create)
				if err != nil {
					return converter.RawValue{}, carillon.ToTemporal(err)
				}
				return converter.NewRawValue(out.Payloads[0]), nil
			}
			out, err := f.work(operation, &commonpb.Payloads{Payloads: []*commonpb.Payload{p}})
			if err != nil {
				return converter.RawValue{}, carillon.ToTemporal(err)
			}
			return converter.NewRawValue(out.Payloads[0]), nil
		}, activity.RegisterOptions{Name: operation})
	}
	return f.memory, func() []activityCall {
		mu.Lock()
		defer mu.Unlock()
		return append([]activityCall(nil), calls...)
	}
}

func run(t *testing.T, env *testsuite.TestWorkflowEnvironment, f func(ctx workflow.Context) error) error {
	t.Helper()
	env.ExecuteWorkflow(f)
	require.True(t, env.IsWorkflowCompleted())
	return env.GetWorkflowError()
}

// watching is a codec that remembers what it was given to encode.
type watching struct {
	scramble
	mu   sync.Mutex
	seen []string
}

func (w *watching) Encode(in []*commonpb.Payload) ([]*commonpb.Payload, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range in {
		w.seen = append(w.seen, string(p.Data))
	}
	return w.scramble.Encode(in)
}

func TestFromWorkflow(t *testing.T) {
	t.Parallel()
	env := environment()
	codec := &watching{}
	encoding := converter.NewCodecDataConverter(converter.GetDefaultDataConverter(), codec)
	env.SetDataConverter(encoding) // of the user's worker
	memory, calls := carillonWorker(env)

	require.NoError(t, run(t, env, func(ctx workflow.Context) error {
		timers := starter.FromWorkflow(ctx, starter.WorkflowOptions{Group: "g1", DataConverter: encoding})
		payload, err := timers.Payload("the secret")
		if err != nil {
			return err
		}
		milk := carillon.TimerRef{ClientID: "shop", Name: "milk"}
		created, err := timers.Create(carillon.TimerSpec{
			ClientID: "shop", Name: "milk", Delay: time.Hour, Payload: payload, Target: carillon.ToSignal("wf", "ring"),
		})
		if err != nil {
			return err
		}
		info, err := timers.Describe(milk)
		if err != nil {
			return err
		}
		require.Equal(t, created.TimerID, info.TimerID)
		var value string
		require.NoError(t, encoding.FromPayload(info.Payload, &value))
		require.Equal(t, "the secret", value)

		_, err = timers.Reschedule(carillon.RescheduleTimerInput{TimerRef: milk, Delay: time.Minute, ExpectedVersion: 99})
		require.ErrorIs(t, err, carillon.ErrConflict)
		moved, err := timers.Reschedule(carillon.RescheduleTimerInput{TimerRef: milk, Delay: time.Minute})
		require.NoError(t, err)
		require.Greater(t, moved.Version, created.Version)
		redriven, err := timers.Redrive([]carillon.TimerRef{milk, {ClientID: "x", Name: "y"}})
		require.NoError(t, err)
		require.Nil(t, redriven[0].Error)
		require.ErrorIs(t, redriven[1].Error, carillon.ErrNotFound)
		n := 0
		for _, err := range timers.List(carillon.ListTimersInput{}) {
			require.NoError(t, err)
			n++
		}
		require.Equal(t, 1, n)
		count, err := timers.Count(carillon.CountTimersInput{})
		require.NoError(t, err)
		require.EqualValues(t, 1, count.Pending)
		require.NoError(t, timers.Cancel(milk))
		require.ErrorIs(t, timers.Cancel(carillon.TimerRef{ClientID: "x", Name: "y"}), carillon.ErrNotFound)

		_, err = timers.Create(carillon.TimerSpec{ClientID: "shop", Name: "taken", Delay: 1, Target: carillon.ToMailbox()})
		require.ErrorIs(t, err, carillon.ErrAlreadyExists)
		_, err = timers.Create(carillon.TimerSpec{})
		require.ErrorIs(t, err, carillon.ErrInvalidArgument, "the worker checks")
		return nil
	}))
	require.Equal(t, 1, memory.Timers())
	for _, c := range calls() {
		require.Equal(t, "carillon.g1", c.queue)
		require.Equal(t, "json/plain", c.encoding)
		require.NotContains(t, string(c.data), "request_id", "the worker makes it of the activity's ids")
		require.NotContains(t, string(c.data), "the secret")
	}
	for _, seen := range codec.seen {
		require.NotContains(t, seen, `"client_id":"shop","name":"milk","delay"`, "the codec got hold of a request")
	}
}

func TestFromWorkflowSplits(t *testing.T) {
	t.Parallel()
	env := environment()
	memory, calls := carillonWorker(env)
	require.NoError(t, run(t, env, func(ctx workflow.Context) error {
		timers := starter.FromWorkflow(ctx, starter.WorkflowOptions{})
		specs := make([]carillon.TimerSpec, 1700)
		for i := range specs {
			specs[i] = spec(i)
		}
		specs[3].Payload = &commonpb.Payload{Data: []byte(strings.Repeat("x", 100_000))}
		results, err := timers.CreateAll(specs)
		require.NoError(t, err)
		refs := make([]carillon.TimerRef, len(results))
		for i, r := range results {
			info, err := memory.Describe(context.Background(), carillon.DescribeTimerInput{
				TimerRef: carillon.TimerRef{TimerID: r.TimerID},
			})
			require.NoError(t, err)
			require.Equal(t, specs[i].ClientID, info.Timer.ClientID)
			refs[i].TimerID = r.TimerID
		}
		cancelled, err := timers.CancelAll(refs)
		require.NoError(t, err)
		for i, r := range cancelled {
			require.Equal(t, refs[i].TimerID, r.TimerID)
		}
		return nil
	}))
	require.Equal(t, 1700, memory.Timers())
	require.Len(t, calls(), 4+4)
	require.Equal(t, "binary/protobuf", calls()[0].encoding)
}

func TestFromWorkflowFailures(t *testing.T) {
	t.Parallel()

	t.Run("an outage is outlasted", func(t *testing.T) {
		t.Parallel()
		env := environment()
		memory, calls := carillonWorker(env)
		failures := 8 // the environment allows 10 attempts
		memory.Before = func(string, string) error {
			if failures--; failures >= 0 {
				return carillon.Errorf(carillon.TypeUnavailable, "redis is away")
			}
			return nil
		}
		require.NoError(t, run(t, env, func(ctx workflow.Context) error {
			_, err := starter.FromWorkflow(ctx, starter.WorkflowOptions{}).Create(spec(1))
			return err
		}))
		require.Len(t, calls(), 9)
		require.Equal(t, 1, memory.Timers())
	})
	t.Run("but not for ever", func(t *testing.T) {
		t.Parallel()
		env := environment()
		memory, _ := carillonWorker(env)
		memory.Before = func(string, string) error { return carillon.Errorf(carillon.TypeUnavailable, "redis is away") }
		require.NoError(t, run(t, env, func(ctx workflow.Context) error {
			timers := starter.FromWorkflow(ctx, starter.WorkflowOptions{Timeout: 10 * time.Second})
			results, err := timers.CreateAll([]carillon.TimerSpec{spec(1), spec(2)})
			require.ErrorIs(t, err, carillon.ErrUnavailable)
			require.ErrorIs(t, results[1].Error, carillon.ErrUnavailable)
			refs := []carillon.TimerRef{{ClientID: "c", Name: "n"}}
			cancelled, err := timers.CancelAll(refs)
			require.ErrorIs(t, err, carillon.ErrUnavailable)
			require.ErrorIs(t, cancelled[0].Error, carillon.ErrUnavailable)
			redriven, err := timers.Redrive(refs)
			require.ErrorIs(t, err, carillon.ErrUnavailable)
			require.ErrorIs(t, redriven[0].Error, carillon.ErrUnavailable)
			for _, err := range timers.List(carillon.ListTimersInput{}) {
				require.ErrorIs(t, err, carillon.ErrUnavailable)
			}
			return nil
		}))
	})
	t.Run("a cancellation stays one", func(t *testing.T) {
		t.Parallel()
		env := environment()
		carillonWorker(env)
		err := run(t, env, func(ctx workflow.Context) error {
			ctx, cancel := workflow.WithCancel(ctx)
			cancel()
			_, err := starter.FromWorkflow(ctx, starter.WorkflowOptions{}).Create(spec(1))
			require.True(t, temporal.IsCanceledError(err))
			return err
		})
		require.True(t, temporal.IsCanceledError(err))
	})
	t.Run("bad options", func(t *testing.T) {
		t.Parallel()
		env := environment()
		require.NoError(t, run(t, env, func(ctx workflow.Context) error {
			for _, o := range []starter.WorkflowOptions{
				{Group: "a b"}, {AttemptTimeout: -1}, {Timeout: -1}, {Timeout: time.Hour},
			} {
				timers := starter.FromWorkflow(ctx, o)
				_, err := timers.Create(spec(1))
				require.ErrorIs(t, err, carillon.ErrInvalidArgument)
				require.ErrorIs(t, timers.Cancel(carillon.TimerRef{ClientID: "c", Name: "n"}), carillon.ErrInvalidArgument)
				_, err = timers.Count(carillon.CountTimersInput{})
				require.ErrorIs(t, err, carillon.ErrInvalidArgument)
			}
			_, err := starter.FromWorkflow(ctx, starter.WorkflowOptions{}).Payload(make(chan int))
			if !errors.Is(err, carillon.ErrInvalidArgument) {
				return err
			}
			return nil
		}))
	})
}
