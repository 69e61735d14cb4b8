package store

import (
	"context"
	"embed"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
)

//go:embed lua/*.lua
var luaFiles embed.FS

// scripts are the Lua scripts, ready to be called.
type scripts struct {
	create, cancel, reschedule                     *redis.Script
	lease, leave, release, sweep, segment, retire  *redis.Script
	read, adopt, drop, claim, complete             *redis.Script
	mailboxOpen, mailboxAck                        *redis.Script
	group, host, slot                              *redis.Script
	member, depart, drain, begin, observed, decide *redis.Script
}

// testClock shifts the store's time by what the slot's (or the group's) clock key holds, in microseconds: for test groups only,
// whose scripts get that key behind all others. A clock that is halted holds its time behind an equals sign.
const testClock = `
local shift = redis.call('GET', KEYS[#KEYS]) or '0'
now_us = sub(shift, 1, 1) == '=' and tonumber(sub(shift, 2)) or now_us + tonumber(shift)`

// clockKey is the clock key of the slot, or of the group, that a key belongs to.
func clockKey(key string) string { return key[:strings.Index(key, "}:")+len("}:")] + "clock" }

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
		{"mailbox_open", false, &s.mailboxOpen},
		{"mailbox_ack", false, &s.mailboxAck},
		{"group", false, &s.group}, // a worker that starts while Redis is full has to fire what is there
		{"slot", false, &s.slot},
		{"host", true, &s.host},
		{"member", false, &s.member},
		{"depart", false, &s.depart},
		{"drain", false, &s.drain},
		{"begin", false, &s.begin},
		{"observed", false, &s.observed},
		{"decide", false, &s.decide},
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
	micros int64 // the store's time
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
	if s.options.shiftedClock() {
		keys = append(slices.Clone(keys), clockKey(keys[0]))
	}
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
	r := reply{micros: micros, values: out[2:]}
	r.code, _ = out[1].(string)
	if r.code == "LEASE" {
		return reply{}, fmt.Errorf("%s: %w", op, ErrLeaseLost)
	}
	return r, nil
}
