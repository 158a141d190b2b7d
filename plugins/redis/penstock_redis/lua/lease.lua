-- What both kinds of queue share: the lease of an owner, and what is due when. Format 1.
-- Times are milliseconds by this server's clock alone.

local FORMAT = 1
local GROUP, OWNER, TTL = ARGV[2], ARGV[3], tonumber(ARGV[4])
local RETURNED = 'returned'  -- the holder of what was given back and is nobody's until it is taken

local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local NOW = clock()

-- An owner that is not in the set was declared dead, or the set is gone: it may not touch anything any more.
local function holds_lease()
  local ends = redis.call('ZSCORE', OWNERS, OWNER)
  if not ends then return false end
  -- A lease with most of its time left is not written again: reading and settling often would fill the log.
  if tonumber(ends) < NOW + TTL * 0.8 then redis.call('ZADD', OWNERS, 'XX', NOW + TTL, OWNER) end
  return true
end

local function first_score(key)
  local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
  return first[2] and tonumber(first[2]) or -1
end

-- When another owner's lease ends, -1 where there is none.
local function next_end()
  local first = redis.call('ZRANGE', OWNERS, 0, 1, 'WITHSCORES')
  if first[1] and first[1] ~= OWNER then return tonumber(first[2]) end
  return first[4] and tonumber(first[4]) or -1
end

local function next_due()
  local returned, delayed = first_score(BACK), first_score(DELAYED)
  if returned < 0 then return delayed end
  if delayed < 0 then return returned end
  return math.min(returned, delayed)
end

-- Everyone who waits looks again.
local function ring()
  redis.call('XADD', WAKE, 'MAXLEN', '1', '*', 'w', '1')
end

local function last_rung()
  local last = redis.call('XREVRANGE', WAKE, '+', '-', 'COUNT', '1')
  return last[1] and last[1][1] or '0-0'
end

-- Owners whose lease is over are owners no more; one more left than asked for would be found by the next call.
local function bury()
  local dead = redis.call('ZRANGEBYSCORE', OWNERS, '-inf', NOW, 'LIMIT', 0, 100)
  if #dead > 0 then redis.call('ZREM', OWNERS, unpack(dead)) end
  return #dead
end

local function runs_of(id)
  local kept = redis.call('HGET', RUNS, id)
  if not kept then return 0, nil end
  local runs, first = string.match(kept, '^(%d+):(%d+)$')
  return tonumber(runs), first
end

local function keep_runs(id, runs, first)
  redis.call('HSET', RUNS, id, runs .. ':' .. string.format('%.0f', first))
end

-- Held by the dead, it may have been run once without anyone's word (D22).
local function count_death(id)
  local runs, first = runs_of(id)
  keep_runs(id, runs + 1, first or NOW)
end

local function kept_runs(ids)
  if #ids == 0 or redis.call('EXISTS', RUNS) == 0 then return {} end
  return redis.call('HMGET', RUNS, unpack(ids))
end

-- A newer writer may mean something else by these keys (D48).
local function check_format()
  local format = redis.call('HGET', META, 'format')
  if not format then
    redis.call('HSET', META, 'format', FORMAT)
  elseif tonumber(format) > FORMAT then
    return redis.error_reply('PENSTOCKFORMAT ' .. format .. ' ' .. FORMAT)
  end
end
