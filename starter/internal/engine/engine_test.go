package engine_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/starter/internal/engine"
	"github.com/carillon-io/carillon/starter/internal/startertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func options() engine.Options {
	return engine.Options{
		MaxBatch: 10, MaxBatchBytes: 10_000, RequestBatch: 5, RequestBatchBytes: 10_000,
		MaxInFlight: 2, Timeout: time.Minute, RetryInterval: 100 * time.Millisecond, MaxRetryInterval: time.Second,
		Logger: slog.New(slog.DiscardHandler),
	}
}

func spec(i int) carillon.TimerSpec {
	return carillon.TimerSpec{
		ClientID: fmt.Sprintf("client-%d", i), Delay: time.Hour, Target: carillon.ToMailbox(),
		Payload: &commonpb.Payload{Data: []byte("hello")},
	}
}

func specs(n int) []carillon.TimerSpec {
	out := make([]carillon.TimerSpec, n)
	for i := range out {
		out[i] = spec(i)
	}
	return out
}

var errAway = carillon.Errorf(carillon.TypeUnavailable, "the store is away")

// failing gives an error for the first n operations, and counts the request ids of all of them.
func failing(n int, err error) (hook func(string, string) error, ids func() []string) {
	var mu sync.Mutex
	var seen []string
	return func(_, id string) error {
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, id)
			if len(seen) <= n {
				return err
			}
			return nil
		}, func() []string {
			mu.Lock()
			defer mu.Unlock()
			return append([]string(nil), seen...)
		}
}

func TestConcurrentCreatesTravelTogether(t *testing.T) {
	t.Parallel()
	m := startertest.NewMemory()
	e := engine.New(m, options())
	var wg sync.WaitGroup
	var mu sync.Mutex
	ids := map[carillon.ID]bool{}
	for i := range 500 {
		wg.Go(func() {
			result, err := e.Create(t.Context(), spec(i))
			if err != nil {
				t.Errorf("%d: %v", i, err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			ids[result.TimerID] = true
		})
	}
	wg.Wait()
	require.NoError(t, e.Close())
	require.Len(t, ids, 500)
	require.Equal(t, 500, m.Timers())
	for _, request := range m.Requests() {
		require.NotEmpty(t, request.RequestID)
		require.LessOrEqual(t, len(request.Timers), 10)
	}
}

func TestALostAnswerIsAskedForAgain(t *testing.T) {
	t.Parallel()
	for name, hook := range map[string]func(*startertest.Memory, func(string, string) error){
		"before": func(m *startertest.Memory, f func(string, string) error) { m.Before = f },
		"after":  func(m *startertest.Memory, f func(string, string) error) { m.After = f },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := startertest.NewMemory()
				f, ids := failing(3, errAway)
				hook(m, f)
				e := engine.New(m, options())
				defer e.Close()
				result, err := e.Create(t.Context(), spec(1))
				require.NoError(t, err)
				require.False(t, result.TimerID.IsZero())
				require.Equal(t, 1, m.Timers())
				require.Len(t, ids(), 4)
				for _, id := range ids() {
					require.Equal(t, ids()[0], id)
				}
			})
		})
	}
}

func TestWhatCannotSucceedIsNotRepeated(t *testing.T) {
	t.Parallel()
	for _, refusal := range []error{
		carillon.Errorf(carillon.TypeConflict, "no"),
		fmt.Errorf("wrapped: %w", carillon.Errorf(carillon.TypeQuotaExceeded, "no")),
		engine.Final(errAway),
	} {
		synctest.Test(t, func(t *testing.T) {
			m := startertest.NewMemory()
			f, ids := failing(100, refusal)
			m.Before = f
			e := engine.New(m, options())
			defer e.Close()
			begin := time.Now()
			_, err := e.Count(t.Context(), carillon.CountTimersInput{})
			require.Equal(t, carillon.AsError(refusal).Type, carillon.AsError(err).Type)
			require.Len(t, ids(), 1)
			require.Equal(t, begin, time.Now())
		})
	}
}

