-- A Redis that was restored from an older copy, or a replica that had not heard all, goes on where
-- numbers were given out already: it would say other things under the same seqs. Who knows how far
-- the channels were, asks on each new connection before it publishes:
--
--   EVALSHA sha  2n  head_1 log_1 … head_n log_n  epoch_1 seq_1 … epoch_n seq_n
--
-- A head that is behind is forgotten together with its stream, so that the next message begins an
-- epoch; its final candles stay. The others are vouched for: they belong to this run of Redis from
-- now on, so that the next publisher trusts them (bus.lua). Answers how many were behind. Epochs of
-- bus.lua are times: of equal length, the smaller is older.

local behind = 0
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')

for i = 1, #KEYS, 2 do
  local epoch, seq = ARGV[i], tonumber(ARGV[i + 1])
  local head = redis.pcall('HMGET', KEYS[i], 'epoch', 'seq')
  local now = not head.err and head[1]
  if now and (now == epoch and tonumber(head[2] or 0) < seq or #now == #epoch and now < epoch) then
    redis.call('DEL', KEYS[i], KEYS[i + 1])
    behind = behind + 1
  elseif now then
    redis.call('HSET', KEYS[i], 'run', run)
  end
end

return behind
