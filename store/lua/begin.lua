-- begin: begins a new epoch of control. Run twice it begins two, of which nobody uses the first.
--
-- KEYS: 1 control
-- ARGV: none
-- Returns {now us, 'OK', epoch}.
local epoch = (tonumber(redis.call('HGET', KEYS[1], 'epoch') or '0') or 0) + 1
redis.call('HSET', KEYS[1], 'epoch', epoch, 'number', 0, 'print', '')
return {now_us, 'OK', epoch}
