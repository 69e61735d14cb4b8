package store

import (
	"context"
	"embed"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

//go:embed lua/*.lua
var luaFiles embed.FS

// scripts are the Lua scripts, ready to be called.
type scripts struct {
	create, cancel, reschedule                     *redis.Script
	lease, leave, release, sweep, segment, retire  *redis.Script
	read, adopt, drop, claim, complete, mailboxAck *redis.Script
	group, host, slot                              *redis.Script
}

// testClock shifts the store's time by what the slot's (or the group's) clock key holds, in microseconds: for test groups only.
const testClock = `
now_us = now_us + tonumber(redis.call('GET', string.match(KEYS[1], '^carillon:{[^}]+}:') .. 'clock') or '0')`

// loadScripts reads the scripts. A real Redis gets a shebang, which lets it run them while it is full: that is how it
// becomes empty again. Those that fill it have none of that.
func loadScripts(shebang, shiftedClock bool) (*scripts, error) {
	common, err := luaFiles.ReadFile("lua/common.lua")
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	prologue := string(common)
	if shiftedClock {
		prologue = strings.Replace(prologue, "--@clock", testClock, 1)
	}
	var s scripts
	for _, load := range []struct {
		name   string
		fills  bool
		script **redis.Script
	}{
		{"create", true, &s.create},
		{"cancel", false, &s.cancel},
		{"reschedule", false, &s.reschedule},
		{"lease", false, &s.lease},
		{"leave", false, &s.leave},
		{"release", false, &s.release},
		{"sweep", false, &s.sweep},
		{"segment", false, &s.segment},
		{"retire", false, &s.retire},
		{"read", false, &s.read},
		{"adopt", false, &s.adopt},
		{"drop", false, &s.drop},
		{"claim", false, &s.claim},
		{"complete", false, &s.complete},
		{"mailbox_ack", false, &s.mailboxAck},
		{"group", true, &s.group},
		{"host", true, &s.host},
		{"slot", true, &s.slot},
	} {
		body, err := luaFiles.ReadFile("lua/" + load.name + ".lua")
		if err != nil {
			return nil, fmt.Errorf("store: %w", err)
		}
		source := prologue + "\n" + string(body)
		if shebang {
			flags := " flags=allow-oom"
			if load.fills {
				flags = ""
			}
			source = "#!lua" + flags + "\n" + source
		}
		*load.script = redis.NewScript(source)
	}
	return &s, nil
}

// reply is what a script answered, behind the time and the code that every one of them begins with.
type reply struct {
	code   string
	values []any
}

// text is the first value, of the scripts whose answer is one.
func (r reply) text() string {
	s, _ := r.values[0].(string)
	return s
}

func (r reply) number(i int) int64 {
	n, _ := r.values[i].(int64)
	return n
}

func (r reply) list(i int) []any {
	l, _ := r.values[i].([]any)
	return l
}

// run calls a script and takes the time from its answer. A lost lease becomes ErrLeaseLost.
func (s *Redis) run(ctx context.Context, op string, script *redis.Script, clock *Clock, keys []string, args []any) (reply, error) {
	sent := clock.Mark()
	out, err := script.Run(ctx, s.client, keys, args...).Slice()
	if err != nil {
		return reply{}, redisError(op, err)
	}
	micros, ok := out[0].(int64)
	if !ok || len(out) < 2 {
		return reply{}, fmt.Errorf("store: %s: the script answered %v", op, out)
	}
	clock.Observe(sent, micros)
	r := reply{values: out[2:]}
	r.code, _ = out[1].(string)
	if r.code == "LEASE" {
		return reply{}, fmt.Errorf("%s: %w", op, ErrLeaseLost)
	}
	return r, nil
}
