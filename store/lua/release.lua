-- release: hands a lease back, so that the next holder need not wait until it lapses.
--
-- KEYS: 1 lease:<segment> or lane:<n>
-- ARGV: 1 token, 2 how long the holder may go on completing what it is delivering, ms (0: nothing is under way)
-- Returns {now us, 'OK'}, also if the lease is no longer the token's.
if redis.call('HGET', KEYS[1], 'token') == ARGV[1] then
  redis.call('HSET', KEYS[1], 'token', '', 'owner', '', 'until', 0)
  if ARGV[2] ~= '0' then redis.call('HSET', KEYS[1], 'd:' .. ARGV[1], now + ARGV[2]) end
end
return {now_us, 'OK'}
