package activities_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/activities"
	"github.com/carillon-io/carillon/store"
)

// fakeStore answers what a test expects to be asked.
type fakeStore struct {
	store.Store
	create     func(carillon.CreateTimersInput) (carillon.CreateTimersResult, error)
	cancel     func(carillon.CancelTimersInput) (carillon.CancelTimersResult, error)
	redrive    func(carillon.RedriveTimersInput) (carillon.RedriveTimersResult, error)
	reschedule func(carillon.RescheduleTimerInput) (carillon.RescheduleTimerResult, error)
	describe   func(carillon.DescribeTimerInput) (carillon.DescribeTimerResult, error)
	list       func(carillon.ListTimersInput) (carillon.ListTimersResult, error)
	count      func(carillon.CountTimersInput) (carillon.CountTimersResult, error)
	partitions func() (carillon.ListPartitionsResult, error)
	group      func(carillon.DescribeGroupInput) (carillon.DescribeGroupResult, error)
	drain      func(carillon.DrainWorkerInput) (carillon.DrainWorkerResult, error)
}

func (f *fakeStore) Create(_ context.Context, in carillon.CreateTimersInput) (carillon.CreateTimersResult, error) {
	return f.create(in)
}

func (f *fakeStore) Cancel(_ context.Context, in carillon.CancelTimersInput) (carillon.CancelTimersResult, error) {
	return f.cancel(in)
}

func (f *fakeStore) Redrive(_ context.Context, in carillon.RedriveTimersInput) (carillon.RedriveTimersResult, error) {
	return f.redrive(in)
}

func (f *fakeStore) Reschedule(
	_ context.Context, in carillon.RescheduleTimerInput,
) (carillon.RescheduleTimerResult, error) {
	return f.reschedule(in)
}

func (f *fakeStore) Describe(_ context.Context, in carillon.DescribeTimerInput) (carillon.DescribeTimerResult, error) {
	return f.describe(in)
}

func (f *fakeStore) List(_ context.Context, in carillon.ListTimersInput) (carillon.ListTimersResult, error) {
	return f.list(in)
}

func (f *fakeStore) Count(_ context.Context, in carillon.CountTimersInput) (carillon.CountTimersResult, error) {
	return f.count(in)
}

func (f *fakeStore) ListPartitions(context.Context) (carillon.ListPartitionsResult, error) {
	return f.partitions()
}

func (f *fakeStore) DescribeGroup(
	_ context.Context, in carillon.DescribeGroupInput,
) (carillon.DescribeGroupResult, error) {
	return f.group(in)
}

func (f *fakeStore) DrainWorker(_ context.Context, in carillon.DrainWorkerInput) (carillon.DrainWorkerResult, error) {
	return f.drain(in)
}

// newEnv is an environment that runs the operations on a store.
func newEnv(s store.Store) *testsuite.TestActivityEnvironment {
	env := quietEnv()
	(&activities.Operations{Store: s}).Register(env)
	return env
}

func quietEnv() *testsuite.TestActivityEnvironment {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	return suite.NewTestActivityEnvironment()
}

// run runs an operation and gives the payload that it answers.
func run(env *testsuite.TestActivityEnvironment, op string, args ...any) (*commonpb.Payload, error) {
	value, err := env.ExecuteActivity(op, args...)
	if err != nil {
		return nil, err
	}
	var raw converter.RawValue
	if err := value.Get(&raw); err != nil {
		return nil, err
	}
	return raw.Payload(), nil
}

func jsonValue(text string) converter.RawValue {
	return converter.NewRawValue(&commonpb.Payload{
		Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: []byte(text),
	})
}

// timerID is some id.
func timerID(n byte) carillon.ID { return carillon.NewID(0, int(n), carillon.Unique{8: n}) }

// echo creates what it is asked for.
func echo(asked *carillon.CreateTimersInput) func(carillon.CreateTimersInput) (carillon.CreateTimersResult, error) {
	return func(in carillon.CreateTimersInput) (carillon.CreateTimersResult, error) {
		*asked = in
		var out carillon.CreateTimersResult
		for i := range in.Timers {
			out.Timers = append(out.Timers, carillon.CreateResult{TimerID: timerID(byte(i + 1)), Version: 7})
		}
		return out, nil
	}
}

