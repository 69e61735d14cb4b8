-- reschedule: gives a timer another time, and another content where one is given, in place: its id stays, its version rises.
-- It also brings a dead timer back (redrive) and serves on_conflict: replace.
--
-- KEYS: 1 req:<request id>, 2 rec, 3 body, 4 ver, 5 inflight, 6 seg, 7 win:<open segment>, 8 fire, 9 count, 10 events,
--       11 dead, 12 due key of the version that was looked at, 13 due:<open segment>:<window> of the new time
-- ARGV: 1 unique, 2 the version that was looked at 6, 3 new due ms, 4 start of its window, 5 open segment, 6 look-ahead ms,
--       7 queue limit, 8 request ttl ms, 9 events cap, 10 D if the timer has to be dead, else it must not be,
--       11 flags: + R if it begins anew (attempts 0, a new incarnation), + P if a new content follows,
--       12 (with P) flags byte | length of client | client | content hash if named | protobuf, 13 (with P) the payload, or
--       empty if it does not lie apart
-- Returns {now us, 'OK', version 6 | due 6}, {now us, 'SEGMENT', open}, or {now us, 'N'} (there is none), {now us, 'L'} (too
-- late), {now us, 'V'} (it has another version).
local answer = redis.call('GET', KEYS[1])
if answer then return {now_us, 'OK', answer} end
local unique = ARGV[1]
local r = redis.call('HGET', KEYS[2], unique)
if not r or has(r, DEAD) ~= (ARGV[10] == 'D') then return {now_us, 'N'} end
if sub(r, 1, 6) ~= ARGV[2] then return {now_us, 'V'} end
local claim = redis.call('HGET', KEYS[5], unique)
if claim and deadline_of(claim) > now or stray_until(r) > now then return {now_us, 'L'} end
local open = redis.call('HGET', KEYS[6], 'open')
if open ~= ARGV[5] then return {now_us, 'SEGMENT', open} end

local v, due = redis.call('INCR', KEYS[4]), tonumber(ARGV[3])
local soon = due <= now + tonumber(ARGV[6])
local ref, file = p24(v), true
local dead = has(r, DEAD)
if dead then
  redis.call('ZREM', KEYS[11], unique)
  redis.call('HINCRBY', KEYS[9], 'dead', -1)
  redis.call('HINCRBY', KEYS[9], 'pending', 1)
  redis.call('HINCRBY', KEYS[9], 'c:' .. client_of(r), 1)
elseif redis.call('ZREM', KEYS[12], unique .. ref_of(r)) == 1 then
  redis.call('HINCRBY', KEYS[6], 'c' .. segment_of(r), -1)
elseif not claim and soon and due >= due_of(r) then
  -- It has an entry in the fire queue that is looked at no later than due: it stays good, and the lane holds it again at its
  -- claim. So a timer that is put off over and over does not pile up entries.
  ref, file = ref_of(r), false
end
if claim then redis.call('HDEL', KEYS[5], unique) end

-- What has been attempted may have had its effect: the next delivery must not look like the same one.
local anew = string.find(ARGV[11], 'R', 1, true) or attempts_of(r) > 0
local head = p48(v) .. ref .. (anew and p48(v) or incarnation_of(r)) .. p24(tonumber(open))
local rest
if string.find(ARGV[11], 'P', 1, true) then
  rest = ARGV[12]
  if ARGV[13] ~= '' then
    redis.call('HSET', KEYS[3], unique, ARGV[13])
  elseif has(r, APART) then
    redis.call('HDEL', KEYS[3], unique)
  end
else
  rest = char(byte(r, 19) - (dead and DEAD or 0)) .. sub(r, 28)
end
local packed = p48(due)
redis.call('HSET', KEYS[2], unique,
  head .. sub(rest, 1, 1) .. packed .. p16(anew and 0 or attempts_of(r)) .. sub(rest, 2))
if file then
  if soon and redis.call('XLEN', KEYS[8]) < tonumber(ARGV[7]) then
    redis.call('XADD', KEYS[8], '*', 'e', unique .. ref .. packed)
  else
    redis.call('ZADD', KEYS[13], due, unique .. ref)
    redis.call('ZADD', KEYS[7], ARGV[4], ARGV[4])
    redis.call('HINCRBY', KEYS[6], 'c' .. open, 1)
  end
end
redis.call('XADD', KEYS[10], 'MAXLEN', '~', ARGV[9], '*', 'e', 'r' .. unique .. p48(v) .. packed)
answer = p48(v) .. packed
redis.call('SET', KEYS[1], answer, 'PX', ARGV[8])
return {now_us, 'OK', answer}
