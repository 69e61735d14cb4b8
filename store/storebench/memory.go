package storebench

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/carillon-io/carillon"
)

// Memory is what Redis needs for a pending timer, in bytes.
type Memory struct {
	// Timer is the record, the index entry, and the share in the tables that hold them.
	Timer float64 `json:"timer"`
	// Lately is what is kept beside it for some minutes, whether the timer is still pending or not: the answer to the
	// request, and the event.
	Lately float64 `json:"lately"`
}

// Memory creates so many timers and asks Redis what has been added. Nobody else may write meanwhile. There is no answer, ok
// being false, from the embedded Redis and from a Cluster.
func (b *Bench) Memory(ctx context.Context, timers int) (m Memory, ok bool, err error) {
	before, ok, err := b.used(ctx)
	if !ok || err != nil {
		return m, ok, err
	}
	created := 0
	for ; created < timers; created += b.o.Batch {
		if err := b.create(ctx, b.specs(time.Hour, carillon.ToMailbox())); err != nil {
			return m, false, err
		}
	}
	all, _, err := b.used(ctx)
	if err != nil {
		return m, false, err
	}
	for _, match := range []string{"*:req:*", "*:events"} {
		if err := b.clear(ctx, match); err != nil {
			return m, false, err
		}
	}
	pending, _, err := b.used(ctx)
	if err != nil {
		return m, false, err
	}
	m.Timer = float64(pending-before) / float64(created)
	m.Lately = float64(all-pending) / float64(created)
	return m, true, nil
}

// used is the size of the data.
func (b *Bench) used(ctx context.Context) (int64, bool, error) {
	if _, cluster := b.client.(*redis.ClusterClient); cluster || b.Info().Embedded {
		return 0, false, nil
	}
	info, err := b.client.Info(ctx, "memory").Result()
	if err != nil {
		return 0, false, fmt.Errorf("storebench: %w", err)
	}
	for line := range strings.Lines(info) {
		if text, found := strings.CutPrefix(strings.TrimSpace(line), "used_memory_dataset:"); found {
			n, err := strconv.ParseInt(text, 10, 64)
			return n, err == nil, err
		}
	}
	return 0, false, nil
}
