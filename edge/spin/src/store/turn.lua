-- Leaves the queue, or gives the turn to the next.
-- KEYS: turn, queue, seen. ARGV: the token, how long a turn waits for its next holder in ms.
redis.call('LREM', KEYS[2], 0, ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
local next = following(KEYS[2], KEYS[3])
if next then redis.call('SET', KEYS[1], next, 'PX', ARGV[2]) else redis.call('DEL', KEYS[1]) end
return 1
