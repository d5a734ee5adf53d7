-- Gives somebody a piece of work for a while: it was theirs already, or nobody's.
-- KEYS[1] tl:lease:<work>  string: whose it is
-- ARGV[1] who asks
-- ARGV[2] milliseconds
-- returns 1, or 0 when it is somebody else's
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
