-- create: stores timers of one slot, files each into the index or into the fire queue, and remembers the answer under the
-- request id. Without allow-oom: a full store refuses it before anything is written.
--
-- KEYS: 1 req:<request id>, 2 rec, 3 body, 4 ver, 5 seg, 6 win:<open segment>, 7 fire, 8 count, 9 events, 10 dead,
--       11.. due:<open segment>:<window>
-- ARGV: 1 open segment, 2 look-ahead ms, 3 queue limit, 4 request ttl ms, 5 events cap, 6 number of due keys d,
--       7..6+d start of each window, then for each timer: head = unique 9 | due key (1 is the first) 2, tail = the record from
--       its segment on, and the payload where the record says that it lies apart
-- Returns {now us, 'OK', answer}: for each timer C (created), S (the name is taken by the same content) or E (by other
-- content), unique 9, version 6, due 6; {now us, 'SEGMENT', open}: another segment is open; {now us, 'TAKEN'}: a minted
-- id exists already. Nothing is written in the last two cases.
local answer = redis.call('GET', KEYS[1])
if answer then return {now_us, 'OK', answer} end
local open = redis.call('HGET', KEYS[5], 'open')
if open ~= ARGV[1] then return {now_us, 'SEGMENT', open} end

local windows = tonumber(ARGV[6])
local heads, tails, bodies, uniques, n = {}, {}, {}, {}, 0
local i = 7 + windows
while i <= #ARGV do
  n = n + 1
  local tail = ARGV[i + 1]
  heads[n], tails[n], uniques[n] = ARGV[i], tail, sub(ARGV[i], 1, 9)
  i = i + 2
  if floor(byte(tail, 4) / APART) % 2 == 1 then
    bodies[n] = ARGV[i]
    i = i + 1
  end
end

local old = redis.call('HMGET', KEYS[2], unpack(uniques))
local fresh = 0
for k = 1, n do
  local r = old[k]
  if r then
    if floor(byte(tails[k], 4) / NAMED) % 2 == 0 then return {now_us, 'TAKEN'} end
    if has(r, DEAD) then r = false end
  end
  if not r then fresh = fresh + 1 end
end

local version = 0
if fresh > 0 then version = redis.call('INCRBY', KEYS[4], fresh) - fresh end
local first = version + 1
local horizon, room = now + tonumber(ARGV[2]), tonumber(ARGV[3]) - redis.call('XLEN', KEYS[7])
local out, event, recs, apart, index, clients = {}, {}, {}, {}, {}, {}
local indexed, buried = 0, 0
for k = 1, n do
  local r, tail, unique = old[k], tails[k], uniques[k]
  if r and has(r, DEAD) then -- a dead timer does not hold its name
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
    local v, ref, due = p48(version), p24(version), sub(tail, 5, 10)
    recs[#recs + 1] = unique
    recs[#recs + 1] = v .. ref .. v .. tail
    if bodies[k] then
      apart[#apart + 1] = unique
      apart[#apart + 1] = bodies[k]
    end
    local ms = u48(due, 1)
    if ms <= horizon and room > 0 then
      redis.call('XADD', KEYS[7], '*', 'e', unique .. ref .. due)
      room = room - 1
    else
      local w = u16(heads[k], 10)
      local set = index[w]
      if not set then
        set = {}
        index[w] = set
      end
      set[#set + 1] = ms
      set[#set + 1] = unique .. ref
      indexed = indexed + 1
    end
    local client = sub(tail, 14, 13 + byte(tail, 13))
    clients[client] = (clients[client] or 0) + 1
    out[k] = 'C' .. unique .. v .. due
    event[#event + 1] = unique .. due
  end
end
if fresh > 0 then
  redis.call('HSET', KEYS[2], unpack(recs))
  if #apart > 0 then redis.call('HSET', KEYS[3], unpack(apart)) end
  for w, set in pairs(index) do
    redis.call('ZADD', KEYS[10 + w], unpack(set))
    redis.call('ZADD', KEYS[6], ARGV[6 + w], ARGV[6 + w])
  end
  if indexed > 0 then redis.call('HINCRBY', KEYS[5], 'c' .. open, indexed) end
  redis.call('HINCRBY', KEYS[8], 'pending', fresh)
  redis.call('HINCRBY', KEYS[8], 'created', fresh)
  if buried > 0 then
    redis.call('HINCRBY', KEYS[8], 'dead', -buried)
    redis.call('HINCRBY', KEYS[8], 'cancelled', buried)
  end
  for client, c in pairs(clients) do redis.call('HINCRBY', KEYS[8], 'c:' .. client, c) end
  redis.call('XADD', KEYS[9], 'MAXLEN', '~', ARGV[5], '*', 'e', 'c' .. p48(first) .. table.concat(event))
end
answer = table.concat(out)
redis.call('SET', KEYS[1], answer, 'PX', ARGV[4])
return {now_us, 'OK', answer}
