-- Puts a room in place if there still is what was seen: nothing, or one that cannot be gone on from.
-- KEYS[1] tl:{room}:v1:head           hash: seq, writer, bytes, checkpoint, checkpoint_bytes, relayed
-- KEYS[2] tl:{room}:v1:events         stream: an event each, its seq as the id
-- KEYS[3] tl:{room}:v1:checkpoint     string: the room at one of its versions
-- KEYS[4] tl:{room}:v1:visitors       string: who is known by a visitor token, up to the checkpoint
-- KEYS[5] tl:{room}:v1:keys:<window>  string: idempotency keys of the last window, up to the checkpoint
-- KEYS[6] tl:{room}:v1:keys:<window>  string: those of this window
-- ARGV[1] seq of what was seen; empty for nothing
-- ARGV[2] its writer
-- ARGV[3] writer of the new events
-- ARGV[4] seq up to which the log has all of the room
-- ARGV[5] seq of the checkpoint, 0 for none
-- ARGV[6] checkpoint
-- ARGV[7] visitors
-- ARGV[8] keys of the last window
-- ARGV[9] keys of this window
-- ARGV[10] milliseconds that keys live
-- ARGV[11] channel on which it is told
-- ARGV[12] room
-- ARGV[13], ARGV[14] and on: seq and event by turns, in order; at least one
-- returns 1, or 0 when there is something else by now
local seen = redis.call('HMGET', KEYS[1], 'seq', 'writer')
if (seen[1] or '') ~= ARGV[1] or (seen[2] or '') ~= ARGV[2] then return 0 end
if ARGV[1] == '' then redis.call('DEL', KEYS[2]) end
redis.call('DEL', KEYS[1], KEYS[3], KEYS[4], KEYS[5], KEYS[6])
for i = 13, #ARGV, 2 do
  redis.call('XADD', KEYS[2], ARGV[i] .. '-0', 'e', ARGV[i + 1], 'w', ARGV[3])
end
redis.call('HSET', KEYS[1], 'seq', ARGV[#ARGV - 1], 'writer', ARGV[3], 'bytes', 0,
  'checkpoint', ARGV[5], 'checkpoint_bytes', 0, 'relayed', ARGV[4])
if ARGV[6] ~= '' then
  redis.call('SET', KEYS[3], ARGV[6])
  redis.call('XTRIM', KEYS[2], 'MINID', ARGV[4] .. '-0')
end
if ARGV[7] ~= '' then redis.call('SET', KEYS[4], ARGV[7]) end
if ARGV[8] ~= '' then redis.call('SET', KEYS[5], ARGV[8], 'PX', ARGV[10]) end
if ARGV[9] ~= '' then redis.call('SET', KEYS[6], ARGV[9], 'PX', ARGV[10]) end
redis.pcall('PUBLISH', ARGV[11], ARGV[12])
return 1
