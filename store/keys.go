package store

import "strconv"

// Keys: one function for each. All keys of a slot share the slot's hash tag, so that a script may touch them together.

// groupKeys are the group-wide keys of a store.
type groupKeys struct{ prefix string }

func newGroupKeys(group string) groupKeys { return groupKeys{prefix: "carillon:{" + group + "}:"} }

// meta is a HASH: schema, slots, store, generation, founded.
func (k groupKeys) meta() string { return k.prefix + "meta" }

// hosts is a HASH host id → owner: the registry of those who mint ids.
func (k groupKeys) hosts() string { return k.prefix + "hosts" }

// members is a HASH worker → what it said last, and when: see member.lua.
func (k groupKeys) members() string { return k.prefix + "members" }

// control is a HASH: epoch, number, print (of the decision's content), decided ms, observed ms.
func (k groupKeys) control() string { return k.prefix + "control" }

// assignments is a HASH task → worker: the last decision.
func (k groupKeys) assignments() string { return k.prefix + "assignments" }

// slotKeys are the keys of one slot.
type slotKeys struct {
	prefix string

	// Those that every call needs are made once.
	rec, body, ver, fire, inflight, dead, seg, count, events string
}

func newSlotKeys(group string, slot int) *slotKeys {
	p := "carillon:{" + group + ":" + strconv.Itoa(slot) + "}:"
	return &slotKeys{
		prefix:   p,
		rec:      p + "rec",      // HASH unique → header and record
		body:     p + "body",     // HASH unique → payload, of those that are large
		ver:      p + "ver",      // STRING, the slot's version counter
		fire:     p + "fire",     // STREAM, the fire queue, with the consumer group "fire"
		inflight: p + "inflight", // HASH unique → claim
		dead:     p + "dead",     // ZSET unique → when it was given up, ms
		seg:      p + "seg",      // HASH open → number, s<n> → state, c<n> → index entries
		count:    p + "count",    // HASH counters; c:<client> → pending timers of the client
		events:   p + "events",   // STREAM, trimmed
	}
}

// win is a ZSET of the segment's windows that may hold something, by their start.
func (k *slotKeys) win(segment int) string { return k.prefix + "win:" + strconv.Itoa(segment) }

// due is a ZSET unique and ref → due ms: the index of one window of a segment.
func (k *slotKeys) due(segment int, window int64) string {
	return k.prefix + "due:" + strconv.Itoa(segment) + ":" + strconv.FormatInt(window, 10)
}

// lease is a HASH: the lease on a partition. token, owner, until ms, since ms, epoch.
func (k *slotKeys) lease(segment int) string { return k.prefix + "lease:" + strconv.Itoa(segment) }

// lane is a HASH: the lease on a lane; the same fields.
func (k *slotKeys) lane(lane int) string { return k.prefix + "lane:" + strconv.Itoa(lane) }

// mailbox is a STREAM: the client's mailbox in this slot.
func (k *slotKeys) mailbox(client string) string { return k.prefix + "mbox:" + client }

// request is a STRING that expires: the answer to the request.
func (k *slotKeys) request(id string) string { return k.prefix + "req:" + id }

// done is a HASH unique → outcome, of one minute; it expires.
func (k *slotKeys) done(minute int64) string {
	return k.prefix + "done:" + strconv.FormatInt(minute, 10)
}
