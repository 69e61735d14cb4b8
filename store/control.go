package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/carillon-io/carillon"
)

// MaxTasks is how many tasks a decision may assign.
const MaxTasks = 20_000

// maxEpoch is the greatest integer that a script can compare.
const maxEpoch = 1<<53 - 1

// ErrStaleDecision says that a newer decision has been made, or a newer epoch has begun: nothing was written. It is a
// carillon.ErrConflict too.
var ErrStaleDecision = errors.New("store: the decision is stale")

// stale makes ErrStaleDecision of a script's answer.
func stale(op string, epoch, number int64, r reply) error {
	return carillon.Errorf(carillon.TypeConflict, "%s: %w: it is of epoch %d, number %d; Redis knows epoch %d, number %d",
		op, ErrStaleDecision, epoch, number, r.number(0), r.number(1))
}

// parseControl reads what member.lua answers.
func parseControl(fields []any) carillon.Control {
	var n [4]int64
	for i := range min(len(fields), len(n)) {
		n[i], _ = fields[i].(int64)
	}
	c := carillon.Control{Epoch: n[0], Number: n[1]}
	if n[2] > 0 {
		c.DecidedAt = milli(n[2])
	}
	if n[3] > 0 {
		c.ObservedAt = milli(n[3])
	}
	return c
}

// strayStore is the Store of what lies among the assignments and is no task: no task has it.
const strayStore = -1

// Assignments implements Coordination.
func (s *Redis) Assignments(ctx context.Context) (carillon.Assignments, error) {
	fields, err := s.client.HGetAll(ctx, s.group.assignments()).Result()
	if err != nil {
		return nil, redisError("assignments", err)
	}
	out := make(carillon.Assignments, len(fields))
	for text, worker := range fields {
		task, err := carillon.ParseTask(text)
		if err != nil {
			task = carillon.Task{Kind: carillon.TaskKind(legible(text)), Store: strayStore}
		}
		out[task] = legible(worker)
	}
	return out, nil
}

// legible makes a text of what may be any bytes: as JSON, two that are none might become the same.
func legible(text string) string {
	if utf8.ValidString(text) {
		return text
	}
	return strconv.QuoteToASCII(text)
}

// BeginControl implements Coordination.
func (s *Redis) BeginControl(ctx context.Context) (int64, error) {
	r, err := s.run(ctx, "begin control", s.scripts.begin, s.clock, []string{s.group.control()}, nil)
	if err != nil {
		return 0, err
	}
	return r.number(0), nil
}

// Observed implements Coordination.
func (s *Redis) Observed(ctx context.Context, epoch int64) error {
	if err := checkEpoch("epoch", epoch); err != nil {
		return err
	}
	r, err := s.run(ctx, "observed", s.scripts.observed, s.clock, []string{s.group.control()}, []any{epoch})
	if err != nil {
		return err
	}
	if r.code == "STALE" {
		return carillon.Errorf(carillon.TypeConflict, "observed: %w: epoch %d is not the one that Redis knows, %d",
			ErrStaleDecision, epoch, r.number(0))
	}
	return nil
}

// Decide implements Coordination.
func (s *Redis) Decide(ctx context.Context, d carillon.Decision) error {
	if err := errors.Join(checkEpoch("epoch", d.Epoch), checkEpoch("number", d.Number)); err != nil {
		return err
	}
	if len(d.Assignments) > MaxTasks {
		return carillon.InvalidArgument("assignments", "%d tasks are more than %d", len(d.Assignments), MaxTasks)
	}
	// In an order of their own, so that the same content has the same print.
	args := []any{d.Epoch, d.Number, ""}
	var all strings.Builder
	for _, task := range slices.SortedFunc(maps.Keys(d.Assignments), carillon.CompareTasks) {
		text, worker := task.String(), d.Assignments[task]
		if _, err := carillon.ParseTask(text); err != nil {
			return err
		}
		if worker != "" {
			if err := carillon.CheckWorkerID(worker); err != nil {
				return err
			}
		}
		args = append(args, text, worker)
		all.WriteString(text + " " + worker + "\n")
	}
	sum := sha256.Sum256([]byte(all.String()))
	args[2] = hex.EncodeToString(sum[:16])
	r, err := s.run(ctx, "decide", s.scripts.decide, s.clock, []string{s.group.control(), s.group.assignments()}, args)
	if err != nil {
		return err
	}
	if r.code == "STALE" {
		return stale("decide", d.Epoch, d.Number, r)
	}
	return nil
}

func checkEpoch(field string, n int64) error {
	if n < 1 || n > maxEpoch {
		return carillon.InvalidArgument(field, "%d is not between 1 and %d", n, int64(maxEpoch))
	}
	return nil
}
