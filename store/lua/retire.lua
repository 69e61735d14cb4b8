-- retire: removes a sealed segment, if it is empty.
--
-- KEYS: 1 seg, 2 win:<segment>, 3 lease:<segment>, 4.. due:<segment>:<window>, all that win names
-- ARGV: 1 segment, 2.. start of each window of KEYS[4..]
-- Returns {now us, 'OK', 1 (removed, also if it was gone before) or 0 (it is open, or not empty)}.
local state = redis.call('HGET', KEYS[1], 's' .. ARGV[1])
if not state then return {now_us, 'OK', 1} end
if state ~= 's' or tonumber(redis.call('HGET', KEYS[1], 'c' .. ARGV[1]) or '0') ~= 0 then return {now_us, 'OK', 0} end
if redis.call('ZCARD', KEYS[2]) ~= #ARGV - 1 then return {now_us, 'OK', 0} end
for i = 2, #ARGV do
  if not redis.call('ZSCORE', KEYS[2], ARGV[i]) or redis.call('ZCARD', KEYS[2 + i]) > 0 then return {now_us, 'OK', 0} end
end
redis.call('HDEL', KEYS[1], 's' .. ARGV[1], 'c' .. ARGV[1])
redis.call('DEL', KEYS[2], KEYS[3])
return {now_us, 'OK', 1}
