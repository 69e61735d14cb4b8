package integration_test

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carillon-io/carillon/integration/harness"
	"github.com/carillon-io/carillon/internal/fault"
	"github.com/carillon-io/carillon/starter"
	"github.com/carillon-io/carillon/store"
)

// leg is what one worker process of a relay runs into.
type leg struct {
	point fault.Point
	pass  int
	// leaves says that the point is passed only by a worker that has its leases and is told to stop, relieved that another
	// one has to wait for what it leaves.
	leaves, relieved bool
}

// relays are the points in the order in which the workers of a group run into them. Together they have all points.
var relays = map[string][]leg{
	"sweep": {
		{point: fault.SweepMoved, pass: 3},
		{point: fault.SegmentOpened, pass: 2},
		{point: fault.SweepAcquired, pass: 2},
		{point: fault.SegmentRetired, pass: 1},
		{point: fault.SweepReleased, pass: 2, leaves: true},
	},
	"lane": {
		{point: fault.LaneRead, pass: 4},
		{point: fault.LaneAcquired, pass: 2},
		{point: fault.LaneAdopted, pass: 1},
		{point: fault.LaneRenewed, pass: 5},
		{point: fault.LaneFetched, pass: 6},
		{point: fault.LaneDropped, pass: 2},
		{point: fault.LaneClaimed, pass: 6},
		{point: fault.LaneDelivering, pass: 5},
		{point: fault.LaneDelivered, pass: 3},
		{point: fault.LaneCompleted, pass: 3},
		{point: fault.LaneLeaving, pass: 2, leaves: true, relieved: true},
		{point: fault.LaneReleased, pass: 1, leaves: true},
		{point: fault.LaneRelieved, pass: 2, leaves: true, relieved: true},
	},
	"door": {
		{point: fault.CreateBegun, pass: 3},
		{point: fault.HostLeased, pass: 1},
		{point: fault.CreateStored, pass: 3},
		{point: fault.CreateDone, pass: 2},
		{point: fault.CancelDone, pass: 1},
		{point: fault.RescheduleDone, pass: 1},
		{point: fault.TaskAnnounced, pass: 2},
		{point: fault.TaskAttached, pass: 1},
	},
}

// Worker after worker dies, at another point each, under a load that goes on: nothing is lost, nothing is early, nothing is
// created twice or comes twice into a mailbox. In a longer run they also stand still until their leases are gone, and lose
// answers.
func TestEveryFaultPoint(t *testing.T) {
	longer(t)
	var all []fault.Point
	for _, legs := range relays {
		for _, l := range legs {
			all = append(all, l.point)
		}
	}
	require.ElementsMatch(t, fault.Points(), all, "a relay runs into each point")

	// All relays at once, however few processors there are: they spend most of their time waiting for leases to lapse.
	together := [][]string{{"kill"}}
	if faults() {
		together = [][]string{{"kill", "fail"}, {"stop", "pause"}}
	}
	for _, actions := range together {
		var running sync.WaitGroup
		for _, action := range actions {
			for name, legs := range relays {
				running.Go(func() {
					t.Run(action+"/"+name, func(t *testing.T) { runRelay(t, action, legs) })
				})
			}
		}
		running.Wait()
	}
}

// relay is a group whose workers have an accident one after the other.
type relay struct {
	t      *testing.T
	g      *harness.Group
	load   *traffic
	action string
	plain  *harness.Process // a worker without accidents that is at work, or nil
	number int
}

const relaySlots = 4

func runRelay(t *testing.T, action string, legs []leg) {
	g := harness.NewGroup(t, store.Options{Slots: relaySlots, LookAhead: trafficLookAhead},
		starter.Options{OperationTimeout: 24 * time.Second}) // what a dead worker has taken on is tried again after 6 s
	r := &relay{t: t, g: g, action: action, load: startTraffic(t, g)}
	for _, l := range legs {
		r.run(l)
	}
	if r.plain == nil {
		r.startPlain()
	}
	r.load.verify()
}

