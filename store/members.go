package store

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/carillon-io/carillon"
)

const (
	// memberMemory is how long a silent worker is remembered: when it joined, and that it is draining.
	memberMemory = time.Minute
	// MaxMembers is how many workers a group may have.
	MaxMembers = 1000

	maxNonce = 64
	// maxAbout is how many bytes of zone, labels and version a worker may say of itself: every heartbeat of every worker
	// brings them.
	maxAbout = 4 << 10
	// memberHead is how long a member's fixed part is: see member.lua.
	memberHead = 14
)

var _ Coordination = (*Redis)(nil)

// Heartbeat implements Coordination.
func (s *Redis) Heartbeat(ctx context.Context, m carillon.Member, nonce string) (carillon.Roster, error) {
	about, err := aboutMember(m)
	if err != nil {
		return carillon.Roster{}, err
	}
	if err := checkNonce(nonce); err != nil {
		return carillon.Roster{}, err
	}
	return s.roster(ctx, "heartbeat", m.Worker, nonce, about)
}

// Roster implements Coordination.
func (s *Redis) Roster(ctx context.Context) (carillon.Roster, error) {
	return s.roster(ctx, "roster", "", "", "")
}

func (s *Redis) roster(ctx context.Context, op, worker, nonce, about string) (carillon.Roster, error) {
	r, err := s.run(ctx, op, s.scripts.member, s.clock, []string{s.group.members(), s.group.control()},
		[]any{worker, nonce, about, carillon.MemberTTL.Milliseconds(), memberMemory.Milliseconds(), MaxMembers})
	if err != nil {
		return carillon.Roster{}, err
	}
	switch r.code {
	case "TAKEN":
		return carillon.Roster{}, carillon.Errorf(carillon.TypeAlreadyExists, "another process lives as worker %q of group "+
			"%q: give each its own worker id; if the other is dead, its id is free in %s", worker, s.options.Group,
			time.Duration(r.number(0))*time.Millisecond)
	case "FULL":
		return carillon.Roster{}, carillon.Errorf(carillon.TypeUnavailable, "group %q has %d workers, which is the limit: "+
			"stop some, or use fewer and larger ones", s.options.Group, MaxMembers)
	}
	out := carillon.Roster{Now: time.UnixMicro(r.micros).UTC(), Control: parseControl(r.list(1))}
	living := r.list(0)
	for i := 0; i+1 < len(living); i += 2 {
		id, _ := living[i].(string)
		raw, _ := living[i+1].(string)
		if m, err := parseMember(id, raw); err == nil { // what nobody can read is no worker: it is forgotten in a while
			out.Members = append(out.Members, m)
		}
	}
	slices.SortFunc(out.Members, func(a, b carillon.Member) int { return strings.Compare(a.Worker, b.Worker) })
	return out, nil
}

// Leave implements Coordination.
func (s *Redis) Leave(ctx context.Context, worker, nonce string) error {
	if err := carillon.CheckWorkerID(worker); err != nil {
		return err
	}
	if err := checkNonce(nonce); err != nil {
		return err
	}
	_, err := s.run(ctx, "leave group", s.scripts.depart, s.clock, []string{s.group.members()}, []any{worker, nonce})
	return err
}

// SetDraining implements Coordination.
func (s *Redis) SetDraining(ctx context.Context, worker string, draining bool) error {
	_, err := s.drain(ctx, worker, draining, true)
	return err
}

// drain makes a worker drain or not. Unless even the last one may, it refuses to drain the last that takes tasks.
func (s *Redis) drain(ctx context.Context, worker string, draining, evenLast bool) (carillon.Member, error) {
	if err := carillon.CheckWorkerID(worker); err != nil {
		return carillon.Member{}, err
	}
	r, err := s.run(ctx, "drain worker", s.scripts.drain, s.clock, []string{s.group.members()},
		[]any{worker, flag(draining), carillon.MemberTTL.Milliseconds(), flag(evenLast)})
	if err != nil {
		return carillon.Member{}, err
	}
	switch r.code {
	case "NONE":
		return carillon.Member{}, carillon.Errorf(carillon.TypeNotFound, "group %q has no living worker %q; %s",
			s.options.Group, worker, living(r.list(0)))
	case "LAST":
		return carillon.Member{}, carillon.InvalidArgument("even_last", "worker %q is the last one of group %q that takes "+
			"tasks: nobody could take them; start another worker first, or say that you mean it", worker, s.options.Group)
	}
	return parseMember(worker, r.text())
}

