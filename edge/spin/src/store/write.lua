-- Writes rows of one object if it is still at the version that was seen, and gives the turn back.
-- KEYS: rows, names, turn, objects. ARGV: object, version, the turn's token or '', the number of rows to put, their
-- keys and values, then the keys to delete. Returns 1, or 0 when nothing was written.
if ARGV[3] ~= '' and redis.call('GET', KEYS[3]) == ARGV[3] then redis.call('DEL', KEYS[3]) end
if (redis.call('HGET', KEYS[1], '') or '0') ~= ARGV[2] then return 0 end
local count = tonumber(ARGV[4])
for i = 5, 4 + 2 * count, 2 do
  redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
  redis.call('ZADD', KEYS[2], 0, ARGV[i])
end
for i = 5 + 2 * count, #ARGV do
  redis.call('HDEL', KEYS[1], ARGV[i])
  redis.call('ZREM', KEYS[2], ARGV[i])
end
if redis.call('HINCRBY', KEYS[1], '', 1) == 1 then redis.call('SADD', KEYS[4], ARGV[1]) end
return 1
