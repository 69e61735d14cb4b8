-- mailbox_open: makes the consumer group of a mailbox, also where nothing has arrived yet. It may run any number of times. A full
-- store does it too: who cannot open a mailbox cannot empty it.
--
-- KEYS: 1 mbox:<client>
-- ARGV: 1 consumer group
-- Returns {now us, 'OK'}.
if redis.call('EXISTS', KEYS[1]) == 1 then
  for _, info in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
    if info[2] == ARGV[1] then return {now_us, 'OK'} end
  end
end
redis.call('XGROUP', 'CREATE', KEYS[1], ARGV[1], '0', 'MKSTREAM')
return {now_us, 'OK'}
