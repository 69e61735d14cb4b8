package storetest

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/store"
)

// dead is a silence after which a worker is dead, and remembered still.
const dead = carillon.MemberTTL + time.Second

// worker is a member that says nothing of itself.
func worker(id string) carillon.Member { return carillon.Member{Worker: id} }

// nonce is that of the first process of the id.
func nonce(id string) string { return "nonce of " + id }

// beat heartbeats for the workers, each its first process, and gives the last roster.
func (f *fixture) beat(ids ...string) (r carillon.Roster) {
	f.Helper()
	for _, id := range ids {
		var err error
		r, err = f.Heartbeat(f.Context(), worker(id), nonce(id))
		require.NoError(f, err)
	}
	return r
}

func (f *fixture) roster() carillon.Roster {
	f.Helper()
	r, err := f.Roster(f.Context())
	require.NoError(f, err)
	return r
}

// member is one of the roster.
func (f *fixture) member(id string) carillon.Member {
	f.Helper()
	for _, m := range f.roster().Members {
		if m.Worker == id {
			return m
		}
	}
	f.Fatalf("worker %s is not on the roster", id)
	return carillon.Member{}
}

// rosterIDs are the workers of a roster, in its order.
func rosterIDs(r carillon.Roster) []string {
	out := []string{}
	for _, m := range r.Members {
		out = append(out, m.Worker)
	}
	return out
}

// groupKey is a group-wide key.
func (f *fixture) groupKey(key string) string { return groupPrefix(f.Group()) + key }

// halted is a fixture whose clock goes on only when it is told to: however slow the machine, no worker dies by itself.
type halted struct {
	*fixture

	at time.Time
}

func haltedCase(name string, run func(f *halted)) testCase {
	return testCase{name, store.Options{}, func(f *fixture) {
		h := &halted{f, f.now().Truncate(time.Microsecond)}
		h.advance(0)
		run(h)
	}}
}

func (f *halted) advance(d time.Duration) {
	f.Helper()
	f.at = f.at.Add(d)
	require.NoError(f, SetHalted(f.Context(), f.Redis, f.redis, f.at))
}

