-- Give a buyer a coupon. The same request is answered alike.
-- KEYS  1 {room}:shop  2 :buyers  3 :dirty  4 :answer:BUYER/REQUEST
-- ARGV  1 known shop id  2 known seq  3 coupon  4 buyer  5 ms that the answer is kept
-- Answers {status, shop id, seq, now, detail}; status: 'done', 'again', 'unknown', 'early', 'over', 'limit', 'sold out', 'reused',
--   'lost'
-- use shop_base
local item = 'c/' .. ARGV[3]
local shop = redis.call('HMGET', KEYS[1], 'id', 'seq', item, item .. '/left', item .. '/sold', item .. '/rev')
local id, seq = shop[1], tonumber(shop[2] or '0')
if not is_known(KEYS[1], id, seq, ARGV[1], ARGV[2]) then return {'lost', id or '', seq} end
local fingerprint = 'claim/' .. ARGV[3]
local stored = redis.call('GET', KEYS[4])
if stored then
  if cmsgpack.unpack(stored)[1] ~= fingerprint then return {'reused', id, seq, now, 0} end
  redis.call('PEXPIRE', KEYS[4], ARGV[5])
  return {'again', id, seq, now, 0}
end
if not shop[3] then return {'unknown', id or '', seq, now, 0} end
local paper = cmsgpack.unpack(shop[3])
if now < paper.body.opens_ms then return {'early', id, seq, now, paper.body.opens_ms} end
if now >= paper.body.closes_ms then return {'over', id, seq, now, paper.body.closes_ms} end
local mine = paper.n .. '/' .. ARGV[4]
local claimed = tonumber(redis.call('HGET', KEYS[2], mine .. '/all') or '0')
if paper.body.limit > 0 and claimed >= paper.body.limit then return {'limit', id, seq, now, paper.body.limit} end
local left = tonumber(shop[4])
if left < 1 then return {'sold out', id, seq, now, 0} end
redis.call('HSET', KEYS[1], item .. '/left', left - 1, item .. '/sold', shop[5] + 1, item .. '/rev', shop[6] + 1)
redis.call('HINCRBY', KEYS[2], mine, 1)
redis.call('HINCRBY', KEYS[2], mine .. '/all', 1)
redis.call('SADD', KEYS[3], item)
redis.call('SET', KEYS[4], cmsgpack.pack({fingerprint}), 'PX', ARGV[5])
return {'done', id, seq, now, left - 1}
