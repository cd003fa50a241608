-- Take an item out of the shop, if nothing of it is reserved and no sale or coupon needs it.
-- KEYS  1 {room}:shop  2 :timers  3 :dirty  4 :entrants:LOTTERY
-- ARGV  1 known shop id  2 known seq  3 kind  4 item id
-- Answers {status, shop id, seq, now, n or detail}; status: 'done', 'unknown', 'held', 'needed', 'lost'
-- use shop_base
local item = ARGV[3] .. '/' .. ARGV[4]
local shop = redis.call('HMGET', KEYS[1], 'id', 'seq', item, item .. '/held', 'items')
local id, seq = shop[1], tonumber(shop[2] or '0')
if not is_known(KEYS[1], id, seq, ARGV[1], ARGV[2]) then return {'lost', id or '', seq} end
if not shop[3] then return {'unknown', id or '', seq, now, 0} end
if ARGV[3] ~= 'l' and tonumber(shop[4]) > 0 then return {'held', id, seq, now, tonumber(shop[4])} end
if ARGV[3] == 'p' then
  local all = redis.call('HGETALL', KEYS[1])
  for i = 1, #all, 2 do
    if string.match(all[i], '^[sc]/[^/]+$') and cmsgpack.unpack(all[i + 1]).body.product == ARGV[4] then
      return {'needed', id, seq, now, string.sub(all[i], 3)}
    end
  end
end
redis.call('HDEL', KEYS[1], item, item .. '/left', item .. '/held', item .. '/sold', item .. '/rev', item .. '/told')
redis.call('HINCRBY', KEYS[1], 'items', -1)
redis.call('SREM', KEYS[3], item)
for _, edge in ipairs({'opens', 'closes'}) do redis.call('ZREM', KEYS[2], 'w/' .. edge .. '/' .. item) end
redis.call('DEL', KEYS[4])
return {'done', id, seq, now, cmsgpack.unpack(shop[3]).n}
