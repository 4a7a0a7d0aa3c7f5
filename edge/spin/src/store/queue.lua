-- What the other scripts share: the queue of those who wait for a turn, and when each of them was last seen.
local function now_ms()
  local now = redis.call('TIME')
  return now[1] * 1000 + math.floor(now[2] / 1000)
end
-- Whoever was not seen for so long has gone away without a word.
local PATIENCE_MS = 3000
-- The next in the queue, or nobody.
local function following(queue, seen)
  local now = now_ms()
  local token = redis.call('LPOP', queue)
  while token do
    local at = redis.call('HGET', seen, token)
    redis.call('HDEL', seen, token)
    if at and now - at < PATIENCE_MS then return token end
    token = redis.call('LPOP', queue)
  end
  return nil
end
