-- create: stores timers of one slot, files each into the index or into the fire queue, and remembers the answer under the
-- request id. Without allow-oom: a full store refuses it before anything is written.
--
-- KEYS: 1 req:<request id>, 2 rec, 3 body, 4 ver, 5 seg, 6 win:<open segment>, 7 fire, 8 count, 9 events, 10 dead,
--       11.. due:<open segment>:<window>
-- ARGV: 1 open segment, 2 look-ahead ms, 3 queue limit, 4 request ttl ms, 5 events cap, 6 number of due keys d, 7 the earliest
--       due ms, 8 the client of all timers ('': they have several), then of all timers in a row: 9 unique 9 | due 6, 10 due ms
--       in 15 digits, 11 due key (1 is the first) 2; 12..11+d start of each window, then for each timer its tail = the record
--       from its segment on, and the payload where the record says that it lies apart
-- Returns {now us, 'OK', answer}, {now us, 'SEGMENT', open}: another segment is open; {now us, 'TAKEN'}: a minted id exists
-- already. Nothing is written in the last two cases. The answer is A, the first version 6, and unique 9 | due 6 of each timer if
-- all were created, their versions being in a row; else for each timer C (created), S (the name is taken by the same content)
-- or E (by other content), unique 9, version 6, due 6.
--
-- It is the busiest of all scripts: what is the same for all timers is done once, and a text is cut rather than packed anew.
local answer = redis.call('GET', KEYS[1])
if answer then return {now_us, 'OK', answer} end
local open = redis.call('HGET', KEYS[5], 'open')
if open ~= ARGV[1] then return {now_us, 'SEGMENT', open} end

local whos, scores, places = ARGV[9], ARGV[10], ARGV[11]
local windows, n = tonumber(ARGV[6]), #whos / 15
local uniques, tails, bodies = {}, {}, {}
local i = 12 + windows
local whole = #ARGV == i + n - 1 -- no payload lies apart
for k = 1, n do
  uniques[k] = sub(whos, 15 * k - 14, 15 * k - 6)
  local tail = ARGV[i]
  tails[k] = tail
  i = i + 1
  if not whole and floor(byte(tail, 4) / APART) % 2 == 1 then
    bodies[k] = ARGV[i]
    i = i + 1
  end
end

local old = redis.call('HMGET', KEYS[2], unpack(uniques))
local fresh, met = n, false
for k = 1, n do
  local r = old[k]
  if r then
    if floor(byte(tails[k], 4) / NAMED) % 2 == 0 then return {now_us, 'TAKEN'} end
    met = true
    if not has(r, DEAD) then fresh = fresh - 1 end -- a dead timer does not hold its name
  end
end

local version = 0
if fresh > 0 then version = redis.call('INCRBY', KEYS[4], fresh) - fresh end
local first = version + 1
local horizon, room = now + tonumber(ARGV[2]), tonumber(ARGV[3]) - redis.call('XLEN', KEYS[7])
local near = tonumber(ARGV[7]) <= horizon
-- The second half of the queue is kept for what is due within two seconds: it must not wait behind what is not.
local reserve, soon = floor(tonumber(ARGV[3]) / 2), math.min(horizon, now + 2000)
local out, event, recs, apart, index, sizes, clients = {}, {}, {}, {}, {}, {}, {}
local indexed, buried, created = 0, 0, 0
local high -- of the version, but for its last byte
for k = 1, n do
  local r, tail, unique = old[k], tails[k], uniques[k]
  if r and has(r, DEAD) then
    buried = buried + redis.call('ZREM', KEYS[10], unique)
    redis.call('HDEL', KEYS[3], unique)
    r = false
  end
  if r then
    local at, new = 29 + byte(r, 28), 14 + byte(tail, 13)
    local same = sub(r, at, at + 7) == sub(tail, new, new + 7)
    out[k] = (same and 'S' or 'E') .. unique .. sub(r, 1, 6) .. sub(r, 20, 25)
  else
    version = version + 1
    local low = version % 256
    if low == 0 or not high then high = sub(p48(version), 1, 5) end
    local v = high .. char(low)
    local ref = sub(v, 4)
    recs[2 * created + 1], recs[2 * created + 2] = unique, v .. ref .. v .. tail
    created = created + 1
    if bodies[k] then
      apart[#apart + 1] = unique
      apart[#apart + 1] = bodies[k]
    end
    if near and room > 0 and u48(tail, 5) <= (room > reserve and horizon or soon) then
      redis.call('XADD', KEYS[7], '*', 'e', unique .. ref .. sub(tail, 5, 10))
      room = room - 1
    else
      local w = windows == 1 and 1 or u16(places, 2 * k - 1)
      local set, size = index[w], sizes[w]
      if not set then
        set, size = {}, 0
        index[w] = set
      end
      set[size + 1], set[size + 2] = sub(scores, 15 * k - 14, 15 * k), unique .. ref
      sizes[w] = size + 2
      indexed = indexed + 1
    end
    if ARGV[8] == '' then
      local client = sub(tail, 14, 13 + byte(tail, 13))
      clients[client] = (clients[client] or 0) + 1
    end
    if met then
      out[k] = 'C' .. unique .. v .. sub(tail, 5, 10)
      event[created] = sub(whos, 15 * k - 14, 15 * k)
    end
  end
end
if fresh > 0 then
  redis.call('HSET', KEYS[2], unpack(recs))
  if #apart > 0 then redis.call('HSET', KEYS[3], unpack(apart)) end
  for w, set in pairs(index) do
    redis.call('ZADD', KEYS[10 + w], unpack(set))
    redis.call('ZADD', KEYS[6], ARGV[11 + w], ARGV[11 + w])
  end
  if indexed > 0 then redis.call('HINCRBY', KEYS[5], 'c' .. open, indexed) end
  redis.call('HINCRBY', KEYS[8], 'pending', fresh)
  redis.call('HINCRBY', KEYS[8], 'created', fresh)
  if buried > 0 then
    redis.call('HINCRBY', KEYS[8], 'dead', -buried)
    redis.call('HINCRBY', KEYS[8], 'cancelled', buried)
  end
  if ARGV[8] ~= '' then clients[ARGV[8]] = fresh end
  for client, c in pairs(clients) do redis.call('HINCRBY', KEYS[8], 'c:' .. client, c) end
  redis.call('XADD', KEYS[9], 'MAXLEN', '~', ARGV[5], '*', 'e', 'c' .. p48(first) .. (met and table.concat(event) or whos))
end
answer = met and table.concat(out) or 'A' .. p48(first) .. whos
redis.call('SET', KEYS[1], answer, 'PX', ARGV[4])
return {now_us, 'OK', answer}
