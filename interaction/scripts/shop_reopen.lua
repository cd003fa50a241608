-- Somebody has seen that the store had lost something, has put it right, and lets sales go on.
-- KEYS  1 {room}:shop
-- ARGV  1 the lost shop's id  2 a fresh shop id
-- Answers {the shop's id, seq}
local head = redis.call('HMGET', KEYS[1], 'id', 'seq')
if head[1] and redis.call('HEXISTS', KEYS[1], 'after/' .. ARGV[1]) == 1 then return {head[1], tonumber(head[2])} end
redis.call('HSET', KEYS[1], 'id', ARGV[2], 'seq', head[2] or 0, 'after/' .. ARGV[1], 1)
-- Nodes that know the shop as it came back from the loss follow too.
if head[1] then redis.call('HSET', KEYS[1], 'after/' .. head[1], 1) end
return {ARGV[2], tonumber(head[2] or '0')}
