package redisproc_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon/store/redistest/redisproc"
)

// A server that was killed in the middle of writing a transaction must not run half of it two starts later.
func TestHalfATransactionIsCutOff(t *testing.T) {
	t.Parallel()
	needBinary(t)
	server, err := redisproc.Start(t.Context(), redisproc.Config{Fsync: "always"})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	set := func(key string) {
		client := redis.NewClient(&redis.Options{Addr: server.Addr()})
		defer func() { require.NoError(t, client.Close()) }()
		require.NoError(t, client.Set(t.Context(), key, "1", 0).Err())
	}
	set("before")
	require.NoError(t, server.Kill())

	files, err := filepath.Glob(filepath.Join(server.Dir(), "appendonlydir", "*.incr.aof"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	file, err := os.OpenFile(files[0], os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = file.WriteString("*1\r\n$5\r\nMULTI\r\n*2\r\n$3\r\nDEL\r\n$6\r\nbefore\r\n*2\r\n$3\r\nDE")
	require.NoError(t, err)
	require.NoError(t, file.Close())

	require.NoError(t, server.Restart(t.Context()))
	set("after")
	require.NoError(t, server.Kill())
	require.NoError(t, server.Restart(t.Context()))
	client := redis.NewClient(&redis.Options{Addr: server.Addr()})
	defer func() { require.NoError(t, client.Close()) }()
	n, err := client.Exists(t.Context(), "before", "after").Result()
	require.NoError(t, err)
	require.EqualValues(t, 2, n)
}