func TestTheTimeIsUp(t *testing.T) {
	t.Parallel()

	t.Run("after attempts that failed", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			m := startertest.NewMemory()
			m.Before, _ = failing(1_000_000, errAway)
			e := engine.New(m, options())
			defer e.Close()
			begin := time.Now()
			results, err := e.CreateAll(t.Context(), specs(2))
			require.ErrorIs(t, err, carillon.ErrUnavailable)
			require.ErrorContains(t, err, "the store is away")
			require.ErrorContains(t, err, "1m0s")
			require.Equal(t, time.Minute, time.Since(begin))
			for _, r := range results {
				require.ErrorIs(t, r.Error, carillon.ErrUnavailable)
			}
		})
	})
	t.Run("of the caller, who learns what the trouble was", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			m := startertest.NewMemory()
			m.Before, _ = failing(1_000_000, errAway)
			e := engine.New(m, options())
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			for _, create := range []func() error{
				func() error { _, err := e.Create(ctx, spec(1)); return err },
				func() error { _, err := e.CreateRequest(ctx, "r", specs(1)); return err },
				func() error { _, err := e.Describe(ctx, carillon.TimerRef{ClientID: "c", Name: "n"}); return err },
			} {
				err := create()
				require.ErrorIs(t, err, carillon.ErrUnavailable)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.ErrorContains(t, err, "the store is away")
			}
			e.Close() // waits for the operation that the caller has left
		})
	})
}

func TestEachTimerHasItsOwnAnswer(t *testing.T) {
	t.Parallel()
	m := startertest.NewMemory()
	e := engine.New(m, options())
	defer e.Close()

	timers := specs(57)
	timers[3].ClientID = ""                                             // refused here
	timers[20].Name = "taken"                                           // refused there
	timers[33].Payload = &commonpb.Payload{Data: make([]byte, 300_000)} // over the limit of a payload
	timers[34].Payload = &commonpb.Payload{Data: make([]byte, 11_000)}  // over the limit of an operation
	for name, create := range map[string]func() ([]carillon.CreateResult, error){
		"CreateAll":     func() ([]carillon.CreateResult, error) { return e.CreateAll(t.Context(), timers) },
		"CreateRequest": func() ([]carillon.CreateResult, error) { return e.CreateRequest(t.Context(), "r", timers) },
	} {
		results, err := create()
		require.NoError(t, err, name)
		require.Len(t, results, 57)
		for i, r := range results {
			switch i {
			case 3:
				require.ErrorIs(t, r.Error, carillon.ErrInvalidArgument)
				require.Equal(t, "client_id", r.Error.Field)
			case 20:
				require.ErrorIs(t, r.Error, carillon.ErrAlreadyExists)
			case 33:
				require.Equal(t, "payload", r.Error.Field)
			case 34:
				require.ErrorIs(t, r.Error, carillon.ErrInvalidArgument)
				require.ErrorContains(t, r.Error, "the limit is 10000")
			default:
				require.Nil(t, r.Error, "%s: %d", name, i)
				info, err := e.Describe(t.Context(), carillon.TimerRef{TimerID: r.TimerID})
				require.NoError(t, err)
				require.Equal(t, timers[i].ClientID, info.ClientID, "answers are in order")
			}
		}
	}

	_, err := e.Create(t.Context(), timers[3])
	require.ErrorIs(t, err, carillon.ErrInvalidArgument)
	_, err = e.Create(t.Context(), timers[20])
	require.ErrorIs(t, err, carillon.ErrAlreadyExists)
}

func TestARequestIsSplitInTheSameWayForEver(t *testing.T) {
	t.Parallel()
	timers := specs(12)
	timers[0].ClientID = "" // refused, but it keeps its place
	for i := range timers[8:] {
		timers[8+i].Payload.Data = make([]byte, 4500)
	}
	var first []carillon.CreateResult
	m := startertest.NewMemory()
	for _, change := range []func(*engine.Options){
		func(o *engine.Options) {},
		func(o *engine.Options) { o.MaxBatch = 3 },
		func(o *engine.Options) { o.MaxBatchBytes = 20_000; o.MaxInFlight = 1 },
	} {
		o := options()
		change(&o)
		e := engine.New(m, o)
		results, err := e.CreateRequest(t.Context(), "import-7", timers)
		require.NoError(t, err)
		require.NoError(t, e.Close())
		if first == nil {
			first = results
		}
		require.Equal(t, first, results)
	}
	require.Equal(t, 11, m.Timers(), "nothing twice")
	sizes := map[string]int{}
	for _, request := range m.Requests() {
		sizes[request.RequestID] = len(request.Timers)
	}
	require.Equal(t, map[string]int{"import-7/0": 4, "import-7/1": 4, "import-7/2": 2, "import-7/3": 1}, sizes)
}

func TestAnOperationThatFailsLeavesTheOthers(t *testing.T) {
	t.Parallel()
	m := startertest.NewMemory()
	m.Before = func(_, id string) error {
		if strings.HasSuffix(id, "/1") {
			return engine.Final(errAway)
		}
		return nil
	}
	e := engine.New(m, options())
	defer e.Close()
	results, err := e.CreateRequest(t.Context(), "r", specs(15))
	require.ErrorIs(t, err, carillon.ErrUnavailable)
	require.Equal(t, 10, m.Timers())
	for i, r := range results {
		require.Equal(t, 5 <= i && i < 10, r.Error != nil, "%d", i)
	}
}

