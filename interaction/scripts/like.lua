-- Count likes, and tell the total at most once per interval over all nodes.
-- KEYS  1 {room}:ambient  2 {room}:state  3 {room}:id:BATCH
-- ARGV  1 how many  2 ms between totals  3 ambient entries kept  4 ms that a batch id is remembered
--       5 ms that an idle room is kept
-- Answers {total, 1 if the total was told, else 0}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local total = tonumber(redis.call('HGET', KEYS[2], '#likes') or '0')
if redis.call('SET', KEYS[3], 1, 'NX', 'PX', ARGV[4]) then
  total = redis.call('HINCRBY', KEYS[2], '#likes', ARGV[1])
end
local told = redis.call('HMGET', KEYS[2], '#likes.at', '#likes.told')
if tonumber(told[2] or '0') == total then return {total, 1} end
if now - tonumber(told[1] or '0') < tonumber(ARGV[2]) then return {total, 0} end
redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[3], '*', 'n', 'likes', 'v', total, 'a', now)
for i = 1, 2 do redis.call('PEXPIRE', KEYS[i], ARGV[5]) end
redis.call('HSET', KEYS[2], '#likes.at', now, '#likes.told', total)
return {total, 1}
