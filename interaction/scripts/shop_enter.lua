-- Take part in a lottery, once.
-- KEYS  1 {room}:shop  2 :entrants:LOTTERY  3 :dirty
-- ARGV  1 known shop id  2 known seq  3 lottery  4 entrant
-- Answers {status, shop id, seq, now, place or detail}; status: 'done', 'again', 'unknown', 'early', 'over', 'full', 'lost'
-- use shop_base
local item = 'l/' .. ARGV[3]
local shop = redis.call('HMGET', KEYS[1], 'id', 'seq', item, item .. '/left', item .. '/sold')
local id, seq = shop[1], tonumber(shop[2] or '0')
if not is_known(KEYS[1], id, seq, ARGV[1], ARGV[2]) then return {'lost', id or '', seq} end
if not shop[3] then return {'unknown', id or '', seq, now, 0} end
local place = redis.call('ZSCORE', KEYS[2], ARGV[4])
if place then
  redis.call('ZADD', KEYS[2], place, ARGV[4])
  return {'again', id, seq, now, tonumber(place)}
end
local body = cmsgpack.unpack(shop[3]).body
if now < body.opens_ms then return {'early', id, seq, now, body.opens_ms} end
if now >= body.closes_ms then return {'over', id, seq, now, body.closes_ms} end
if tonumber(shop[4]) < 1 then return {'full', id, seq, now, tonumber(shop[5])} end
place = shop[5] + 1
redis.call('ZADD', KEYS[2], place, ARGV[4])
redis.call('HSET', KEYS[1], item .. '/left', shop[4] - 1, item .. '/sold', place)
redis.call('HINCRBY', KEYS[1], item .. '/rev', 1)
redis.call('SADD', KEYS[3], item)
return {'done', id, seq, now, place}
