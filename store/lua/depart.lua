-- depart: takes a worker off the roster at once.
--
-- KEYS: 1 members
-- ARGV: 1 worker, 2 nonce
-- Returns {now us, 'OK'}, also if it is not there, or another process has its id.
local m = redis.call('HGET', KEYS[1], ARGV[1])
if m and #m >= 14 and sub(m, 15, 14 + byte(m, 14)) == ARGV[2] then redis.call('HDEL', KEYS[1], ARGV[1]) end
return {now_us, 'OK'}
