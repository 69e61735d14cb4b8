// Package storetest is the conformance suite of store.Store, and a check of what a store keeps.
//
//   - [Run] is the suite: what every store has to do, on any Redis.
//   - [Violations] reads a group's keys and says which invariants they break; [CheckInvariants] fails a test with them.
//   - [Shift] moves a store's clock. Only groups whose names begin with [GroupPrefix] accept that.
//   - [Faults] makes single calls fail as a network does: carried out twice, or carried out and never answered.
//
// The package reads the keys by their documented layout (store/lua/common.lua) with code of its own, so that a mistake
// in the store's code is not repeated here.
package storetest
