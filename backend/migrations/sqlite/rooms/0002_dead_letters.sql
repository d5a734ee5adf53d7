-- What could not be handled, each as it stood in the log, for the operator to look at and put back.
CREATE TABLE dead_letters (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    consumer_group TEXT NOT NULL,
    offset         INTEGER NOT NULL,
    topic          TEXT NOT NULL,
    room           TEXT NOT NULL,
    event_id       TEXT NOT NULL,
    event_at       INTEGER NOT NULL,
    traceparent    TEXT,
    value          TEXT NOT NULL,
    error          TEXT NOT NULL,
    attempts       INTEGER NOT NULL,
    at             INTEGER NOT NULL,
    replayed       INTEGER NOT NULL DEFAULT 0,
    UNIQUE (consumer_group, offset)
) STRICT;
