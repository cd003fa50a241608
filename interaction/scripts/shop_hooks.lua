-- Entries of the order stream that are to be posted now, by whichever node asks: those whose time has come again, then new
-- ones. Each belongs to the asker until its lease is over, and then to any node.
-- KEYS  1 {room}:shop:stream  2 {room}:shop:hook
-- ARGV  1 group  2 node  3 most entries  4 lease in ms
-- Answers {target (name, value, ...), {entry id, times given, fields}, ...}; nothing where there is no target
local target = redis.call('HGETALL', KEYS[2])
if #target == 0 then return {} end
if redis.call('EXISTS', KEYS[1]) == 0 then return {target} end
local known = false
for _, row in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  for i = 1, #row, 2 do
    if row[i] == 'name' and row[i + 1] == ARGV[1] then known = true end
  end
end
if not known then redis.call('XGROUP', 'CREATE', KEYS[1], ARGV[1], '0') end
local most, found = tonumber(ARGV[3]), {target}
local pending = redis.call('XPENDING', KEYS[1], ARGV[1], 'IDLE', ARGV[4], '-', '+', most)
for _, row in ipairs(pending) do
  local entry = redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, row[1])[1]
  if entry then found[#found + 1] = {entry[1], row[4] + 1, entry[2]} end
end
if #found - 1 < most then
  local read = redis.call('XREADGROUP', 'GROUP', ARGV[1], ARGV[2], 'COUNT', most - #found + 1, 'STREAMS', KEYS[1], '>')
  if read then
    for _, entry in ipairs(read[1][2]) do found[#found + 1] = {entry[1], 1, entry[2]} end
  end
end
return found
