package storetest

import (
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/carillon-io/carillon/store"
)

// Connector gives a new client of the Redis under test; it is closed with the test. All clients of one connector reach
// the same Redis, which others may use meanwhile.
type Connector func(t testing.TB) redis.UniversalClient

// testCase is one thing that a store has to do.
type testCase struct {
	name    string
	options store.Options
	run     func(f *fixture)
}

// Run runs the suite, each test in parallel with the others, in a group of its own, and with its invariants checked at
// its end. The checks are made under the locks: who moves things about behind the store's back, as a Redis Cluster does with
// its slots, keeps still meanwhile.
func Run(t *testing.T, connect Connector, still ...sync.Locker) {
	for area, cases := range map[string][]testCase{
		"Create":     createCases,
		"Names":      nameCases,
		"Cancel":     cancelCases,
		"Reschedule": rescheduleCases,
		"Redrive":    redriveCases,
		"Describe":   describeCases,
		"List":       listCases,
		"Count":      countCases,
		"Segments":   segmentCases,
		"Sweep":      sweepCases,
		"Leases":     leaseCases,
		"Lanes":      laneCases,
		"Handover":   handoverCases,
		"Claim":      claimCases,
		"Complete":   completeCases,
		"Queue":      queueCases,
		"Mailbox":    mailboxCases,
		"Events":     eventCases,
		"Open":       openCases,
		"Mint":       mintCases,
		"Members":    memberCases,
		"Control":    controlCases,
		"Group":      groupCases,
	} {
		t.Run(area, func(t *testing.T) {
			t.Parallel()
			for _, c := range cases {
				t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
					t.Parallel()
					c.run(newFixture(t, connect, c.options, still))
				})
			}
		})
	}
}
