-- Sell, or say why not. One step: the stored answer, the window by the store's clock, price, limits, stock, coupon, the
-- reservation, and the order in the stream.
-- KEYS  1 {room}:shop  2 :orders  3 :buyers  4 :timers  5 :dirty  6 :stream  7 :answer:BUYER/REQUEST
-- ARGV  1 known shop id  2 known seq  3 fresh order id  4 buyer  5 request id  6 product  7 sale or ''  8 quantity
--       9 unit price that the buyer saw  10 its currency  11 coupon or ''  12 ms to pay
--       13 ms that an accepted answer is kept  14 ms that a refusal is kept
-- Answers {status, shop id, seq, now, {fingerprint, reason, order, total, expires, detail}, the order's state, sold out}
--   status: 'taken', 'again' (asked before), 'no', 'lost', 'reused' (the request id belongs to another request)
-- use shop_base
local fingerprint = table.concat({ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10], ARGV[11]}, '/')
local product, sale, coupon = 'p/' .. ARGV[6], 's/' .. ARGV[7], 'c/' .. ARGV[11]
local shop = redis.call('HMGET', KEYS[1], 'id', 'seq', product, product .. '/left', product .. '/held', product .. '/rev',
  sale, sale .. '/left', sale .. '/held', sale .. '/rev', coupon)
local id, seq = shop[1], tonumber(shop[2] or '0')
if not is_known(KEYS[1], id, seq, ARGV[1], ARGV[2]) then return {'lost', id or '', seq} end

local stored = redis.call('GET', KEYS[7])
if stored then
  local answer = cmsgpack.unpack(stored)
  if answer[1] ~= fingerprint then return {'reused', id, seq} end
  if answer[2] ~= '' then return {'again', id, seq, now, stored, '', 0} end
  -- A write, so that WAIT on this connection waits for what was sold before it.
  redis.call('PEXPIRE', KEYS[7], ARGV[13])
  local packed = redis.call('HGET', KEYS[2], answer[3])
  return {'again', id, seq, now, stored, packed and cmsgpack.unpack(packed).state or 'forgotten', 0}
end

local function no(reason, detail, final)
  local answer = cmsgpack.pack({fingerprint, reason, '', 0, 0, detail})
  if final then redis.call('SET', KEYS[7], answer, 'PX', ARGV[14]) end
  return {'no', id or '', seq, now, answer, '', 0}
end

if not shop[3] then return no('unknown product', 0, false) end
local quantity = tonumber(ARGV[8])
local goods = cmsgpack.unpack(shop[3])
local offer, flash = goods.body, nil
if ARGV[7] ~= '' then
  if not shop[7] then return no('unknown sale', 0, false) end
  flash = cmsgpack.unpack(shop[7])
  offer = flash.body
  if offer.product ~= ARGV[6] then return no('unknown sale', 0, false) end
  if now < offer.opens_ms then return no('early', offer.opens_ms, false) end
  if now >= offer.closes_ms then return no('over', offer.closes_ms, true) end
elseif goods.body.listed == false then
  return no('sale only', 0, true)
end
if goods.body.currency ~= ARGV[10] then return no('currency', goods.body.currency, true) end
if offer.amount ~= tonumber(ARGV[9]) then return no('price', offer.amount, true) end

local by_product, by_sale = goods.n .. '/' .. ARGV[4], flash and flash.n .. '/' .. ARGV[4] or '-'
local bought = redis.call('HMGET', KEYS[3], by_product, by_sale)
local of_product, of_sale = tonumber(bought[1] or '0'), tonumber(bought[2] or '0')
local limit = goods.body.limit
if limit > 0 and of_product + quantity > limit then return no('limit', limit, true) end
if flash and flash.body.limit > 0 and of_sale + quantity > flash.body.limit then
  return no('limit', flash.body.limit, true)
end
local left, sale_left = tonumber(shop[4]), tonumber(shop[8] or shop[4])
local most = math.min(left, sale_left)
if most < quantity then return no(most <= 0 and 'sold out' or 'short', math.max(0, most), true) end

local total, voucher = offer.amount * quantity, nil
if ARGV[11] ~= '' then
  if not shop[11] then return no('coupon', 'unknown', false) end
  local paper = cmsgpack.unpack(shop[11])
  voucher = paper.n .. '/' .. ARGV[4]
  if tonumber(redis.call('HGET', KEYS[3], voucher) or '0') < 1 then return no('coupon', 'none left', true) end
  if paper.body.currency ~= goods.body.currency then return no('coupon', 'currency', true) end
  if paper.body.product and paper.body.product ~= ARGV[6] then return no('coupon', 'product', true) end
  if total < paper.body.minimum then return no('coupon', 'minimum', true) end
  if now < paper.body.opens_ms or now >= paper.body.closes_ms then return no('coupon', 'time', true) end
  redis.call('HINCRBY', KEYS[3], voucher, -1)
  total = math.max(0, total - paper.body.off)
end

seq = seq + 1
local expires = now + tonumber(ARGV[12])
redis.call('HSET', KEYS[1], 'seq', seq, product .. '/left', left - quantity, product .. '/held', shop[5] + quantity,
  product .. '/rev', shop[6] + 1)
redis.call('HSET', KEYS[3], by_product, of_product + quantity)
if flash then
  redis.call('HSET', KEYS[1], sale .. '/left', sale_left - quantity, sale .. '/held', shop[9] + quantity,
    sale .. '/rev', shop[10] + 1)
  redis.call('HSET', KEYS[3], by_sale, of_sale + quantity)
  redis.call('SADD', KEYS[5], product, sale)
else
  redis.call('SADD', KEYS[5], product)
end
redis.call('HSET', KEYS[2], ARGV[3], cmsgpack.pack({state = 'reserved', buyer = ARGV[4], request = ARGV[5],
  product = ARGV[6], sale = ARGV[7], coupon = ARGV[11], quantity = quantity, total = total, currency = ARGV[10],
  at_ms = now, expires_ms = expires, seq = seq, by_product = by_product, by_sale = flash and by_sale or '',
  voucher = voucher or ''}))
redis.call('ZADD', KEYS[4], expires, 'o/' .. ARGV[3])
redis.call('XADD', KEYS[6], '*', 'type', 'reserved', 'order', ARGV[3], 'seq', seq, 'buyer', ARGV[4], 'request', ARGV[5],
  'product', ARGV[6], 'sale', ARGV[7], 'quantity', quantity, 'total', string.format('%.0f', total),
  'currency', ARGV[10], 'coupon', ARGV[11], 'at_ms', now, 'expires_ms', expires)
local answer = cmsgpack.pack({fingerprint, '', ARGV[3], total, expires, 0})
redis.call('SET', KEYS[7], answer, 'PX', ARGV[13])
return {'taken', id, seq, now, answer, 'reserved', most == quantity and 1 or 0}
