-- LIMITS: what holds for a key over all gateway processes. Every call is atomic, and the only clock
-- is Redis' own. ARGV[1] says which of the calls below it is; each tells its KEYS and ARGV.
--
-- Keys (one hash tag: in a cluster they share a slot, and a script may touch several):
--   tickgate:{limits}:rate:<name>       when the bucket is empty again (GCRA), us, quarters exact
--   tickgate:usage:{limits}:<holder>    hash: <yyyy-mm>:<what> = how many; first: it has begun. An
--                                       embedded Redis keeps what begins so, and forgets the rest
--   tickgate:{limits}:slots:<holder>    sorted set: '<worker> <session>' by when it was opened, us
--   tickgate:{limits}:worker:<worker>   set: '<holder> <session>', its own part of all slots
--   tickgate:{limits}:workers           sorted set: worker by when its lease ends, us
--   tickgate:{limits}:ended:<worker>    list: sessions that it is to end, another took their slot
--
-- A slot lives as long as its worker's lease: a worker renews one number for all its sessions, and
-- the slots of one that died are given back by whoever looks next.

local PREFIX = 'tickgate:{limits}:'
local WORKERS = PREFIX .. 'workers'
local MONTHS_KEPT = 13
local USAGE_KEPT_S = 400 * 86400
local ENDED_KEPT_S = 60

local function now_us()
  local now = redis.call('TIME')
  return now[1] * 1000000 + now[2]
end

local function slots_of(holder)
  return PREFIX .. 'slots:' .. holder
end

local function sessions_of(worker)
  return PREFIX .. 'worker:' .. worker
end

-- One of a rate: whether it may, how long until one may (us), how many more may now, and how long
-- until the bucket is empty again (us). Nothing is counted unless `commit` is called.
local function look(key, interval, burst)
  local now = now_us()
  local most = now + burst * interval
  local due = tonumber(redis.call('GET', key) or now)
  -- Further ahead than the bucket is deep: the plan has changed, or the clock was set back.
  due = math.min(math.max(due, now), most)
  local free = math.floor((most - due) / interval)
  local function commit()
    local next_due = due + interval
    local left_ms = math.ceil((next_due - now) / 1000) + 1000
    redis.call('SET', key, string.format('%.2f', next_due), 'PX', string.format('%d', left_ms))
  end
  if free < 1 then
    return false, math.ceil(due + interval - most), 0, math.ceil(due - now), commit
  end
  return true, 0, free - 1, math.ceil(due + interval - now), commit
end

local function add_usage(key, month, what, count)
  redis.call('HINCRBY', key, month .. ':' .. what, count)
  redis.call('EXPIRE', key, USAGE_KEPT_S)
end

