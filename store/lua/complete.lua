-- complete: says what became of claimed timers. Only the lane that holds the claim, for the version that it has claimed, is
-- heard: a lane that was frozen and has been replaced writes nothing. One that has handed its lease over in good order may
-- complete what it was delivering.
--
-- KEYS: 1 lane:<n>, 2 rec, 3 body, 4 fire, 5 inflight, 6 count, 7 done:<minute>, 8 events, 9 ver, 10 seg,
--       11 win:<open segment>, 12 dead, 13.. due:<open segment>:<window>
-- ARGV: 1 token, 2 lease ttl ms, 3 events cap, 4 outcome ttl ms, 5 outcome cap, 6 look-ahead ms, 7 queue limit, 8 open segment,
--       9 number of due keys d, 10..9+d start of each window, then for each timer: entry id, what = unique 9 | version 6 |
--       kind 1 (see store.CompletionKind) | retry at ms 6 | due key (1 is the first) 2 | ref of the entry 3, the record's
--       protobuf with the error (empty: it stays as it is)
-- Returns {now us, 'OK', answers}: for each timer 1 (done) or 0 (the claim is no longer the caller's; nothing is written, and
-- its entry goes only if it is stale); {now us, 'LEASE'}; or {now us, 'SEGMENT', open} if a timer has to be filed again and another segment is open.
if not renew(KEYS[1], ARGV[1], ARGV[2]) and not draining(KEYS[1], ARGV[1]) then return {now_us, 'LEASE'} end
local windows = tonumber(ARGV[9])
local first = 10 + windows
local uniques, n, refile = {}, 0, false
for i = first, #ARGV, 3 do
  n = n + 1
  uniques[n] = sub(ARGV[i + 1], 1, 9)
  local kind = sub(ARGV[i + 1], 16, 16)
  if kind == 'R' or kind == 'P' then refile = true end
end
if refile then
  local open = redis.call('HGET', KEYS[10], 'open')
  if open ~= ARGV[8] then return {now_us, 'SEGMENT', open} end
end
local recs = redis.call('HMGET', KEYS[2], unpack(uniques))
local claims = redis.call('HMGET', KEYS[5], unpack(uniques))
local recorded = redis.call('HLEN', KEYS[7])
local horizon, room = now + tonumber(ARGV[6]), tonumber(ARGV[7]) - redis.call('XLEN', KEYS[4])
local out, acks, events, clients = {}, {}, {f = {}, r = {}, d = {}}, {}
local claimed, apart, done = {}, {}, {}
local fired, died, indexed, once = 0, 0, 0, {}
for k = 1, n do
  local i = first + 3 * (k - 1)
  local unique, r, c, what = uniques[k], recs[k], claims[k], ARGV[i + 1]
  local version, kind = sub(what, 10, 15), sub(what, 16, 16)
  if r and c and not once[unique] and holder_of(c) == ARGV[1] and sub(c, 1, 6) == version and sub(r, 1, 6) == version then
    out[k] = '1'
    once[unique] = true -- should the same timer stand twice in the call
    acks[#acks + 1] = ARGV[i]
    claimed[#claimed + 1] = unique
    if kind == 'F' then
      if has(r, APART) then apart[#apart + 1] = unique end
      fired = fired + 1
      table.insert(events.f, unique)
    elseif kind == 'D' then
      local at = protobuf_at(r)
      local record = ARGV[i + 2] ~= '' and ARGV[i + 2] or sub(r, at)
      redis.call('HSET', KEYS[2], unique, sub(r, 1, 18) .. char(byte(r, 19) + DEAD) .. sub(r, 20, at - 1) .. record)
      redis.call('ZADD', KEYS[12], now, unique)
      died = died + 1
      table.insert(events.d, unique)
    else
      local v = redis.call('INCR', KEYS[9])
      local due, attempts = sub(what, 17, 22), attempts_of(r)
      if kind == 'P' then attempts = math.max(attempts - 1, 0) end
      local ref = p24(v)
      local at = protobuf_at(r)
      redis.call('HSET', KEYS[2], unique, p48(v) .. ref .. incarnation_of(r) .. p24(tonumber(ARGV[8])) .. sub(r, 19, 19) ..
        due .. p16(attempts) .. sub(r, 28, at - 1) .. (ARGV[i + 2] ~= '' and ARGV[i + 2] or sub(r, at)))
      local ms = u48(due, 1)
      if ms <= horizon and room > 0 then
        redis.call('XADD', KEYS[4], '*', 'e', unique .. ref .. due)
        room = room - 1
      else
        local w = u16(what, 23)
        redis.call('ZADD', KEYS[12 + w], ms, unique .. ref)
        redis.call('ZADD', KEYS[11], ARGV[9 + w], ARGV[9 + w])
        indexed = indexed + 1
      end
      table.insert(events.r, unique .. p48(v) .. due)
    end
    if kind == 'F' or kind == 'D' then
      local client = client_of(r)
      clients[client] = (clients[client] or 0) + 1
      if kind == 'F' and recorded < tonumber(ARGV[5]) then
        recorded = recorded + 1
        done[#done + 1] = unique
        done[#done + 1] = outcome('F', r, attempts_of(r), '')
      end
    end
  else
    out[k] = '0'
    if not r or has(r, DEAD) or ref_of(r) ~= sub(what, 25, 27) then acks[#acks + 1] = ARGV[i] end
  end
end
if #claimed > 0 then redis.call('HDEL', KEYS[5], unpack(claimed)) end
if fired > 0 then redis.call('HDEL', KEYS[2], unpack(events.f)) end
if #apart > 0 then redis.call('HDEL', KEYS[3], unpack(apart)) end
if #done > 0 then
  redis.call('HSET', KEYS[7], unpack(done))
  redis.call('PEXPIRE', KEYS[7], ARGV[4], 'NX')
end
if indexed > 0 then redis.call('HINCRBY', KEYS[10], 'c' .. ARGV[8], indexed) end
if fired + died > 0 then redis.call('HINCRBY', KEYS[6], 'pending', -fired - died) end
if fired > 0 then redis.call('HINCRBY', KEYS[6], 'fired', fired) end
if died > 0 then redis.call('HINCRBY', KEYS[6], 'dead', died) end
for client, c in pairs(clients) do
  if redis.call('HINCRBY', KEYS[6], 'c:' .. client, -c) == 0 then redis.call('HDEL', KEYS[6], 'c:' .. client) end
end
for _, kind in ipairs({'f', 'r', 'd'}) do
  if #events[kind] > 0 then
    redis.call('XADD', KEYS[8], 'MAXLEN', '~', ARGV[3], '*', 'e', kind .. table.concat(events[kind]))
  end
end
if #acks > 0 then
  redis.call('XACK', KEYS[4], 'fire', unpack(acks))
  redis.call('XDEL', KEYS[4], unpack(acks))
end
return {now_us, 'OK', table.concat(out)}
