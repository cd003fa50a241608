-- End a reservation: paid, given back, or out of time. Whoever comes first decides; the others hear what it became.
-- KEYS  1 {room}:shop  2 :orders  3 :buyers  4 :timers  5 :dirty  6 :stream
-- ARGV  1 known shop id  2 known seq  3 order id  4 'confirmed', 'released' or 'expired'  5 buyer, or '' for anybody's
--       6 ms that a settled order is kept
-- Answers {status, shop id, seq, now, the packed order}; status: 'done', 'again', 'other' (settled otherwise), 'early'
--   (not out of time), 'unknown', 'lost'
-- use shop_base
local head = redis.call('HMGET', KEYS[1], 'id', 'seq')
local id, seq = head[1], tonumber(head[2] or '0')
if not is_known(KEYS[1], id, seq, ARGV[1], ARGV[2]) then return {'lost', id or '', seq} end
local packed = redis.call('HGET', KEYS[2], ARGV[3])
if not packed then return {'unknown', id or '', seq, now} end
local order, wanted = cmsgpack.unpack(packed), ARGV[4]
if ARGV[5] ~= '' and order.buyer ~= ARGV[5] then return {'unknown', id, seq, now} end
if order.state ~= 'reserved' then
  -- A write, so that WAIT on this connection waits for what was settled before it.
  redis.call('HSET', KEYS[2], ARGV[3], packed)
  return {order.state == wanted and 'again' or 'other', id, seq, now, packed}
end
local became = wanted
if now >= order.expires_ms then became = 'expired' end
if wanted == 'expired' and became == wanted and now < order.expires_ms then return {'early', id, seq, now, packed} end

local function back(item)
  if became == 'confirmed' then
    redis.call('HINCRBY', KEYS[1], item .. '/sold', order.quantity)
  else
    redis.call('HINCRBY', KEYS[1], item .. '/left', order.quantity)
    redis.call('HINCRBY', KEYS[1], item .. '/rev', 1)
    redis.call('SADD', KEYS[5], item)
  end
  redis.call('HINCRBY', KEYS[1], item .. '/held', -order.quantity)
end

local function forget(buyer)
  if redis.call('HINCRBY', KEYS[3], buyer, -order.quantity) <= 0 then redis.call('HDEL', KEYS[3], buyer) end
end

back('p/' .. order.product)
if order.sale ~= '' then back('s/' .. order.sale) end
if became ~= 'confirmed' then
  forget(order.by_product)
  if order.by_sale ~= '' then forget(order.by_sale) end
  if order.voucher ~= '' then redis.call('HINCRBY', KEYS[3], order.voucher, 1) end
end
order.state = became
order.settled_ms = now
packed = cmsgpack.pack(order)
redis.call('HSET', KEYS[2], ARGV[3], packed)
redis.call('ZREM', KEYS[4], 'o/' .. ARGV[3])
redis.call('ZADD', KEYS[4], now + tonumber(ARGV[6]), 'f/' .. ARGV[3])
redis.call('XADD', KEYS[6], '*', 'type', became, 'order', ARGV[3], 'seq', order.seq, 'buyer', order.buyer,
  'request', order.request, 'product', order.product, 'sale', order.sale, 'quantity', order.quantity,
  'total', string.format('%.0f', order.total), 'currency', order.currency, 'coupon', order.coupon, 'at_ms', now,
  'expires_ms', order.expires_ms)
return {became == wanted and 'done' or 'other', id, seq, now, packed}
