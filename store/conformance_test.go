package store_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/carillon-io/carillon/store/redistest"
	"github.com/carillon-io/carillon/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a client waits for an answer before it asks once more: a script that has run twice answers otherwise,
// and the embedded Redis is slow under the race detector.
const patience = time.Minute

// connector gives clients of the Redis of a URL.
func connector(url string) storetest.Connector {
	return func(t testing.TB) redis.UniversalClient {
		t.Helper()
		options, err := redis.ParseURL(url)
		require.NoError(t, err)
		options.ContextTimeoutEnabled, options.ReadTimeout = true, patience
		client := redis.NewClient(options)
		t.Cleanup(func() { require.NoError(t, client.Close()) })
		return client
	}
}

func TestEmbedded(t *testing.T) {
	t.Parallel()
	storetest.Run(t, connector("redis://"+redistest.Embedded(t).Addr()))
}

func TestRedis(t *testing.T) {
	t.Parallel()
	storetest.Run(t, connector(redistest.RealURL(t)))
}

func TestCluster(t *testing.T) {
	t.Parallel()
	cluster := redistest.Cluster(t, 3)
	storetest.Run(t, func(t testing.TB) redis.UniversalClient {
		t.Helper()
		client := redis.NewClusterClient(&redis.ClusterOptions{
			Addrs: cluster.Addrs(), ContextTimeoutEnabled: true, ReadTimeout: patience,
		})
		t.Cleanup(func() { require.NoError(t, client.Close()) })
		return client
	})
}
