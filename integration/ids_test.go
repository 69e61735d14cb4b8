package integration_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/integration/harness"
	"github.com/carillon-io/carillon/store"
	"github.com/carillon-io/carillon/store/redistest"
)

// The environment of a process that mints: the group, Redis, and the file that takes the ids.
const (
	envMintGroup = "CARILLON_TEST_MINT_GROUP"
	envMintRedis = "CARILLON_TEST_MINT_REDIS"
	envMintFile  = "CARILLON_TEST_MINT_FILE"
)

// mintForever is what a minting process does: it writes uniques to its file until it is killed.
func mintForever() error {
	client, err := store.Connect(os.Getenv(envMintRedis))
	if err != nil {
		return err
	}
	s, err := store.Open(context.Background(), client, store.Options{Group: os.Getenv(envMintGroup), AllowVolatile: true})
	if err != nil {
		return err
	}
	file, err := os.OpenFile(os.Getenv(envMintFile), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	for {
		uniques, err := s.Mint(context.Background(), 1000)
		if err != nil {
			return err
		}
		var b bytes.Buffer
		for _, u := range uniques {
			b.Write(u[:])
		}
		if _, err := file.Write(b.Bytes()); err != nil {
			return err
		}
	}
}

// Ids from eight processes that are killed and started again, over and over, hold no duplicate.
func TestIDsOfKilledProcessesAreUnique(t *testing.T) {
	total := 1_000_000
	if faults() {
		total = 10_000_000
	}
	url := redistest.URL(t)
	group, dir := redistest.Group(t), t.TempDir()
	const processes, kills = 8, 5
	var all []carillon.Unique
	var mu sync.Mutex
	var running sync.WaitGroup
	for p := range processes {
		running.Go(func() {
			for k := range kills {
				path := filepath.Join(dir, strconv.Itoa(p)+"-"+strconv.Itoa(k))
				got, err := mintInProcess(t, group, url, path, total/processes/kills)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				all = append(all, got...)
				mu.Unlock()
			}
		})
	}
	running.Wait()
	require.GreaterOrEqual(t, len(all), total)
	slices.SortFunc(all, func(a, b carillon.Unique) int { return bytes.Compare(a[:], b[:]) })
	require.Len(t, slices.Compact(slices.Clone(all)), len(all), "no duplicate")
	t.Logf("%d ids from %d processes, each killed %d times", len(all), processes, kills)
}

// mintInProcess runs a minting process until it has written n ids, kills it, and reads them.
func mintInProcess(t *testing.T, group, url, path string, n int) ([]carillon.Unique, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), envMintGroup+"="+group, envMintRedis+"="+url, envMintFile+"="+path)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	const size = len(carillon.Unique{})
	err = poll(t.Context(), func() bool {
		info, err := os.Stat(path)
		return err == nil && info.Size() >= int64(n*size)
	})
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // it was killed
	if err != nil {
		return nil, err
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it was only read
	var out []carillon.Unique
	for r := bufio.NewReader(file); ; {
		var u carillon.Unique
		_, err := io.ReadFull(r, u[:])
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) { // the kill may have cut the last one
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		out = append(out, u)
	}
}

// poll waits until f is true.
func poll(ctx context.Context, f func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

// Everybody who lists a fire queue sees the same order, and a timer that is cancelled in the middle is the only one missing.
func TestEverybodySeesOneOrderOfTheFireQueue(t *testing.T) {
	g := harness.NewGroup(t, store.Options{Slots: 1}, starterOptions)
	const n = 300
	var creating sync.WaitGroup
	for range 3 {
		creating.Go(func() { // each with a store of its own, as another process would
			s, err := store.Open(t.Context(), g.Redis, g.Store.Options())
			if err != nil {
				t.Error(err)
				return
			}
			for range n / 3 {
				_, err := s.Create(t.Context(), carillon.CreateTimersInput{Timers: []carillon.TimerSpec{
					{ClientID: "client", Delay: 9 * time.Second, Target: carillon.ToMailbox()},
				}})
				if err != nil {
					t.Error(err)
				}
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	creating.Wait()
	list := func() []carillon.ID {
		s, err := store.Open(t.Context(), g.Redis, g.Store.Options())
		require.NoError(t, err)
		defer func() { require.NoError(t, s.Close()) }()
		var ids []carillon.ID
		for after, more := "", true; more; more = after != "" {
			var entries []store.Queued
			entries, after, err = s.Queue(t.Context(), 0, after, 100)
			require.NoError(t, err)
			for _, e := range entries {
				ids = append(ids, e.TimerID)
			}
		}
		return ids
	}
	first := list()
	require.Len(t, first, n)
	require.Equal(t, first, list())
	require.Equal(t, first, list())
	require.NoError(t, g.Direct.Cancel(t.Context(), carillon.TimerRef{TimerID: first[n/2]}))
	require.Equal(t, slices.Delete(slices.Clone(first), n/2, n/2+1), list())
	for _, id := range list() {
		require.NoError(t, g.Direct.Cancel(t.Context(), carillon.TimerRef{TimerID: id}))
	}
}
