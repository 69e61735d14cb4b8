-- observed: notes that the coordinator is at work and has nothing to decide.
--
-- KEYS: 1 control
-- ARGV: 1 epoch
-- Returns {now us, 'OK'}, or {now us, 'STALE', epoch, number} if that is not the epoch that Redis knows: a newer one
-- has begun, or Redis has lost it, so that nobody knows what is in force.
local last = redis.call('HMGET', KEYS[1], 'epoch', 'number')
local epoch = tonumber(last[1] or '0') or 0
if epoch ~= tonumber(ARGV[1]) then return {now_us, 'STALE', epoch, tonumber(last[2] or '0') or 0} end
redis.call('HSET', KEYS[1], 'observed', now)
return {now_us, 'OK'}
