-- slot: makes a slot ready: its first segment, and the consumer group of its fire queue. It may run any number of times.
--
-- KEYS: 1 seg, 2 fire
-- ARGV: none
-- Returns {now us, 'OK', the open segment}.
if redis.call('HSETNX', KEYS[1], 'open', 0) == 1 then redis.call('HSET', KEYS[1], 's0', 'o') end
local group = false
if redis.call('EXISTS', KEYS[2]) == 1 then
  for _, info in ipairs(redis.call('XINFO', 'GROUPS', KEYS[2])) do
    if info[2] == 'fire' then group = true end
  end
end
if not group then redis.call('XGROUP', 'CREATE', KEYS[2], 'fire', '0', 'MKSTREAM') end
return {now_us, 'OK', tonumber(redis.call('HGET', KEYS[1], 'open'))}
