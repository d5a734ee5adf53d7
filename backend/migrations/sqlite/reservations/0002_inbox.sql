-- Events that were received and are worked on from here. Times are milliseconds since 1970.

CREATE TABLE inbox (
    entry       INTEGER PRIMARY KEY AUTOINCREMENT,
    consumer    TEXT NOT NULL,
    event_id    TEXT NOT NULL,
    room        TEXT NOT NULL,
    traceparent TEXT,
    event       TEXT NOT NULL,
    made_at     INTEGER NOT NULL,
    -- Where it stands in the log.
    part        INTEGER NOT NULL,
    place       INTEGER NOT NULL,
    log_offset  INTEGER NOT NULL,
    attempts    INTEGER NOT NULL,
    error       TEXT,
    due_at      INTEGER NOT NULL,
    handled_at  INTEGER,
    UNIQUE (consumer, event_id)
) STRICT;

CREATE INDEX inbox_to_handle ON inbox (consumer, entry) WHERE handled_at IS NULL;
CREATE INDEX inbox_postponed ON inbox (consumer, room, entry) WHERE handled_at IS NULL AND attempts > 0;
CREATE INDEX inbox_handled ON inbox (handled_at) WHERE handled_at IS NOT NULL;
