-- Writes rows of one object if it is still at the version that was seen and it is nobody else's turn.
-- KEYS: rows, names, turn, queue, seen, inbox, taken, objects. ARGV: object, version, the turn's token or '', how long a turn waits
-- for its next holder in ms, how many of the inbox's first entries go, the number of rows to put, their keys and values, then
-- the keys to delete.
-- Returns 1, or 0 when nothing was written. Whoever had the turn gives it to the next.
local held = redis.call('GET', KEYS[3])
if held then
  if held ~= ARGV[3] then return 0 end
  local next = following(KEYS[4], KEYS[5])
  if next then redis.call('SET', KEYS[3], next, 'PX', ARGV[4]) else redis.call('DEL', KEYS[3]) end
end
if (redis.call('HGET', KEYS[1], '') or '0') ~= ARGV[2] then return 0 end
if ARGV[5] ~= '0' then
  redis.call('LTRIM', KEYS[6], ARGV[5], -1)
  redis.call('INCRBY', KEYS[7], ARGV[5])
end
local count = tonumber(ARGV[6])
for i = 7, 6 + 2 * count, 2 do
  redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
  redis.call('ZADD', KEYS[2], 0, ARGV[i])
end
for i = 7 + 2 * count, #ARGV do
  redis.call('HDEL', KEYS[1], ARGV[i])
  redis.call('ZREM', KEYS[2], ARGV[i])
end
if redis.call('HINCRBY', KEYS[1], '', 1) == 1 then redis.call('SADD', KEYS[8], ARGV[1]) end
return 1
