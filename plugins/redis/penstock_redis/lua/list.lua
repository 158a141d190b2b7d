#!lua flags=allow-oom
-- A queue on a list. What is taken gets an id and moves to a hash, and is held there under its owner's name until it is
-- settled. Each call is one operation, ARGV[1], by one owner, ARGV[3].
local LIST, OWNERS, BACK, RUNS, DELAYED, WAKE, META, VALUES, HOLDERS = unpack(KEYS)
--@lease

local CHUNK = 500

local function under(owner, id)
  return owner .. '|' .. id
end

-- The ids that an owner holds, after one of them.
local function held_by(owner, after, count)
  local members = redis.call(
    'ZRANGEBYLEX', HOLDERS, '(' .. under(owner, after or ''), '(' .. under(owner, '\255'), 'LIMIT', 0, count
  )
  for i, member in ipairs(members) do members[i] = string.sub(member, #owner + 2) end
  return members
end

local function hand_over(id, from, to)
  redis.call('ZREM', HOLDERS, under(from, id))
  redis.call('ZADD', HOLDERS, 0, under(to, id))
end

local function is_mine(id)
  return redis.call('ZSCORE', HOLDERS, under(OWNER, id))
end

local function send_due()
  for _, packed in ipairs(redis.call('ZRANGEBYSCORE', DELAYED, '-inf', NOW, 'LIMIT', 0, CHUNK)) do
    local parts = cmsgpack.unpack(packed)
    redis.call(parts[2], LIST, parts[3])
    redis.call('ZREM', DELAYED, packed)
  end
end

-- What nobody alive holds becomes everyone's again.
local function sweep()
  local swept, from = 0, '-'
  while true do
    local first = redis.call('ZRANGEBYLEX', HOLDERS, from, '+', 'LIMIT', 0, 1)[1]
    if not first then break end
    local owner = string.match(first, '^(.*)|[^|]*$')
    if owner ~= RETURNED and not redis.call('ZSCORE', OWNERS, owner) then
      local ids = held_by(owner, nil, CHUNK)
      for _, id in ipairs(ids) do
        hand_over(id, owner, RETURNED)
        count_death(id)
        redis.call('ZADD', BACK, NOW, id)
      end
      swept = swept + #ids
      if #ids == CHUNK then
        ring()
        return swept, 1
      end
    end
    from = '(' .. under(owner, '\255')
  end
  if swept > 0 then ring() end
  return swept, 0
end

local function check_kind()
  local kind = redis.call('TYPE', LIST).ok
  if kind ~= 'list' and kind ~= 'none' then return redis.error_reply('PENSTOCKTYPE ' .. kind) end
end

local operations = {}

-- Be an owner. Answers whether nothing was known of this queue before.
function operations.join()
  local made = redis.call('EXISTS', META) == 0
  local refused = check_kind() or check_format()
  if refused then return refused end
  redis.call('ZADD', OWNERS, NOW + TTL, OWNER)
  ring()  -- so that those who wait know when this lease ends
  return {'joined', made and 1 or 0}
end

-- Look without joining: a type that is wrong, a format that is newer, a right that is missing.
function operations.check()
  local format = redis.call('HGET', META, 'format')
  if format and tonumber(format) > FORMAT then
    return redis.error_reply('PENSTOCKFORMAT ' .. format .. ' ' .. FORMAT)
  end
  redis.call('ZREM', OWNERS, OWNER)
  return check_kind() or {'checked'}
end

-- ARGV: count, entries at a time, bytes at most, fifo (never), the command that pops.
function operations.take()
  if not holds_lease() then return {'fenced'} end
  local count, step, bytes_max, pop = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[9]
  send_due()
  local back, fresh, ids, gone, bytes = {}, {}, {}, 0, 0
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', BACK, '-inf', NOW, 'LIMIT', 0, math.min(count, CHUNK))) do
    local value = redis.call('HGET', VALUES, id)
    redis.call('ZREM', BACK, id)
    if value then
      hand_over(id, RETURNED, OWNER)
      back[#back + 1], ids[#ids + 1], bytes = {id, value}, id, bytes + #value
    else
      redis.call('ZREM', HOLDERS, under(RETURNED, id))
      redis.call('HDEL', RUNS, id)
      gone = gone + 1
    end
  end
  while #ids < count and bytes < bytes_max do
    local wanted = math.min(step, count - #ids)
    local values = redis.call(pop, LIST, wanted) or {}
    if #values == 0 then break end
    if redis.call('HGET', META, 'epoch') == false then redis.call('HSET', META, 'epoch', string.format('%.0f', NOW)) end
    local epoch, last = redis.call('HGET', META, 'epoch'), redis.call('HINCRBY', META, 'last', #values)
    local entries = {}
    for i, value in ipairs(values) do
      local id = epoch .. '-' .. string.format('%.0f', last - #values + i)
      redis.call('HSET', VALUES, id, value)
      redis.call('ZADD', HOLDERS, 0, under(OWNER, id))
      entries[i], ids[#ids + 1], bytes = {id, value}, id, bytes + #value
    end
    fresh[#fresh + 1] = entries
    if #values < wanted then break end
  end
  if #ids == 0 then return {'nothing', NOW, next_due(), next_end(), last_rung(), '', gone} end
  return {'taken', NOW, back, fresh, kept_runs(ids), gone}
end

-- ARGV: nothing, how many ids; the ids.
function operations.ack()
  if not holds_lease() then return {'fenced'} end
  local settled = 0
  for i = 7, 6 + tonumber(ARGV[6]) do
    if redis.call('ZREM', HOLDERS, under(OWNER, ARGV[i])) == 1 then
      settled = settled + 1
      redis.call('HDEL', VALUES, ARGV[i])
      redis.call('HDEL', RUNS, ARGV[i])
    end
  end
  return {'settled', settled}
end

-- ARGV: delay, then for each its id, runs so far (-1: as they are kept) and first receive.
function operations.back()
  if not holds_lease() then return {'fenced'} end
  local delay, settled = tonumber(ARGV[5]), 0
  local due, before = NOW + delay, next_due()
  for i = 6, #ARGV, 3 do
    local id, runs = ARGV[i], tonumber(ARGV[i + 1])
    if is_mine(id) then
      settled = settled + 1
      if runs >= 0 then keep_runs(id, runs, tonumber(ARGV[i + 2])) end
      hand_over(id, OWNER, RETURNED)
      redis.call('ZADD', BACK, due, id)
    end
  end
  if settled > 0 and (delay == 0 or before < 0 or due < before) then ring() end
  return {'settled', settled}
end

-- ARGV: for each its id, runs so far and first receive.
function operations.count()
  if not holds_lease() then return {'fenced'} end
  local counted = 0
  for i = 5, #ARGV, 3 do
    if is_mine(ARGV[i]) then
      counted = counted + 1
      keep_runs(ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]))
    end
  end
  return {'settled', counted}
end

-- ARGV: 1 where the dead may be buried.
function operations.beat()
  if not holds_lease() then return {'fenced'} end
  local swept, more, dead = 0, 0, 0
  if ARGV[5] == '1' then
    dead = bury()
    swept, more = sweep()
  end
  return {'alive', NOW, next_due(), next_end(), swept, more, dead}
end

-- ARGV: the id after which to list what is ours.
function operations.mine()
  if not holds_lease() then return {'fenced'} end
  return {'mine', held_by(OWNER, ARGV[5], CHUNK)}
end

-- Be an owner no more; what is still held comes back when the lease is over.
function operations.leave()
  if #held_by(OWNER, nil, 1) == 0 then redis.call('ZREM', OWNERS, OWNER) end
  return {'left'}
end

function operations.backlog()
  local returned = redis.call('ZCOUNT', BACK, '-inf', NOW)
  return {'backlog', NOW, returned, redis.call('HLEN', VALUES), redis.call('LLEN', LIST), redis.call('ZCARD', DELAYED), ''}
end

return operations[ARGV[1]]()
