-- Rooms as they are known for ever, the event log, and snapshots that spare a restart the old events.
CREATE TABLE registry (
    room           TEXT PRIMARY KEY,
    born           INTEGER NOT NULL,
    policy         TEXT NOT NULL,
    visitor_key    TEXT,
    lottery_secret BLOB NOT NULL
) STRICT;

CREATE TABLE log (
    offset      INTEGER PRIMARY KEY,
    topic       TEXT NOT NULL,
    room        TEXT NOT NULL,
    seq         INTEGER,
    id          TEXT NOT NULL,
    at          INTEGER NOT NULL,
    traceparent TEXT,
    value       TEXT NOT NULL
) STRICT;

CREATE TABLE committed (
    consumer_group TEXT PRIMARY KEY,
    offset         INTEGER NOT NULL
) STRICT;

CREATE TABLE snapshots (
    room   TEXT PRIMARY KEY,
    offset INTEGER NOT NULL,
    state  BLOB NOT NULL
) STRICT;
