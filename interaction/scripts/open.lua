-- Everything that a node needs to begin with a room, as of one instant.
-- KEYS  1 {room}:commerce  2 {room}:ambient  3 {room}:state  4 {room}:log
-- ARGV  1 a fresh log id  2 commerce entries  3 ambient entries  4 ms that an idle room is kept
-- Answers {log, seq, now in ms, state (name, value, ...), the latest commerce entries, the latest ambient entries,
--          the last ambient entry id}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local log = redis.call('HGET', KEYS[4], 'id')
local seq = tonumber(redis.call('HGET', KEYS[4], 'seq') or '0')
if not log or (seq > 0 and redis.call('EXISTS', KEYS[1]) == 0) then
  redis.call('DEL', KEYS[1], KEYS[2], KEYS[3], KEYS[4])
  log, seq = ARGV[1], 0
  redis.call('HSET', KEYS[4], 'id', log, 'seq', 0)
  redis.call('PEXPIRE', KEYS[4], ARGV[4])
end
local ambient = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', math.max(1, ARGV[3]))
local last = ambient[1] and ambient[1][1] or '0-0'
local commerce = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', ARGV[2])
return {log, seq, now, redis.call('HGETALL', KEYS[3]), commerce, ambient, last}