func TestCreateAnswersInTheFormItWasAskedIn(t *testing.T) {
	t.Parallel()
	in := carillon.CreateTimersInput{RequestID: "mine", Timers: []carillon.TimerSpec{
		{ClientID: "a", Delay: time.Second, Target: carillon.ToMailbox()},
		{ClientID: "b", Delay: time.Minute, Target: carillon.ToSignal("w", "s")},
	}}
	binary, err := carillon.BinaryPayload(&in)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		arg    any
		binary bool
	}{
		"json":     {in, false},
		"protobuf": {converter.NewRawValue(binary), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked carillon.CreateTimersInput
			p, err := run(newEnv(&fakeStore{create: echo(&asked)}), carillon.OpCreateTimers, c.arg)
			require.NoError(t, err)
			require.Equal(t, in, asked)
			require.Equal(t, c.binary, carillon.IsBinaryPayload(p))
			var out carillon.CreateTimersResult
			require.NoError(t, carillon.ResultFromPayload(p, &out))
			require.Equal(t, timerID(1), out.Timers[0].TimerID)
			require.Equal(t, timerID(2), out.Timers[1].TimerID)
		})
	}
}

func TestOneTimerThatIsNoneFailsNoOther(t *testing.T) {
	t.Parallel()
	var asked carillon.CreateTimersInput
	p, err := run(newEnv(&fakeStore{create: echo(&asked)}), carillon.OpCreateTimers, jsonValue(`{"timers": [
		{"client_id": "a", "delay": "soon", "target": {"mailbox": {}}},
		{"client_id": "b", "delay": "1s", "target": {"mailbox": {}}},
		{"client_id": "c", "dealy": "1s"},
		{"client_id": "d", "delay": "2s", "target": {"mailbox": {}}}
	]}`))
	require.NoError(t, err)
	require.Len(t, asked.Timers, 2)
	require.Equal(t, "b", asked.Timers[0].ClientID)
	var out carillon.CreateTimersResult
	require.NoError(t, carillon.ResultFromPayload(p, &out))
	require.Len(t, out.Timers, 4)
	require.Equal(t, carillon.TypeInvalidArgument, out.Timers[0].Error.Type)
	require.Equal(t, timerID(1), out.Timers[1].TimerID)
	require.Equal(t, "dealy", out.Timers[2].Error.Field)
	require.Equal(t, timerID(2), out.Timers[3].TimerID)
	require.Nil(t, out.Timers[3].Error)
}

func TestABatchOfNothingReadableAsksNobody(t *testing.T) {
	t.Parallel()
	p, err := run(newEnv(&fakeStore{}), carillon.OpCancelTimers, jsonValue(`{"timers": [{"timer_id": "nonsense"}]}`))
	require.NoError(t, err)
	var out carillon.CancelTimersResult
	require.NoError(t, carillon.ResultFromPayload(p, &out))
	require.Equal(t, carillon.TypeInvalidArgument, out.Timers[0].Error.Type)
}

func TestBatchesOfReferences(t *testing.T) {
	t.Parallel()
	ids := []carillon.ID{timerID(1), timerID(2)}
	refs := []carillon.TimerRef{{TimerID: ids[0]}, {TimerID: ids[1]}}
	missing := carillon.Errorf(carillon.TypeNotFound, "there is none")
	env := newEnv(&fakeStore{
		cancel: func(in carillon.CancelTimersInput) (carillon.CancelTimersResult, error) {
			require.Equal(t, refs, in.Timers)
			require.NotEmpty(t, in.RequestID)
			return carillon.CancelTimersResult{Timers: []carillon.CancelResult{{TimerID: ids[0]}, {Error: missing}}}, nil
		},
		redrive: func(in carillon.RedriveTimersInput) (carillon.RedriveTimersResult, error) {
			require.Equal(t, refs, in.Timers)
			require.NotEmpty(t, in.RequestID)
			return carillon.RedriveTimersResult{Timers: []carillon.CreateResult{{TimerID: ids[0]}, {Error: missing}}}, nil
		},
	})
	p, err := run(env, carillon.OpCancelTimers, carillon.CancelTimersInput{Timers: refs})
	require.NoError(t, err)
	var cancelled carillon.CancelTimersResult
	require.NoError(t, carillon.ResultFromPayload(p, &cancelled))
	require.Equal(t, ids[0], cancelled.Timers[0].TimerID)
	require.ErrorIs(t, cancelled.Timers[1].Error, carillon.ErrNotFound)

	p, err = run(env, carillon.OpRedriveTimers, carillon.RedriveTimersInput{Timers: refs})
	require.NoError(t, err)
	var redriven carillon.RedriveTimersResult
	require.NoError(t, carillon.ResultFromPayload(p, &redriven))
	require.ErrorIs(t, redriven.Timers[1].Error, carillon.ErrNotFound)
}

