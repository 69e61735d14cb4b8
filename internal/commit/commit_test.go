package commit_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/carillon-io/carillon/internal/commit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// gate is a commit function whose operations wait until the test lets them go.
type gate struct {
	mu      sync.Mutex
	batches [][]int
	release chan error
}

func newGate() *gate { return &gate{release: make(chan error)} }

func (g *gate) commit(items []int) ([]string, error) {
	g.mu.Lock()
	g.batches = append(g.batches, append([]int(nil), items...))
	g.mu.Unlock()
	if err := <-g.release; err != nil {
		return nil, err
	}
	return answers(items), nil
}

func answers(items []int) []string {
	out := make([]string, len(items))
	for i, item := range items {
		out[i] = answer(item)
	}
	return out
}

func answer(item int) string { return fmt.Sprintf("answer to %d", item) }

// sizes of the operations so far.
func (g *gate) sizes() []int {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make([]int, len(g.batches))
	for i, b := range g.batches {
		out[i] = len(b)
	}
	return out
}

type reply struct {
	item   int
	result string
	err    error
}

// call calls Do in a goroutine of its own, once for each item, and gives the channel of the replies.
func call(ctx context.Context, c *commit.Committer[int, string], size int, items ...int) <-chan reply {
	out := make(chan reply, len(items))
	for _, item := range items {
		go func() {
			result, err := c.Do(ctx, item, size)
			out <- reply{item, result, err}
		}()
		synctest.Wait() // in this order
	}
	return out
}

func requireAnswers(t *testing.T, replies <-chan reply, n int) {
	t.Helper()
	for range n {
		r := <-replies
		require.NoError(t, r.err)
		require.Equal(t, answer(r.item), r.result)
	}
}

func numbers(from, n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = from + i
	}
	return out
}

var limits = commit.Options{MaxItems: 4, MaxBytes: 1000, MaxInFlight: 2}

func TestCallsGatherWhileAnOperationIsUnderWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		c := commit.New(limits, g.commit)
		first := call(t.Context(), c, 1, 1)
		rest := call(t.Context(), c, 1, 2, 3, 4)
		require.Equal(t, []int{1}, g.sizes(), "three calls do not fill a second operation")

		g.release <- nil
		synctest.Wait()
		require.Equal(t, []int{1, 3}, g.sizes())
		requireAnswers(t, first, 1)

		g.release <- nil
		requireAnswers(t, rest, 3)
		c.Close()
	})
}

func TestAWholeOperationThatWaitsOpensAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		c := commit.New(limits, g.commit)
		replies := call(t.Context(), c, 1, numbers(1, 1+4)...)
		require.Equal(t, []int{1, 4}, g.sizes(), "a full operation does not wait for the first")

		more := call(t.Context(), c, 1, numbers(10, 6)...)
		require.Equal(t, []int{1, 4}, g.sizes(), "no more than MaxInFlight")

		g.release <- nil // whichever ends: a full operation waits
		synctest.Wait()
		require.Equal(t, []int{1, 4, 4}, g.sizes())
		g.release <- nil // the two that are left are not worth an operation beside the other one
		synctest.Wait()
		require.Equal(t, []int{1, 4, 4}, g.sizes())
		g.release <- nil
		synctest.Wait()
		require.Equal(t, []int{1, 4, 4, 2}, g.sizes())
		g.release <- nil
		requireAnswers(t, replies, 5)
		requireAnswers(t, more, 6)
		c.Close()
	})
}

func TestOperationsAreBoundedInBytes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		c := commit.New(commit.Options{MaxItems: 100, MaxBytes: 1000, MaxInFlight: 1}, g.commit)
		replies := call(t.Context(), c, 1, 1)
		small := call(t.Context(), c, 400, 2, 3, 4)
		huge := call(t.Context(), c, 5000, 5)
		last := call(t.Context(), c, 400, 6)
		for range 5 {
			select {
			case g.release <- nil:
			case <-time.After(time.Minute):
			}
			synctest.Wait()
		}
		require.Equal(t, []int{1, 2, 1, 1, 1}, g.sizes())
		requireAnswers(t, replies, 1)
		requireAnswers(t, small, 3)
		requireAnswers(t, huge, 1)
		requireAnswers(t, last, 1)
		c.Close()
	})
}

func TestAnErrorIsForItsOperationOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		c := commit.New(limits, g.commit)
		first := call(t.Context(), c, 1, 1)
		rest := call(t.Context(), c, 1, 2, 3)
		broken := errors.New("broken")
		g.release <- broken
		require.ErrorIs(t, (<-first).err, broken)
		g.release <- nil
		requireAnswers(t, rest, 2)
		c.Close()
	})
}

