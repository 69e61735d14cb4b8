package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/carillon-io/carillon"
)

// selection says which timers a bulk command is about: those that are named, or those that a filter lets through.
type selection struct {
	refs   []carillon.TimerRef
	filter carillon.ListTimersInput
}

// readSelection reads --timer-id (repeatable), --client-id with --name, or a filter. To choose all there are, --all has
// to be said.
func (in *invocation) readSelection() (selection, error) {
	ids, client, name := in.StringSlice(flagTimerID), in.String(flagClientID), in.String(flagName)
	filtered := in.IsSet(flagDueFrom) || in.IsSet(flagDueBefore) || in.IsSet(flagState)
	switch {
	case len(ids) > 0:
		if client != "" || name != "" || filtered || in.Bool(flagAll) {
			return selection{}, flagError(flagTimerID, "it names the timers already; leave out the flags that choose others")
		}
		var s selection
		seen := map[carillon.ID]bool{}
		for _, text := range ids {
			ref, err := parseTimerID(text)
			if err != nil {
				return s, err
			}
			if !seen[ref.TimerID] {
				s.refs = append(s.refs, ref)
			}
			seen[ref.TimerID] = true
		}
		return s, nil
	case name != "":
		if filtered || in.Bool(flagAll) {
			return selection{}, flagError(flagName, "it names one timer; leave out the flags that choose others")
		}
		ref, err := namedRef(client, name)
		return selection{refs: []carillon.TimerRef{ref}}, err
	case client == "" && !filtered && !in.Bool(flagAll):
		return selection{}, carillon.InvalidArgument("", "which timers? Say --timer-id, --client-id with --name, a filter "+
			"(--client-id, --due-from, --due-before), or --all")
	case in.Bool(flagAll) && (client != "" || filtered):
		return selection{}, flagError(flagAll, "leave it out: the other flags choose already")
	}
	filter, err := readFilter(in.Context, in.Now())
	filter.PageSize = carillon.MaxPageSize
	return selection{filter: filter}, err
}

// bulkAction is what a bulk command does to timers.
type bulkAction struct {
	// verb and done are "cancel" and "cancelled".
	verb, done string
	// untilNone goes over the timers again until none is left that it can be done to: what is cancelled leaves the
	// listing, and a listing of what shrinks may pass some by.
	untilNone bool
	// do carries it out, and gives an error for each timer that it could not be done to.
	do func(ctx context.Context, refs []carillon.TimerRef) ([]*carillon.Error, error)
}

// bulkResult is what a bulk command has done.
type bulkResult struct {
	Action string `json:"action"`
	// Matched timers were chosen; Done is what was done to, Gone those that were named and are done or gone, TooLate those
	// that were being fired, Failed all others.
	Matched int64  `json:"matched"`
	Done    int64  `json:"done"`
	Gone    int64  `json:"gone"`
	TooLate int64  `json:"too_late"`
	Failed  int64  `json:"failed"`
	Reason  string `json:"reason,omitempty"`
	// Errors are the first few, by timer.
	Errors []bulkError `json:"errors,omitempty"`

	first error
	// refused are the timers with an error: a second look at them is not counted.
	refused map[carillon.TimerRef]bool
}

type bulkError struct {
	Timer string          `json:"timer"`
	Error *carillon.Error `json:"error"`
}

// shownErrors is how many errors are told one by one.
const shownErrors = 20

func refText(ref carillon.TimerRef) string {
	if ref.Name != "" {
		return ref.ClientID + "/" + ref.Name
	}
	return ref.TimerID.String()
}

// bulk carries a bulk command out. Timers that are named one by one need no confirmation.
func (s *session) bulk(ctx context.Context, chosen selection, action bulkAction) error {
	if s.Bool(flagDryRun) {
		return s.dryRun(ctx, chosen, action)
	}
	result := &bulkResult{Action: action.verb, Reason: s.String(flagReason), refused: map[carillon.TimerRef]bool{}}
	err := s.apply(ctx, chosen, action, result)
	if err != nil && result.Matched == 0 {
		return err
	}
	// What was done before an error is told all the same.
	if printErr := s.out.one(result, func() []field {
		card := []field{
			{"Matched", thousands(result.Matched)},
			{capital(action.done), thousands(result.Done)},
		}
		for _, f := range []struct {
			name string
			n    int64
		}{{"Gone before", result.Gone}, {"Too late", result.TooLate}, {"Failed", result.Failed}} {
			if f.n > 0 {
				card = append(card, field{f.name, thousands(f.n)})
			}
		}
		return append(card, field{"Reason", result.Reason})
	}); printErr != nil {
		return errors.Join(err, printErr)
	}
	if s.format == FormatText {
		for _, e := range result.Errors {
			s.note("%s: %s", e.Timer, printable(e.Error.Error()))
		}
	}
	if err != nil {
		return err
	}
	return result.first
}

