package redistest

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// shufflePause is what lies between two moves of a shuffle.
const shufflePause = 5 * time.Millisecond

// Shuffle moves slots that hold keys from node to node, one after the other, until ctx ends, and returns how many it has moved. It
// moves keys of a slot a few at a time, so that scripts often find theirs on both sides. Each move is made under the lock, so
// that a test can look at a cluster that stands still.
func (c *ClusterServers) Shuffle(ctx context.Context, lock sync.Locker) (moved int, err error) {
	for {
		if err := wait(ctx, shufflePause); err != nil {
			return moved, nil //nolint:nilerr // it has been told to end: that is how it ends
		}
		from := rand.IntN(len(c.nodes))
		key, err := c.admin[from].RandomKey(ctx).Result()
		if err != nil {
			if ctx.Err() != nil || err == redis.Nil { //nolint:errorlint // as RandomKey gives it: the node holds nothing
				continue
			}
			return moved, err
		}
		slot, err := c.admin[from].ClusterKeySlot(ctx, key).Result()
		if err != nil && ctx.Err() == nil {
			return moved, err
		}
		lock.Lock()
		err = c.moveSlowly(ctx, int(slot), (from+1+rand.IntN(len(c.nodes)-1))%len(c.nodes))
		lock.Unlock()
		if err != nil {
			return moved, err
		}
		moved++
	}
}

// moveSlowly is MigrateSlot with few keys at a time. A move that has begun is finished: nobody could use the slot otherwise.
func (c *ClusterServers) moveSlowly(ctx context.Context, slot, to int) error {
	const batch = 3
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), clusterTimeout)
	defer cancel()
	from, err := c.Owner(ctx, slot)
	if err != nil || from == to {
		return err
	}
	m, err := c.StartMigration(ctx, slot, to)
	if err != nil {
		return err
	}
	for {
		moved, err := m.MoveKeys(ctx, batch)
		if err != nil {
			return err
		}
		if moved == 0 {
			return m.Finish(ctx)
		}
	}
}
