-- Adds an entry to an object's inbox, whatever the object's version.
-- KEYS: inbox, taken. ARGV: the entry.
-- Returns the entry's place: how many have lain there before it, itself included.
return redis.call('RPUSH', KEYS[1], ARGV[1]) + (redis.call('GET', KEYS[2]) or 0)