func TestTooFewAnswersAreAnError(t *testing.T) {
	t.Parallel()
	c := commit.New(limits, func([]int) ([]string, error) { return nil, nil })
	defer c.Close()
	_, err := c.Do(t.Context(), 1, 1)
	require.ErrorContains(t, err, "0 answers came for 1 items")
}

func TestACallerLeavesWithoutHarm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		c := commit.New(limits, g.commit)

		ctx, leave := context.WithCancel(t.Context())
		sent := call(ctx, c, 1, 1)
		stays := call(t.Context(), c, 1, 2)
		queued := call(ctx, c, 1, 3)
		stays2 := call(t.Context(), c, 1, 4)
		leave()

		var left *commit.LeftError
		r := <-sent
		require.ErrorIs(t, r.err, context.Canceled)
		require.ErrorAs(t, r.err, &left)
		require.True(t, left.Sent)
		r = <-queued
		require.ErrorIs(t, r.err, context.Canceled)
		require.ErrorAs(t, r.err, &left)
		require.False(t, left.Sent)

		g.release <- nil
		synctest.Wait()
		g.release <- nil
		requireAnswers(t, stays, 1)
		requireAnswers(t, stays2, 1)
		require.Equal(t, [][]int{{1}, {2, 4}}, g.batches, "who left before is not carried out")

		_, err := c.Do(ctx, 5, 1)
		require.ErrorAs(t, err, &left)
		require.False(t, left.Sent)
		c.Close()
	})
}

func TestCloseWaitsForEveryCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		c := commit.New(limits, g.commit)
		replies := call(t.Context(), c, 1, 1, 2)
		closed := make(chan struct{})
		for range 2 { // twice is as good as once
			go func() { c.Close(); closed <- struct{}{} }()
		}
		synctest.Wait()
		_, err := c.Do(t.Context(), 3, 1)
		require.ErrorIs(t, err, commit.ErrClosed)
		c.DoAll(t.Context(), 2, func(i int) (int, int) { return i, 1 }, func(_ int, _ string, err error) {
			require.ErrorIs(t, err, commit.ErrClosed)
		})
		for range 2 {
			select {
			case <-closed:
				t.Fatal("closed too early")
			default:
			}
			g.release <- nil
			synctest.Wait()
		}
		<-closed
		<-closed
		requireAnswers(t, replies, 2)
	})
}

func TestLinger(t *testing.T) {
	t.Parallel()
	options := limits
	options.Linger = time.Second

	t.Run("waits for more", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			g := newGate()
			c := commit.New(options, g.commit)
			begin := time.Now()
			replies := call(t.Context(), c, 1, 1, 2)
			require.Empty(t, g.sizes())
			g.release <- nil // comes when the operation does
			require.Equal(t, time.Second, time.Since(begin))
			require.Equal(t, []int{2}, g.sizes())
			requireAnswers(t, replies, 2)
			c.Close()
		})
	})
	t.Run("ends when the operation is full", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			g := newGate()
			c := commit.New(options, g.commit)
			for range 2 {
				begin := time.Now()
				replies := call(t.Context(), c, 1, numbers(1, 4)...)
				g.release <- nil
				require.Equal(t, begin, time.Now())
				requireAnswers(t, replies, 4)
			}
			require.Equal(t, []int{4, 4}, g.sizes())
			c.Close()
		})
	})
	t.Run("ends with Close", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			g := newGate()
			c := commit.New(options, g.commit)
			begin := time.Now()
			replies := call(t.Context(), c, 1, 1)
			go func() { g.release <- nil }()
			c.Close()
			require.Equal(t, begin, time.Now())
			requireAnswers(t, replies, 1)
		})
	})
}

