package storebench

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// bare is the loop that the store is compared with. It keeps no promise: it has no versions, no counters, no answers for
// whoever asks again, no leases and no retries. It knows a payload under an id, and when that is due.
type bare struct {
	client         redis.UniversalClient
	records, index string // keys
	events, queue  string
	payload        []byte
	first          int64 // when the first timer is due, in ms
	next           uint64
	asked          []any // the arguments of the next create
}

const (
	bareGroup    = "g"
	bareConsumer = "c"
)

// bareCreate takes one hash field and one index entry for each timer, and one event for all of them.
//
// KEYS: 1 records, 2 index, 3 events. ARGV: id, due and payload of each timer. Returns how many there are.
var bareCreate = redis.NewScript(`
for i = 1, #ARGV, 3 do
  redis.call('HSETNX', KEYS[1], ARGV[i], ARGV[i + 2])
  redis.call('ZADD', KEYS[2], ARGV[i + 1], ARGV[i])
end
redis.call('XADD', KEYS[3], 'MAXLEN', '~', 1000, '*', 'e', #ARGV)
return #ARGV / 3`)

// bareSweep moves the first entries of the index into the queue.
//
// KEYS: 1 index, 2 queue. ARGV: 1 how many. Returns how many there were.
var bareSweep = redis.NewScript(`
local found = redis.call('ZRANGE', KEYS[1], 0, ARGV[1] - 1)
for i = 1, #found do redis.call('XADD', KEYS[2], '*', 'e', found[i]) end
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, #found - 1)
return #found`)

func newBare(ctx context.Context, client redis.UniversalClient, name string, first int64, payload []byte) (*bare, error) {
	prefix := "carillon-bench:{" + name + "}:"
	l := &bare{
		client: client, payload: payload, first: first,
		records: prefix + "records", index: prefix + "index", events: prefix + "events", queue: prefix + "queue",
	}
	if err := client.XGroupCreateMkStream(ctx, l.queue, bareGroup, "0").Err(); err != nil {
		return nil, fmt.Errorf("storebench: %w", err)
	}
	return l, nil
}

// ask makes the arguments of the next create, which no measurement shall contain.
func (l *bare) ask(n int) {
	l.asked = l.asked[:0]
	for range n {
		id := make([]byte, 9)
		binary.BigEndian.PutUint64(id[1:], l.next)
		l.asked = append(l.asked, id, l.first+int64(l.next), l.payload)
		l.next++
	}
}

func (l *bare) create(ctx context.Context) error {
	n, err := bareCreate.Run(ctx, l.client, []string{l.records, l.index, l.events}, l.asked...).Int()
	return complete("create", n, len(l.asked)/3, err)
}

func (l *bare) sweep(ctx context.Context, n int) error {
	moved, err := bareSweep.Run(ctx, l.client, []string{l.index, l.queue}, n).Int()
	return complete("sweep", moved, n, err)
}

// fire is five commands: read, look up, remove, acknowledge, delete.
func (l *bare) fire(ctx context.Context, n int) error {
	streams, err := l.client.XReadGroup(ctx, &redis.XReadGroupArgs{
		Group: bareGroup, Consumer: bareConsumer, Streams: []string{l.queue, ">"}, Count: int64(n), Block: -1,
	}).Result()
	if err != nil {
		return complete("read", 0, n, err)
	}
	entries, ids := make([]string, 0, n), make([]string, 0, n)
	for _, m := range streams[0].Messages {
		id, _ := m.Values["e"].(string)
		entries, ids = append(entries, m.ID), append(ids, id)
	}
	payloads, err := l.client.HMGet(ctx, l.records, ids...).Result()
	if err := complete("look up", len(payloads), n, err); err != nil {
		return err
	}
	removed, err := l.client.HDel(ctx, l.records, ids...).Result()
	if err := complete("remove", int(removed), n, err); err != nil {
		return err
	}
	acknowledged, err := l.client.XAck(ctx, l.queue, bareGroup, entries...).Result()
	if err := complete("acknowledge", int(acknowledged), n, err); err != nil {
		return err
	}
	deleted, err := l.client.XDel(ctx, l.queue, entries...).Result()
	return complete("delete", int(deleted), n, err)
}

// complete fails unless all timers of a batch were there: what does less is not measured.
func complete(what string, got, want int, err error) error {
	if err == nil && got != want {
		err = fmt.Errorf("%d timers, not %d", got, want)
	}
	if err != nil {
		return fmt.Errorf("storebench: bare loop: %s: %w", what, err)
	}
	return nil
}

func (l *bare) clear(ctx context.Context) error {
	if err := l.client.Unlink(ctx, l.records, l.index, l.events, l.queue).Err(); err != nil {
		return fmt.Errorf("storebench: %w", err)
	}
	return nil
}
