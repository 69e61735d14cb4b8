package redistest_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon/store/redistest"
)

func TestCluster(t *testing.T) {
	t.Parallel()
	cluster := redistest.Cluster(t, 3, redistest.Options{Fsync: "always"})
	require.Len(t, cluster.Addrs(), 3)
	client := cluster.Client()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	for i := range 100 {
		require.NoError(t, client.Set(ctx, fmt.Sprintf("key-%d", i), i, 0).Err())
	}
	for _, node := range cluster.Nodes() {
		size, err := node.Client().DBSize(ctx).Result()
		require.NoError(t, err)
		require.Positive(t, size, "every node has its share")
	}

	t.Run("the URL names all nodes", func(t *testing.T) {
		options, err := redis.ParseClusterURL(cluster.URL())
		require.NoError(t, err)
		require.ElementsMatch(t, cluster.Addrs(), options.Addrs)
	})

	slot, err := client.ClusterKeySlot(ctx, "{tag}").Result()
	require.NoError(t, err)
	owner, err := cluster.Owner(ctx, int(slot))
	require.NoError(t, err)
	other := (owner + 1) % 3
	for i := range 250 { // more than one MIGRATE's worth
		require.NoError(t, client.Set(ctx, fmt.Sprintf("{tag}%d", i), i, 0).Err())
	}

	t.Run("a slot moves with its keys", func(t *testing.T) {
		require.NoError(t, cluster.MigrateSlot(ctx, int(slot), other))
		require.NoError(t, cluster.MigrateSlot(ctx, int(slot), other), "again changes nothing")
		now, err := cluster.Owner(ctx, int(slot))
		require.NoError(t, err)
		require.Equal(t, other, now)
		for i := range 250 {
			require.Equal(t, fmt.Sprint(i), client.Get(ctx, fmt.Sprintf("{tag}%d", i)).Val())
		}
		require.ErrorContains(t, cluster.Nodes()[owner].Client().Get(ctx, "{tag}0").Err(), "MOVED")
	})

	t.Run("a slot can be held half way", func(t *testing.T) {
		m, err := cluster.StartMigration(ctx, int(slot), owner)
		require.NoError(t, err)
		require.NoError(t, m.MoveKey(ctx, "{tag}0"))
		direct := cluster.Nodes()[other].Client()
		require.ErrorContains(t, direct.Get(ctx, "{tag}0").Err(), "ASK")
		require.NoError(t, direct.Get(ctx, "{tag}1").Err())
		require.ErrorContains(t, direct.MGet(ctx, "{tag}0", "{tag}1").Err(), "TRYAGAIN")
		for moved := 1; moved > 0; {
			moved, err = m.MoveKeys(ctx, 50)
			require.NoError(t, err)
		}
		require.NoError(t, m.Finish(ctx))
		require.Equal(t, "249", client.Get(ctx, "{tag}249").Val())
	})

	t.Run("a node that was killed comes back", func(t *testing.T) {
		node := cluster.Nodes()[owner]
		node.Kill()
		node.Restart()
		require.NoError(t, cluster.WaitOK(ctx))
		require.Equal(t, "249", client.Get(ctx, "{tag}249").Val())
	})

	t.Run("there is no such node", func(t *testing.T) {
		require.ErrorContains(t, cluster.MigrateSlot(ctx, int(slot), 3), "no node 3")
	})
}

func TestClusterOfOne(t *testing.T) {
	t.Parallel()
	cluster := redistest.Cluster(t, 1)
	require.NoError(t, cluster.Client().Set(t.Context(), "key", "value", 0).Err())
}
