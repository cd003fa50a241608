-- Is the room's history still the one that a node has told its viewers?
-- After a failover a replica that lacked the last writes numbers others alike: then the log is renamed, so that every
-- client, wherever it reconnects, hears of it.
-- KEYS  1 {room}:commerce  2 {room}:log
-- ARGV  1 the known log  2 the known last seq  3 the id of that event  4 a fresh log id
-- Answers {1 if it is the same, else 0; the log}
local log = redis.call('HGET', KEYS[2], 'id')
if log ~= ARGV[1] then return {0, log or ''} end
local seq = tonumber(ARGV[2])
if seq == 0 then return {1, log} end
if seq <= tonumber(redis.call('HGET', KEYS[2], 'seq') or '0') then
  local entry = redis.call('XRANGE', KEYS[1], seq .. '-0', seq .. '-0')[1]
  if entry and entry[2][2] == ARGV[3] then return {1, log} end
  -- Trimmed for its age: nothing says otherwise.
  local oldest = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
  if not entry and oldest and tonumber(string.match(oldest[1], '^%d+')) > seq then return {1, log} end
end
redis.call('HSET', KEYS[2], 'id', ARGV[4])
return {0, ARGV[4]}