// arguments are those of every worker. Small segments, so that they are opened and retired all the time.
func (r *relay) arguments() []string {
	return []string{"--look-ahead", trafficLookAhead.String(), "--segment-capacity", "20", "--stop-timeout", "1m"}
}

func (r *relay) id(kind string) string {
	r.number++
	return fmt.Sprintf("%s-%d", kind, r.number)
}

func (r *relay) stopPlain() {
	if r.plain != nil {
		r.plain.AskToStop()
		r.plain.WaitUntilEnded(r.t)
		r.plain = nil
	}
}

func (r *relay) startPlain() {
	r.plain = r.g.StartProcess(r.t, r.id("plain"), r.arguments()...)
}

// run has one worker run into its point.
func (r *relay) run(l leg) {
	r.t.Helper()
	began := time.Now()
	if l.leaves { // alone it has nobody to leave anything to before its time
		r.stopPlain()
	}
	p := r.g.StartFaulty(r.t, r.id(string(l.point)), fmt.Sprintf("%s=%s@%d", l.point, r.what(l.point), l.pass), r.arguments()...)
	r.stopPlain() // it hands over
	if l.leaves {
		r.until(p, l, "it holds all leases", func() bool {
			lanes, partitions := r.g.Holds(r.t, p.ID)
			return lanes >= relaySlots && partitions >= relaySlots
		})
		if l.relieved {
			r.startPlain()
			r.until(p, l, "somebody is there to leave them to", func() bool {
				lanes, _ := r.g.Holds(r.t, r.plain.ID)
				return lanes > 0
			})
		}
		p.AskToStop()
	}
	p.WaitForStrike(r.t, l.point, r.action)
	r.t.Logf("%s at %s after %s", r.action, l.point, time.Since(began).Round(10*time.Millisecond))
	if r.action == "kill" {
		return // whoever is next takes over
	}
	if r.plain == nil {
		r.startPlain()
	}
	switch r.action {
	case "stop": // until another worker has all its leases
		r.g.WaitForLanes(r.t, r.plain.ID)
		p.Thaw()
		r.fireSomeMore()
	case "pause":
		harness.Eventually(r.t, "the pause is over", func() bool {
			return strings.Contains(p.Log(), fmt.Sprintf("carillon fault: %s: goes on", l.point))
		})
		r.fireSomeMore()
	}
	p.AskToStop()
	p.WaitUntilEnded(r.t)
}

// until waits for something, or until the accident has happened already: a worker that shares tasks with another one leaves
// some before it is told to stop.
func (r *relay) until(p *harness.Process, l leg, what string, f func() bool) {
	r.t.Helper()
	harness.Eventually(r.t, what, func() bool { return p.Struck(l.point, r.action) || f() })
}

// what is the action as a plan spells it. A pause is longer than the leases, and than an attempt to create.
func (r *relay) what(p fault.Point) string {
	switch r.action {
	case "pause":
		if strings.HasPrefix(string(p), "lane.") {
			return "pause:3s"
		}
		return "pause:7s"
	case "fail":
		return "fail:3"
	}
	return r.action
}

// fireSomeMore waits until some timers have fired.
func (r *relay) fireSomeMore() {
	before := r.g.Ledger.Count()
	harness.Eventually(r.t, "timers fire", func() bool { return r.g.Ledger.Count() >= before+50 })
}

// The program that users have does not know the switchboard: not the variable, none of the points.
func TestProductionHasNoFaultPoints(t *testing.T) {
	production, faulty := harness.Binaries(t)
	words := []string{"CARILLON_FAULT_POINTS", "internal/fault.process", "lane.claimed", "host.leased"}
	program, err := os.ReadFile(production)
	require.NoError(t, err)
	for _, word := range words {
		require.False(t, bytes.Contains(program, []byte(word)), word)
	}
	program, err = os.ReadFile(faulty)
	require.NoError(t, err)
	require.False(t, slices.ContainsFunc(words, func(word string) bool { return !bytes.Contains(program, []byte(word)) }))
}
