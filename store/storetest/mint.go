package storetest

import (
	"fmt"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/store"
)

var mintCases = []testCase{
	{"unique over many processes and goroutines", store.Options{Slots: 2}, func(f *fixture) {
		const processes, goroutines, each = 3, 4, 50
		var mu sync.Mutex
		var wg sync.WaitGroup
		seen := map[carillon.ID]bool{}
		var failed error
		for range processes {
			s := f.process()
			for range goroutines {
				specs := make([]carillon.TimerSpec, each)
				for i := range specs {
					specs[i] = f.spec(time.Hour)
				}
				wg.Go(func() {
					out, err := s.Create(f.Context(), carillon.CreateTimersInput{Timers: specs})
					mu.Lock()
					defer mu.Unlock()
					if err != nil {
						failed = err
					}
					for _, r := range out.Timers {
						if seen[r.TimerID] {
							failed = fmt.Errorf("%s twice", r.TimerID)
						}
						seen[r.TimerID] = true
					}
				})
			}
		}
		wg.Wait()
		require.NoError(f, failed)
		require.Len(f, seen, processes*goroutines*each)
		require.EqualValues(f, len(seen), f.count().Created)
		hosts, err := f.redis.HLen(f.Context(), groupPrefix(f.Group())+"hosts").Result()
		require.NoError(f, err)
		require.EqualValues(f, processes, hosts, "each process has a host id of its own")
	}},
	{"an id that is taken", store.Options{}, func(f *fixture) {
		// A registry that lost its memory hands out a host id twice. Here: somebody sits on the id that comes next.
		first := f.create(f.spec(time.Hour)).TimerID.Unique()
		next := first
		for i := len(next) - 1; ; i-- {
			if next[i]++; next[i] != 0 {
				break
			}
		}
		raw, err := f.redis.HGet(f.Context(), f.key("rec"), string(first[:])).Bytes()
		require.NoError(f, err)
		require.NoError(f, f.redis.HSet(f.Context(), f.key("rec"), string(next[:]), raw).Err())
		third := f.create(f.spec(time.Hour)).TimerID.Unique()
		require.NotEqual(f, next, third)
		require.NotEqual(f, first[:3], third[:3], "it took another host id")
		left, err := f.redis.HGet(f.Context(), f.key("rec"), string(next[:])).Bytes()
		require.NoError(f, err)
		require.Equal(f, raw, left, "what was there is untouched")
		require.NoError(f, f.redis.HDel(f.Context(), f.key("rec"), string(next[:])).Err())
	}},
}
