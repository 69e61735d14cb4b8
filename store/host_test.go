package store

import (
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// A host id is registered once: whoever comes second has to take another one.
func TestHostRegistry(t *testing.T) {
	t.Parallel()
	client := redis.NewClient(&redis.Options{Addr: miniredis.RunT(t).Addr()})
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	s, err := Open(t.Context(), client, Options{Slots: 1, AllowVolatile: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	register := func(host int, owner string) bool {
		r, err := s.run(t.Context(), "register", s.scripts.host, s.clock, []string{s.group.hosts()}, []any{host, owner})
		require.NoError(t, err)
		return r.number(0) == 1
	}
	require.True(t, register(7, "a"))
	require.True(t, register(7, "a"), "an answer that was lost")
	require.False(t, register(7, "b"))
	require.True(t, register(8, "b"))
}

// A counter that is spent leads to another host id, never to the same ids again.
func TestSpentCounter(t *testing.T) {
	t.Parallel()
	client := redis.NewClient(&redis.Options{Addr: miniredis.RunT(t).Addr()})
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	s, err := Open(t.Context(), client, Options{Slots: 1, AllowVolatile: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	first, err := s.Mint(t.Context(), 3)
	require.NoError(t, err)
	host := s.minter.host
	s.minter.counter, s.minter.left = counters-1, 2 // it wraps within its width
	second, err := s.Mint(t.Context(), 2)
	require.NoError(t, err)
	require.Equal(t, host, s.minter.host)
	require.NotEqual(t, second[0], second[1])
	require.NotContains(t, first, second[0])
	_, err = s.Mint(t.Context(), 1)
	require.NoError(t, err)
	require.NotEqual(t, host, s.minter.host)
}
