-- The owner of a stream says where its timeline is. With no epoch it only asks.
-- KEYS  1 {room}:clock
-- ARGV  1 epoch or ''  2 t of this instant  3 live edge  4 ms that an idle room is kept
-- Answers {now in ms, the clock's fields}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if ARGV[1] ~= '' then
  redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 't', ARGV[2], 'edge', ARGV[3], 'at', now)
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
end
return {now, redis.call('HGETALL', KEYS[1])}
