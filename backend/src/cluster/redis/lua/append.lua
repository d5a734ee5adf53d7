-- Appends events behind the version that a process has, or tells what it missed. Without events it only asks.
-- KEYS[1] tl:{room}:v1:head    hash: seq, writer: the newest event and who wrote it; bytes of all events ever
-- KEYS[2] tl:{room}:v1:events  stream: an event each, its seq as the id; fields e (JSON) and w (writer)
-- ARGV[1] seq of the newest event that the process has
-- ARGV[2] its writer
-- ARGV[3] writer of the new events
-- ARGV[4] how many missed events to tell at most
-- ARGV[5] channel on which an append is told
-- ARGV[6] room
-- ARGV[7] and on: the new events, in order
-- returns {what, seq, writer, entries}: 'done'; 'missed' with the next entries; 'trimmed' when they are gone;
--   'other' when the process has what is not in the room, with what is; 'absent'
local newest = redis.call('HMGET', KEYS[1], 'seq', 'writer')
local seq, writer = newest[1], newest[2]
if not seq then return { 'absent', '', '', {} } end
if seq == ARGV[1] and writer == ARGV[2] then
  local bytes = 0
  for i = 7, #ARGV do
    redis.call('XADD', KEYS[2], string.format('%.0f-0', seq + i - 6), 'e', ARGV[i], 'w', ARGV[3])
    bytes = bytes + #ARGV[i]
  end
  if #ARGV > 6 then
    redis.call('HSET', KEYS[1], 'seq', string.format('%.0f', seq + #ARGV - 6), 'writer', ARGV[3])
    redis.call('HINCRBY', KEYS[1], 'bytes', bytes)
    redis.pcall('PUBLISH', ARGV[5], ARGV[6])
  end
  return { 'done', '', '', {} }
end
if tonumber(seq) <= tonumber(ARGV[1]) then return { 'other', seq, writer, {} } end
local own = redis.call('XRANGE', KEYS[2], ARGV[1] .. '-0', ARGV[1] .. '-0')[1]
if not own then return { 'trimmed', '', '', {} } end
if own[2][4] ~= ARGV[2] then return { 'other', seq, writer, {} } end
return { 'missed', '', '', redis.call('XRANGE', KEYS[2], '(' .. ARGV[1] .. '-0', '+', 'COUNT', ARGV[4]) }
