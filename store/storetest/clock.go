package storetest

import (
	"context"
	"fmt"
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
	return setClock(ctx, s, client, by.Microseconds())
}

// SetHalted makes a store's clock tell that time, until it is set again.
func SetHalted(ctx context.Context, s *store.Redis, client redis.UniversalClient, at time.Time) error {
	return setClock(ctx, s, client, fmt.Sprintf("=%d", at.UnixMicro()))
}

func setClock(ctx context.Context, s *store.Redis, client redis.UniversalClient, value any) error {
	keys := []string{groupPrefix(s.Group()) + "clock"}
	for slot := range s.Slots() {
		keys = append(keys, slotPrefix(s.Group(), slot)+"clock")
	}
	for _, key := range keys {
		if err := client.Set(ctx, key, value, 0).Err(); err != nil {
			return err
		}
	}
	return LearnClock(ctx, s)
}

// LearnClock has a process learn at once what the store's clock tells. It makes a call that changes nothing: nobody has such a
// token.
func LearnClock(ctx context.Context, s *store.Redis) error {
	for slot := range s.Slots() {
		if err := s.ReleaseSweep(ctx, store.Partition{Slot: slot}, "nobody's"); err != nil {
			return err
		}
	}
	return nil
}
