-- Tells all of a room as of one moment.
-- KEYS[1] tl:{room}:v1:head           hash: seq, writer, checkpoint
-- KEYS[2] tl:{room}:v1:events         stream: an event each, its seq as the id
-- KEYS[3] tl:{room}:v1:checkpoint     string: the room at one of its versions
-- KEYS[4] tl:{room}:v1:visitors       string: who is known by a visitor token, up to the checkpoint
-- KEYS[5] tl:{room}:v1:keys:<window>  string: idempotency keys of the last window, up to the checkpoint
-- KEYS[6] tl:{room}:v1:keys:<window>  string: those of this window
-- KEYS[7] tl:{room}:v1:keys:<window>  string: those of the next, written by who has a clock that is ahead
-- returns {seq, writer, checkpoint's seq, checkpoint, visitors, keys, keys, keys, entries behind the checkpoint};
--   nil when the room is absent
local head = redis.call('HMGET', KEYS[1], 'seq', 'writer', 'checkpoint')
if not head[1] then return nil end
local found = { head[1], head[2], head[3] }
for i = 3, 7 do found[i + 1] = redis.call('GET', KEYS[i]) or '' end
found[9] = redis.call('XRANGE', KEYS[2], '(' .. head[3] .. '-0', '+')
return found
