-- Takes a piece of work back from who has it.
-- KEYS[1] tl:lease:<work>  string: whose it is
-- ARGV[1] who gives it back
-- returns 1, or 0 when it was not theirs
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
