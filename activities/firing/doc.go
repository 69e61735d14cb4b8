// Package firing holds the loop of a lane: the one place where timers become due to the millisecond.
//
// A lane reads the fire queue of its slot ahead of time and holds the entries in its in-flight map, ordered by when they
// have to be looked at. Shortly before that it fetches their records; when their time comes, one script claims a batch of
// them. Timers that go to a mailbox are fired by that script alone. The others are delivered by goroutines, and a further
// script, batched too, says what became of them.
//
// What each crash leaves behind: entries that were read and not worked off are pending under the lane's token, and the next
// holder adopts them at once. A timer that was claimed and not completed is claimed again by the next holder, and delivered
// again under the same idempotency key. A lane that was frozen and has been replaced finds its token refused and writes
// nothing.
//
// The lane's goroutines: read takes entries from the queue and renews the lease; the loop of serve owns the map, and fetches
// and claims; deliver is one goroutine for each delivery; complete groups what has been delivered.
package firing
