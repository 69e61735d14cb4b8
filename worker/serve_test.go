package worker

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"
)

// fakeSDK stands for the SDK and the server behind it.
type fakeSDK struct {
	mu      sync.Mutex
	away    error // what a probe answers
	refuse  error // what a start answers
	fatal   func(error)
	probes  int
	built   int
	running int
	stopped int
}

func (f *fakeSDK) reachable(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.probes++
	return f.away
}

func (f *fakeSDK) build(fatal func(error)) sdkWorker {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.built++
	f.fatal = fatal
	return f
}

func (f *fakeSDK) Start() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuse == nil {
		f.running++
	}
	return f.refuse
}

func (f *fakeSDK) Stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stopped++
	f.running = 0
}

func (f *fakeSDK) set(away, refuse error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.away, f.refuse = away, refuse
}

func startServer(t *testing.T, f *fakeSDK) (result chan error, cancel func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	s := &server{queue: "q", log: quiet(), reachable: f.reachable, build: f.build}
	result = make(chan error, 1)
	go func() { result <- s.run(ctx) }()
	return result, cancel
}

func TestServeWhenTemporalAnswers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSDK{away: errors.New("connection refused")}
		result, cancel := startServer(t, f)
		pass(time.Hour)
		require.Zero(t, f.built, "the SDK is not bothered before Temporal answers")
		require.InDelta(t, 120, f.probes, 60)

		f.set(nil, errors.New("not just yet"))
		pass(time.Minute)
		require.Zero(t, f.running)
		require.Equal(t, f.built, f.stopped)

		f.set(nil, nil)
		pass(time.Minute)
		require.Equal(t, 1, f.running)
		cancel()
		require.NoError(t, <-result)
		require.Zero(t, f.running)
	})
}

func TestServeAgainAfterAFatalError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSDK{}
		result, cancel := startServer(t, f)
		synctest.Wait()
		require.Equal(t, 1, f.running)
		// Even if it is one that would be fatal at the begin: the configuration was right once.
		f.set(nil, serviceerror.NewPermissionDenied("not now", ""))
		f.fatal(errors.New("polling failed"))
		pass(time.Minute)
		require.Zero(t, f.running)
		f.set(nil, nil)
		pass(time.Minute)
		require.Equal(t, 1, f.running)
		cancel()
		require.NoError(t, <-result)
	})
}

func TestServeFailsOnAMistakeInTheConfiguration(t *testing.T) {
	t.Parallel()
	for name, refusal := range map[string]error{
		"namespace":   serviceerror.NewNamespaceNotFound("nowhere"),
		"credentials": serviceerror.NewPermissionDenied("no", ""),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := &fakeSDK{refuse: refusal}
				result, cancel := startServer(t, f)
				defer cancel()
				err := <-result
				require.ErrorIs(t, err, refusal)
				require.Equal(t, 1, f.stopped)
			})
		})
	}
}