-- Forgets the oldest months of a holder once there are too many.
local function prune(key, month)
  if redis.call('HEXISTS', key, month .. ':first') == 1 then
    return
  end
  redis.call('HSET', key, month .. ':first', 1)
  local months, seen = {}, {}
  local fields = redis.call('HKEYS', key)
  for _, field in ipairs(fields) do
    local one = string.sub(field, 1, 7)
    if not seen[one] then
      seen[one] = true
      table.insert(months, one)
    end
  end
  table.sort(months)
  local oldest_kept = months[math.max(1, #months - MONTHS_KEPT + 1)]
  for _, field in ipairs(fields) do
    if string.sub(field, 1, 7) < oldest_kept then
      redis.call('HDEL', key, field)
    end
  end
end

-- Gives back all that a worker holds.
local function forget_worker(worker)
  for _, one in ipairs(redis.call('SMEMBERS', sessions_of(worker))) do
    local holder, session = string.match(one, '^(%S+) (%S+)$')
    redis.call('ZREM', slots_of(holder), worker .. ' ' .. session)
  end
  redis.call('DEL', sessions_of(worker), PREFIX .. 'ended:' .. worker)
  redis.call('ZREM', WORKERS, worker)
end

local function bury_the_dead(now)
  local dead = redis.call('ZRANGEBYSCORE', WORKERS, '-inf', string.format('%d', now))
  for _, worker in ipairs(dead) do
    forget_worker(worker)
  end
end

local function end_oldest(holder)
  local oldest = redis.call('ZRANGE', slots_of(holder), 0, 0)[1]
  local worker, session = string.match(oldest, '^(%S+) (%S+)$')
  redis.call('ZREM', slots_of(holder), oldest)
  redis.call('SREM', sessions_of(worker), holder .. ' ' .. session)
  redis.call('RPUSH', PREFIX .. 'ended:' .. worker, session)
  redis.call('EXPIRE', PREFIX .. 'ended:' .. worker, ENDED_KEPT_S)
end

-- Whether the session has a slot now. `most` 0: no limit.
local function occupy(worker, session, holder, most, policy, now)
  local slots = slots_of(holder)
  local slot = worker .. ' ' .. session
  if redis.call('ZSCORE', slots, slot) then
    return true
  end
  if most > 0 and redis.call('ZCARD', slots) >= most then
    bury_the_dead(now)
    while policy == 'kick_oldest' and redis.call('ZCARD', slots) >= most do
      end_oldest(holder)
    end
    if redis.call('ZCARD', slots) >= most then
      return false
    end
  end
  redis.call('ZADD', slots, string.format('%d', now), slot)
  redis.call('SADD', sessions_of(worker), holder .. ' ' .. session)
  return true
end

local calls = {}

-- KEYS rate · ARGV interval burst -> {admitted, wait us, left, reset us}
function calls.take()
  local may, wait, left, reset, commit = look(KEYS[1], tonumber(ARGV[2]), tonumber(ARGV[3]))
  if may then
    commit()
  end
  return {may and 1 or 0, wait, left, reset}
end

-- KEYS rate usage · ARGV interval burst (0 0: no limit) month month_max (0: no limit)
--   -> {0 admitted, 1 over the rate, 2 over the month; wait us; left; reset us; used this month}
function calls.rest()
  local interval, month = tonumber(ARGV[2]), ARGV[4]
  local month_max = tonumber(ARGV[5])
  local may, wait, left, reset, commit = true, 0, 0, 0, nil
  if interval > 0 then
    may, wait, left, reset, commit = look(KEYS[1], interval, tonumber(ARGV[3]))
  end
  local used = tonumber(redis.call('HGET', KEYS[2], month .. ':rest') or 0)
  if month_max > 0 and used >= month_max then
    return {2, 0, left, reset, used}
  elseif not may then
    return {1, wait, left, reset, used}
  end
  if commit then
    commit()
  end
  prune(KEYS[2], month)
  add_usage(KEYS[2], month, 'rest', 1)
  return {0, 0, left, reset, used + 1}
end

-- KEYS usage… · ARGV month, then for each key messages bytes commands connections
function calls.count()
  local whats = {'messages', 'bytes', 'commands', 'connections'}
  local month = ARGV[2]
  for i, key in ipairs(KEYS) do
    prune(key, month)
    for j, what in ipairs(whats) do
      local count = ARGV[2 + (i - 1) * #whats + j]
      if count ~= '0' then
        add_usage(key, month, what, count)
      end
    end
  end
  return #KEYS
end

-- KEYS usage slots · ARGV month -> {connections open, rest, messages, bytes, commands, connections}
function calls.usage()
  bury_the_dead(now_us())
  local answer = {redis.call('ZCARD', KEYS[2])}
  for _, what in ipairs({'rest', 'messages', 'bytes', 'commands', 'connections'}) do
    table.insert(answer, tonumber(redis.call('HGET', KEYS[1], ARGV[2] .. ':' .. what) or 0))
  end
  return answer
end

-- KEYS slots · ARGV worker session holder most policy lease_us -> {opened, 1: the worker was known}
function calls.open()
  local now = now_us()
  -- Never a slot without a lease that ends it.
  local lease_end = string.format('%d', now + tonumber(ARGV[7]))
  local is_new = redis.call('ZADD', WORKERS, 'NX', lease_end, ARGV[2])
  local opened = occupy(ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6], now)
  return {opened and 1 or 0, 1 - is_new}
end

-- KEYS slots · ARGV worker session holder
function calls.close()
  redis.call('ZREM', KEYS[1], ARGV[2] .. ' ' .. ARGV[3])
  redis.call('SREM', sessions_of(ARGV[2]), ARGV[4] .. ' ' .. ARGV[3])
  return {1}
end

-- KEYS workers · ARGV worker lease_us -> {1: the worker was known, workers}
function calls.renew()
  local now = now_us()
  bury_the_dead(now)
  local is_new = redis.call('ZADD', WORKERS, string.format('%d', now + tonumber(ARGV[3])), ARGV[2])
  return {1 - is_new, redis.call('ZCARD', WORKERS)}
end

-- KEYS workers · ARGV worker: it ends, or is not sure any more of what it holds.
function calls.leave()
  forget_worker(ARGV[2])
  return {1}
end

-- KEYS workers · ARGV worker, then for each session: session holder most -> {opened…}
function calls.restore()
  local now, answer = now_us(), {}
  for i = 3, #ARGV, 3 do
    local opened = occupy(ARGV[2], ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), 'reject', now)
    table.insert(answer, opened and 1 or 0)
  end
  return answer
end

local call = calls[ARGV[1]]
if not call then
  return redis.error_reply('ERR limits: no such call')
end
return call()