// living names the workers that live, or some of them.
func living(workers []any) string {
	const some = 10
	names := make([]string, len(workers))
	for i, w := range workers {
		names[i], _ = w.(string)
	}
	slices.Sort(names)
	switch {
	case len(names) == 0:
		return "there is none at all"
	case len(names) > some:
		return fmt.Sprintf("there are %s and %d more", strings.Join(names[:some], ", "), len(names)-some)
	default:
		return "there is: " + strings.Join(names, ", ")
	}
}

func flag(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

func checkNonce(nonce string) error {
	if len(nonce) < 1 || len(nonce) > maxNonce {
		return carillon.InvalidArgument("nonce", "it has 1 to %d bytes, this one has %d", maxNonce, len(nonce))
	}
	return nil
}

// memberText is what a worker says of itself, as it is kept: without what lies beside it, and with its tasks in short.
type memberText struct {
	carillon.Member
	Worker string   `json:"worker,omitempty"`
	Holds  []string `json:"holds,omitempty"`
}

func aboutMember(m carillon.Member) (string, error) {
	if err := carillon.CheckWorkerID(m.Worker); err != nil {
		return "", err
	}
	switch {
	case m.Capacity < 0:
		return "", carillon.InvalidArgument("capacity", "%d is negative", m.Capacity)
	case m.Load < 0 || math.IsNaN(m.Load) || math.IsInf(m.Load, 0):
		return "", carillon.InvalidArgument("load", "%v is no load", m.Load)
	case len(m.Holds) > MaxTasks:
		return "", carillon.InvalidArgument("holds", "%d tasks are more than %d", len(m.Holds), MaxTasks)
	}
	about := len(m.Zone) + len(m.Version)
	for k, v := range m.Labels {
		about += len(k) + len(v)
	}
	if about > maxAbout {
		return "", carillon.InvalidArgument("labels", "zone, version and labels have %d bytes together, the limit is %d",
			about, maxAbout)
	}
	text := memberText{Member: m}
	text.Draining, text.Joined, text.Seen = false, time.Time{}, time.Time{}
	for _, t := range m.Holds {
		text.Holds = append(text.Holds, t.String())
	}
	data, err := json.Marshal(text)
	if err != nil {
		return "", fmt.Errorf("store: heartbeat: %w", err)
	}
	return string(data), nil
}

// parseMember is the inverse, for what member.lua calls a member.
func parseMember(worker, raw string) (carillon.Member, error) {
	if len(raw) < memberHead || len(raw) < memberHead+int(raw[memberHead-1]) {
		return carillon.Member{}, fmt.Errorf("store: member %q has %d bytes only", worker, len(raw))
	}
	if err := carillon.CheckWorkerID(worker); err != nil {
		return carillon.Member{}, err
	}
	var text memberText
	if err := json.Unmarshal([]byte(raw[memberHead+int(raw[memberHead-1]):]), &text); err != nil {
		return carillon.Member{}, fmt.Errorf("store: member %q: %w", worker, err)
	}
	m := text.Member
	m.Worker, m.Seen, m.Joined, m.Draining = worker, milli(get48(raw)), milli(get48(raw[6:])), raw[12] == '1'
	m.Holds = nil
	for _, t := range text.Holds {
		if task, err := carillon.ParseTask(t); err == nil { // else it is of a kind that a newer release knows
			m.Holds = append(m.Holds, task)
		}
	}
	return m, nil
}
