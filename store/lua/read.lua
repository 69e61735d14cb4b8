-- read: renews a lane's lease and takes entries from the fire queue. First come entries that an earlier answer carried and
-- that never arrived (they are the lane's own and lie after the last one that it knows), then new ones.
--
-- KEYS: 1 lane:<n>, 2 fire
-- ARGV: 1 token, 2 lease ttl ms, 3 the greatest entry id that the lane has got, 4 limit (0: the lease is renewed, no more)
-- Returns {now us, 'OK', {id, e, id, e, ...}} or {now us, 'LEASE'}.
if not renew(KEYS[1], ARGV[1], ARGV[2]) then return {now_us, 'LEASE'} end
local out, limit = {}, tonumber(ARGV[4])
if limit == 0 then return {now_us, 'OK', out} end
local function take(reply)
  if not reply or not reply[1] then return end
  for _, entry in ipairs(reply[1][2]) do
    limit = limit - 1
    if entry[2] then
      out[#out + 1] = entry[1]
      out[#out + 1] = entry[2][2]
    else -- somebody has removed it from the stream
      redis.call('XACK', KEYS[2], 'fire', entry[1])
    end
  end
end
take(redis.call('XREADGROUP', 'GROUP', 'fire', ARGV[1], 'COUNT', limit, 'STREAMS', KEYS[2], ARGV[3]))
if limit > 0 then
  take(redis.call('XREADGROUP', 'GROUP', 'fire', ARGV[1], 'COUNT', limit, 'STREAMS', KEYS[2], '>'))
end
return {now_us, 'OK', out}