func (s *session) apply(ctx context.Context, chosen selection, action bulkAction, result *bulkResult) error {
	if chosen.refs != nil {
		return s.applyTo(ctx, chosen.refs, true, action, result)
	}
	if err := s.probe(ctx); err != nil {
		return err
	}
	if err := s.confirm(fmt.Sprintf("%s %s?", capital(action.verb), describeFilter(chosen.filter))); err != nil {
		return err
	}
	for range maxPasses {
		before := result.Done
		if err := s.applyToListed(ctx, chosen.filter, action, result); err != nil {
			return err
		}
		if !action.untilNone || result.Done == before {
			break
		}
	}
	return nil
}

// maxPasses bounds the chase after timers that are created while others are cancelled.
const maxPasses = 10

// applyToListed does it to all timers that a listing brings, a batch at a time.
func (s *session) applyToListed(
	ctx context.Context, filter carillon.ListTimersInput, action bulkAction, result *bulkResult,
) error {
	var refs []carillon.TimerRef
	for info, err := range s.timers.List(ctx, filter) {
		if err != nil {
			return err
		}
		if refs = append(refs, carillon.TimerRef{TimerID: info.TimerID}); len(refs) == carillon.MaxBatch {
			if err := s.applyTo(ctx, refs, false, action, result); err != nil {
				return err
			}
			refs = nil
		}
	}
	return s.applyTo(ctx, refs, false, action, result)
}

// applyTo does it to timers. One that is gone counts only if it was named.
func (s *session) applyTo(
	ctx context.Context, refs []carillon.TimerRef, named bool, action bulkAction, result *bulkResult,
) error {
	if len(refs) == 0 {
		return nil
	}
	errs, err := call(ctx, s, func(ctx context.Context) ([]*carillon.Error, error) { return action.do(ctx, refs) })
	if err != nil && len(errs) != len(refs) {
		return err
	}
	if len(errs) != len(refs) {
		return fmt.Errorf("%d answers came for %d timers", len(errs), len(refs))
	}
	for i, e := range errs {
		// One that is gone fired, or was cancelled, since it was listed; or the listing had it twice.
		if e != nil && (result.refused[refs[i]] || !named && errors.Is(e, carillon.ErrNotFound)) {
			continue
		}
		result.Matched++
		switch {
		case e == nil:
			result.Done++
			continue
		case errors.Is(e, carillon.ErrNotFound):
			result.Gone++
		case errors.Is(e, carillon.ErrTooLate):
			result.TooLate++
		default:
			result.Failed++
		}
		result.refused[refs[i]] = true
		if result.first == nil {
			result.first = e
		}
		if len(result.Errors) < shownErrors {
			result.Errors = append(result.Errors, bulkError{Timer: refText(refs[i]), Error: e})
		}
	}
	return err
}

// dryRun shows the timers.
func (s *session) dryRun(ctx context.Context, chosen selection, action bulkAction) error {
	out := s.out.list(timerColumns()...)
	add := func(info carillon.TimerInfo) error {
		info.Payload = nil
		return out.add(info, timerCells(info)...)
	}
	var err error
	if chosen.refs != nil {
		for _, ref := range chosen.refs {
			var info carillon.TimerInfo
			info, err = call(ctx, s,
				func(ctx context.Context) (carillon.TimerInfo, error) { return s.timers.Describe(ctx, ref) },
			)
			if err == nil {
				err = add(info)
			}
			if err != nil {
				break
			}
		}
	} else if err = s.probe(ctx); err == nil {
		for info, listErr := range s.timers.List(ctx, chosen.filter) {
			if err = listErr; err == nil {
				err = add(info)
			}
			if err != nil {
				break
			}
		}
	}
	if err := errors.Join(err, out.close()); err != nil {
		return err
	}
	s.note("%s would be %s.", plural(int64(out.count), "timer"), action.done)
	return nil
}

// describeFilter says in words which timers a filter lets through.
func describeFilter(f carillon.ListTimersInput) string {
	out := "all timers"
	if len(f.States) > 0 {
		out += " that are"
		for i, state := range f.States {
			if i > 0 {
				out += " or"
			}
			out += " " + string(state)
		}
	}
	if f.ClientID != "" {
		out += " of client " + printable(f.ClientID)
	}
	if !f.DueFrom.IsZero() {
		out += " due from " + stamp(f.DueFrom)
	}
	if !f.DueBefore.IsZero() {
		out += " due before " + stamp(f.DueBefore)
	}
	return out
}

func capital(s string) string {
	if s == "" || s[0] < 'a' || s[0] > 'z' {
		return s
	}
	return string(s[0]-'a'+'A') + s[1:]
}
