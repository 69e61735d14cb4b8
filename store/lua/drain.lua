-- drain: makes a living worker drain, or take tasks again. What a member is, member.lua says.
--
-- KEYS: 1 members
-- ARGV: 1 worker, 2 '1' drain or '0' undo, 3 after how long a silent worker is dead, ms, 4 '1': even the last one
-- Returns {now us, 'OK', member}, {now us, 'NONE', {worker, ...} that live}, or {now us, 'LAST'} if no other living
-- worker would be left to take its tasks.
local function lives(m) return #m >= 14 and #m >= 14 + byte(m, 14) and math.abs(now - u48(m, 1)) < tonumber(ARGV[3]) end
local members = redis.call('HGETALL', KEYS[1])
local mine, living, others = nil, {}, 0
for i = 1, #members, 2 do
  local worker, m = members[i], members[i + 1]
  if lives(m) then
    living[#living + 1] = worker
    if worker == ARGV[1] then
      mine = m
    elseif sub(m, 13, 13) ~= '1' then
      others = others + 1
    end
  end
end
if not mine then return {now_us, 'NONE', living} end
if sub(mine, 13, 13) ~= ARGV[2] then
  if ARGV[2] == '1' and others == 0 and ARGV[4] ~= '1' then return {now_us, 'LAST'} end
  mine = sub(mine, 1, 12) .. ARGV[2] .. sub(mine, 14)
  redis.call('HSET', KEYS[1], ARGV[1], mine)
end
return {now_us, 'OK', mine}
