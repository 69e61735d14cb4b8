-- leave: says that the holder of a lane is leaving: it goes on firing, and whoever asks for the lease gets it at once.
--
-- KEYS: 1 lane:<n>
-- ARGV: 1 token, 2 lease ttl ms
-- Returns {now us, 'OK'} or {now us, 'LEASE'}.
if not renew(KEYS[1], ARGV[1], ARGV[2]) then return {now_us, 'LEASE'} end
redis.call('HSET', KEYS[1], 'leaving', 1)
return {now_us, 'OK'}
