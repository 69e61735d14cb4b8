-- mailbox_ack: acknowledges what a consumer has worked off, and removes it from the mailbox.
--
-- KEYS: 1 mbox:<client>
-- ARGV: 1 consumer group, 2.. entry ids
-- Returns {now us, 'OK', how many were still there}.
local ids = {unpack(ARGV, 2)}
redis.call('XACK', KEYS[1], ARGV[1], unpack(ids))
return {now_us, 'OK', redis.call('XDEL', KEYS[1], unpack(ids))}
