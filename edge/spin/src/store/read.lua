-- Reads rows of one object, all at one version.
-- KEYS: rows, names, turn. ARGV: the turn's token or '', how long it is held in ms, the number of keys, the keys,
-- then after, before and limit of each range. Returns the version and then keys and values, or {'later'}.
local held = redis.call('GET', KEYS[3])
if ARGV[1] == '' then
  if held then return {'later'} end
elseif held ~= ARGV[1] then
  if held then return {'later'} end
  redis.call('SET', KEYS[3], ARGV[1], 'PX', ARGV[2])
end
local found = {redis.call('HGET', KEYS[1], '') or '0'}
local function add(key)
  local value = redis.call('HGET', KEYS[1], key)
  if value then
    found[#found + 1] = key
    found[#found + 1] = value
  end
end
local count = tonumber(ARGV[3])
for i = 4, 3 + count do add(ARGV[i]) end
for i = 4 + count, #ARGV, 3 do
  local keys = redis.call('ZRANGEBYLEX', KEYS[2], '(' .. ARGV[i], '(' .. ARGV[i + 1], 'LIMIT', 0, ARGV[i + 2])
  for _, key in ipairs(keys) do add(key) end
end
return found