func TestRequestIDs(t *testing.T) {
	t.Parallel()
	e := engine.New(startertest.NewMemory(), options())
	defer e.Close()
	for _, id := range []string{"", strings.Repeat("x", 1000), "a\x00b", "\xff"} {
		_, err := e.CreateRequest(t.Context(), id, specs(1))
		require.ErrorIs(t, err, carillon.ErrInvalidArgument)
		require.Equal(t, "request_id", carillon.AsError(err).Field)
	}
}

func TestManage(t *testing.T) {
	t.Parallel()
	m := startertest.NewMemory()
	e := engine.New(m, options())
	defer e.Close()
	timers := specs(25)
	timers[0].Name = "milk"
	results, err := e.CreateAll(t.Context(), timers)
	require.NoError(t, err)
	milk := carillon.TimerRef{ClientID: "client-0", Name: "milk"}

	moved, err := e.Reschedule(t.Context(), carillon.RescheduleTimerInput{TimerRef: milk, Delay: 2 * time.Hour})
	require.NoError(t, err)
	require.Equal(t, results[0].TimerID, moved.TimerID)
	_, err = e.Reschedule(t.Context(), carillon.RescheduleTimerInput{TimerRef: milk, Delay: 1, ExpectedVersion: 1})
	require.ErrorIs(t, err, carillon.ErrConflict)
	for _, bad := range []carillon.RescheduleTimerInput{
		{Delay: time.Hour}, {TimerRef: milk}, {TimerRef: milk, Delay: time.Hour, RequestID: "\n"},
	} {
		_, err = e.Reschedule(t.Context(), bad)
		require.ErrorIs(t, err, carillon.ErrInvalidArgument)
	}

	require.NoError(t, e.Cancel(t.Context(), milk))
	require.ErrorIs(t, e.Cancel(t.Context(), carillon.TimerRef{ClientID: "nobody", Name: "x"}), carillon.ErrNotFound)
	require.ErrorIs(t, e.Cancel(t.Context(), carillon.TimerRef{}), carillon.ErrInvalidArgument)

	refs := make([]carillon.TimerRef, 25)
	for i, r := range results {
		refs[i] = carillon.TimerRef{TimerID: r.TimerID}
	}
	refs[12] = carillon.TimerRef{}
	redriven, err := e.Redrive(t.Context(), refs)
	require.NoError(t, err)
	cancelled, err := e.CancelAll(t.Context(), refs)
	require.NoError(t, err)
	for i := range refs {
		if i == 12 {
			require.ErrorIs(t, cancelled[i].Error, carillon.ErrInvalidArgument)
			require.ErrorIs(t, redriven[i].Error, carillon.ErrInvalidArgument)
			continue
		}
		require.Nil(t, cancelled[i].Error)
		require.Equal(t, refs[i].TimerID, cancelled[i].TimerID)
		require.Equal(t, refs[i].TimerID, redriven[i].TimerID)
	}
	count, err := e.Count(t.Context(), carillon.CountTimersInput{})
	require.NoError(t, err)
	require.EqualValues(t, 1, count.Pending)
	partitions, err := e.ListPartitions(t.Context())
	require.NoError(t, err)
	require.Len(t, partitions.Partitions, 1)

	m.Before = func(operation, _ string) error { return engine.Final(errAway) }
	cancelled, err = e.CancelAll(t.Context(), refs)
	require.ErrorIs(t, err, carillon.ErrUnavailable)
	require.ErrorIs(t, cancelled[0].Error, carillon.ErrUnavailable)
	require.ErrorIs(t, cancelled[12].Error, carillon.ErrInvalidArgument)
	redriven, err = e.Redrive(t.Context(), refs)
	require.ErrorIs(t, err, carillon.ErrUnavailable)
	require.ErrorIs(t, redriven[24].Error, carillon.ErrUnavailable)
}

