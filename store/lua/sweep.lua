-- sweep: moves what is due within the look-ahead from the index to the fire queue, earliest first. It never touches rec: an
-- entry is a hint, the claim is the truth.
--
-- KEYS: 1 lease:<segment>, 2 win:<segment>, 3 fire, 4 seg, 5.. due:<segment>:<window>, the earliest windows in order
-- ARGV: 1 token, 2 lease ttl ms, 3 look-ahead ms, 4 queue limit, 5 limit, 6 segment, 7.. start of each window of KEYS[5..]
-- Returns {now us, 'OK', moved, more (1 or 0), full (1 or 0), next due ms or -1, the earliest windows}; if the windows given
-- are not the earliest ones, {now us, 'WINDOWS', the earliest windows}; {now us, 'LEASE'} if the lease is lost.
if not renew(KEYS[1], ARGV[1], ARGV[2]) then return {now_us, 'LEASE'} end
local earliest = redis.call('ZRANGE', KEYS[2], 0, 3)
for i, w in ipairs(earliest) do
  if i <= 2 and ARGV[6 + i] ~= w then return {now_us, 'WINDOWS', earliest} end
end
local horizon, limit = now + tonumber(ARGV[3]), tonumber(ARGV[5])
local room = tonumber(ARGV[4]) - redis.call('XLEN', KEYS[3])
-- The second half of the queue is kept for what is due within two seconds: it must not wait behind what is not.
local reserve, soon = floor(tonumber(ARGV[4]) / 2), math.min(horizon, now + 2000)
local moved, more, full, next_due = 0, 0, 0, -1
for i = 1, math.min(#earliest, 2) do
  local due = KEYS[4 + i]
  if tonumber(earliest[i]) <= horizon then
    local n = math.min(limit - moved, room - moved)
    if n > 0 then
      local upto = room - moved > reserve and horizon or soon
      local found, taken = redis.call('ZRANGEBYSCORE', due, '-inf', upto, 'WITHSCORES', 'LIMIT', 0, n), 0
      for k = 1, #found, 2 do
        local ms = tonumber(found[k + 1])
        if ms > soon and room - moved - taken <= reserve then break end
        redis.call('XADD', KEYS[3], '*', 'e', found[k] .. p48(ms))
        taken = taken + 1
      end
      if taken > 0 then
        redis.call('ZREMRANGEBYRANK', due, 0, taken - 1) -- just the ones above: the lowest by score
        moved = moved + taken
      end
    end
  end
  local head = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')
  if #head == 0 then
    redis.call('ZREM', KEYS[2], earliest[i])
    if i == 2 and #earliest > 2 then more = 1 end -- windows behind the second one have not been looked at
  else
    next_due = tonumber(head[2])
    if next_due <= horizon then
      if room - moved <= 0 or next_due > soon and room - moved <= reserve then full = 1 else more = 1 end
    end
    break
  end
end
if moved > 0 then redis.call('HINCRBY', KEYS[4], 'c' .. ARGV[6], -moved) end
return {now_us, 'OK', moved, more, full, next_due, redis.call('ZRANGE', KEYS[2], 0, 3)}
