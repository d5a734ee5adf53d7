-- Events that were received and are worked on from here. Times are milliseconds since 1970.

CREATE TABLE inbox (
    entry       BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    consumer    TEXT COLLATE "C" NOT NULL,
    event_id    TEXT COLLATE "C" NOT NULL,
    room        TEXT COLLATE "C" NOT NULL,
    traceparent TEXT,
    event       TEXT NOT NULL,
    made_at     BIGINT NOT NULL,
    -- Where it stands in the log.
    part        BIGINT NOT NULL,
    place       BIGINT NOT NULL,
    log_offset  BIGINT NOT NULL,
    attempts    BIGINT NOT NULL,
    error       TEXT,
    due_at      BIGINT NOT NULL,
    handled_at  BIGINT,
    UNIQUE (consumer, event_id)
);

CREATE INDEX inbox_to_handle ON inbox (consumer, entry) WHERE handled_at IS NULL;
CREATE INDEX inbox_postponed ON inbox (consumer, room, entry) WHERE handled_at IS NULL AND attempts > 0;
CREATE INDEX inbox_handled ON inbox (handled_at) WHERE handled_at IS NOT NULL;