func TestList(t *testing.T) {
	t.Parallel()
	m := startertest.NewMemory()
	e := engine.New(m, options())
	defer e.Close()
	_, err := e.CreateAll(t.Context(), specs(25))
	require.NoError(t, err)

	pages := 0
	m.Before = func(string, string) error { pages++; return nil }
	seen := 0
	for _, err := range e.List(t.Context(), carillon.ListTimersInput{PageSize: 10}) {
		require.NoError(t, err)
		seen++
	}
	require.Equal(t, 25, seen)
	require.Equal(t, 6, pages)

	pages = 0
	for _, err := range e.List(t.Context(), carillon.ListTimersInput{PageSize: 10}) {
		require.NoError(t, err)
		break
	}
	require.Equal(t, 2, pages, "pages come as the loop asks for more")

	for _, size := range []int{-1, carillon.MaxPageSize + 1} {
		for _, err := range e.List(t.Context(), carillon.ListTimersInput{PageSize: size}) {
			require.ErrorIs(t, err, carillon.ErrInvalidArgument)
		}
	}
	m.Before = func(string, string) error { return engine.Final(errAway) }
	n := 0
	for _, err := range e.List(t.Context(), carillon.ListTimersInput{}) {
		require.ErrorIs(t, err, carillon.ErrUnavailable)
		n++
	}
	require.Equal(t, 1, n)
}

func TestWrongNumberOfAnswers(t *testing.T) {
	t.Parallel()
	e := engine.New(oneTooMany{startertest.NewMemory()}, options())
	defer e.Close()
	_, err := e.Create(t.Context(), spec(1))
	require.ErrorContains(t, err, "answered 2 timers of 1")
}

type oneTooMany struct{ *startertest.Memory }

func (o oneTooMany) Create(ctx context.Context, in carillon.CreateTimersInput) (carillon.CreateTimersResult, error) {
	out, err := o.Memory.Create(ctx, in)
	out.Timers = append(out.Timers, carillon.CreateResult{})
	return out, err
}

func TestClosed(t *testing.T) {
	t.Parallel()
	e := engine.New(startertest.NewMemory(), options())
	require.NoError(t, e.Close())
	require.NoError(t, e.Close())
	_, err := e.Create(t.Context(), spec(1))
	require.ErrorContains(t, err, "closed")
	results, err := e.CreateAll(t.Context(), specs(2))
	require.ErrorContains(t, err, "closed")
	require.Error(t, results[1].Error)
	_, err = e.CreateRequest(t.Context(), "r", specs(2))
	require.ErrorContains(t, err, "closed")
	require.ErrorContains(t, e.Cancel(t.Context(), carillon.TimerRef{ClientID: "c", Name: "n"}), "closed")
	_, err = e.Count(t.Context(), carillon.CountTimersInput{})
	require.ErrorContains(t, err, "closed")
}

type explaining struct {
	*startertest.Memory
	hang bool
}

func (b explaining) Count(ctx context.Context, in carillon.CountTimersInput) (carillon.CountTimersResult, error) {
	if b.hang {
		<-ctx.Done()
		return carillon.CountTimersResult{}, fmt.Errorf("poll: %w", ctx.Err())
	}
	return carillon.CountTimersResult{}, errAway
}

func (b explaining) Explain(_ context.Context, operation string, last error) error {
	if last == nil {
		return errors.New(operation + ": nobody is there")
	}
	return fmt.Errorf("%s: %w", operation, last)
}