func TestRequestIDsComeFromTheActivity(t *testing.T) {
	t.Parallel()
	spec := carillon.TimerSpec{ClientID: "a", Delay: time.Second, Target: carillon.ToMailbox()}
	var asked carillon.CreateTimersInput
	env := newEnv(&fakeStore{create: echo(&asked)})
	_, err := run(env, carillon.OpCreateTimers, carillon.CreateTimersInput{Timers: []carillon.TimerSpec{spec}})
	require.NoError(t, err)
	run1, activity1, found := strings.Cut(asked.RequestID, "/")
	require.True(t, found && run1 != "" && activity1 != "", "%q", asked.RequestID)

	_, err = run(env, carillon.OpCreateTimers, carillon.CreateTimersInput{
		RequestID: strings.Repeat("x", carillon.MaxRequestID+1), Timers: []carillon.TimerSpec{spec},
	})
	requireInvalid(t, err, "request_id")
}

func TestSingleOperations(t *testing.T) {
	t.Parallel()
	id := timerID(9)
	at := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	env := newEnv(&fakeStore{
		reschedule: func(in carillon.RescheduleTimerInput) (carillon.RescheduleTimerResult, error) {
			require.NotEmpty(t, in.RequestID)
			require.EqualValues(t, 3, in.ExpectedVersion)
			return carillon.RescheduleTimerResult{TimerID: in.TimerID, Version: 4, FireAt: in.FireAt}, nil
		},
		describe: func(in carillon.DescribeTimerInput) (carillon.DescribeTimerResult, error) {
			return carillon.DescribeTimerResult{Timer: carillon.TimerInfo{TimerID: in.TimerID, State: carillon.StateDue}}, nil
		},
		list: func(in carillon.ListTimersInput) (carillon.ListTimersResult, error) {
			return carillon.ListTimersResult{NextCursor: in.Cursor + "+"}, nil
		},
		count: func(in carillon.CountTimersInput) (carillon.CountTimersResult, error) {
			require.Empty(t, in.ClientID)
			return carillon.CountTimersResult{Pending: 5}, nil
		},
		partitions: func() (carillon.ListPartitionsResult, error) {
			return carillon.ListPartitionsResult{Lanes: []carillon.LaneInfo{{Lane: 1}}}, nil
		},
		group: func(in carillon.DescribeGroupInput) (carillon.DescribeGroupResult, error) {
			out := carillon.DescribeGroupResult{Group: "g", Control: carillon.Control{Epoch: 4}, Workers: []carillon.WorkerInfo{{
				Member: carillon.Member{Worker: "w", Labels: map[string]string{"a": "b"}, Seen: at}, Fire: 2,
			}}}
			if !in.WithoutTasks {
				out.Tasks = []carillon.TaskInfo{{
					Task:   carillon.Task{Kind: carillon.TaskFire, Slot: 3, Number: 1},
					Worker: "w", Since: at, Problem: carillon.ProblemUnassigned,
				}}
			}
			return out, nil
		},
		drain: func(in carillon.DrainWorkerInput) (carillon.DrainWorkerResult, error) {
			if in.Worker != "w" {
				return carillon.DrainWorkerResult{}, carillon.Errorf(carillon.TypeNotFound, "no worker %q", in.Worker)
			}
			return carillon.DrainWorkerResult{Worker: carillon.Member{Worker: in.Worker, Draining: !in.Undo}}, nil
		},
	})
	read := func(out any, op string, args ...any) {
		t.Helper()
		p, err := run(env, op, args...)
		require.NoError(t, err)
		require.NoError(t, carillon.ResultFromPayload(p, out))
	}

	var moved carillon.RescheduleTimerResult
	read(&moved, carillon.OpRescheduleTimer, carillon.RescheduleTimerInput{
		TimerRef: carillon.TimerRef{TimerID: id}, FireAt: at, ExpectedVersion: 3,
	})
	require.Equal(t, carillon.RescheduleTimerResult{TimerID: id, Version: 4, FireAt: at}, moved)

	var described carillon.DescribeTimerResult
	read(&described, carillon.OpDescribeTimer, carillon.DescribeTimerInput{TimerRef: carillon.TimerRef{TimerID: id}})
	require.Equal(t, id, described.Timer.TimerID)

	var listed carillon.ListTimersResult
	read(&listed, carillon.OpListTimers, carillon.ListTimersInput{Cursor: "c"})
	require.Equal(t, "c+", listed.NextCursor)

	var counted carillon.CountTimersResult
	read(&counted, carillon.OpCountTimers)
	require.EqualValues(t, 5, counted.Pending)

	var partitions carillon.ListPartitionsResult
	read(&partitions, carillon.OpListPartitions, nil)
	require.Len(t, partitions.Lanes, 1)

	var group carillon.DescribeGroupResult
	read(&group, carillon.OpDescribeGroup, nil)
	require.Equal(t, "g", group.Group)
	require.EqualValues(t, 4, group.Control.Epoch)
	require.Equal(t, "w", group.Workers[0].Worker)
	require.Equal(t, at, group.Workers[0].Seen)
	require.Equal(t, 2, group.Workers[0].Fire)
	require.Equal(t, carillon.TaskInfo{
		Task: carillon.Task{Kind: carillon.TaskFire, Slot: 3, Number: 1}, Worker: "w", Since: at,
		Problem: carillon.ProblemUnassigned,
	}, group.Tasks[0])
	var short carillon.DescribeGroupResult
	read(&short, carillon.OpDescribeGroup, jsonValue(`{"without_tasks": true}`))
	require.Empty(t, short.Tasks)

	var drained carillon.DrainWorkerResult
	read(&drained, carillon.OpDrainWorker, jsonValue(`{"worker": "w"}`))
	require.True(t, drained.Worker.Draining)
	var undone carillon.DrainWorkerResult
	read(&undone, carillon.OpDrainWorker, jsonValue(`{"worker": "w", "undo": true}`))
	require.Equal(t, carillon.Member{Worker: "w"}, undone.Worker)
	_, err := run(env, carillon.OpDrainWorker, jsonValue(`{"worker": "v"}`))
	require.ErrorIs(t, carillon.FromTemporal(err), carillon.ErrNotFound)
	_, err = run(env, carillon.OpDrainWorker, jsonValue(`{"worker": "w", "draining": false}`))
	requireInvalid(t, err, "draining")
}

