-- Adds a row to one object, whatever its version.
-- KEYS: rows, names. ARGV: the row's key and its value.
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[2], 0, ARGV[1])
return 1
