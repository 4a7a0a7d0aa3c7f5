-- What the other scripts share: the queue of those who wait for a turn, and when each of them was last seen.
local function now_ms()
  local now = redis.call('TIME')
  return now[1] * 1000 + math.floor(now[2] / 1000)
end
-- The next in the queue, or nobody. Whoever was not seen for `patience` ms has gone away without a word.
local function following(queue, seen, patience)
  local now = now_ms()
  local token = redis.call('LPOP', queue)
  while token do
    local at = redis.call('HGET', seen, token)
    redis.call('HDEL', seen, token)
    if at and now - at < tonumber(patience) then return token end
    token = redis.call('LPOP', queue)
  end
  return nil
end