// requireInvalid checks that an activity has failed for good, about a field.
func requireInvalid(t *testing.T, err error, field string) {
	t.Helper()
	require.Error(t, err)
	var app *temporal.ApplicationError
	require.ErrorAs(t, err, &app)
	require.True(t, app.NonRetryable())
	var ours *carillon.Error
	require.ErrorAs(t, carillon.FromTemporal(err), &ours)
	require.Equal(t, carillon.TypeInvalidArgument, ours.Type)
	require.Equal(t, field, ours.Field)
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	many := `{"timers": [` + strings.Repeat("{},", carillon.MaxBatch) + `{}]}`
	encrypted := converter.NewRawValue(&commonpb.Payload{
		Metadata: map[string][]byte{"encoding": []byte("binary/encrypted")}, Data: []byte("…"),
	})
	result, err := carillon.BinaryPayload(&carillon.CreateTimersResult{})
	require.NoError(t, err)
	input, err := carillon.BinaryPayload(&carillon.CreateTimersInput{})
	require.NoError(t, err)
	broken := converter.NewRawValue(&commonpb.Payload{
		Metadata: map[string][]byte{"encoding": []byte("binary/protobuf")}, Data: []byte("\xff\xff"),
	})
	for name, c := range map[string]struct {
		op    string
		arg   converter.RawValue
		field string
		text  string
	}{
		"no timers":       {carillon.OpCreateTimers, jsonValue(`{}`), "timers", "none"},
		"no timers, wire": {carillon.OpCreateTimers, converter.NewRawValue(input), "timers", "none"},
		"too many":        {carillon.OpCreateTimers, jsonValue(many), "timers", "at most 1000"},
		"too large": {
			carillon.OpCreateTimers, jsonValue(`{"timers": ["` + strings.Repeat("x", carillon.MaxBatchBytes) + `"]}`),
			"timers", "over the limit",
		},
		"unknown field":   {carillon.OpCancelTimers, jsonValue(`{"timer": []}`), "timer", "no such field"},
		"not JSON":        {carillon.OpListTimers, jsonValue(`{"page_size": `), "", "JSON"},
		"wrong type":      {carillon.OpListTimers, jsonValue(`{"page_size": "many"}`), "page_size", "string"},
		"encrypted":       {carillon.OpCreateTimers, encrypted, "", "codec"},
		"another message": {carillon.OpCreateTimers, converter.NewRawValue(result), "", "carillon.v1.CreateTimersResult"},
		"no binary form":  {carillon.OpCancelTimers, converter.NewRawValue(input), "", "send JSON"},
		"broken protobuf": {carillon.OpCreateTimers, broken, "", "protobuf"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := run(newEnv(&fakeStore{}), c.op, c.arg)
			requireInvalid(t, err, c.field)
			require.ErrorContains(t, err, c.text)
		})
	}
}

