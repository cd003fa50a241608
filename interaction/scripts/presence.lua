-- Say how many viewers this node has, and tell the sum over all live nodes when it changed.
-- KEYS  1 {room}:ambient  2 {room}:state
-- ARGV  1 node  2 its viewers  3 ms after which a silent node counts no more  4 ms between tellings  5 ambient entries kept
--       6 ms that an idle room is kept
-- Answers {sum, 1 if it is told, else 0}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local nodes = {}
local known = redis.call('HGET', KEYS[2], '#presence')
if known then nodes = cmsgpack.unpack(known) end
nodes[ARGV[1]] = {tonumber(ARGV[2]), now}
local sum = 0
for node, entry in pairs(nodes) do
  if now - entry[2] > tonumber(ARGV[3]) then nodes[node] = nil else sum = sum + entry[1] end
end
redis.call('HSET', KEYS[2], '#presence', cmsgpack.pack(nodes))
redis.call('PEXPIRE', KEYS[2], ARGV[6])
local told = redis.call('HMGET', KEYS[2], '#presence.at', '#presence.told')
if tonumber(told[2] or '-1') == sum then return {sum, 1} end
if now - tonumber(told[1] or '0') < tonumber(ARGV[4]) then return {sum, 0} end
redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[5], '*', 'n', 'presence', 'v', sum, 'a', now)
redis.call('PEXPIRE', KEYS[1], ARGV[6])
redis.call('HSET', KEYS[2], '#presence.at', now, '#presence.told', sum)
return {sum, 1}
