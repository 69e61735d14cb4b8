// Package store keeps timers in Redis: their records, the index by which sweepers find what will be due, the fire queues that
// lanes read, the leases of both, mailboxes, outcomes and counters.
//
// A store is one Redis deployment, cut into slots: all keys of a slot share one hash tag, so that a Lua script may change them
// together. Every change is one script; see lua/ for what each of them touches and answers, and keys.go for the keys.
//
// A timer's life here: Create writes its record and files it, into the index or, if it is due within the look-ahead, into
// the fire queue. Sweep moves index entries to the queue when the look-ahead reaches them. A lane takes entries from the queue
// (Read), fetches their records ahead of time (Fetch), and claims them when they are due (Claim). What goes to a mailbox is
// done with that; of the rest the lane says what became of it (Complete).
//
// Index and queue entries are hints. The record is the truth, and the claim is where it is asked: by its version, by its due
// time and by the time of Redis.
package store
