-- Keep how long the host's picture takes from the camera to the ingest, and how exactly that is known.
-- KEYS  1 {room}:clock
-- ARGV  1 delay in ms  2 bound in ms  3 ms that an idle room is kept
redis.call('HSET', KEYS[1], 'host_delay', ARGV[1], 'bound', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
