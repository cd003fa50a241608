-- One entry was posted: taken, or to be tried again.
-- KEYS  1 {room}:shop:stream
-- ARGV  1 group  2 node  3 entry id  4 '' if it was taken, else ms that its lease has run already
if ARGV[4] == '' then return redis.call('XACK', KEYS[1], ARGV[1], ARGV[3]) end
-- Only while it is still ours: another node may have taken it over.
local row = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1, ARGV[2])[1]
if not row then return 0 end
redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[3], 'IDLE', ARGV[4], 'JUSTID')
return 1
