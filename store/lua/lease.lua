-- lease: takes the lease on a partition or on a lane if it is free, has lapsed, or its holder is leaving. The same owner
-- gets the same token again, so that an answer that was lost can be asked for once more.
--
-- KEYS: 1 lease:<segment> or lane:<n>, 2 seg
-- ARGV: 1 owner, 2 what the token begins with, 3 ttl ms, 4 how long a holder that leaves may go on completing, ms,
--       5 1: only if it is free or has lapsed; a holder that is leaving waits for somebody else, 6 the segment (empty: a lane)
-- Returns {now us, 'OK', token}, {now us, 'HELD', token of the holder, until ms}, or {now us, 'GONE'} if the segment is retired: a
-- lease on it would never be removed.
if ARGV[6] ~= '' and redis.call('HEXISTS', KEYS[2], 's' .. ARGV[6]) == 0 then return {now_us, 'GONE'} end
local held = redis.call('HMGET', KEYS[1], 'token', 'until', 'owner', 'leaving')
if held[1] and held[1] ~= '' then
  if held[3] == ARGV[1] then
    redis.call('HSET', KEYS[1], 'until', now + ARGV[3])
    return {now_us, 'OK', held[1]}
  end
  if tonumber(held[2]) > now then
    if held[4] ~= '1' or ARGV[5] == '1' then return {now_us, 'HELD', held[1], tonumber(held[2])} end
    redis.call('HSET', KEYS[1], 'd:' .. held[1], now + ARGV[4])
  end
end
local fields = redis.call('HGETALL', KEYS[1])
for i = 1, #fields, 2 do
  if sub(fields[i], 1, 2) == 'd:' and tonumber(fields[i + 1]) <= now then redis.call('HDEL', KEYS[1], fields[i]) end
end
local epoch = redis.call('HINCRBY', KEYS[1], 'epoch', 1)
local token = ARGV[2] .. epoch .. '-' .. ARGV[1]
redis.call('HSET', KEYS[1], 'token', token, 'owner', ARGV[1], 'until', now + ARGV[3], 'since', now, 'leaving', 0)
return {now_us, 'OK', token}
