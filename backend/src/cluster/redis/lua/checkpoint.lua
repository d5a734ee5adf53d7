-- Keeps a room's checkpoint, adds who has become known since the one before, and trims what is behind it.
-- KEYS[1] tl:{room}:v1:head           hash: seq, checkpoint, checkpoint_bytes, bytes, relayed
-- KEYS[2] tl:{room}:v1:events         stream: an event each, its seq as the id
-- KEYS[3] tl:{room}:v1:checkpoint     string: the room at one of its versions
-- KEYS[4] tl:{room}:v1:visitors       string: who is known by a visitor token, up to the checkpoint
-- KEYS[5] tl:{room}:v1:keys:<window>  string: idempotency keys of the last window, up to the checkpoint
-- KEYS[6] tl:{room}:v1:keys:<window>  string: those of this window
-- ARGV[1] seq of the checkpoint before
-- ARGV[2] seq of this one
-- ARGV[3] checkpoint
-- ARGV[4] visitors since
-- ARGV[5] keys of the last window since
-- ARGV[6] keys of this window since
-- ARGV[7] milliseconds that keys live
-- returns 1, or 0 when another checkpoint was faster or the room is not so far
local head = redis.call('HMGET', KEYS[1], 'checkpoint', 'relayed', 'bytes', 'seq')
if head[1] ~= ARGV[1] or tonumber(head[4]) < tonumber(ARGV[2]) then return 0 end
redis.call('SET', KEYS[3], ARGV[3])
if ARGV[4] ~= '' then redis.call('APPEND', KEYS[4], ARGV[4]) end
for i = 5, 6 do
  if ARGV[i] ~= '' then
    redis.call('APPEND', KEYS[i], ARGV[i])
    redis.call('PEXPIRE', KEYS[i], ARGV[7])
  end
end
redis.call('HSET', KEYS[1], 'checkpoint', ARGV[2], 'checkpoint_bytes', head[3])
local floor = tonumber(head[2]) < tonumber(ARGV[2]) and head[2] or ARGV[2]
redis.call('XTRIM', KEYS[2], 'MINID', floor .. '-0')
return 1
