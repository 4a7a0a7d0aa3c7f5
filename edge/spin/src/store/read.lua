-- Reads rows of one object, all at one version.
-- KEYS: rows, names, turn, queue, seen, inbox, taken. ARGV: the token of who wants the turn or '', 1 if without one where nobody has it or
-- waits for it; how long a turn is held and how long it waits for its next holder, in ms; the number of keys, the keys;
-- then after, before, limit and the most bytes of each range. After `inbox/` come the entries of the inbox.
-- Returns the version and then keys and values; or 'later' and how many are before this one.
local token = ARGV[1]
local held = token ~= '' and redis.call('GET', KEYS[3])
local is_free = not held and ARGV[2] == '1' and redis.call('EXISTS', KEYS[4]) == 0
if token ~= '' and not is_free then
  if not held then
    -- Whoever held it has gone away without a word, or nobody has.
    held = following(KEYS[4], KEYS[5]) or token
    redis.call('SET', KEYS[3], held, 'PX', ARGV[4])
  end
  if held ~= token then
    local place = redis.call('LPOS', KEYS[4], token)
    if not place then place = redis.call('RPUSH', KEYS[4], token) - 1 end
    redis.call('HSET', KEYS[5], token, now_ms())
    redis.call('PEXPIRE', KEYS[4], 60000)
    redis.call('PEXPIRE', KEYS[5], 60000)
    return {'later', place}
  end
  redis.call('LREM', KEYS[4], 0, token)
  redis.call('HDEL', KEYS[5], token)
  redis.call('PEXPIRE', KEYS[3], ARGV[3])
end
local found = {redis.call('HGET', KEYS[1], '') or '0'}
local function add(key)
  local value = redis.call('HGET', KEYS[1], key)
  if value then
    found[#found + 1] = key
    found[#found + 1] = value
  end
  return value and #value or 0
end
local count = tonumber(ARGV[5])
for i = 6, 5 + count do add(ARGV[i]) end
for i = 6 + count, #ARGV, 4 do
  if ARGV[i] == 'inbox/' then
    local bytes = 0
    for place, entry in ipairs(redis.call('LRANGE', KEYS[6], 0, ARGV[i + 2] - 1)) do
      if bytes >= tonumber(ARGV[i + 3]) then break end
      bytes = bytes + #entry
      found[#found + 1] = string.format('inbox/%08d', place)
      found[#found + 1] = entry
    end
  else
    local keys = redis.call('ZRANGEBYLEX', KEYS[2], '(' .. ARGV[i], '(' .. ARGV[i + 1], 'LIMIT', 0, ARGV[i + 2])
    local bytes = 0
    for _, key in ipairs(keys) do
      if bytes >= tonumber(ARGV[i + 3]) then break end
      bytes = bytes + add(key)
    end
  end
end
return found
