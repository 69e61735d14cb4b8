-- member: notes that a worker lives, forgets those that have been silent for long, and gives the roster. Without a
-- worker it changes nothing.
--
-- A member is: seen 6 | joined 6 | draining 1 ('0' or '1') | length of nonce 1 | nonce | what it says of itself.
-- Times are in milliseconds. One that is seen as far ahead of now as behind it is as silent: the clock has stepped.
--
-- KEYS: 1 members, 2 control
-- ARGV: 1 worker (empty: nobody), 2 nonce, 3 what it says of itself, 4 after how long a silent worker is dead, ms,
--   5 after how long it is forgotten, ms, 6 how many members there may be
-- Returns {now us, 'OK', {worker, member, ...} of those that live, {epoch, number, decided ms, observed ms}},
-- {now us, 'TAKEN', ms until the id may be free} if another process of that id lives, or {now us, 'FULL'}.
local me, ttl, memory = ARGV[1], tonumber(ARGV[4]), tonumber(ARGV[5])
local members = redis.call('HGETALL', KEYS[1])
local roster, forgotten, kept, mine = {}, {}, 0, nil
for i = 1, #members, 2 do
  local worker, m = members[i], members[i + 1]
  local sound = #m >= 14 and #m >= 14 + byte(m, 14)
  local silence = sound and math.abs(now - u48(m, 1)) or memory
  if worker == me then
    if sound then mine = m end
    if sound and silence < ttl and sub(m, 15, 14 + byte(m, 14)) ~= ARGV[2] then
      return {now_us, 'TAKEN', ttl - silence}
    end
  elseif silence >= memory then
    forgotten[#forgotten + 1] = worker
  else
    kept = kept + 1
    if silence < ttl then
      roster[#roster + 1] = worker
      roster[#roster + 1] = m
    end
  end
end
if me ~= '' then
  if not mine and kept >= tonumber(ARGV[6]) then return {now_us, 'FULL'} end
  local joined, draining = p48(now), '0'
  if mine then
    draining = sub(mine, 13, 13)
    if sub(mine, 15, 14 + byte(mine, 14)) == ARGV[2] then joined = sub(mine, 7, 12) end
  end
  local m = p48(now) .. joined .. draining .. char(#ARGV[2]) .. ARGV[2] .. ARGV[3]
  roster[#roster + 1] = me
  roster[#roster + 1] = m
  for _, worker in ipairs(forgotten) do redis.call('HDEL', KEYS[1], worker) end
  redis.call('HSET', KEYS[1], me, m)
end
local control = redis.call('HMGET', KEYS[2], 'epoch', 'number', 'decided', 'observed')
for i = 1, 4 do control[i] = tonumber(control[i] or '0') or 0 end
return {now_us, 'OK', roster, control}