func TestDoAll(t *testing.T) {
	t.Parallel()

	t.Run("whole operations, answers in order", func(t *testing.T) {
		t.Parallel()
		var mu sync.Mutex
		var sizes []int
		c := commit.New(limits, func(items []int) ([]string, error) {
			mu.Lock()
			defer mu.Unlock()
			sizes = append(sizes, len(items))
			return answers(items), nil
		})
		next := 0
		c.DoAll(t.Context(), 1003, func(i int) (int, int) { return i, 1 }, func(i int, result string, err error) {
			require.NoError(t, err)
			require.Equal(t, next, i)
			require.Equal(t, answer(i), result)
			next++
		})
		require.Equal(t, 1003, next)
		c.Close()
		total := 0
		for _, n := range sizes {
			total += n
		}
		require.Equal(t, 1003, total)
		// The window moves by whole operations; few of them find less when they begin.
		require.Less(t, len(sizes), 1003*2/limits.MaxItems)
	})
	t.Run("nothing", func(t *testing.T) {
		t.Parallel()
		c := commit.New(limits, func([]int) ([]string, error) { return nil, errors.New("called") })
		defer c.Close()
		c.DoAll(t.Context(), 0, nil, nil)
	})
	t.Run("bounded, and the caller may leave", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			g := newGate()
			c := commit.New(limits, g.commit)
			ctx, leave := context.WithCancel(t.Context())
			asked := 0
			var results []string
			var sent, unsent int
			done := make(chan struct{})
			go func() {
				defer close(done)
				c.DoAll(ctx, 1000, func(i int) (int, int) { asked++; return i, 1 }, func(i int, result string, err error) {
					var left *commit.LeftError
					switch {
					case err == nil:
						results = append(results, result)
					case errors.As(err, &left) && left.Sent:
						sent++
					case errors.As(err, &left):
						unsent++
					default:
						t.Errorf("answer %d: %v", i, err)
					}
				})
			}()
			synctest.Wait()
			require.Equal(t, []int{4, 4}, g.sizes())
			require.Equal(t, 12, asked, "MaxItems × (MaxInFlight + 1)")
			leave()
			<-done
			require.Equal(t, 12, asked)
			require.Empty(t, results)
			require.Equal(t, 8, sent)
			require.Equal(t, 1000-8, unsent)
			g.release <- nil
			g.release <- nil
			c.Close()
		})
	})
}

// Many callers, some of which leave: every item is carried out at most once, and exactly once unless its caller left.
func TestManyCallers(t *testing.T) {
	t.Parallel()
	const callers, each = 200, 50
	var carried [callers * each]atomic.Int32
	var operations atomic.Int32
	c := commit.New(commit.Options{MaxItems: 32, MaxBytes: 500, MaxInFlight: 3}, func(items []int) ([]string, error) {
		operations.Add(1)
		bytes := 0
		for _, item := range items {
			carried[item].Add(1)
			bytes += item % 40
		}
		if len(items) == 0 || len(items) > 32 || bytes > 500 {
			return nil, fmt.Errorf("%d items of %d bytes", len(items), bytes)
		}
		return answers(items), nil
	})
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() {
			if caller%10 == 0 { // one in ten creates all of them in one call
				c.DoAll(t.Context(), each, func(i int) (int, int) { item := caller*each + i; return item, item % 40 },
					func(i int, result string, err error) {
						if err != nil || result != answer(caller*each+i) {
							t.Errorf("%d: %q, %v", caller*each+i, result, err)
						}
					})
				return
			}
			for i := range each {
				item := caller*each + i
				ctx, cancel := context.WithCancel(t.Context())
				leaves := rand.IntN(10) == 0
				if leaves {
					go cancel()
				}
				result, err := c.Do(ctx, item, item%40)
				cancel()
				var left *commit.LeftError
				switch {
				case err == nil && result == answer(item):
				case leaves && errors.As(err, &left):
					if !left.Sent {
						carried[item].Add(1) // so that it has to be 1 below
					}
				default:
					t.Errorf("%d: %q, %v", item, result, err)
				}
			}
		})
	}
	wg.Wait()
	c.Close()
	for item := range carried {
		require.EqualValues(t, 1, carried[item].Load(), "item %d", item)
	}
	require.Less(t, operations.Load(), int32(callers*each), "they travelled together")
}

func BenchmarkDo(b *testing.B) {
	for _, callers := range []int{1, 64, 4000} {
		for _, latency := range []time.Duration{0, time.Millisecond} {
			b.Run(fmt.Sprintf("callers=%d/latency=%s", callers, latency), func(b *testing.B) {
				var operations atomic.Int64
				c := commit.New(commit.Options{MaxItems: 1000, MaxBytes: 1 << 20, MaxInFlight: 4},
					func(items []int) ([]int, error) {
						operations.Add(1)
						if latency > 0 {
							<-time.After(latency)
						}
						return items, nil
					})
				defer c.Close()
				b.ReportAllocs()
				var left atomic.Int64
				left.Store(int64(b.N))
				ctx := b.Context()
				var wg sync.WaitGroup
				b.ResetTimer()
				for range callers {
					wg.Go(func() {
						for left.Add(-1) >= 0 {
							if _, err := c.Do(ctx, 1, 100); err != nil {
								b.Error(err)
							}
						}
					})
				}
				wg.Wait()
				b.ReportMetric(float64(b.N)/float64(operations.Load()), "items/operation")
			})
		}
	}
}
