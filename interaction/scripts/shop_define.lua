-- Define or change a product, a sale, a coupon or a lottery. Repeating the same definition changes nothing.
-- KEYS  1 {room}:shop  2 :timers  3 :dirty
-- ARGV  1 known shop id  2 known seq  3 fresh shop id  4 kind: 'p', 's', 'c' or 'l'  5 item id  6 packed body
--       7 total  8 version  9 epoch or ''  10 t or ''  11 most items
--       for all but products: 12 opens at ms, or ''  13 else in ms  14 closes at ms, or ''  15 else after ms
-- Answers {status, shop id, seq, now, packed definition or detail}
--   status: 'done', 'again', 'stale' (a later version is there), 'stock' (less than is sold), 'full', 'unknown product',
--   'window' (closes before it opens), 'currency', 'lost'
-- use shop_base
local item = ARGV[4] .. '/' .. ARGV[5]
local shop = redis.call('HMGET', KEYS[1], 'id', 'seq', 'items', 'next', item, item .. '/held', item .. '/sold', item .. '/left',
  item .. '/rev')
local id, seq = shop[1], tonumber(shop[2] or '0')
if not is_known(KEYS[1], id, seq, ARGV[1], ARGV[2]) then return {'lost', id or '', seq} end
id = id or ARGV[3]
local version, total = tonumber(ARGV[8]), tonumber(ARGV[7])
local asked = redis.sha1hex(table.concat({ARGV[6], ARGV[7], ARGV[8], unpack(ARGV, 12)}, '|'))
local old = shop[5] and cmsgpack.unpack(shop[5])
if old then
  if version < old.version then return {'stale', id, seq, now, old.version} end
  if asked == old.asked then
    redis.call('HSET', KEYS[1], item, shop[5])
    return {'again', id, seq, now, shop[5]}
  end
elseif tonumber(shop[3] or '0') >= tonumber(ARGV[11]) then
  return {'full', id, seq, now, ARGV[11]}
end
local gone = tonumber(shop[6] or '0') + tonumber(shop[7] or '0')
if total < gone then return {'stock', id, seq, now, gone} end

local body = cmsgpack.unpack(ARGV[6])
if body.product then
  local product = redis.call('HGET', KEYS[1], 'p/' .. body.product)
  if ARGV[4] ~= 'p' and not product then return {'unknown product', id, seq, now, body.product} end
  local currency = product and cmsgpack.unpack(product).body.currency
  if ARGV[4] == 's' then body.currency = currency end
  if ARGV[4] == 'c' and body.currency ~= currency then return {'currency', id, seq, now, currency} end
end
if ARGV[4] ~= 'p' then
  body.opens_ms = tonumber(ARGV[12]) or now + tonumber(ARGV[13])
  body.closes_ms = tonumber(ARGV[14]) or body.opens_ms + tonumber(ARGV[15])
  if body.closes_ms <= body.opens_ms then return {'window', id, seq, now, body.opens_ms} end
  for _, edge in ipairs({'opens', 'closes'}) do
    redis.call('ZADD', KEYS[2], body[edge .. '_ms'], 'w/' .. edge .. '/' .. item)
  end
end
local n = old and old.n or tonumber(shop[4] or '0') + 1
local definition = cmsgpack.pack({n = n, rev = old and old.rev + 1 or 1, version = version, asked = asked, total = total,
  epoch = ARGV[9], t = ARGV[10], body = body, drawn = old and old.drawn or nil})
redis.call('HSET', KEYS[1], 'id', id, 'seq', seq, item, definition, item .. '/left', total - gone,
  item .. '/held', shop[6] or 0, item .. '/sold', shop[7] or 0, item .. '/rev', tonumber(shop[9] or '0') + 1)
if not old then
  redis.call('HSET', KEYS[1], 'next', n, 'items', tonumber(shop[3] or '0') + 1)
end
redis.call('SADD', KEYS[3], item)
return {'done', id, seq, now, definition}
