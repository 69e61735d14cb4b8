package main

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/integration/check"
	"github.com/carillon-io/carillon/store"
	"github.com/carillon-io/carillon/store/redistest"
)

// The timers of a run: what has become of each.
const (
	fired = iota
	cancelled
	pending
	timers
)

// scene is a run that went well, in a group of its own.
type scene struct {
	*testing.T

	url    string
	redis  redis.UniversalClient
	store  *store.Redis
	ledger *check.Ledger
	ids    []carillon.ID
	due    []time.Time
}

func newScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{T: t, url: redistest.URL(t), ledger: check.NewLedger()}
	var err error
	s.redis, err = store.Connect(s.url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.redis.Close()) })
	s.store, err = store.Open(t.Context(), s.redis, store.Options{Group: redistest.Group(t), Slots: 1, AllowVolatile: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.store.Close()) })

	specs := make([]carillon.TimerSpec, timers)
	for i := range specs {
		specs[i] = carillon.TimerSpec{ClientID: "client", Delay: 6 * time.Hour, Target: carillon.ToMailbox()}
	}
	specs[fired].Delay, specs[fired].FireAt = 0, s.now().Add(-time.Second)
	created, err := s.store.Create(t.Context(), carillon.CreateTimersInput{Timers: specs})
	require.NoError(t, err)
	for _, c := range created.Timers {
		require.Nil(t, c.Error)
		s.ids, s.due = append(s.ids, c.TimerID), append(s.due, c.FireAt)
		s.ledger.Asked(c.TimerID, c.FireAt, check.ExactlyOnce)
	}
	s.fire()
	s.ledger.Received(s.ids[fired], s.due[fired], s.due[fired].Add(5*time.Millisecond))
	gone, err := s.store.Cancel(t.Context(), carillon.CancelTimersInput{
		Timers: []carillon.TimerRef{{TimerID: s.ids[cancelled]}},
	})
	require.NoError(t, err)
	require.Nil(t, gone.Timers[0].Error)
	s.ledger.Cancelled(s.ids[cancelled])
	return s
}

func (s *scene) now() time.Time { return s.store.Clock(0).Now() }

// fire is a lane that fires the one timer that is due.
func (s *scene) fire() {
	s.Helper()
	var lane store.LaneID
	token, err := s.store.AcquireLane(s.Context(), lane, "test")
	require.NoError(s, err)
	entries, err := s.store.Read(s.Context(), lane, token, "", 10)
	require.NoError(s, err)
	require.Len(s, entries, 1)
	firings, err := s.store.Fetch(s.Context(), lane, entries)
	require.NoError(s, err)
	claimed, err := s.store.Claim(s.Context(), lane, token,
		[]store.Claim{{Entry: entries[0], Firing: firings[0], Timeout: time.Second}})
	require.NoError(s, err)
	require.Equal(s, store.ClaimFired, claimed[0].Status)
	require.NoError(s, s.store.ReleaseLane(s.Context(), lane, token))
}

// judge runs the command on the run, and gives the exit code and what it has said.
func (s *scene) judge(args ...string) (int, string) {
	s.Helper()
	dir := s.TempDir()
	require.NoError(s, s.ledger.WriteDir(dir))
	var out, errOut bytes.Buffer
	code := run(s.Context(), append([]string{
		"--asked", filepath.Join(dir, check.AskedFile), "--received", filepath.Join(dir, check.ReceivedFile),
		"--redis-url", s.url, "--group", s.store.Group(),
	}, args...), &out, &errOut)
	require.Empty(s, errOut.String())
	return code, out.String()
}

func TestGoodRun(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	code, out := s.judge("--all")
	require.Zero(t, code, out)
	require.Contains(t, out, "created 3, fired 1, cancelled 1, lost 0, early 0, duplicates 0, unexpected 0")
	require.NotContains(t, out, "BROKEN")
	require.Regexp(t, `4 +not judged`, out)
	require.Regexp(t, s.ids[pending].String()+` +pending +0 +all hold`, out)

	code, out = s.judge("-o", "json")
	require.Zero(t, code)
	var j check.Judgement
	require.NoError(t, json.Unmarshal([]byte(out), &j))
	require.True(t, j.Holds)
	require.Len(t, j.Timers, timers)
	require.Len(t, j.Findings, len(check.Invariants()))
	require.Equal(t, 1, j.Report.Fired)
}

