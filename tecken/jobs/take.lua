-- Takes the next message and writes down that it is taken, in one step.
-- KEYS: hash and index of what workers have, then the lists, best first. ARGV: the time, then each list's bell.
-- Answers with the list and the message, or nothing.
for i = 3, #KEYS do
  local message = redis.call('RPOP', KEYS[i])
  if message then
    local readable, read = pcall(cjson.decode, message)
    if readable then
      local tag, sent = read.properties.delivery_tag, read.properties.delivery_info
      local way = ', ' .. cjson.encode(sent.exchange) .. ', ' .. cjson.encode(sent.routing_key) .. ']'
      redis.call('ZADD', KEYS[2], ARGV[1], tag)
      redis.call('HSET', KEYS[1], tag, '[' .. message .. way)
    end
    for j = i, #KEYS do
      local bell = ARGV[j - 1]
      if redis.call('EXISTS', KEYS[j]) == 1 and redis.call('EXISTS', bell) == 0 then
        redis.call('LPUSH', bell, 1)
        redis.call('EXPIRE', bell, 3600)
      end
    end
    return {KEYS[i], message}
  end
end
return false
