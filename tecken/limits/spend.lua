-- All limits that apply to one caller, decided together: every one is counted, or none.
-- KEYS: one for each limit, as in keys.py. ARGV: the moment in microseconds (0: now), then for each limit its
-- window, the seconds of that (0: a quota), its quantity, the cost, and the field in a quota's hash; at last 1 if
-- the cost is spent already, and so is counted also above a limit. A cost below zero gives back. Returns 1 or 0,
-- the moment, then for each limit: remaining, milliseconds to more, and whether it refuses.
local DAY = 86400
local SLACK = 1e-6 -- what rounding may take from a level

local function date(days) -- of the civil calendar, by Howard Hinnant's days_from_civil turned round
  local z = days + 719468
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local month = mp < 10 and mp + 3 or mp - 9
  return yoe + era * 400 + (month <= 2 and 1 or 0), month, doy - math.floor((153 * mp + 2) / 5) + 1
end

local function calendar(window, now) -- its name, and the milliseconds until it ends
  local day = math.floor(now / 1e6 / DAY)
  local year, month, of_month = date(day)
  if window == 'day' then
    return string.format('%04d%02d%02d', year, month, of_month), (day + 1) * DAY * 1000 - now / 1000
  end
  local next_month = day - of_month + 33 -- some day of it
  local _, _, beyond = date(next_month)
  return string.format('%04d%02d', year, month), (next_month - beyond + 1) * DAY * 1000 - now / 1000
end

-- GCRA as a leaky bucket (ITU-T I.371, its continuous-state form): a level that drains by the quantity per window.
local function level(key, seconds, quantity, now)
  local kept = redis.call('GET', key)
  if not kept then
    return 0, now
  end
  local text, moment = kept:match('^(%S+) (%d+)$')
  local drained = math.max(0, now - tonumber(moment)) * quantity / (seconds * 1e6)
  return math.max(0, tonumber(text) - drained), math.max(now, tonumber(moment))
end

local function keep_level(key, after, moment, milliseconds)
  if milliseconds > 0 then
    redis.call('SET', key, string.format('%.17g %.0f', after, moment), 'PX', milliseconds)
  else
    redis.call('DEL', key)
  end
end

local now = tonumber(ARGV[1])
if now == 0 then
  local time = redis.call('TIME')
  now = time[1] * 1e6 + time[2]
end

local allowed, limits = true, {}
for i, key in ipairs(KEYS) do
  local j = 5 * i - 3
  local limit = {key = key, seconds = tonumber(ARGV[j + 1]), quantity = tonumber(ARGV[j + 2]), cost = tonumber(ARGV[j + 3])}
  if limit.seconds > 0 then
    limit.spent, limit.moment = level(key, limit.seconds, limit.quantity, now)
  else
    local name, ends = calendar(ARGV[j], now)
    limit.key, limit.field, limit.ends = key .. name, ARGV[j + 4], ends
    limit.spent = tonumber(redis.call('HGET', limit.key, limit.field) or 0)
  end
  limit.refuses = limit.cost > 0 and limit.spent + limit.cost > limit.quantity + SLACK
  allowed = allowed and not limit.refuses
  limits[i] = limit
end

allowed = allowed or ARGV[5 * #KEYS + 2] == '1'
local answer = {allowed and 1 or 0, now}
for _, limit in ipairs(limits) do
  local after = math.max(0, limit.spent + (allowed and limit.cost or 0))
  local left = limit.quantity - after
  local remaining = math.max(0, math.floor(left + SLACK))
  local wait = limit.ends
  if limit.field == nil then
    local wanted = math.min(limit.quantity, limit.refuses and limit.cost or remaining + 1)
    wait = math.max(0, wanted - left) * limit.seconds * 1000 / limit.quantity
  end
  if allowed and limit.cost ~= 0 then
    if limit.field then
      redis.call('HSET', limit.key, limit.field, string.format('%.0f', after))
    else
      keep_level(limit.key, after, limit.moment, math.ceil(after * limit.seconds * 1000 / limit.quantity))
    end
  end
  answer[#answer + 1] = remaining
  answer[#answer + 1] = math.ceil(wait)
  answer[#answer + 1] = limit.refuses and 1 or 0
end
return answer
