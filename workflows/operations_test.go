package workflows_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"google.golang.org/protobuf/proto"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/workflows"
)

// newOperations is an environment with all workflows, and with activities that only mocks answer.
func newOperations() *testsuite.TestWorkflowEnvironment {
	env := quietEnv()
	workflows.Register(env)
	for _, name := range workflows.Operations {
		env.RegisterActivityWithOptions(func(context.Context, converter.RawValue) (converter.RawValue, error) {
			return converter.RawValue{}, errors.New("not mocked")
		}, activity.RegisterOptions{Name: name})
	}
	return env
}

func TestOperationPassesPayloadsThrough(t *testing.T) {
	t.Parallel()
	in := &carillon.CreateTimersInput{Timers: []carillon.TimerSpec{{
		ClientID: "shop", Delay: 1e9,
		Target: carillon.ToMailbox(),
	}}}
	binary, err := carillon.BinaryPayload(in)
	require.NoError(t, err)
	// White space that a decoder would lose, and a number that a float would.
	foreign := &commonpb.Payload{
		Metadata: map[string][]byte{"encoding": []byte("json/plain"), "origin": []byte("python")},
		Data:     []byte(`{ "timers": [ {"payload": 12345678901234567890} ] }`),
	}
	for name, payload := range map[string]*commonpb.Payload{"protobuf": binary, "json": foreign} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := newOperations()
			env.OnActivity(carillon.OpCreateTimers, mock.Anything, mock.Anything).Return(
				func(_ context.Context, in converter.RawValue) (converter.RawValue, error) {
					require.True(t, proto.Equal(payload, in.Payload()), "got %v", in.Payload())
					return in, nil
				})
			env.ExecuteWorkflow(carillon.OpCreateTimers, converter.NewRawValue(payload))
			require.NoError(t, env.GetWorkflowError())
			var out converter.RawValue
			require.NoError(t, env.GetWorkflowResult(&out))
			require.True(t, proto.Equal(payload, out.Payload()))
		})
	}
}

func TestOperationWithoutInput(t *testing.T) {
	t.Parallel()
	env := newOperations()
	answer, err := carillon.JSONPayload(carillon.ListPartitionsResult{Partitions: []carillon.PartitionInfo{{Slot: 7}}})
	require.NoError(t, err)
	env.OnActivity(carillon.OpListPartitions, mock.Anything, mock.Anything).Return(converter.NewRawValue(answer), nil)
	env.ExecuteWorkflow(carillon.OpListPartitions)
	require.NoError(t, env.GetWorkflowError())
	var out carillon.ListPartitionsResult
	require.NoError(t, env.GetWorkflowResult(&out))
	require.Equal(t, 7, out.Partitions[0].Slot)
}

func TestOperationRetriesWhatMaySucceedLater(t *testing.T) {
	t.Parallel()
	env := newOperations()
	answer, err := carillon.JSONPayload(carillon.CountTimersResult{Pending: 3})
	require.NoError(t, err)
	away := carillon.ToTemporal(carillon.Errorf(carillon.TypeUnavailable, "the store is away"))
	env.OnActivity(carillon.OpCountTimers, mock.Anything, mock.Anything).Return(converter.RawValue{}, away).Times(3)
	env.OnActivity(carillon.OpCountTimers, mock.Anything, mock.Anything).Return(converter.NewRawValue(answer), nil).Once()
	env.ExecuteWorkflow(carillon.OpCountTimers, carillon.CountTimersInput{})
	require.NoError(t, env.GetWorkflowError())
	var out carillon.CountTimersResult
	require.NoError(t, env.GetWorkflowResult(&out))
	require.EqualValues(t, 3, out.Pending)
	env.AssertExpectations(t)
}

func TestOperationFailsWithTheErrorOfItsActivity(t *testing.T) {
	t.Parallel()
	env := newOperations()
	failure := carillon.ToTemporal(carillon.InvalidArgument("cursor", "it is none"))
	env.OnActivity(carillon.OpListTimers, mock.Anything, mock.Anything).Return(converter.RawValue{}, failure).Once()
	env.ExecuteWorkflow(carillon.OpListTimers, carillon.ListTimersInput{Cursor: "x"})

	err := env.GetWorkflowError()
	require.Error(t, err)
	var app *temporal.ApplicationError
	require.ErrorAs(t, err, &app)
	require.Equal(t, string(carillon.TypeInvalidArgument), app.Type())
	var activityError *temporal.ActivityError
	require.NotErrorAs(t, err, &activityError, "the wrapping is taken off")
	var ours *carillon.Error
	require.ErrorAs(t, carillon.FromTemporal(err), &ours)
	require.Equal(t, "cursor", ours.Field)
	env.AssertExpectations(t)
}
