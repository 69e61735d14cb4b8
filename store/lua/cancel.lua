-- cancel: removes timers that are pending, due or dead. What is claimed, or has a stray delivery, cannot be called back until
-- the deadline of that has passed.
--
-- KEYS: 1 req:<request id>, 2 rec, 3 body, 4 inflight, 5 count, 6 events, 7 done:<minute>, 8 seg, 9 dead,
--       10.. due:<segment>:<window>
-- ARGV: 1 request ttl ms, 2 events cap, 3 outcome ttl ms, 4 outcome cap, then for each timer: unique 9 | the version that
--       was looked at 6 | due key of that version (1 is the first) 2
-- Returns {now us, 'OK', answers}: for each timer C (cancelled), N (there is none), L (too late: it is being fired) or V (it
-- has another version: look again).
local answer = redis.call('GET', KEYS[1])
if answer then return {now_us, 'OK', answer} end
local out, event, clients = {}, {}, {}
local pending, dead = 0, 0
local recorded = redis.call('HLEN', KEYS[7])
for i = 5, #ARGV do
  local unique = sub(ARGV[i], 1, 9)
  local r = redis.call('HGET', KEYS[2], unique)
  local status = 'C'
  if not r then
    status = 'N'
  elseif sub(r, 1, 6) ~= sub(ARGV[i], 10, 15) then
    status = 'V'
  else
    local c = redis.call('HGET', KEYS[4], unique)
    if c and deadline_of(c) > now or stray_until(r) > now then status = 'L' end
  end
  if status == 'C' then
    redis.call('HDEL', KEYS[2], unique)
    if has(r, APART) then redis.call('HDEL', KEYS[3], unique) end
    redis.call('HDEL', KEYS[4], unique)
    if has(r, DEAD) then
      redis.call('ZREM', KEYS[9], unique)
      dead = dead + 1
    else
      -- What is not in the index has an entry in the fire queue: the claim drops it.
      if redis.call('ZREM', KEYS[9 + u16(ARGV[i], 16)], unique .. ref_of(r)) == 1 then
        redis.call('HINCRBY', KEYS[8], 'c' .. segment_of(r), -1)
      end
      pending = pending + 1
      local client = client_of(r)
      clients[client] = (clients[client] or 0) + 1
    end
    if recorded < tonumber(ARGV[4]) then
      recorded = recorded + 1
      redis.call('HSET', KEYS[7], unique, outcome('C', r, attempts_of(r), ''))
      redis.call('PEXPIRE', KEYS[7], ARGV[3], 'NX')
    end
    event[#event + 1] = unique
  end
  out[#out + 1] = status
end
if #event > 0 then
  if pending > 0 then redis.call('HINCRBY', KEYS[5], 'pending', -pending) end
  if dead > 0 then redis.call('HINCRBY', KEYS[5], 'dead', -dead) end
  redis.call('HINCRBY', KEYS[5], 'cancelled', #event)
  for client, c in pairs(clients) do
    if redis.call('HINCRBY', KEYS[5], 'c:' .. client, -c) == 0 then redis.call('HDEL', KEYS[5], 'c:' .. client) end
  end
  redis.call('XADD', KEYS[6], 'MAXLEN', '~', ARGV[2], '*', 'e', 'x' .. table.concat(event))
end
answer = table.concat(out)
redis.call('SET', KEYS[1], answer, 'PX', ARGV[1])
return {now_us, 'OK', answer}
