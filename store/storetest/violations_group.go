package storetest

import (
	"context"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/carillon-io/carillon"
)

// checkGroup looks at the group-wide keys: each is known, members and control can be read, and what is assigned is a
// task of a slot that there is, by a decision that there was.
func checkGroup(
	ctx context.Context, client redis.UniversalClient, group string, slots int, keys map[string]bool,
) (violations []string, err error) {
	violation := func(format string, args ...any) {
		if len(violations) < maxViolations {
			violations = append(violations, "group: "+fmt.Sprintf(format, args...))
		}
	}
	prefix := groupPrefix(group)
	for key := range keys {
		switch key {
		case "meta", "hosts", "clock", "members", "control", "assignments":
		default:
			violation("nobody knows the key %q", key)
		}
	}
	members, err := client.HGetAll(ctx, prefix+"members").Result()
	if err != nil {
		return nil, fmt.Errorf("storetest: members: %w", err)
	}
	for id, m := range members {
		// seen 6, joined 6, draining 1, length of nonce 1, nonce, JSON
		switch {
		case carillon.CheckWorkerID(id) != nil:
			violation("%q is no worker's id", id)
		case len(m) < 14 || len(m) < 14+int(m[13]) || m[12] != '0' && m[12] != '1':
			violation("member %q cannot be read: %q", id, m)
		}
	}
	control, err := client.HGetAll(ctx, prefix+"control").Result()
	if err != nil {
		return nil, fmt.Errorf("storetest: control: %w", err)
	}
	n := map[string]int64{}
	for _, field := range []string{"epoch", "number", "decided", "observed"} {
		if text, is := control[field]; is {
			value, err := strconv.ParseInt(text, 10, 64)
			if err != nil || value < 0 {
				violation("control: %s is %q", field, text)
			}
			n[field] = value
		}
	}
	assignments, err := client.HGetAll(ctx, prefix+"assignments").Result()
	if err != nil {
		return nil, fmt.Errorf("storetest: assignments: %w", err)
	}
	if len(assignments) > 0 && (n["epoch"] == 0 || n["decided"] == 0) {
		violation("%d tasks are assigned, and nobody has decided anything", len(assignments))
	}
	for text, worker := range assignments {
		task, err := carillon.ParseTask(text)
		if err != nil || task.Slot >= slots {
			violation("%q is assigned, which is no task of the group's", text)
		}
		if worker != "" && carillon.CheckWorkerID(worker) != nil {
			violation("task %s is assigned to %q, which is no worker's id", text, worker)
		}
	}
	return violations, nil
}
