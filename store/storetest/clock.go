package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon/store"
)

// GroupPrefix is what the names of groups begin with that accept a shifted clock.
const GroupPrefix = "test-"

// Shift makes a store's clock tell its Redis's time and so much more, for the whole group and for every process that
// uses it. Each process learns it by its next call. It does not hasten what Redis itself lets expire.
func Shift(t testing.TB, s *store.Redis, client redis.UniversalClient, by time.Duration) {
	t.Helper()
	require.NoError(t, SetShift(t.Context(), s, client, by))
}

// SetShift is Shift for goroutines, which must not end a test.
func SetShift(ctx context.Context, s *store.Redis, client redis.UniversalClient, by time.Duration) error {
	keys := []string{groupPrefix(s.Group()) + "clock"}
	for slot := range s.Slots() {
		keys = append(keys, slotPrefix(s.Group(), slot)+"clock")
	}
	for _, key := range keys {
		if err := client.Set(ctx, key, by.Microseconds(), 0).Err(); err != nil {
			return err
		}
	}
	// A question that changes nothing, so that this process knows at once. There is no such segment.
	for slot := range s.Slots() {
		if _, err := s.OpenSegment(ctx, slot, -1); err != nil {
			return err
		}
	}
	return nil
}
