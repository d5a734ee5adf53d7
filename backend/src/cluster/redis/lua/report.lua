-- Replaces what a node says of who is there, for a while.
-- KEYS[1] tl:{room}:v1:nodes           zset: nodes, scored by when they are forgotten, in milliseconds
-- KEYS[2] tl:{room}:v1:present:<node>  string: who is there, a bitmap
-- ARGV[1] node
-- ARGV[2] bitmap
-- ARGV[3] milliseconds
-- returns 1
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[3]), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
return 1
