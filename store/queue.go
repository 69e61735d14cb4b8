package store

import (
	"context"

	"github.com/carillon-io/carillon"
)

// Queued is an entry of a fire queue that still stands.
type Queued struct {
	Entry
	TimerID carillon.ID
}

// Queue lists the fire queue of a slot in its one order, which is the same for everybody who asks: that in which Redis took the
// entries up. It begins behind the given entry id (empty: with the first) and looks at up to limit entries; next is where
// to go on, empty at the end. Entries whose timer has been cancelled, or filed anew, are left out: a timer is removed from the
// queue, wherever it stands, by cancelling it.
func (s *Redis) Queue(ctx context.Context, slot int, after string, limit int) (entries []Queued, next string, err error) {
	if slot < 0 || slot >= len(s.slots) {
		return nil, "", carillon.InvalidArgument("slot", "%d is not between 0 and %d", slot, len(s.slots)-1)
	}
	if limit < 1 || limit > carillon.MaxPageSize {
		return nil, "", carillon.InvalidArgument("limit", "%d is not between 1 and %d", limit, carillon.MaxPageSize)
	}
	sl := s.slots[slot]
	start := "-"
	if after != "" {
		start = "(" + after
	}
	messages, err := s.client.XRangeN(ctx, sl.keys.fire, start, "+", int64(limit)).Result()
	if err != nil {
		return nil, "", redisError("list queue", err)
	}
	list := make([]any, 0, 2*len(messages))
	for _, m := range messages {
		list = append(list, m.ID, m.Values["e"])
	}
	all, err := parseEntries(list)
	if err != nil || len(all) == 0 {
		return nil, "", err
	}
	firings, err := s.Fetch(ctx, LaneID{Slot: slot}, all)
	if err != nil {
		return nil, "", err
	}
	for i, f := range firings {
		if f != nil {
			entries = append(entries, Queued{Entry: all[i], TimerID: f.TimerID})
		}
	}
	if len(all) == limit {
		next = all[len(all)-1].ID
	}
	return entries, next, nil
}
