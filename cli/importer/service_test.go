package importer

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/carillon-io/carillon"
)

// serviceMemory and serviceOutcomes are how long the service remembers: longer than the importer counts on.
const (
	serviceMemory   = 15 * time.Minute
	serviceOutcomes = time.Hour
)

// service is a timer service in memory, as much of one as an import can tell.
type service struct {
	mu       sync.Mutex
	now      time.Time
	requests map[string]*remembered
	names    map[string]*timer // pending, or done and not forgotten, by client and name
	created  map[string]int    // how often a timer of this content was created
	calls    int

	// before is asked before a request is carried out, after when it was: an error is the caller's answer.
	before, after func(call int, specs []carillon.TimerSpec) error
	// refuse is asked about each timer.
	refuse func(spec carillon.TimerSpec) *carillon.Error
}

type remembered struct {
	at      time.Time
	answers []carillon.CreateResult
}

type timer struct {
	spec      carillon.TimerSpec
	createdAt time.Time
	due       time.Time
}

// doneAt is when the timer fires: at once, if it was due before it was created.
func (t *timer) doneAt() time.Time {
	if t.due.Before(t.createdAt) {
		return t.createdAt
	}
	return t.due
}

func newService() *service {
	return &service{
		now:      time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		requests: map[string]*remembered{}, names: map[string]*timer{}, created: map[string]int{},
	}
}

func (s *service) time() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// pass lets time go by: timers fire, and are forgotten later, as requests are.
func (s *service) pass(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
	for name, t := range s.names {
		if s.now.After(t.doneAt().Add(serviceOutcomes)) {
			delete(s.names, name)
		}
	}
	for id, r := range s.requests {
		if s.now.After(r.at.Add(serviceMemory)) {
			delete(s.requests, id)
		}
	}
}

func key(clientID, name string) string { return clientID + "\x00" + name }

func (s *service) CreateRequest(
	_ context.Context, requestID string, specs []carillon.TimerSpec,
) ([]carillon.CreateResult, error) {
	s.mu.Lock()
	s.calls++
	call := s.calls
	before, after := s.before, s.after
	s.mu.Unlock()
	if before != nil {
		if err := before(call, specs); err != nil {
			return nil, err
		}
	}
	answers := s.create(requestID, specs)
	if after != nil {
		if err := after(call, specs); err != nil {
			return nil, err
		}
	}
	return answers, nil
}

func (s *service) create(requestID string, specs []carillon.TimerSpec) []carillon.CreateResult {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.requests[requestID]; r != nil {
		return r.answers
	}
	answers := make([]carillon.CreateResult, len(specs))
	for i, spec := range specs {
		answers[i] = s.createOne(spec)
	}
	for _, a := range answers {
		if a.Error != nil && a.Error.Type == carillon.TypeUnavailable {
			return answers // a part of the store was away: there is no answer to remember
		}
	}
	s.requests[requestID] = &remembered{at: s.now, answers: answers}
	return answers
}

func (s *service) createOne(spec carillon.TimerSpec) carillon.CreateResult {
	if err := spec.Validate(s.now); err != nil {
		return carillon.CreateResult{Error: carillon.AsError(err)}
	}
	if s.refuse != nil {
		if err := s.refuse(spec); err != nil {
			return carillon.CreateResult{Error: err}
		}
	}
	due := spec.FireAt
	if due.IsZero() {
		due = s.now.Add(spec.Delay)
	}
	if t := s.names[key(spec.ClientID, spec.Name)]; spec.Name != "" && t != nil && t.due.After(s.now) {
		if spec.OnConflict == carillon.ConflictKeep {
			return carillon.CreateResult{Existing: true, FireAt: t.due}
		}
		return carillon.CreateResult{Error: carillon.Errorf(carillon.TypeAlreadyExists, "there is one")}
	}
	s.created[string(spec.Payload.GetData())]++
	if spec.Name != "" {
		s.names[key(spec.ClientID, spec.Name)] = &timer{spec: spec, createdAt: s.now, due: due}
	}
	return carillon.CreateResult{
		TimerID: carillon.NewID(0, 0, carillon.MintedUnique(1, uint64(len(s.created)))), Version: 1, FireAt: due,
	}
}

func (s *service) Describe(_ context.Context, ref carillon.TimerRef) (carillon.TimerInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.names[key(ref.ClientID, ref.Name)]
	if t == nil {
		return carillon.TimerInfo{}, carillon.Errorf(carillon.TypeNotFound, "no such timer")
	}
	info := carillon.TimerInfo{
		ClientID:  ref.ClientID,
		Name:      ref.Name,
		State:     carillon.StatePending,
		FireAt:    t.due,
		CreatedAt: t.createdAt,
	}
	if !t.due.After(s.now) {
		info.State, info.DoneAt, info.CreatedAt = carillon.StateFired, t.doneAt(), time.Time{}
	}
	return info, nil
}

// createdOnce says how many contents were created exactly once, and how many more often.
func (s *service) createdOnce() (once, more int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.created {
		if n == 1 {
			once++
		} else {
			more++
		}
	}
	return once, more
}

// jsonLine is a line of input, due some time after the service's beginning; an empty name is left out.
func jsonLine(n int, name string, due time.Duration) string {
	text := `{"client_id":"c","target":{"mailbox":{}},"payload":` + strconv.Itoa(n)
	if name != "" {
		text += `,"name":"` + name + `"`
	}
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(due)
	return text + `,"fire_at":"` + at.Format(time.RFC3339) + "\"}\n"
}

// backoffPermanent is an error that is not tried again.
func backoffPermanent(err error) error {
	return carillon.Errorf(carillon.TypeInvalidArgument, "%w", err)
}
