-- Take one event: once per id, numbered, appended, and its state kept. One step, so nothing can come between.
-- KEYS  1 {room}:commerce  2 {room}:ambient  3 {room}:state  4 {room}:log  5 {room}:id:EVENT
-- ARGV  1 lane  2 event id  3 the packed event  4 state key or ''  5 epoch or ''  6 t or ''  7 t that all viewers are past, or ''
--       8 a fresh log id  9 ms that commerce is kept  10 ambient entries kept  11 ms that an event id is remembered
--       12 most state keys  13 ms that an idle room is kept
-- Answers {'taken' | 'duplicate' | 'full', log, seq or ambient entry id, the store's wall clock in ms}
local TRIMMED_AT_ONCE = 16

local stored = redis.call('GET', KEYS[5])
if stored then
  local answer = cmsgpack.unpack(stored)
  return {'duplicate', answer[1], answer[2], answer[3]}
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- The log is born with its keys. Half of them lost is all of them lost: clients must hear that, by a new log.
local log = redis.call('HGET', KEYS[4], 'id')
local seq = tonumber(redis.call('HGET', KEYS[4], 'seq') or '0')
if not log or (seq > 0 and redis.call('EXISTS', KEYS[1]) == 0) then
  redis.call('DEL', KEYS[1], KEYS[2], KEYS[3], KEYS[4])
  log, seq = ARGV[8], 0
  redis.call('HSET', KEYS[4], 'id', log, 'seq', 0)
end

local position
if ARGV[1] == 'commerce' then
  seq = seq + 1
  position = tostring(seq)
  if ARGV[4] ~= '' then
    -- A state key keeps its latest event, and those before it down to the one that viewers behind still see.
    local old = redis.call('HGET', KEYS[3], ARGV[4])
    if not old and redis.call('HLEN', KEYS[3]) >= tonumber(ARGV[12]) then
      return {'full', log, '', now}
    end
    local kept = {}
    if old and ARGV[7] ~= '' then
      local past = tonumber(ARGV[7])
      local list = cmsgpack.unpack(old)
      local first = 1
      for i = 1, #list do
        if list[i][2] ~= ARGV[5] or list[i][3] == '' or tonumber(list[i][3]) <= past then first = i end
      end
      first = math.max(first, #list - 255)
      for i = first, #list do kept[#kept + 1] = list[i] end
    end
    kept[#kept + 1] = {seq, ARGV[5], ARGV[6], now, ARGV[3]}
    redis.call('HSET', KEYS[3], ARGV[4], cmsgpack.pack(kept))
  end
  redis.call('XADD', KEYS[1], position .. '-0', 'i', ARGV[2], 'e', ARGV[3], 'a', now, 's', ARGV[4])
  redis.call('HSET', KEYS[4], 'seq', seq)
  local oldest = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', TRIMMED_AT_ONCE)
  local keep = nil
  for i = 1, #oldest do
    -- fields are in the order written: i, e, a, s
    if tonumber(oldest[i][2][6]) >= now - tonumber(ARGV[9]) then break end
    keep = i
  end
  if keep then
    local until_id = oldest[keep][1]
    redis.call('XTRIM', KEYS[1], 'MINID', tonumber(string.match(until_id, '^%d+')) + 1 .. '-0')
  end
else
  position = redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[10], '*', 'i', ARGV[2], 'e', ARGV[3], 'a', now)
end

redis.call('SET', KEYS[5], cmsgpack.pack({log, position, now}), 'PX', ARGV[11])
for i = 1, 4 do redis.call('PEXPIRE', KEYS[i], ARGV[13]) end
return {'taken', log, position, now}