func TestExplain(t *testing.T) {
	t.Parallel()
	for hang, want := range map[bool]string{true: "CountTimers: nobody is there", false: "the store is away"} {
		synctest.Test(t, func(t *testing.T) {
			e := engine.New(explaining{startertest.NewMemory(), hang}, options())
			defer e.Close()
			_, err := e.Count(t.Context(), carillon.CountTimersInput{})
			require.ErrorIs(t, err, carillon.ErrUnavailable)
			require.ErrorContains(t, err, want)
		})
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	o := options()
	require.NoError(t, o.Check())
	for field, change := range map[string]func(*engine.Options){
		"MaxBatch":         func(o *engine.Options) { o.MaxBatch = carillon.MaxBatch + 1 },
		"MaxBatchBytes":    func(o *engine.Options) { o.MaxBatchBytes = -1 },
		"MaxInFlight":      func(o *engine.Options) { o.MaxInFlight = -1 },
		"Linger":           func(o *engine.Options) { o.Linger = time.Hour },
		"OperationTimeout": func(o *engine.Options) { o.Timeout = time.Millisecond },
	} {
		o := options()
		change(&o)
		err := o.Check()
		require.ErrorIs(t, err, carillon.ErrInvalidArgument)
		require.Equal(t, field, carillon.AsError(err).Field)
	}
}

// genSpec makes timers of all shapes.
func genSpec(t *rapid.T) carillon.TimerSpec {
	text := rapid.StringN(0, 40, 200)
	texts := rapid.MapOfN(text, text, 0, 5)
	s := carillon.TimerSpec{
		ClientID: text.Draw(t, "client"), Name: text.Draw(t, "name"), Labels: texts.Draw(t, "labels"),
		Delay:      time.Duration(rapid.Int64().Draw(t, "delay")),
		OnConflict: rapid.SampledFrom([]carillon.OnConflict{"", carillon.ConflictReplace}).Draw(t, "conflict"),
	}
	if rapid.Bool().Draw(t, "fire at") {
		s.FireAt = time.UnixMilli(rapid.Int64Range(-1<<40, 1<<45).Draw(t, "ms"))
	}
	if rapid.Bool().Draw(t, "payload") {
		s.Payload = &commonpb.Payload{
			Metadata: map[string][]byte{"encoding": []byte("json/plain")},
			Data:     rapid.SliceOfN(rapid.Byte(), 0, 1000).Draw(t, "data"),
		}
	}
	if rapid.Bool().Draw(t, "retry") {
		s.Retry = &carillon.RetryPolicy{
			InitialInterval: carillon.Duration(rapid.Int64().Draw(t, "initial")), BackoffCoefficient: 1.5,
			MaximumInterval: carillon.Duration(rapid.Int64().Draw(t, "max")), MaximumAttempts: -1,
		}
	}
	switch rapid.IntRange(0, 3).Draw(t, "kind") {
	case 0:
		s.Target.Signal = &carillon.SignalTarget{
			Namespace: text.Draw(t, "ns"), WorkflowID: text.Draw(t, "wf"), RunID: text.Draw(t, "run"),
			SignalName: text.Draw(t, "sig"),
		}
	case 1:
		s.Target.Start = &carillon.StartTarget{
			Namespace: text.Draw(t, "ns"), WorkflowID: text.Draw(t, "wf"), WorkflowType: text.Draw(t, "type"),
			TaskQueue: text.Draw(t, "queue"), ExecutionTimeout: carillon.Duration(rapid.Int64().Draw(t, "e")),
			RunTimeout: carillon.Duration(rapid.Int64().Draw(t, "r")),
		}
	case 2:
		s.Target.Webhook = &carillon.WebhookTarget{
			URL: text.Draw(t, "url"), Headers: texts.Draw(t, "headers"), Timeout: carillon.Duration(rapid.Int64().Draw(t, "t")),
		}
	default:
		s.Target = carillon.ToMailbox()
	}
	return s
}

func TestSizeBoundsTheBinaryForm(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := carillon.CreateTimersInput{Timers: []carillon.TimerSpec{genSpec(t)}}
		data, err := in.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		if size := engine.Size(&in.Timers[0]); len(data) > size || size > len(data)+600 {
			t.Fatalf("%d bytes, estimated as %d", len(data), size)
		}
	})
}

func TestSplit(t *testing.T) {
	t.Parallel()
	require.Equal(t, []engine.Range{{0, 2}, {2, 3}, {3, 4}, {4, 6}}, engine.Split([]int{5, 5, 5, 50, 1, 1}, 2, 10))
	require.Empty(t, engine.Split(nil, 2, 10))
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOf(rapid.IntRange(0, 20)).Draw(t, "sizes")
		items := rapid.IntRange(1, 5).Draw(t, "items")
		bytes := rapid.IntRange(1, 40).Draw(t, "bytes")
		next := 0
		for _, r := range engine.Split(sizes, items, bytes) {
			total := 0
			for _, size := range sizes[r.From:r.To] {
				total += size
			}
			if r.From != next || r.To <= r.From || r.To-r.From > items || r.To-r.From > 1 && total > bytes {
				t.Fatalf("%+v", r)
			}
			next = r.To
		}
		if next != len(sizes) {
			t.Fatalf("ends at %d of %d", next, len(sizes))
		}
	})
}

func BenchmarkCreate(b *testing.B) {
	for _, callers := range []int{64, 4000} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			o := options()
			o.MaxBatch, o.MaxBatchBytes, o.MaxInFlight = carillon.MaxBatch, carillon.MaxBatchBytes, 4
			e := engine.New(discard{}, o)
			defer e.Close()
			timer := spec(1)
			var left atomic.Int64
			left.Store(int64(b.N))
			b.ReportAllocs()
			b.ResetTimer()
			var wg sync.WaitGroup
			for range callers {
				wg.Go(func() {
					for left.Add(-1) >= 0 {
						if _, err := e.Create(context.Background(), timer); err != nil {
							b.Error(err)
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

// discard answers at once, after it has made the binary form as a client does.
type discard struct{ *startertest.Memory }

func (discard) Create(_ context.Context, in carillon.CreateTimersInput) (carillon.CreateTimersResult, error) {
	_, err := in.MarshalBinary()
	return carillon.CreateTimersResult{Timers: make([]carillon.CreateResult, len(in.Timers))}, err
}
