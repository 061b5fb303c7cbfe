-- All of a version or nothing, told with all that it holds, so that nobody has to ask for it.
-- KEYS: version, change, values. ARGV: expected version, version, change, channel, message, then entry, text, ...
-- Returns what the version was.
local text = redis.call('GET', KEYS[1]) or ''
local before = #text < 16 and tonumber(text:match('^%d+$')) or 0 -- what is no version is as good as none
if before ~= tonumber(ARGV[1]) then
  return before
end
redis.call('DEL', KEYS[3])
for i = 6, #ARGV, 2 do
  redis.call('HSET', KEYS[3], ARGV[i], ARGV[i + 1])
end
redis.call('SET', KEYS[1], ARGV[2])
redis.call('SET', KEYS[2], ARGV[3])
redis.call('PUBLISH', ARGV[4], ARGV[5])
return before
