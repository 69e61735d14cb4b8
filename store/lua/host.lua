-- host: registers a host id, once and for all.
--
-- KEYS: 1 hosts of the group
-- ARGV: 1 host id, 2 owner
-- Returns {now us, 'OK', 1}, or {now us, 'OK', 0} if another owner has it. The same owner may ask again.
if redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2]) == 1 or redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then
  return {now_us, 'OK', 1}
end
return {now_us, 'OK', 0}
