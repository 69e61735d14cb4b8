-- drop: removes entries from the fire queue whose record is gone or has a newer entry.
--
-- KEYS: 1 lane:<n>, 2 fire
-- ARGV: 1 token, 2 lease ttl ms, 3.. entry ids
-- Returns {now us, 'OK'} or {now us, 'LEASE'}.
if not renew(KEYS[1], ARGV[1], ARGV[2]) then return {now_us, 'LEASE'} end
local ids = {unpack(ARGV, 3)}
redis.call('XACK', KEYS[2], 'fire', unpack(ids))
redis.call('XDEL', KEYS[2], unpack(ids))
return {now_us, 'OK'}