// Each way in which a run can be bad is told, with the timer, the invariant and the reason.
func TestBadRuns(t *testing.T) {
	t.Parallel()
	stranger := carillon.NewID(0, 0, carillon.MintedUnique(7, 7))
	key := func(s *scene, name string) string { return "carillon:{" + s.store.Group() + ":0}:" + name }
	for name, bad := range map[string]struct {
		do        func(*scene)
		timer     func(*scene) carillon.ID // nil: the store itself
		invariant check.Invariant
		what      string
	}{
		"early": {
			func(s *scene) { s.ledger.Received(s.ids[fired], s.due[fired], s.due[fired].Add(-time.Second)) },
			func(s *scene) carillon.ID { return s.ids[fired] }, check.NotEarly, "was early by 1s",
		},
		"for an earlier time": {
			func(s *scene) { s.ledger.Asked(s.ids[fired], s.due[fired].Add(time.Hour), check.ExactlyOnce) },
			func(s *scene) carillon.ID { return s.ids[fired] }, check.NotEarly, "1h0m0s before the one that was asked for",
		},
		"double": {
			func(s *scene) { s.ledger.Received(s.ids[fired], s.due[fired], s.now()) },
			func(s *scene) carillon.ID { return s.ids[fired] }, check.OneState, "was received 2 times",
		},
		"lost": {
			func(s *scene) { s.ledger.Asked(stranger, s.now(), check.ExactlyOnce) },
			func(*scene) carillon.ID { return stranger }, check.Durable, "is lost",
		},
		"fired and not received": {
			func(s *scene) {
				s.ledger = check.NewLedger()
				s.ledger.Asked(s.ids[fired], s.due[fired], check.ExactlyOnce)
			},
			func(s *scene) carillon.ID { return s.ids[fired] }, check.Durable, "the store says fired, and nobody received it",
		},
		"stranger": {
			func(s *scene) { s.ledger.Received(stranger, s.now(), s.now()) },
			func(*scene) carillon.ID { return stranger }, check.OneState, "never asked for",
		},
		"cancelled and fired": {
			func(s *scene) { s.ledger.Received(s.ids[cancelled], s.due[cancelled], s.due[cancelled]) },
			func(s *scene) carillon.ID { return s.ids[cancelled] }, check.StayCancelled, "after its cancel was acknowledged",
		},
		"cancelled and pending": {
			func(s *scene) { s.ledger.Cancelled(s.ids[pending]) },
			func(s *scene) carillon.ID { return s.ids[pending] }, check.StayCancelled, "is pending after its cancel",
		},
		"received and pending": {
			func(s *scene) { s.ledger.Received(s.ids[pending], s.due[pending], s.due[pending]) },
			func(s *scene) carillon.ID { return s.ids[pending] }, check.OneState, "was received and is still pending",
		},
		"counter too high": {
			func(s *scene) {
				require.NoError(s, s.redis.HIncrBy(s.Context(), key(s, "count"), "pending", 1).Err())
			},
			nil, check.OneState, "pending counts 2, there are 1",
		},
		"counter too low": {
			func(s *scene) {
				require.NoError(s, s.redis.HIncrBy(s.Context(), key(s, "count"), "fired", -1).Err())
				require.NoError(s, s.redis.HIncrBy(s.Context(), key(s, "count"), "created", -1).Err())
			},
			nil, check.OneState, "the store counts 0 timers fired, and there were at least 1",
		},
		"record without an entry": {
			func(s *scene) {
				windows, err := s.redis.Keys(s.Context(), key(s, "due:*")).Result()
				require.NoError(s, err)
				require.Len(s, windows, 1)
				require.NoError(s, s.redis.Del(s.Context(), windows...).Err())
			},
			nil, check.OneEntry, "has 0 entries",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			bad.do(s)
			code, out := s.judge("-o", "json")
			require.Equal(t, broken, code, out)
			var j check.Judgement
			require.NoError(t, json.Unmarshal([]byte(out), &j))
			require.False(t, j.Holds)
			require.Positive(t, j.Findings[bad.invariant-1].Broken)
			breaches := j.Store
			if bad.timer != nil {
				require.Equal(t, bad.timer(s), j.Timers[0].TimerID, "what is broken comes first")
				breaches = j.Timers[0].Broken
			}
			var told bool
			for _, b := range breaches {
				told = told || b.Invariant == bad.invariant && bytes.Contains([]byte(b.What), []byte(bad.what))
			}
			require.True(t, told, "%v", breaches)

			code, out = s.judge()
			require.Equal(t, broken, code)
			require.Contains(t, out, bad.what)
			require.Contains(t, out, "BROKEN")
		})
	}
}

func TestWhatCannotBeJudged(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	dir := t.TempDir()
	require.NoError(t, s.ledger.WriteDir(dir))
	files := []string{"--asked", filepath.Join(dir, check.AskedFile), "--received", filepath.Join(dir, check.ReceivedFile)}
	for message, args := range map[string][]string{
		"no such file":         {"--asked", filepath.Join(dir, "none")},
		"there is no group":    append(files, "--redis-url", s.url, "--group", "nobodys"),
		"neither table nor":    append(files, "-o", "xml"),
		"is no flag":           append(files, "stray"),
		"not defined: -nobody": append(files, "--nobody"),
	} {
		var out, errOut bytes.Buffer
		require.Equal(t, unknown, run(t.Context(), args, &out, &errOut), message)
		require.Contains(t, errOut.String(), message)
		require.Empty(t, out.String())
	}
	var out, errOut bytes.Buffer
	require.Equal(t, broken, run(t.Context(), files, &out, &errOut), "without the store, what is pending is lost")
	require.Contains(t, out.String(), "3          not judged")
}
