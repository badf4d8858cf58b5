-- A LEASE: which of several processes publishes a venue. Redis' own clock ends it.
--
--   EVALSHA sha  2  lease last  what token ttl_ms
--
--   lease   string: the token of who holds it; it ends by itself, ttl_ms after the last renewal
--   last    string: the token of who held it last; stays
--   what    ask    a new holder's: taken if nobody holds it
--           keep   the holder's: renewed; also after its end, if nobody has held it since
--           leave  given up
--
-- Answers 1 if the token holds the lease now, 0 if not, and whether another held it before: {1, 1}.

local lease, last = KEYS[1], KEYS[2]
local what, token, ttl_ms = ARGV[1], ARGV[2], ARGV[3]
local holder = redis.call('GET', lease)
local before = redis.call('GET', last)

if what == 'leave' then
  if holder == token then
    redis.call('DEL', lease)
  end
  return { 0, 0 }
end
if holder == token then
  redis.call('PEXPIRE', lease, ttl_ms)
  return { 1, 0 }
end
if holder or what == 'keep' and before and before ~= token then
  return { 0, 1 }
end
redis.call('SET', lease, token, 'PX', ttl_ms)
redis.call('SET', last, token)
return { 1, before and before ~= token and 1 or 0 }
