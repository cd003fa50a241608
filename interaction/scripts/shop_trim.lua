-- Trim the order stream: what is old, and acknowledged in every consumer group. Without a group nothing is trimmed.
-- KEYS  1 {room}:shop:stream
-- ARGV  1 ms that entries are kept
-- Answers how many entries went.
-- use shop_base
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local function before(a, b)
  local a_ms, a_n = string.match(a, '^(%d+)-(%d+)$')
  local b_ms, b_n = string.match(b, '^(%d+)-(%d+)$')
  if a_ms == b_ms then return tonumber(a_n) < tonumber(b_n) end
  return tonumber(a_ms) < tonumber(b_ms)
end
local safe = nil
for _, row in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local group = {}
  for i = 1, #row, 2 do group[row[i]] = row[i + 1] end
  local reached = group['last-delivered-id']
  local pending = redis.call('XPENDING', KEYS[1], group.name)
  if pending[1] > 0 then reached = pending[2] end
  if not safe or before(reached, safe) then safe = reached end
end
if not safe then return 0 end
local old = string.format('%.0f-0', now - tonumber(ARGV[1]))
if before(old, safe) then safe = old end
return redis.call('XTRIM', KEYS[1], 'MINID', safe)
