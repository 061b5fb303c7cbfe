-- Take the next message and record that it is taken, in one step.
-- KEYS: hash and index of the messages that workers have, then the lists, first priority first.
-- ARGV: the time, then the bell of each list.
-- Return the list and the message, or false when all lists are empty.
for i = 3, #KEYS do
  local message = redis.call('RPOP', KEYS[i])
  if message then
    -- A message that is not JSON is returned without a record: no worker can make a job of it.
    local readable, read = pcall(cjson.decode, message)
    if readable then
      local tag, sent = read.properties.delivery_tag, read.properties.delivery_info
      local way = ', ' .. cjson.encode(sent.exchange) .. ', ' .. cjson.encode(sent.routing_key) .. ']'
      redis.call('ZADD', KEYS[2], ARGV[1], tag)
      redis.call('HSET', KEYS[1], tag, '[' .. message .. way)
    end
    -- One bell wakes one worker. Without another ring, the others would sleep for a second beside waiting jobs.
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
