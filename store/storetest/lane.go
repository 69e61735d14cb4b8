package storetest

import (
	"crypto/rand"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/store"
)

// claimTimeout is how long attempts may take where nothing else matters.
const claimTimeout = 30 * time.Second

// lane is a lane of slot 0, held by a process.
type lane struct {
	*fixture

	store *store.Redis
	id    store.LaneID
	token store.Token
	after string
}

// lane takes lane 0 of slot 0.
func (f *fixture) lane() *lane {
	f.Helper()
	return f.laneOf(f.Redis, store.LaneID{})
}

func (f *fixture) laneOf(s *store.Redis, id store.LaneID) *lane {
	f.Helper()
	token, err := s.AcquireLane(f.Context(), id, "lane-"+rand.Text())
	require.NoError(f, err)
	return &lane{fixture: f, store: s, id: id, token: token}
}

// read takes new entries from the queue.
func (l *lane) read() []store.Entry {
	l.Helper()
	entries, err := l.store.Read(l.Context(), l.id, l.token, l.after, 1000)
	require.NoError(l, err)
	for _, e := range entries {
		l.after = e.ID
	}
	return entries
}

// readOne takes the one entry that is there.
func (l *lane) readOne() store.Entry {
	l.Helper()
	entries := l.read()
	require.Len(l, entries, 1)
	return entries[0]
}

// adopt takes over what earlier holders left behind.
func (l *lane) adopt() []store.Entry {
	l.Helper()
	var out []store.Entry
	for {
		entries, more, err := l.store.Adopt(l.Context(), l.id, l.token, 100)
		require.NoError(l, err)
		out = append(out, entries...)
		if !more {
			return out
		}
	}
}

func (l *lane) fetch(entries ...store.Entry) []*store.Firing {
	l.Helper()
	firings, err := l.store.Fetch(l.Context(), l.id, entries)
	require.NoError(l, err)
	require.Len(l, firings, len(entries))
	return firings
}

func (l *lane) fetchOne(e store.Entry) *store.Firing {
	l.Helper()
	firing := l.fetch(e)[0]
	require.NotNil(l, firing)
	return firing
}

// claim fetches entries and claims them. None may be stale.
func (l *lane) claim(entries ...store.Entry) ([]store.ClaimResult, []*store.Firing) {
	l.Helper()
	firings := l.fetch(entries...)
	claims := make([]store.Claim, len(entries))
	for i := range entries {
		require.NotNil(l, firings[i])
		claims[i] = store.Claim{Entry: entries[i], Firing: firings[i], Timeout: claimTimeout}
	}
	out, err := l.store.Claim(l.Context(), l.id, l.token, claims)
	require.NoError(l, err)
	require.Len(l, out, len(entries))
	return out, firings
}

// claimWith claims one entry with what was fetched earlier.
func (l *lane) claimWith(e store.Entry, f *store.Firing) store.ClaimResult {
	l.Helper()
	out, err := l.store.Claim(l.Context(), l.id, l.token, []store.Claim{{Entry: e, Firing: f, Timeout: claimTimeout}})
	require.NoError(l, err)
	require.Len(l, out, 1)
	return out[0]
}

// take claims one entry, which has to be due.
func (l *lane) take(e store.Entry) (store.ClaimResult, *store.Firing) {
	l.Helper()
	out, firings := l.claim(e)
	require.Equal(l, store.ClaimTaken, out[0].Status, "%c", out[0].Status)
	return out[0], firings[0]
}

// complete says what became of one claim, and says whether it counted.
func (l *lane) complete(e store.Entry, f *store.Firing, kind store.CompletionKind, retryAt int64) bool {
	l.Helper()
	c := store.Completion{Entry: e, Firing: f, Kind: kind, RetryAt: retryAt}
	if kind != store.CompleteFired {
		c.Error = "no answer"
	}
	out, err := l.store.Complete(l.Context(), l.id, l.token, []store.Completion{c})
	require.NoError(l, err)
	require.Len(l, out, 1)
	return out[0]
}

// due creates a timer that is due, and returns its entry as the lane has read it.
func (l *lane) due(spec carillon.TimerSpec) (carillon.ID, store.Entry) {
	l.Helper()
	spec.FireAt = l.in(-time.Second)
	out := l.create(spec)
	e := l.readOne()
	require.Equal(l, out.TimerID.Unique(), e.Unique)
	return out.TimerID, e
}

// dead makes a timer that has been given up.
func (l *lane) dead(spec carillon.TimerSpec) carillon.ID {
	l.Helper()
	id, e := l.due(spec)
	_, firing := l.take(e)
	require.True(l, l.complete(e, firing, store.CompleteDead, 0))
	return id
}

// lapse lets the leases of lanes lapse.
func (f *fixture) lapse() {
	f.Helper()
	f.advance(f.Options().LaneTTL + f.Options().LeaseTTL + time.Second)
}
