-- decide: writes a decision, if it is newer than the last one.
--
-- KEYS: 1 control, 2 assignments
-- ARGV: 1 epoch, 2 number, 3 print of the content, 4.. task and worker, of every task
-- Returns {now us, 'OK', 1}; {now us, 'OK', 0} if that very decision is the last one already: then nothing is written,
-- so that who was frozen and tries again does not seem to be at work; or {now us, 'STALE', epoch, number} of the last.
local last = redis.call('HMGET', KEYS[1], 'epoch', 'number', 'print')
local epoch, number = tonumber(last[1] or '0') or 0, tonumber(last[2] or '0') or 0
local e, n = tonumber(ARGV[1]), tonumber(ARGV[2])
if e < epoch or e == epoch and n <= number then
  if e == epoch and n == number and last[3] == ARGV[3] then return {now_us, 'OK', 0} end
  return {now_us, 'STALE', epoch, number}
end
redis.call('DEL', KEYS[2])
for i = 4, #ARGV, 1000 do -- as many as unpack takes
  redis.call('HSET', KEYS[2], unpack(ARGV, i, math.min(i + 999, #ARGV)))
end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'number', ARGV[2], 'print', ARGV[3], 'decided', now)
return {now_us, 'OK', 1}
