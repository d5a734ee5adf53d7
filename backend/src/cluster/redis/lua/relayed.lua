-- Notes how far a room's events are in the log, and trims those that are in the checkpoint as well.
-- KEYS[1] tl:{room}:v1:head        hash: seq, relayed, checkpoint, bytes, checkpoint_bytes
-- KEYS[2] tl:{room}:v1:events      stream: an event each, its seq as the id
-- KEYS[3] tl:{room}:v1:checkpoint  string: the room at one of its versions
-- ARGV[1] seq of the last event that the log has; 0 only asks
-- returns {seq, relayed, checkpoint's seq, its bytes, bytes of events behind it, events kept}; nil when the room is
--   absent
local head = redis.call('HMGET', KEYS[1], 'seq', 'relayed', 'checkpoint', 'bytes', 'checkpoint_bytes')
if not head[1] then return nil end
local relayed = head[2]
if tonumber(ARGV[1]) > tonumber(relayed) then
  relayed = ARGV[1]
  redis.call('HSET', KEYS[1], 'relayed', relayed)
  local floor = tonumber(relayed) < tonumber(head[3]) and relayed or head[3]
  redis.call('XTRIM', KEYS[2], 'MINID', floor .. '-0')
end
local bytes, kept = redis.call('STRLEN', KEYS[3]), redis.call('XLEN', KEYS[2])
return { tonumber(head[1]), tonumber(relayed), tonumber(head[3]), bytes, head[4] - head[5], kept }
