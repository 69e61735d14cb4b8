-- group: founds the group in this store, or tells what it was founded with.
--
-- KEYS: 1 meta of the group
-- ARGV: 1 schema version, 2 slots, 3 number of the store
-- Returns {now us, 'OK', schema version, slots, number of the store}.
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('HSET', KEYS[1], 'schema', ARGV[1], 'slots', ARGV[2], 'store', ARGV[3], 'generation', 1, 'founded', now)
end
local meta = redis.call('HMGET', KEYS[1], 'schema', 'slots', 'store')
return {now_us, 'OK', tonumber(meta[1]) or 0, tonumber(meta[2]) or 0, tonumber(meta[3]) or 0}
