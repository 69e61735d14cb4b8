-- claim: looks at entries whose time has come. What still stands is claimed; what goes to a mailbox is appended and completed
-- at once. Never early: the store's own time decides.
--
-- KEYS: 1 lane:<n>, 2 rec, 3 body, 4 fire, 5 inflight, 6 count, 7 done:<minute>, 8 events, 9.. mbox:<client>
-- ARGV: 1 token, 2 lease ttl ms, 3 events cap, 4 outcome ttl ms, 5 outcome cap, 6 mailbox cap, 7 mailbox retention ms (0: for
--       ever), then for each entry: its id in the stream, and what = unique 9 | ref 3 | the version that was fetched 6 |
--       timeout ms 4 | number of its mailbox key (0: it goes elsewhere) 2
-- Returns {now us, 'OK', answers, payloads} or {now us, 'LEASE'}; for each entry: status 1 (see store.ClaimStatus), due 6,
-- attempt 2. payloads are those that lie apart, of the entries claimed, in their order.
if not renew(KEYS[1], ARGV[1], ARGV[2]) then return {now_us, 'LEASE'} end
local token, retention = ARGV[1], tonumber(ARGV[7])
local whats, uniques, n = {}, {}, 0
for i = 9, #ARGV, 2 do
  n = n + 1
  whats[n] = ARGV[i]
  uniques[n] = sub(ARGV[i], 1, 9)
end
local recs = redis.call('HMGET', KEYS[2], unpack(uniques))
local before = redis.call('HLEN', KEYS[5]) > 0 and redis.call('HMGET', KEYS[5], unpack(uniques)) or {}
local recorded = redis.call('HLEN', KEYS[7])
local out, payloads, acks, gone, apart, done, fired, claims, updates = {}, {}, {}, {}, {}, {}, {}, {}, {}
local clients, room = {}, {}
local count = 0
for k = 1, n do
  local r, what, unique = recs[k], whats[k], uniques[k]
  local status, attempt, due = 'G', 0, 0
  if r and not gone[unique] and not has(r, DEAD) and ref_of(r) == sub(what, 10, 12) then
    due = due_of(r)
    if due > now then
      status = 'H'
    elseif sub(r, 1, 6) ~= sub(what, 13, 18) then
      status = 'C'
    else
      local c = before[k]
      attempt = attempts_of(r)
      if not c or holder_of(c) ~= token then attempt = math.min(attempt + 1, 65535) end -- not the same call once more
      local box = u16(what, 23)
      if c and holder_of(c) ~= token and deadline_of(c) > now and draining(KEYS[1], holder_of(c)) then
        -- The holder before has handed the lane over and is still delivering: it will complete, or its time runs out.
        status, due = 'H', deadline_of(c) + 1
      elseif box > 0 then
        local key = KEYS[8 + box]
        if not room[key] then
          if retention > 0 then redis.call('XTRIM', key, 'MINID', '~', now - retention) end
          room[key] = tonumber(ARGV[6]) - redis.call('XLEN', key)
        end
        status = 'X'
        if room[key] > 0 then
          status = 'F'
          room[key] = room[key] - 1
          local body = has(r, APART) and redis.call('HGET', KEYS[3], unique)
          if body then
            redis.call('XADD', key, '*', 'h', unique .. p48(now), 'r', r, 'b', body)
            apart[#apart + 1] = unique
          else
            redis.call('XADD', key, '*', 'h', unique .. p48(now), 'r', r)
          end
          if c then redis.call('HDEL', KEYS[5], unique) end -- its mailbox was full once, or a lane died then
          count = count + 1
          gone[unique] = true
          fired[count] = unique
          local client = client_of(r)
          clients[client] = (clients[client] or 0) + 1
          if recorded < tonumber(ARGV[5]) then
            recorded = recorded + 1
            done[#done + 1] = unique
            done[#done + 1] = outcome('F', r, attempt, '')
          end
        end
      else
        status = 'K'
        if has(r, APART) then payloads[#payloads + 1] = redis.call('HGET', KEYS[3], unique) or '' end
      end
      if status == 'K' or status == 'X' then
        local deadline = now + u16(what, 19) * 65536 + u16(what, 21)
        if c and holder_of(c) == token then
          deadline = math.max(deadline, deadline_of(c))
        elseif c and deadline_of(c) > now then
          r = with_stray(r, deadline_of(c))
        end
        claims[#claims + 1] = unique
        claims[#claims + 1] = sub(r, 1, 6) .. p48(deadline) .. token
        updates[#updates + 1] = unique
        updates[#updates + 1] = sub(r, 1, 25) .. p16(attempt) .. sub(r, 28)
      end
    end
  end
  if status == 'G' or status == 'F' then acks[#acks + 1] = ARGV[6 + 2 * k] end
  out[k] = status .. p48(due) .. p16(attempt)
end
if #claims > 0 then
  redis.call('HSET', KEYS[5], unpack(claims))
  redis.call('HSET', KEYS[2], unpack(updates))
end
if count > 0 then
  redis.call('HDEL', KEYS[2], unpack(fired))
  if #apart > 0 then redis.call('HDEL', KEYS[3], unpack(apart)) end
  if #done > 0 then
    redis.call('HSET', KEYS[7], unpack(done))
    redis.call('PEXPIRE', KEYS[7], ARGV[4], 'NX')
  end
  redis.call('HINCRBY', KEYS[6], 'pending', -count)
  redis.call('HINCRBY', KEYS[6], 'fired', count)
  for client, c in pairs(clients) do
    if redis.call('HINCRBY', KEYS[6], 'c:' .. client, -c) == 0 then redis.call('HDEL', KEYS[6], 'c:' .. client) end
  end
  redis.call('XADD', KEYS[8], 'MAXLEN', '~', ARGV[3], '*', 'e', 'f' .. table.concat(fired))
end
if #acks > 0 then
  redis.call('XACK', KEYS[4], 'fire', unpack(acks))
  redis.call('XDEL', KEYS[4], unpack(acks))
end
return {now_us, 'OK', table.concat(out), payloads}
