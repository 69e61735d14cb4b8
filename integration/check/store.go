package check

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/carillon-io/carillon"
	"github.com/carillon-io/carillon/starter/direct"
	"github.com/carillon-io/carillon/store"
	"github.com/carillon-io/carillon/store/storetest"
)

// Stored is what a store says at the end of a run.
type Stored struct {
	// States are those of the timers that the store has, and what became of those that nobody has received.
	States map[carillon.ID]carillon.State
	Count  carillon.CountTimersResult
	// Violations are what contradicts itself: see storetest.Violations.
	Violations []string
}

func (s *Stored) state(id carillon.ID) carillon.State {
	if s == nil {
		return ""
	}
	return s.States[id]
}

// Look asks the store of a group. It has to be at rest: nobody may change it meanwhile.
func (l *Ledger) Look(ctx context.Context, client redis.UniversalClient, group string) (_ *Stored, err error) {
	out := &Stored{States: map[carillon.ID]carillon.State{}}
	// First, since it does not make a group that is not there.
	if out.Violations, err = storetest.Violations(ctx, client, group); err != nil {
		return nil, err
	}
	s, err := store.Open(ctx, client, store.Options{Group: group, AllowVolatile: true})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	timers, err := direct.New(s, direct.Options{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, timers.Close()) }()
	if out.Count, err = timers.Count(ctx, carillon.CountTimersInput{}); err != nil {
		return nil, err
	}
	for _, states := range [][]carillon.State{nil, {carillon.StateDead}} {
		for info, err := range timers.List(ctx, carillon.ListTimersInput{States: states, PageSize: carillon.MaxPageSize}) {
			if err != nil {
				return nil, err
			}
			out.States[info.TimerID] = info.State
		}
	}
	for _, id := range l.missing(out.States) {
		info, err := timers.Describe(ctx, carillon.TimerRef{TimerID: id})
		switch {
		case errors.Is(err, carillon.ErrNotFound): // nothing is known of it any more
		case err != nil:
			return nil, err
		default:
			out.States[id] = info.State
		}
	}
	return out, nil
}

// missing are the timers that should have been received, were not, and are not in the store.
func (l *Ledger) missing(live map[carillon.ID]carillon.State) []carillon.ID {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []carillon.ID
	for id, a := range l.timers {
		if a.received == 0 && !a.cancelled && live[id] == "" {
			out = append(out, id)
		}
	}
	return out
}

// breaches are what the store shows against itself, and against what the run has seen.
func (s *Stored) breaches(r Report) []Breach {
	var out []Breach
	for _, v := range s.Violations {
		out = append(out, Breach{violated(v), v})
	}
	for _, c := range []struct {
		what           string
		counted, known int
	}{
		{"created", int(s.Count.Created), r.Created},
		{"fired", int(s.Count.Fired), r.Fired},
		{"cancelled", int(s.Count.Cancelled), r.Cancelled},
	} {
		// There may be more than was acknowledged: an answer may have been lost. There must not be less.
		if c.counted < c.known {
			out = append(out, Breach{
				OneState, fmt.Sprintf("the store counts %d timers %s, and there were at least %d", c.counted, c.what, c.known),
			})
		}
	}
	return out
}

// violated is the invariant that a violation is about.
func violated(text string) Invariant {
	switch {
	case strings.Contains(text, "ms early"):
		return NotEarly
	case strings.Contains(text, "count"), strings.Contains(text, "fired"), strings.Contains(text, "created is"):
		return OneState
	default:
		return OneEntry
	}
}
