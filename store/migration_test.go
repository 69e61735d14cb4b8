package store_test

import (
	"context"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon/store/redistest"
	"github.com/carillon-io/carillon/store/storetest"
)

// The conformance suite on a Redis Cluster whose slots are moved to and fro all the while: calls take longer, and nothing else.
func TestClusterWhoseSlotsMove(t *testing.T) {
	t.Parallel()
	cluster := redistest.Cluster(t, 3, redistest.Options{Fsync: "no"})
	var still sync.RWMutex // held by those who look at everything
	ctx, cancel := context.WithCancel(t.Context())
	shuffled := make(chan struct{})
	go func() {
		defer close(shuffled)
		moved, err := cluster.Shuffle(ctx, &still)
		if err != nil || moved == 0 {
			t.Errorf("%d slots were moved: %v", moved, err)
		}
		t.Logf("%d slots were moved meanwhile", moved)
	}()
	t.Cleanup(func() { // when all cases are done
		cancel()
		<-shuffled
	})
	storetest.Run(t, func(t testing.TB) redis.UniversalClient {
		t.Helper()
		client := redis.NewClusterClient(&redis.ClusterOptions{
			Addrs: cluster.Addrs(), ContextTimeoutEnabled: true, ReadTimeout: patience,
			MaxRedirects: 100, // a call waits for as long as its keys are on both sides
		})
		t.Cleanup(func() { require.NoError(t, client.Close()) })
		return client
	}, still.RLocker())
}
