#!lua flags=allow-oom
-- A queue on a stream and a consumer group. Each call is one operation, ARGV[1], by one owner, ARGV[3].
local STREAM, OWNERS, BACK, RUNS, DELAYED, WAKE, META, SEEN = unpack(KEYS)
--@lease

local CHUNK = 500
local SEEN_MS = 300000
local PARKED_MAX = 5000

local function groups_count()
  return #redis.call('XINFO', 'GROUPS', STREAM)
end

local function last_delivered()
  for _, group in ipairs(redis.call('XINFO', 'GROUPS', STREAM)) do
    if group[2] == GROUP then
      for i = 1, #group, 2 do
        if group[i] == 'last-delivered-id' then return group[i + 1] end
      end
    end
  end
  return '0-0'
end

local function last_sent()
  local last = redis.call('XREVRANGE', STREAM, '+', '-', 'COUNT', 1)
  return last[1] and last[1][1] or '0-0'
end

-- XCLAIM has its options after the ids, so they can not be unpacked in the middle.
local function claim_back(ids)
  local command = {'XCLAIM', STREAM, GROUP, RETURNED, 0}
  for _, id in ipairs(ids) do command[#command + 1] = id end
  command[#command + 1] = 'JUSTID'
  return redis.call(unpack(command))
end

local function pending_ids(consumer, after)
  local from = after and '(' .. after or '-'
  local ids = {}
  for _, entry in ipairs(redis.call('XPENDING', STREAM, GROUP, from, '+', CHUNK, consumer)) do
    ids[#ids + 1] = entry[1]
  end
  return ids
end

local function is_mine(id)
  local entry = redis.call('XPENDING', STREAM, GROUP, id, id, 1)[1]
  return entry and entry[2] == OWNER
end

local function older(one, other)
  local one_ms, one_n = string.match(one, '^(%d+)-(%d+)$')
  local other_ms, other_n = string.match(other, '^(%d+)-(%d+)$')
  if #one_ms ~= #other_ms then return #one_ms < #other_ms end
  if one_ms ~= other_ms then return one_ms < other_ms end
  if #one_n ~= #other_n then return #one_n < #other_n end
  return one_n < other_n
end

-- Delayed messages that are due are sent now.
local function send_due()
  for _, packed in ipairs(redis.call('ZRANGEBYSCORE', DELAYED, '-inf', NOW, 'LIMIT', 0, CHUNK)) do
    local fields = cmsgpack.unpack(packed)
    table.remove(fields, 1)
    redis.call('XADD', STREAM, '*', unpack(fields))
    redis.call('ZREM', DELAYED, packed)
  end
end

-- What nobody alive holds becomes everyone's again: consumers that are no owners, and entries that fell out of the set.
local function sweep()
  local swept, more = 0, 0
  local consumers = redis.pcall('XINFO', 'CONSUMERS', STREAM, GROUP)
  if consumers.err then return nil end
  for _, found in ipairs(consumers) do
    local name, pending = found[2], found[4]
    if name == RETURNED then
      if pending > redis.call('ZCARD', BACK) then
        local after
        repeat
          local ids = pending_ids(RETURNED, after)
          for _, id in ipairs(ids) do redis.call('ZADD', BACK, 'NX', NOW, id) end
          after = ids[#ids]
        until #ids < CHUNK
      end
    elseif not redis.call('ZSCORE', OWNERS, name) then
      if pending > 0 then
        local ids = pending_ids(name)
        for _, id in ipairs(claim_back(ids)) do
          count_death(id)
          redis.call('ZADD', BACK, NOW, id)
        end
        swept = swept + #ids
        if #ids < pending then more = 1 end
      else
        redis.call('XGROUP', 'DELCONSUMER', STREAM, GROUP, name)
      end
    end
  end
  if swept > 0 then ring() end
  return swept, more
end

-- FIFO: one owner is active, and others only when its lease is over.
local function is_active()
  local active = redis.call('HGET', META, 'active')
  if active == OWNER then return true end
  if active and redis.call('ZSCORE', OWNERS, active) then return false end
  -- Nothing is read before all that a former owner held is back in its place.
  local swept, more = sweep()
  if swept == nil then return nil end
  while more == 1 do swept, more = sweep() end
  redis.call('HSET', META, 'active', OWNER)
  return true
end

local function group_of(fields, group_field)
  for i = 1, #fields, 2 do
    if fields[i] == group_field then return fields[i + 1] end
  end
  return ''
end

-- FIFO: for each group of which a returned message is not due yet, the oldest such message and its time; and how many
-- there are of all groups.
local function waiting_groups(group_field)
  local found = redis.call('ZRANGEBYSCORE', BACK, '(' .. string.format('%.0f', NOW), '+inf', 'WITHSCORES')
  if #found == 0 then return nil, 0 end
  local groups = {}
  for i = 1, #found, 2 do
    local entry = redis.call('XRANGE', STREAM, found[i], found[i])[1]
    if entry then
      local group = group_of(entry[2], group_field)
      if not groups[group] or older(found[i], groups[group][1]) then groups[group] = {found[i], found[i + 1]} end
    end
  end
  return groups, #found / 2
end

-- Keep what may come now; what would pass a message of its group that is not due is returned until that one is.
local function in_turn(entries, groups, group_field)
  if not groups then return entries, 0 end
  local kept, parked = {}, 0
  for _, entry in ipairs(entries) do
    local first = groups[group_of(entry[2], group_field)]
    if first and older(first[1], entry[1]) then
      claim_back({entry[1]})
      redis.call('ZADD', BACK, first[2], entry[1])
      parked = parked + 1
    else
      kept[#kept + 1] = entry
    end
  end
  return kept, parked
end

-- Gives what is due of what was returned, how much of it is not there any more, and whether all that is due was tried.
local function take_back(count, fifo, groups, group_field)
  local ids
  if fifo then
    ids = redis.call('ZRANGEBYSCORE', BACK, '-inf', NOW, 'LIMIT', 0, 100000)
    table.sort(ids, older)
  else
    ids = redis.call('ZRANGEBYSCORE', BACK, '-inf', NOW, 'LIMIT', 0, math.min(count, CHUNK))
  end
  local taken, gone, tried = {}, 0, 0
  while tried < #ids and #taken < count do
    local some = {unpack(ids, tried + 1, math.min(#ids, tried + math.min(count - #taken, CHUNK)))}
    tried = tried + #some
    local entries = redis.call('XCLAIM', STREAM, GROUP, OWNER, 0, unpack(some))
    redis.call('ZREM', BACK, unpack(some))
    if #entries < #some then
      -- Trimmed away under our feet: there is nothing left to run.
      local there = {}
      for _, entry in ipairs(entries) do there[entry[1]] = true end
      for _, id in ipairs(some) do
        if not there[id] then
          redis.call('XACK', STREAM, GROUP, id)
          redis.call('HDEL', RUNS, id)
        end
      end
      gone = gone + #some - #entries
    end
    for _, entry in ipairs((in_turn(entries, groups, group_field))) do taken[#taken + 1] = entry end
  end
  return taken, gone, tried == #ids
end

local function size_of(entries)
  local size = 0
  for i = 1, #entries do
    local fields = entries[i][2]
    for j = 2, #fields, 2 do size = size + #fields[j] end
  end
  return size
end

local operations = {}

-- Find or make the group, and be an owner. Answers whether the group was made.
function operations.join()
  local kind = redis.call('TYPE', STREAM).ok
  if kind ~= 'stream' and kind ~= 'none' then return redis.error_reply('PENSTOCKTYPE ' .. kind) end
  local refused = check_format()
  if refused then return refused end
  local made = redis.pcall('XGROUP', 'CREATE', STREAM, GROUP, '0', 'MKSTREAM')
  if made.err and not string.find(made.err, 'BUSYGROUP', 1, true) then return made end
  redis.call('ZADD', OWNERS, NOW + TTL, OWNER)
  ring()  -- so that those who wait know when this lease ends
  return {'joined', made.err and 0 or 1}
end

-- Look without joining: a type that is wrong, a format that is newer, a right that is missing.
function operations.check()
  local kind = redis.call('TYPE', STREAM).ok
  if kind ~= 'stream' and kind ~= 'none' then return redis.error_reply('PENSTOCKTYPE ' .. kind) end
  local format = redis.call('HGET', META, 'format')
  if format and tonumber(format) > FORMAT then
    return redis.error_reply('PENSTOCKFORMAT ' .. format .. ' ' .. FORMAT)
  end
  redis.call('ZREM', OWNERS, OWNER)
  redis.call('XACK', STREAM, GROUP, '0-1')
  return {'checked'}
end

-- Make the stream and the group.
function operations.create()
  local made = redis.pcall('XGROUP', 'CREATE', STREAM, GROUP, '0', 'MKSTREAM')
  if made.err and not string.find(made.err, 'BUSYGROUP', 1, true) then return made end
  return {'created', made.err and 0 or 1}
end

-- ARGV: count, entries at a time, bytes at most, fifo, the field with the group.
function operations.take()
  if not holds_lease() then return {'fenced'} end
  local count, step, bytes_max, fifo = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8] == '1'
  send_due()
  if fifo then
    local active = is_active()
    if active == nil then return {'groupless'} end
    if not active then return {'standby', NOW, next_due(), next_end(), last_rung()} end
  end
  if redis.call('EXISTS', STREAM) == 0 then return {'groupless'} end
  local groups, waiting = nil, 0
  if fifo then groups, waiting = waiting_groups(ARGV[9]) end
  local back, gone, is_all = take_back(count, fifo, groups, ARGV[9])
  local bytes, found = size_of(back), #back
  local fresh = {}
  -- What waits for others of its group is bounded: with so much of it nothing more is read until some is due.
  while is_all and found < count and bytes < bytes_max and waiting < PARKED_MAX do
    local wanted = math.min(step, count - found)
    local read = redis.pcall('XREADGROUP', 'GROUP', GROUP, OWNER, 'COUNT', wanted, 'STREAMS', STREAM, '>')
    if not read then break end
    if read.err then
      if string.find(read.err, 'NOGROUP', 1, true) then return {'groupless'} end
      return read
    end
    local entries, parked = in_turn(read[1][2], groups, ARGV[9])
    waiting = waiting + parked
    fresh[#fresh + 1] = entries
    found = found + #entries
    bytes = bytes + size_of(entries)
    if #read[1][2] < wanted then break end
  end
  if found == 0 then
    local known = waiting < PARKED_MAX and last_delivered() or last_sent()
    return {'nothing', NOW, next_due(), next_end(), last_rung(), known, gone}
  end
  local ids = {}
  if redis.call('EXISTS', RUNS) == 1 then
    for _, entry in ipairs(back) do ids[#ids + 1] = entry[1] end
    for _, entries in ipairs(fresh) do
      for _, entry in ipairs(entries) do ids[#ids + 1] = entry[1] end
    end
  end
  return {'taken', NOW, back, fresh, kept_runs(ids), gone}
end

-- ARGV: auto, always or never; how many ids; the ids; deduplication ids.
function operations.ack()
  if not holds_lease() then return {'fenced'} end
  local deletes, count = ARGV[5], tonumber(ARGV[6])
  if redis.call('EXISTS', STREAM) == 0 then return {'settled', 0} end
  if deletes == 'auto' then deletes = groups_count() == 1 and 'always' or 'never' end
  local has_runs = redis.call('EXISTS', RUNS) == 1
  local acked = 0
  for first = 7, 6 + count, CHUNK do
    local last = math.min(first + CHUNK - 1, 6 + count)
    acked = acked + redis.call('XACK', STREAM, GROUP, unpack(ARGV, first, last))
    if deletes == 'always' then redis.call('XDEL', STREAM, unpack(ARGV, first, last)) end
    if has_runs then redis.call('HDEL', RUNS, unpack(ARGV, first, last)) end
  end
  for i = 7 + count, #ARGV do redis.call('ZADD', SEEN, NOW, ARGV[i]) end
  if #ARGV > 6 + count then redis.call('ZREMRANGEBYSCORE', SEEN, '-inf', NOW - SEEN_MS) end
  return {'settled', acked}
end

-- ARGV: delay, then for each its id, runs so far (-1: as they are kept) and first receive.
function operations.back()
  if not holds_lease() then return {'fenced'} end
  local delay, settled = tonumber(ARGV[5]), 0
  if redis.call('EXISTS', STREAM) == 0 then return {'settled', 0} end
  local due, before = NOW + delay, next_due()
  for i = 6, #ARGV, 3 do
    local id, runs = ARGV[i], tonumber(ARGV[i + 1])
    if is_mine(id) then
      settled = settled + 1
      if runs >= 0 then keep_runs(id, runs, tonumber(ARGV[i + 2])) end
      claim_back({id})
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
  if redis.call('EXISTS', STREAM) == 0 then return {'settled', 0} end
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
  if redis.call('EXISTS', STREAM) == 0 then return {'groupless'} end
  local swept, more, dead = 0, 0, 0
  if ARGV[5] == '1' then
    dead = bury()
    swept, more = sweep()
    if swept == nil then return {'groupless'} end
  end
  return {'alive', NOW, next_due(), next_end(), swept, more, dead}
end

-- ARGV: the id after which to list what is ours.
function operations.mine()
  if not holds_lease() then return {'fenced'} end
  if redis.call('EXISTS', STREAM) == 0 then return {'mine', {}} end
  return {'mine', pending_ids(OWNER, ARGV[5] ~= '' and ARGV[5] or nil)}
end

-- ARGV: deduplication ids. Answers which were settled lately.
function operations.seen()
  local seen = {}
  for i = 5, #ARGV do
    local settled = redis.call('ZSCORE', SEEN, ARGV[i])
    seen[#seen + 1] = settled and tonumber(settled) > NOW - SEEN_MS and 1 or 0
  end
  return {'seen', seen}
end

-- Be an owner no more; what is still held comes back when the lease is over.
function operations.leave()
  if not redis.call('ZSCORE', OWNERS, OWNER) then return {'left'} end
  if redis.call('EXISTS', STREAM) == 1 and #redis.call('XPENDING', STREAM, GROUP, '-', '+', 1, OWNER) > 0 then
    return {'left'}
  end
  redis.call('ZREM', OWNERS, OWNER)
  redis.pcall('XGROUP', 'DELCONSUMER', STREAM, GROUP, OWNER)
  if redis.call('HGET', META, 'active') == OWNER then
    redis.call('HDEL', META, 'active')
    ring()
  end
  return {'left'}
end

function operations.backlog()
  if redis.call('EXISTS', STREAM) == 0 then return {'backlog', NOW, 0, 0, 0, redis.call('ZCARD', DELAYED), ''} end
  local pending, lag, last = 0, -1, '0-0'
  for _, group in ipairs(redis.call('XINFO', 'GROUPS', STREAM)) do
    if group[2] == GROUP then
      pending, last = group[6], group[8]
      lag = group[12] or -1
    end
  end
  local waiting = redis.call('ZCOUNT', BACK, '-inf', NOW)
  local after = redis.call('XRANGE', STREAM, '(' .. last, '+', 'COUNT', 1)
  if #after == 0 then
    lag = 0
  elseif lag < 0 then
    -- The server lost count, as it does where entries were deleted; ours goes as far as it may take.
    lag = #redis.call('XRANGE', STREAM, '(' .. last, '+', 'COUNT', 1000)
  end
  return {'backlog', NOW, waiting, pending, lag, redis.call('ZCARD', DELAYED), after[1] and after[1][1] or ''}
end

return operations[ARGV[1]]()
