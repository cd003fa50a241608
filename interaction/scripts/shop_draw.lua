-- Draw a lottery: close it and choose among those who took part. Drawn once; asking again answers the same.
-- KEYS  1 {room}:shop  2 :entrants:LOTTERY  3 :timers  4 :dirty
-- ARGV  1 known shop id  2 known seq  3 lottery  4 epoch or ''  5 t or ''  6... random whole numbers below 2^48, one per winner
-- Answers {status, shop id, seq, now, packed definition}; status: 'done', 'again', 'unknown', 'lost'
-- use shop_base
local item = 'l/' .. ARGV[3]
local shop = redis.call('HMGET', KEYS[1], 'id', 'seq', item)
local id, seq = shop[1], tonumber(shop[2] or '0')
if not is_known(KEYS[1], id, seq, ARGV[1], ARGV[2]) then return {'lost', id or '', seq} end
if not shop[3] then return {'unknown', id or '', seq, now} end
local definition = cmsgpack.unpack(shop[3])
if definition.drawn then
  redis.call('HSET', KEYS[1], item, shop[3])
  return {'again', id, seq, now, shop[3]}
end
-- Fisher and Yates' shuffle, of as many places as there are winners; `moved` holds only what is not in its own place.
local entrants, moved, names = redis.call('ZCARD', KEYS[2]), {}, {}
for i = 0, math.min(definition.body.winners, entrants) - 1 do
  local j = i + tonumber(ARGV[6 + i]) % (entrants - i)
  local chosen = moved[j] or j
  moved[j] = moved[i] or i
  names[#names + 1] = redis.call('ZRANGE', KEYS[2], chosen, chosen)[1]
end
definition.drawn = {entrants = entrants, names = table.concat(names, ' ')}
definition.body.closes_ms = math.min(definition.body.closes_ms, now)
definition.body.opens_ms = math.min(definition.body.opens_ms, now)
definition.rev, definition.epoch, definition.t = definition.rev + 1, ARGV[4], ARGV[5]
local packed = cmsgpack.pack(definition)
redis.call('HSET', KEYS[1], item, packed)
for _, edge in ipairs({'opens', 'closes'}) do redis.call('ZREM', KEYS[3], 'w/' .. edge .. '/' .. item) end
redis.call('SADD', KEYS[4], item)
return {'done', id, seq, now, packed}