func TestErrorsOfTheStore(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err       error
		kind      carillon.ErrorType
		retryable bool
	}{
		"ours": {
			fmt.Errorf("describe: %w", carillon.Errorf(carillon.TypeNotFound, "there is none")),
			carillon.TypeNotFound, false,
		},
		"away":     {carillon.Errorf(carillon.TypeUnavailable, "the store is away"), carillon.TypeUnavailable, true},
		"unknown":  {errors.New("connection reset"), carillon.TypeUnavailable, true},
		"too late": {carillon.ErrTooLate, carillon.TypeTooLate, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := newEnv(&fakeStore{describe: func(carillon.DescribeTimerInput) (carillon.DescribeTimerResult, error) {
				return carillon.DescribeTimerResult{}, c.err
			}})
			_, err := run(env, carillon.OpDescribeTimer, carillon.DescribeTimerInput{})
			var app *temporal.ApplicationError
			require.ErrorAs(t, err, &app)
			require.Equal(t, string(c.kind), app.Type())
			require.Equal(t, c.retryable, !app.NonRetryable())
		})
	}
}

func TestAStoreThatAnswersTooLittleIsAskedAgain(t *testing.T) {
	t.Parallel()
	env := newEnv(&fakeStore{create: func(carillon.CreateTimersInput) (carillon.CreateTimersResult, error) {
		return carillon.CreateTimersResult{}, nil
	}})
	_, err := run(env, carillon.OpCreateTimers, jsonValue(`{"timers": [{"client_id": "a"}]}`))
	require.ErrorIs(t, carillon.FromTemporal(err), carillon.ErrUnavailable)
}

func TestAnAnswerThatTemporalWouldRefuse(t *testing.T) {
	t.Parallel()
	env := newEnv(&fakeStore{list: func(carillon.ListTimersInput) (carillon.ListTimersResult, error) {
		return carillon.ListTimersResult{NextCursor: strings.Repeat("x", 3<<20)}, nil
	}})
	_, err := run(env, carillon.OpListTimers, carillon.ListTimersInput{})
	requireInvalid(t, err, "page_size")
}
