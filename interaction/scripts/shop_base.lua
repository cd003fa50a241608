-- Used by the shop's scripts: the store's clock, and whether this is still the shop that the asking node knows.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- `id` is born with the shop and `seq` counts its orders. Another id, none, or a smaller count: the store has forgotten
-- something that buyers were told, and nothing may be sold until somebody says so ('after/OLD', shop_reopen.lua).
local function is_known(key, id, seq, known, known_seq)
  if known == '' or (id == known and seq >= tonumber(known_seq)) then return true end
  return id and redis.call('HEXISTS', key, 'after/' .. known) == 1
end
