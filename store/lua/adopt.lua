-- adopt: takes over the queue entries of those who held a lane before. A consumer's name is the token of its lease, which
-- begins with the number of its lane.
--
-- KEYS: 1 lane:<n>, of the adopting lane; 2 fire; 3 lane:<n>, of the lane whose entries are adopted (the same, or one that
--       has been removed)
-- ARGV: 1 token, 2 lease ttl ms, 3 what the tokens of that lane begin with, 4 limit
-- Returns {now us, 'OK', more (1 or 0), {id, e, id, e, ...}}, {now us, 'LEASE'}, or {now us, 'HELD'} if that other lane has
-- a live holder.
if not renew(KEYS[1], ARGV[1], ARGV[2]) then return {now_us, 'LEASE'} end
if KEYS[3] ~= KEYS[1] then
  local held = redis.call('HMGET', KEYS[3], 'token', 'until')
  if held[1] and held[1] ~= '' and tonumber(held[2]) > now then return {now_us, 'HELD'} end
end
local out, limit, more = {}, tonumber(ARGV[4]), 0
for _, info in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[2], 'fire')) do
  local name = info[2]
  if name ~= ARGV[1] and sub(name, 1, #ARGV[3]) == ARGV[3] then
    if limit <= 0 then
      more = 1
      break
    end
    local ids = {}
    for _, p in ipairs(redis.call('XPENDING', KEYS[2], 'fire', '-', '+', limit, name)) do ids[#ids + 1] = p[1] end
    if #ids > 0 then
      for _, entry in ipairs(redis.call('XCLAIM', KEYS[2], 'fire', ARGV[1], 0, unpack(ids))) do
        if entry and entry[2] then
          out[#out + 1] = entry[1]
          out[#out + 1] = entry[2][2]
        end
      end
    end
    if #ids < limit then
      redis.call('XGROUP', 'DELCONSUMER', KEYS[2], 'fire', name)
    else
      more = 1
    end
    limit = limit - #ids
  end
end
return {now_us, 'OK', more, out}
