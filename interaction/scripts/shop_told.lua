-- The room was told of an item, as number `seq` of log `log`. What was told last counts, whatever order nodes say it in.
-- KEYS  1 {room}:shop
-- ARGV  1 item  2 revision of the definition, or ''  3 revision of the rest, or ''  4 left  5 phase  6 log  7 seq
-- Answers 1 if that is noted, 0 if it is not the room's log any more, -1 if there is no such item any more
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return -1 end
local packed = redis.call('HGET', KEYS[1], ARGV[1] .. '/told')
if not packed or redis.call('HGET', KEYS[1], 'log') ~= ARGV[6] then return 0 end
local told, seq = cmsgpack.unpack(packed), tonumber(ARGV[7])
if ARGV[2] ~= '' and seq > (told.def_seq or 0) then told.def, told.def_seq = tonumber(ARGV[2]), seq end
if ARGV[3] ~= '' and seq > (told.seq or 0) then
  told.rev, told.left, told.phase, told.seq = tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5], seq
end
redis.call('HSET', KEYS[1], ARGV[1] .. '/told', cmsgpack.pack(told))
return 1
