-- THE BUS, version 1: how any program in any language publishes to Tickgate's channels.
--
-- One call publishes many messages to one or more channels. For each channel, atomically: every
-- message gets the next seq of the channel's epoch, is appended to the channel's capped stream,
-- and is published. Pub/sub is for speed, the stream is for truth.
--
--   EVALSHA sha  2n  head_1 log_1 … head_n log_n  publisher batch  max missing count payload… …
--
--   head_i     tickgate:{<channel>}:head   hash: epoch, seq, publisher, batch, run
--   log_i      tickgate:{<channel>}:log    stream: entry <seq>-0, field m = the message
--              <channel> is <kind>:<venue>:<SYMBOL>, e.g. custom:desk:BTC-USD; a channel may stand
--              once in a call; in a Redis Cluster all channels of a call must share a slot.
--   publisher  a name of this process, chosen at its start, and
--   batch      a number that grows with each call: the same batch sent again (after a connection
--              died with the answer on its way) publishes nothing twice. '' and 0: no such memory.
--   max        messages to keep in the stream (approximately)
--   missing    '-', or 'feed:7' / 'venue:7': seven messages before the first of these will never
--              come, and whose fault that is; seq skips them and subscribers are told
--   count      how many payloads follow: JSON objects without ch, seq, gw, n and type
--
-- One key more, after all others, ending in ':lease', is a fence: its value must be the publisher's
-- name, or nothing is published and the answer is an error that begins with FENCED. Our feeds use it
-- (lease.lua): of two processes for one venue only one gets in, and one that slept learns of it.
--
-- Published to tickgate:{<channel>}, and kept in the stream: '<epoch> <seq> <missing> <payload>'.
-- Final candles are kept longer: of a channel candle.1m, or of a longer interval, the messages whose
-- payload says "final":true, corrections included, are appended to the list
-- tickgate:{<channel>}:finals as well, which keeps the newest 1,000. It is no key of the call: it is
-- found beside the head, and in the same slot. No end of an epoch empties it: a candle is a candle
-- in whatever epoch it was told. Of several with the same start the last one counts.
-- Answers, for each channel in order, its epoch and its seq after the call: {epoch, seq, …}. A
-- channel of which a key has another type is left out, and answered by '' and 0.
--
-- An epoch begins when a channel is new, when Redis lost its memory, when the head is behind its own
-- stream or behind what a publisher or a gateway has heard, and when a publisher that is new to the
-- channel finds it kept by another run of Redis: nobody knows then whether that one kept all. Seqs
-- of different epochs can't be compared, and none is ever used twice.
-- Let subscribers find the channel: SADD tickgate:channels <channel> (every few seconds is fine).

local function new_epoch(log)
  local now = redis.call('TIME')
  redis.call('DEL', log)
  return string.format('%x%05x', now[1], now[2])
end

local function is_free_for(key, kind)
  local found = redis.call('TYPE', key).ok
  return found == kind or found == 'none'
end

-- Not of seconds: a thousand of those are a quarter of an hour.
local function finals_of(topic)
  return string.find(topic, '^tickgate:{candle%.%d+[mhd]:') and topic .. ':finals'
end

local run_id

local function run()
  run_id = run_id or string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
  return run_id
end

local publisher, batch = ARGV[1], tonumber(ARGV[2])
local answer = {}
local at = 3
local channels = #KEYS - #KEYS % 2

if channels < #KEYS then
  if string.sub(KEYS[#KEYS], -6) ~= ':lease' then
    return redis.error_reply('ERR bus: the keys are head_1 log_1 ... head_n log_n')
  elseif redis.pcall('GET', KEYS[#KEYS]) ~= publisher then
    return redis.error_reply('FENCED bus: the lease is not with this publisher')
  end
end

-- All is checked before anything is written: what a script has written before it fails, stays.
for i = 1, channels, 2 do
  local max, missing, count = tonumber(ARGV[at]), ARGV[at + 1], tonumber(ARGV[at + 2])
  if string.sub(KEYS[i], -5) ~= ':head' or string.sub(KEYS[i + 1], -4) ~= ':log' then
    return redis.error_reply('ERR bus: the keys are head_1 log_1 ... head_n log_n')
  elseif not (max and count and count >= 0 and count % 1 == 0) then
    return redis.error_reply('ERR bus: max and count are whole numbers')
  elseif missing ~= '-' and (#missing > 18 or not (
      string.match(missing, '^feed:[1-9]%d*$') or string.match(missing, '^venue:[1-9]%d*$'))) then
    return redis.error_reply("ERR bus: missing is '-', or like 'feed:7' or 'venue:7'")
  end
  at = at + 3 + count
end
if channels == 0 or not batch or at ~= #ARGV + 1 then
  return redis.error_reply('ERR bus: publisher, batch, and for each channel what its count says')
end
at = 3

for i = 1, channels, 2 do
  local head, log = KEYS[i], KEYS[i + 1]
  local topic = string.sub(head, 1, -6)
  local finals = finals_of(topic)
  local max, missing, count = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])
  at = at + 3

  local known = redis.pcall('HMGET', head, 'epoch', 'seq', 'publisher', 'batch', 'run')
  local spoilt = known.err ~= nil or not is_free_for(log, 'stream')
      or (finals and not is_free_for(finals, 'list'))
  local epoch, seq = known[1] or false, tonumber(known[2] or 0)
  local is_new = publisher ~= '' and known[3] ~= publisher
  local seen = publisher ~= '' and not is_new and tonumber(known[4]) >= batch
  if is_new and known[5] and known[5] ~= run() then
    epoch, seq = false, 0
  end

  if spoilt then
    epoch, seq = '', 0
  elseif not seen then
    if not epoch then
      epoch = new_epoch(log)
    end
    seq = seq + (tonumber(string.match(missing, ':(%d+)$')) or 0)
    for k = 1, count do
      local rest = ' ' .. missing .. ' ' .. ARGV[at + k - 1]
      missing = '-'
      seq = seq + 1
      local message = epoch .. ' ' .. seq .. rest
      local added = redis.pcall('XADD', log, 'MAXLEN', '~', max, seq .. '-0', 'm', message)
      if type(added) == 'table' and added.err then
        if not string.find(added.err, 'equal or smaller', 1, true) then
          return added
        end
        -- The stream is ahead of the head: the head went back (a restored backup).
        epoch, seq = new_epoch(log), 1
        message = epoch .. ' 1' .. rest
        redis.call('XADD', log, 'MAXLEN', '~', max, '1-0', 'm', message)
      end
      if finals and string.find(rest, '"final"%s*:%s*true') then
        redis.call('RPUSH', finals, message)
        redis.call('LTRIM', finals, -1000, -1)
      end
      redis.call('PUBLISH', topic, message)
    end
    redis.call('HSET', head, 'epoch', epoch, 'seq', seq, 'publisher', publisher, 'batch', batch)
    if is_new then
      redis.call('HSET', head, 'run', run())
    end
  end

  at = at + count
  answer[#answer + 1] = epoch
  answer[#answer + 1] = seq
end

return answer