var memberCases = []testCase{
	haltedCase("join and be seen", func(f *halted) {
		require.Empty(f, f.roster().Members)
		require.Zero(f, f.roster().Control)
		m := carillon.Member{
			Worker: "w.1_A-b", Capacity: 3, Load: 0.25, Zone: "north", Labels: map[string]string{"disk": "naïve \"fast\""},
			Version: "v1", Holds: []carillon.Task{{Kind: carillon.TaskFire, Slot: 7, Number: 2}, {Kind: carillon.TaskSweep}},
			// These are the store's to say.
			Draining: true, Joined: time.UnixMilli(1), Seen: time.UnixMilli(2),
		}
		r, err := f.Heartbeat(f.Context(), m, "n")
		require.NoError(f, err)
		require.Len(f, r.Members, 1)
		require.WithinDuration(f, f.now(), r.Now, time.Minute)
		require.Equal(f, r.Now.Truncate(time.Millisecond), r.Members[0].Seen)
		require.Equal(f, r.Members[0].Seen, r.Members[0].Joined)
		m.Draining, m.Joined, m.Seen = false, r.Members[0].Joined, r.Members[0].Seen
		require.Equal(f, m, r.Members[0])
		require.Equal(f, r.Members, f.roster().Members, "and so does who only looks")
	}),
	haltedCase("the roster is in order and that of all processes", func(f *halted) {
		other := f.process()
		want := []string{}
		for i := range 12 {
			s, id := f.Redis, fmt.Sprintf("w%02d", 11-i)
			if i%2 == 0 {
				s = other
			}
			r, err := s.Heartbeat(f.Context(), worker(id), nonce(id))
			require.NoError(f, err)
			want = append([]string{id}, want...)
			require.Equal(f, want, rosterIDs(r))
		}
	}),
	haltedCase("a silent worker is dead", func(f *halted) {
		f.beat("a", "b")
		joined := f.member("b").Joined
		f.advance(2 * time.Second)
		require.Equal(f, []string{"a", "b"}, rosterIDs(f.beat("b")))
		f.advance(dead - 2*time.Second)
		require.Equal(f, []string{"b"}, rosterIDs(f.beat("b")))
		require.Equal(f, joined, f.member("b").Joined, "it has been there all the time")
		require.Equal(f, []string{"b"}, rosterIDs(f.roster()))
		f.advance(dead)
		require.Empty(f, f.roster().Members)
		require.Equal(f, []string{"a"}, rosterIDs(f.beat("a")), "it was frozen, and comes back")
	}),
	haltedCase("who is silent for long is forgotten", func(f *halted) {
		f.beat("a", "b")
		f.advance(time.Minute - time.Second)
		f.beat("b")
		require.ElementsMatch(f, []string{"a", "b"}, f.redis.HKeys(f.Context(), f.groupKey("members")).Val())
		f.advance(2 * time.Second)
		f.roster()
		require.Len(f, f.redis.HKeys(f.Context(), f.groupKey("members")).Val(), 2, "looking changes nothing")
		f.beat("b")
		require.Equal(f, []string{"b"}, f.redis.HKeys(f.Context(), f.groupKey("members")).Val())
	}),
	haltedCase("leave at once", func(f *halted) {
		f.beat("a", "b")
		require.NoError(f, f.Leave(f.Context(), "a", "another process"), "that one has left long ago")
		require.Equal(f, []string{"a", "b"}, rosterIDs(f.roster()))
		require.NoError(f, f.Leave(f.Context(), "a", nonce("a")))
		require.Equal(f, []string{"b"}, rosterIDs(f.roster()))
		require.NoError(f, f.Leave(f.Context(), "a", nonce("a")), "it has left already")
		require.NoError(f, f.Leave(f.Context(), "nobody", "n"))
		r, err := f.Heartbeat(f.Context(), worker("a"), "the next process")
		require.NoError(f, err, "its id is free")
		require.Equal(f, []string{"a", "b"}, rosterIDs(r))
	}),
	haltedCase("two processes of one id", func(f *halted) {
		f.beat("a")
		second := func() error {
			_, err := f.Heartbeat(f.Context(), worker("a"), "second")
			return err
		}
		err := second()
		require.ErrorIs(f, err, carillon.ErrAlreadyExists)
		require.ErrorContains(f, err, `"a"`)
		require.ErrorContains(f, err, "its own worker id")
		f.beat("a") // the first one goes on
		f.advance(2 * time.Second)
		require.ErrorIs(f, second(), carillon.ErrAlreadyExists)
		joined := f.member("a").Joined
		f.advance(dead - 2*time.Second)
		require.NoError(f, second(), "the first is dead")
		require.True(f, f.member("a").Joined.After(joined), "this is another process")
		// The first was only frozen. It wakes.
		_, err = f.Heartbeat(f.Context(), worker("a"), nonce("a"))
		require.ErrorIs(f, err, carillon.ErrAlreadyExists)
		require.NoError(f, f.Leave(f.Context(), "a", nonce("a")))
		require.Equal(f, []string{"a"}, rosterIDs(f.roster()), "what it does to itself harms nobody")
		require.NoError(f, second())
	}),
	haltedCase("many processes want one id", func(f *halted) {
		const n = 20
		errs := make(chan error, n)
		for i := range n {
			go func() {
				_, err := f.Heartbeat(f.Context(), worker("a"), fmt.Sprint(i))
				errs <- err
			}()
		}
		joined := 0
		for range n {
			if err := <-errs; err == nil {
				joined++
			} else {
				require.ErrorIs(f, err, carillon.ErrAlreadyExists)
			}
		}
		require.Equal(f, 1, joined)
	}),
	haltedCase("draining is kept", func(f *halted) {
		f.beat("a", "b")
		require.NoError(f, f.SetDraining(f.Context(), "a", true))
		require.NoError(f, f.SetDraining(f.Context(), "a", true), "once more")
		require.True(f, f.member("a").Draining)
		require.False(f, f.member("b").Draining)
		r := f.beat("a")
		require.True(f, r.Members[0].Draining)
		f.advance(dead)
		r, err := f.Heartbeat(f.Context(), worker("a"), "started again")
		require.NoError(f, err)
		require.True(f, r.Members[0].Draining, "a crash undoes nothing")
		require.NoError(f, f.SetDraining(f.Context(), "a", false))
		require.False(f, f.member("a").Draining)
		require.NoError(f, f.SetDraining(f.Context(), "a", true))
		require.NoError(f, f.Leave(f.Context(), "a", "started again"))
		require.False(f, f.beat("a").Members[0].Draining, "it left in good order, and is welcome")
	}),
	haltedCase("draining needs a living worker", func(f *halted) {
		err := f.SetDraining(f.Context(), "a", true)
		require.ErrorIs(f, err, carillon.ErrNotFound)
		require.ErrorContains(f, err, "none at all")
		f.beat("a", "b")
		err = f.SetDraining(f.Context(), "c", true)
		require.ErrorIs(f, err, carillon.ErrNotFound)
		require.ErrorContains(f, err, `"c"`)
		require.ErrorContains(f, err, "a, b")
		f.advance(dead)
		f.beat("b")
		require.ErrorIs(f, f.SetDraining(f.Context(), "a", true), carillon.ErrNotFound)
		require.False(f, f.beat("a").Members[0].Draining)
		require.NoError(f, f.SetDraining(f.Context(), "a", true))
		require.NoError(f, f.SetDraining(f.Context(), "b", true), "the store lets even the last one drain")
	}),
	haltedCase("calls that are carried out twice or whose answers are lost", func(f *halted) {
		for name, fault := range map[string]func(context.Context) context.Context{"twice": Twice, "lost": Lost} {
			ctx := fault(f.Context())
			check := func(err error) {
				f.Helper()
				if name == "lost" {
					require.ErrorIs(f, err, ErrLost)
				} else {
					require.NoError(f, err)
				}
			}
			_, err := f.Heartbeat(ctx, worker("a"), nonce("a"))
			check(err)
			require.Equal(f, []string{"a"}, rosterIDs(f.roster()))
			joined := f.member("a").Joined
			check(f.SetDraining(ctx, "a", true))
			require.True(f, f.beat("a").Members[0].Draining)
			require.Equal(f, joined, f.member("a").Joined)
			check(f.SetDraining(ctx, "a", false))
			require.False(f, f.member("a").Draining)
			check(f.Leave(ctx, "a", nonce("a")))
			require.Empty(f, f.roster().Members)
		}
	}),
	haltedCase("bad members", func(f *halted) {
		for field, bad := range map[string][]carillon.Member{
			"worker": {
				worker(""), worker("a:b"), worker("a/b"), worker("a b"), worker("ä"),
				worker(strings.Repeat("x", carillon.MaxWorkerID+1)),
			},
			"capacity": {{Worker: "a", Capacity: -1}},
			"load":     {{Worker: "a", Load: -0.1}},
			"labels": {
				{Worker: "a", Zone: strings.Repeat("z", 10_000)},
				{Worker: "a", Labels: map[string]string{"k": strings.Repeat("v", 10_000)}},
			},
			"holds": {{Worker: "a", Holds: make([]carillon.Task, store.MaxTasks+1)}},
		} {
			for _, m := range bad {
				_, err := f.Heartbeat(f.Context(), m, "n")
				require.ErrorIs(f, err, carillon.ErrInvalidArgument, field)
				require.Equal(f, field, carillon.AsError(err).Field)
			}
		}
		for _, bad := range []string{"", strings.Repeat("n", 100)} {
			_, err := f.Heartbeat(f.Context(), worker("a"), bad)
			require.ErrorIs(f, err, carillon.ErrInvalidArgument)
			require.ErrorIs(f, f.Leave(f.Context(), "a", bad), carillon.ErrInvalidArgument)
		}
		require.ErrorIs(f, f.Leave(f.Context(), "a:b", "n"), carillon.ErrInvalidArgument)
		require.ErrorIs(f, f.SetDraining(f.Context(), "", true), carillon.ErrInvalidArgument)
		require.Empty(f, f.roster().Members)
	}),
	haltedCase("members that somebody else has written", func(f *halted) {
		key := f.groupKey("members")
		raw := func() string { return f.redis.HGet(f.Context(), key, "a").Val() }
		f.beat("a")
		good := raw()
		for name, bad := range map[string]string{
			"empty": "", "short": good[:13], "cut": good[:15], "no description": good[:14+len(nonce("a"))],
			"no JSON": good + "}",
		} {
			require.NoError(f, f.redis.HSet(f.Context(), key, "b", bad).Err())
			require.NoError(f, f.redis.HSet(f.Context(), key, "no worker's id", good).Err())
			require.Equal(f, []string{"a"}, rosterIDs(f.roster()), name)
			r, err := f.Heartbeat(f.Context(), worker("b"), nonce("a")) // which is what a copy of a's says
			require.NoError(f, err, name)
			require.Equal(f, []string{"a", "b"}, rosterIDs(r), name)
			require.NoError(f, f.Leave(f.Context(), "b", nonce("a")))
		}
		f.advance(time.Minute + time.Second)
		f.beat("a")
		require.Equal(f, []string{"a"}, f.redis.HKeys(f.Context(), key).Val())
	}),
	haltedCase("the clock steps back", func(f *halted) {
		f.beat("a", "b")
		f.advance(-time.Hour)
		require.Equal(f, []string{"b"}, rosterIDs(f.beat("b")), "who was heard of in the future is no proof of life")
		require.Equal(f, []string{"a", "b"}, rosterIDs(f.beat("a")))
	}),
	haltedCase("a full house", func(f *halted) {
		head := make([]byte, 12) // seen and joined now
		for b := range 6 {
			head[b] = byte(f.at.UnixMilli() >> (8 * (5 - b)))
			head[6+b] = head[b]
		}
		all := map[string]any{}
		for i := range store.MaxMembers {
			all[fmt.Sprintf("w%d", i)] = string(head) + "0\x01n{}"
		}
		require.NoError(f, f.redis.HSet(f.Context(), f.groupKey("members"), all).Err())
		require.Len(f, f.roster().Members, store.MaxMembers)
		_, err := f.Heartbeat(f.Context(), worker("one-more"), "n")
		require.ErrorIs(f, err, carillon.ErrUnavailable)
		require.ErrorContains(f, err, "the limit")
		_, err = f.Heartbeat(f.Context(), worker("w7"), "n")
		require.NoError(f, err, "who is there already stays")
		f.advance(time.Minute)
		_, err = f.Heartbeat(f.Context(), worker("one-more"), "n")
		require.NoError(f, err)
	}),
}
