-- What every script begins with: the store's time, and the integers inside the header of a record.
--
-- KEYS, ARGV: those of the script that follows; it has none of its own. Returns nothing.
--
-- A record is: version 6 | ref 3 | incarnation 6 | segment 3 | flags 1 | due 6 | attempts 2 | length of client 1 | client |
-- (content hash 8 if NAMED) | (stray until 6 if STRAY) | protobuf. All integers are big-endian; due is in milliseconds since 1970.
-- An index entry (member of a due set) is: unique 9 | ref 3, and its score is due.
-- An entry of the fire queue has one field, e: unique 9 | ref 3 | due 6.
local byte, char, sub, floor = string.byte, string.char, string.sub, math.floor
local DEAD, APART, NAMED, STRAY = 1, 2, 4, 16

local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2] --@clock
local now = floor(now_us / 1000)

local function u48(s, i)
  local a, b, c, d, e, f = byte(s, i, i + 5)
  return ((((a * 256 + b) * 256 + c) * 256 + d) * 256 + e) * 256 + f
end
local function p48(n)
  return char(floor(n / 1099511627776) % 256, floor(n / 4294967296) % 256, floor(n / 16777216) % 256,
    floor(n / 65536) % 256, floor(n / 256) % 256, n % 256)
end
local function u24(s, i)
  local a, b, c = byte(s, i, i + 2)
  return (a * 256 + b) * 256 + c
end
local function p24(n) return char(floor(n / 65536) % 256, floor(n / 256) % 256, n % 256) end
local function u16(s, i)
  local a, b = byte(s, i, i + 1)
  return a * 256 + b
end
local function p16(n) return char(floor(n / 256) % 256, n % 256) end

-- The fields of a record's header.
local function version_of(r) return u48(r, 1) end
local function ref_of(r) return sub(r, 7, 9) end
local function incarnation_of(r) return sub(r, 10, 15) end
local function segment_of(r) return u24(r, 16) end
local function due_of(r) return u48(r, 20) end
local function attempts_of(r) return u16(r, 26) end
local function client_of(r) return sub(r, 29, 28 + byte(r, 28)) end
local function has(r, flag) return floor(byte(r, 19) / flag) % 2 == 1 end

-- A delivery is a stray when its lane lost its lease in the middle of it, and somebody else has claimed the timer since: nobody
-- can call it back, or knows whether it has ended. It may reach its target until the deadline of its claim.
local function behind_hash(r) return 29 + byte(r, 28) + (has(r, NAMED) and 8 or 0) end
local function stray_until(r) return has(r, STRAY) and u48(r, behind_hash(r)) or 0 end
local function protobuf_at(r) return behind_hash(r) + (has(r, STRAY) and 6 or 0) end
local function with_stray(r, deadline)
  local at = behind_hash(r)
  return sub(r, 1, 18) .. char(byte(r, 19) + (has(r, STRAY) and 0 or STRAY)) .. sub(r, 20, at - 1) ..
    p48(math.max(deadline, stray_until(r))) .. sub(r, protobuf_at(r))
end

-- A claim in the inflight hash is: version 6 | deadline 6 | lane token.
local function deadline_of(c) return u48(c, 7) end
local function holder_of(c) return sub(c, 13) end

-- An outcome is: kind 1 | version 6 | incarnation 6 | due 6 | done at 6 | attempts 2 | length of client 1 | client | error.
local function outcome(kind, r, attempts, err)
  return kind .. sub(r, 1, 6) .. incarnation_of(r) .. sub(r, 20, 25) .. p48(now) .. p16(attempts) ..
    sub(r, 28, 28 + byte(r, 28)) .. err
end

-- A lease is a HASH: token, owner, until ms, since ms, epoch, leaving (1: whoever asks may have it), and for each holder that
-- has handed it over in good order, d:<token> = until when it may complete what it is still delivering, in ms.

-- renew gives nil unless the token is the lease's; else the lease lasts longer. A lease that was handed back has the empty
-- token, which is nobody's.
local function renew(lease, token, ttl)
  if token == '' or redis.call('HGET', lease, 'token') ~= token then return nil end
  redis.call('HSET', lease, 'until', now + ttl)
  return true
end

-- draining says whether that holder has handed the lease over and may still be delivering.
local function draining(lease, token)
  return tonumber(redis.call('HGET', lease, 'd:' .. token) or '0') > now
end
