-- What is to be done now: reservations that are out of time, and items of which the room must be told. Every node asks;
-- an item that one node is given is not given to another for an interval, unless it has just sold out.
-- KEYS  1 {room}:shop  2 :orders  3 :timers  4 :dirty  5 {room}:log
-- ARGV  1 known shop id  2 known seq  3 ms between tellings of one item  4 most timers at once
-- Answers {status, shop id, seq, now, order ids, items, ms until there is more or -1}; status: 'ok', 'none' (no shop), 'lost'
--   an item: {name, packed definition, left, sold, rev, phase, 1 if the definition is to be told, 1 if the rest is}
-- use shop_base
local shop = redis.call('HMGET', KEYS[1], 'id', 'seq', 'log')
local id, seq = shop[1], tonumber(shop[2] or '0')
if not is_known(KEYS[1], id, seq, ARGV[1], ARGV[2]) then return {'lost', id or '', seq} end
if not id then return {'none', '', 0} end

local overdue = {}
local due = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now, 'LIMIT', 0, ARGV[4])
for _, member in ipairs(due) do
  local kind, rest = string.match(member, '^(%a)/(.*)$')
  if kind == 'o' then
    overdue[#overdue + 1] = rest  -- settling it takes it out of the timers
  else
    if kind == 'f' then redis.call('HDEL', KEYS[2], rest) end
    if kind == 'w' then redis.call('SADD', KEYS[4], string.match(rest, '^%a+/(.*)$')) end
    redis.call('ZREM', KEYS[3], member)
  end
end

-- The room has a new log, and with it an empty state: everything is to be told again.
local log = redis.call('HGET', KEYS[5], 'id') or ''
if log ~= (shop[3] or '') then
  for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
    if string.match(field, '^[pscl]/[^/]+/told$') then redis.call('HDEL', KEYS[1], field) end
    if string.match(field, '^[pscl]/[^/]+$') then redis.call('SADD', KEYS[4], field) end
  end
  redis.call('HSET', KEYS[1], 'log', log)
end

local items, wait = {}, -1
for _, item in ipairs(redis.call('SMEMBERS', KEYS[4])) do
  local field = redis.call('HMGET', KEYS[1], item, item .. '/left', item .. '/sold', item .. '/rev', item .. '/told')
  if field[1] then
    local definition = cmsgpack.unpack(field[1])
    local body, left, rev, phase = definition.body, tonumber(field[2]), tonumber(field[4]), ''
    if body.opens_ms then
      phase = now < body.opens_ms and 'soon' or now < body.closes_ms and 'open' or 'over'
    end
    local told = field[5] and cmsgpack.unpack(field[5]) or {def = 0, rev = 0, at = 0, left = -1, phase = '', seq = 0}
    local at_once = told.phase ~= phase or (left == 0 and told.left ~= 0)
    local must_define = told.def ~= definition.rev
    local must_count = told.rev ~= rev or told.phase ~= phase
    local rest = told.at + tonumber(ARGV[3]) - now
    if not must_define and not must_count then
      redis.call('SREM', KEYS[4], item)
    elseif rest <= 0 or (at_once and told.urgent ~= rev .. phase) or (must_define and told.urgent_def ~= definition.rev) then
      told.at = now
      if at_once then told.urgent = rev .. phase end
      if must_define then told.urgent_def = definition.rev end
      redis.call('HSET', KEYS[1], item .. '/told', cmsgpack.pack(told))
      items[#items + 1] = {item, field[1], left, tonumber(field[3]), rev, phase, must_define and 1 or 0, must_count and 1 or 0}
      rest = tonumber(ARGV[3])  -- whoever was given it may die: then it is given again
    end
    if (must_define or must_count) and (wait < 0 or rest < wait) then wait = rest end
  else
    redis.call('SREM', KEYS[4], item)
  end
end
local next_timer = redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')
if next_timer[2] then
  local rest = math.max(0, tonumber(next_timer[2]) - now)
  if wait < 0 or rest < wait then wait = rest end
end
return {'ok', id, seq, now, overdue, items, wait}
