#!lua
-- Put messages on a queue: ARGV is the kind, the name of the field with the time, then for each its delay and its
-- fields, packed after a name that tells equal ones apart.
local QUEUE, DELAYED, WAKE = unpack(KEYS)
local kind, sent_field = ARGV[1], ARGV[2]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local found = redis.call('TYPE', QUEUE).ok
if found ~= kind and found ~= 'none' then return redis.error_reply('PENSTOCKTYPE ' .. found) end
local first = redis.call('ZRANGE', DELAYED, 0, 0, 'WITHSCORES')[2]
local earliest
for i = 3, #ARGV, 2 do
  local delay = tonumber(ARGV[i])
  local parts = cmsgpack.unpack(ARGV[i + 1])
  if delay == 0 then
    if kind == 'stream' then
      redis.call('XADD', QUEUE, '*', unpack(parts, 2))
    else
      redis.call(parts[2], QUEUE, parts[3])
    end
  else
    if kind == 'stream' then
      parts[#parts + 1] = sent_field
      parts[#parts + 1] = string.format('%.0f', now)
    end
    redis.call('ZADD', DELAYED, now + delay, cmsgpack.pack(parts))
    earliest = math.min(earliest or now + delay, now + delay)
  end
end
-- Who waits has to learn of something that falls due before all else.
if earliest and (not first or earliest < tonumber(first)) then
  redis.call('XADD', WAKE, 'MAXLEN', '1', '*', 'w', '1')
end
return 'OK'
