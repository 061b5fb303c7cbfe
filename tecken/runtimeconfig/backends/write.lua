-- Replace the configuration if its version is the expected one, and publish all of it, so that subscribers
-- need not read it. Returns the version that was there before.
-- KEYS: version, change, values. ARGV: expected version, version, change, channel, message, then entry, text, ...
local text = redis.call('GET', KEYS[1]) or ''
local before = #text < 16 and tonumber(text:match('^%d+$')) or 0 -- anything but a number counts as 0
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
