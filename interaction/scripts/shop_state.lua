-- The whole shop, as of one instant.
-- KEYS  1 {room}:shop
-- Answers {now in ms, name, value, ...}
-- use shop_base
return {now, redis.call('HGETALL', KEYS[1])}
