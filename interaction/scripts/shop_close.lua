-- Close a sale, a coupon or a lottery now. What is reserved stays reserved.
-- KEYS  1 {room}:shop  2 :timers  3 :dirty
-- ARGV  1 known shop id  2 known seq  3 kind  4 item id
-- Answers {status, shop id, seq, now, packed definition}; status: 'done', 'again', 'unknown', 'lost'
-- use shop_base
local item = ARGV[3] .. '/' .. ARGV[4]
local shop = redis.call('HMGET', KEYS[1], 'id', 'seq', item)
local id, seq = shop[1], tonumber(shop[2] or '0')
if not is_known(KEYS[1], id, seq, ARGV[1], ARGV[2]) then return {'lost', id or '', seq} end
if not shop[3] then return {'unknown', id or '', seq, now} end
local definition = cmsgpack.unpack(shop[3])
if definition.body.closes_ms <= now then return {'again', id, seq, now, shop[3]} end
definition.body.closes_ms = now
definition.body.opens_ms = math.min(definition.body.opens_ms, now)
definition.rev = definition.rev + 1
local packed = cmsgpack.pack(definition)
redis.call('HSET', KEYS[1], item, packed)
for _, edge in ipairs({'opens', 'closes'}) do redis.call('ZREM', KEYS[2], 'w/' .. edge .. '/' .. item) end
redis.call('SADD', KEYS[3], item)
return {'done', id, seq, now, packed}
