//go:build faultpoints

package fault

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// action is what happens at a point.
type action string

const (
	actionKill  action = "kill"
	actionStop  action = "stop"
	actionPause action = "pause"
	actionFail  action = "fail"
)

// strike is what a plan says of one point.
type strike struct {
	action action
	pass   int           // the first pass at which it happens
	times  int           // how many passes in a row
	pause  time.Duration // of actionPause
}

func (s *strike) strikes(pass int) bool { return pass >= s.pass && pass < s.pass+s.times }

// parse reads a plan: point=action[:argument][@pass], separated by commas.
func parse(plan string) (map[Point]*strike, error) {
	out := map[Point]*strike{}
	for entry := range strings.SplitSeq(plan, ",") {
		if entry = strings.TrimSpace(entry); entry == "" {
			continue
		}
		name, what, found := strings.Cut(entry, "=")
		if !found {
			return nil, fmt.Errorf("%q is not point=action", entry)
		}
		p := Point(name)
		if !slices.Contains(Points(), p) {
			return nil, fmt.Errorf("%q: there is no point %q; there are %v", entry, name, Points())
		}
		if out[p] != nil {
			return nil, fmt.Errorf("%q: the plan names %s twice", entry, name)
		}
		s, err := parseStrike(what)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", entry, err)
		}
		out[p] = s
	}
	return out, nil
}

func parseStrike(what string) (*strike, error) {
	s := &strike{pass: 1, times: 1}
	what, pass, found := strings.Cut(what, "@")
	if found {
		var err error
		if s.pass, err = count(pass); err != nil {
			return nil, fmt.Errorf("pass %w", err)
		}
	}
	name, argument, given := strings.Cut(what, ":")
	s.action = action(name)
	switch s.action {
	case actionKill, actionStop:
		if given {
			return nil, fmt.Errorf("%s takes no argument", name)
		}
	case actionPause:
		var err error
		if s.pause, err = time.ParseDuration(argument); err != nil || s.pause <= 0 {
			return nil, fmt.Errorf("%q is no time to pause for; one looks like pause:3s", argument)
		}
	case actionFail:
		if given {
			var err error
			if s.times, err = count(argument); err != nil {
				return nil, fmt.Errorf("how often to fail: %w", err)
			}
		}
	default:
		return nil, fmt.Errorf("there is no action %q; there are kill, stop, pause and fail", name)
	}
	return s, nil
}

func count(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%q is no number from 1 on", text)
	}
	return n, nil
}
