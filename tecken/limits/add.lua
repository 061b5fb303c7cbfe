-- Adds one batch of counts, however often it is sent. KEYS: the batch, the processes, then the counters.
-- ARGV: the process ('': one that decides no limits), seconds until it is thought to be gone, seconds a batch is
-- remembered, then for each counter its field ('': it has none) and the number. Returns how many processes there are.
local now = tonumber(redis.call('TIME')[1])
if ARGV[1] ~= '' then
  redis.call('ZADD', KEYS[2], now, ARGV[1])
end
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - ARGV[2])
if #KEYS > 2 and redis.call('SET', KEYS[1], 1, 'NX', 'EX', ARGV[3]) then
  for i = 3, #KEYS do
    local field, number = ARGV[2 * i - 2], ARGV[2 * i - 1]
    if field == '' then
      redis.call('INCRBY', KEYS[i], number)
    else
      redis.call('HINCRBY', KEYS[i], field, number)
    end
  end
end
return redis.call('ZCARD', KEYS[2])
