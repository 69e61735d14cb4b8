-- segment: seals the open segment and opens the next one.
--
-- KEYS: 1 seg
-- ARGV: 1 the segment to seal
-- Returns {now us, 'OK', the open segment}: another one than the given + 1 if somebody else did it before;
-- {now us, 'SEGMENT', nothing} if Redis has lost the slot.
local open = redis.call('HGET', KEYS[1], 'open')
if not open then return {now_us, 'SEGMENT', false} end
if open == ARGV[1] then
  local next = tostring((tonumber(open) + 1) % 16777216) -- 24 bits are what a record's header holds
  redis.call('HSET', KEYS[1], 's' .. open, 's', 's' .. next, 'o', 'open', next)
  open = next
end
return {now_us, 'OK', tonumber(open)}
