-- Rooms as they are known for ever, and how far their numbers may go.
CREATE TABLE registry (
    room           TEXT COLLATE "C" PRIMARY KEY,
    -- 64 bits; the sign means nothing.
    born           BIGINT NOT NULL,
    policy         TEXT   NOT NULL,
    visitor_key    TEXT,
    lottery_secret BYTEA  NOT NULL CHECK (octet_length(lottery_secret) = 32)
);

-- Numbers of a room are given only up to its ceiling, so that a room rebuilt from what was told of it goes
-- on above every number that may be out. It never sinks.
CREATE TABLE ceilings (
    room    TEXT COLLATE "C" PRIMARY KEY,
    ceiling BIGINT NOT NULL CHECK (ceiling >= 0)
);
