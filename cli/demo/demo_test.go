package demo

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"
	"go.uber.org/goleak"

	"github.com/carillon-io/carillon"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeService fires what it is asked to create, as deliver says.
type fakeService struct {
	err      error
	slow     time.Duration
	counts   carillon.CountTimersResult
	specs    []carillon.TimerSpec
	arrivals chan Arrival
	// deliver says when each timer arrives, after it is due; nil: 3 ms.
	deliver func(i int) []time.Duration
}

func (f *fakeService) Count(context.Context, carillon.CountTimersInput) (carillon.CountTimersResult, error) {
	return f.counts, f.err
}

func (f *fakeService) CreateAll(ctx context.Context, specs []carillon.TimerSpec) ([]carillon.CreateResult, error) {
	select {
	case <-time.After(f.slow):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	f.specs = specs
	for i, spec := range specs {
		late := []time.Duration{3 * time.Millisecond}
		if f.deliver != nil {
			late = f.deliver(i)
		}
		for n, d := range late {
			road := RoadMailbox
			if spec.Target.Kind() == carillon.KindSignal {
				road = RoadSignal
			}
			at := spec.FireAt.Add(d)
			time.AfterFunc(time.Until(at), func() {
				f.arrivals <- Arrival{
					Road: road, Number: i,
					Delivery: string(rune('a'+n)) + "/" + spec.FireAt.String() + string(rune(i)), At: at,
				}
			})
		}
	}
	return make([]carillon.CreateResult, len(specs)), f.err
}

func run(t *testing.T, f *fakeService, count int) (Result, error) {
	t.Helper()
	f.arrivals = make(chan Arrival, 16)
	return Run(t.Context(), Options{
		Creator: f, Count: count, Within: 10 * time.Second, Workflows: []string{"w1", "w2"}, Now: time.Now,
		Arrivals: f.arrivals,
	})
}

func TestEveryTimerArrivesOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fakeService{}
		start := time.Now()
		r, err := run(t, f, 1000)
		require.NoError(t, err)
		require.True(t, r.Good())
		require.Equal(t, 1000, r.Fired)
		require.Less(t, time.Since(start), 11*time.Second, "it does not wait when all have come")
		require.EqualValues(t, 500, r.ByRoad[RoadSignal].TotalCount())
		require.EqualValues(t, 500, r.ByRoad[RoadMailbox].TotalCount())
		require.InDelta(t, 3, Summary(r.Lateness).P99, 0.01)
		require.False(t, f.specs[0].FireAt.Before(start.Add(700*time.Millisecond)))
		require.False(t, f.specs[999].FireAt.After(start.Add(10*time.Second)))
		require.Equal(t, "w1", f.specs[0].Target.Signal.WorkflowID)
		require.Equal(t, "w2", f.specs[2].Target.Signal.WorkflowID)
		for _, s := range f.specs {
			require.NoError(t, s.Validate(start))
		}
	})
}

func TestWhatIsWrongIsFound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fakeService{deliver: func(i int) []time.Duration {
			switch i {
			case 3:
				return nil // lost
			case 5:
				return []time.Duration{-2 * time.Millisecond} // early
			case 7:
				return []time.Duration{time.Millisecond, 50 * time.Millisecond} // twice
			default:
				return []time.Duration{time.Duration(i) * time.Millisecond}
			}
		}}
		r, err := run(t, f, 100)
		require.NoError(t, err)
		require.False(t, r.Good())
		require.Equal(t, []int{100, 99, 1, 1, 1}, []int{r.Created, r.Fired, r.Early, r.Lost, r.Duplicates})
	})
}

func TestOneDeliveryReceivedAgainIsOne(t *testing.T) {
	t.Parallel()
	m := &measurement{specs: make([]carillon.TimerSpec, 1), deliveries: map[string]bool{}, received: make([]int, 1)}
	m.result.Lateness = newHistogram()
	m.take(Arrival{Delivery: "run/1"})
	m.take(Arrival{Delivery: "run/1"})
	m.take(Arrival{Number: 7, Delivery: "somebody else's"})
	require.Equal(t, 1, m.result.Fired)
	require.Zero(t, m.result.Duplicates)
	m.take(Arrival{Delivery: "run/2"})
	require.Equal(t, 1, m.result.Duplicates)
}

func TestAClockThatIsNotExactMakesNobodyEarly(t *testing.T) {
	t.Parallel()
	due := time.Unix(1000, 0)
	m := &measurement{
		specs:      []carillon.TimerSpec{{FireAt: due}, {FireAt: due}},
		deliveries: map[string]bool{}, received: make([]int, 2),
	}
	m.result.Lateness = newHistogram()
	m.take(Arrival{Delivery: "1", At: due.Add(-time.Millisecond), Error: 2 * time.Millisecond})
	require.Zero(t, m.result.Early)
	m.take(Arrival{Number: 1, Delivery: "2", At: due.Add(-3 * time.Millisecond), Error: 2 * time.Millisecond})
	require.Equal(t, 1, m.result.Early)
}

func TestWhatCannotBeCreatedIsAnError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fakeService{err: carillon.Errorf(carillon.TypeUnavailable, "away")}
		_, err := run(t, f, 10)
		require.ErrorIs(t, err, carillon.ErrUnavailable)
	})
}

func TestCreatingThatHangsEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fakeService{slow: time.Hour}
		_, err := run(t, f, 10)
		require.ErrorContains(t, err, "not created in time")
	})
}

func TestTheHistogramIsDrawn(t *testing.T) {
	t.Parallel()
	h := newHistogram()
	require.NoError(t, h.RecordValues(500, 100))
	require.NoError(t, h.RecordValues(1500, 50))
	require.NoError(t, h.RecordValue(2_000_000))
	bars := Bars(h)
	require.Len(t, bars, len(bounds))
	require.Equal(t, Bar{time.Millisecond, 100}, bars[0])
	require.Equal(t, Bar{2 * time.Millisecond, 50}, bars[1])
	lines := strings.Split(strings.TrimRight(Draw(h, 20), "\n"), "\n")
	require.Equal(t, "    ≤ 1ms       100  "+strings.Repeat("█", 20), lines[0])
	require.Equal(t, "    ≤ 2ms        50  "+strings.Repeat("█", 10), lines[1])
	require.Equal(t, "     > 1s         1  █", lines[len(lines)-1])
	require.Len(t, strings.Split(Draw(newHistogram(), 20), "\n"), 2, "nothing is drawn as one empty bar")
}

func TestTheReceiverTellsOfEachSignal(t *testing.T) {
	t.Parallel()
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestWorkflowEnvironment()
	var got []Arrival
	r := &receiver{arrived: func(a Arrival) { got = append(got, a) }}
	env.RegisterWorkflowWithOptions(r.run, workflow.RegisterOptions{Name: workflowName})
	for i := range 3 {
		env.RegisterDelayedCallback(func() { env.SignalWorkflow(SignalName, i) }, time.Duration(i+1)*time.Second)
	}
	env.RegisterDelayedCallback(func() { env.SignalWorkflow(closeSignal, nil) }, time.Minute)
	env.ExecuteWorkflow(workflowName)
	require.NoError(t, env.GetWorkflowError())
	var received int
	require.NoError(t, env.GetWorkflowResult(&received))
	require.Equal(t, 3, received)
	require.Len(t, got, 3)
	for i, a := range got {
		require.Equal(t, i, a.Number)
		require.Equal(t, RoadSignal, a.Road)
	}
	require.NotEqual(t, got[0].Delivery, got[1].Delivery)
}
