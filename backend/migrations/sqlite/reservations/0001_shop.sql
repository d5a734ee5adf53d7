-- The shop: what is sold, who holds and bought it, whose money it was, and what is yet to be told.
-- Times are milliseconds since 1970, money is minor units.

CREATE TABLE rooms (
    room     TEXT PRIMARY KEY,
    currency TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE concerts (
    entry      INTEGER PRIMARY KEY,
    concert_id TEXT NOT NULL UNIQUE,
    title      TEXT NOT NULL,
    room       TEXT NOT NULL,
    currency   TEXT NOT NULL,
    definition BLOB NOT NULL,
    added_at   INTEGER NOT NULL
) STRICT;

CREATE TABLE performances (
    performance_id TEXT PRIMARY KEY,
    concert_id     TEXT NOT NULL REFERENCES concerts (concert_id),
    place          INTEGER NOT NULL,
    starts_at      INTEGER NOT NULL,
    seats          INTEGER NOT NULL,
    UNIQUE (concert_id, place)
) STRICT, WITHOUT ROWID;

CREATE TABLE seats (
    performance_id TEXT NOT NULL REFERENCES performances (performance_id),
    place          INTEGER NOT NULL,
    seat_id        TEXT NOT NULL,
    label          TEXT NOT NULL,
    amount_minor   INTEGER NOT NULL CHECK (amount_minor > 0),
    PRIMARY KEY (performance_id, place),
    UNIQUE (performance_id, seat_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE reservations (
    entry          INTEGER PRIMARY KEY,
    reservation_id TEXT NOT NULL UNIQUE,
    room           TEXT NOT NULL,
    sub            TEXT NOT NULL,
    number         INTEGER NOT NULL,
    performance_id TEXT NOT NULL,
    place          INTEGER NOT NULL,
    seat_id        TEXT NOT NULL,
    amount_minor   INTEGER NOT NULL CHECK (amount_minor > 0),
    currency       TEXT NOT NULL,
    state          TEXT NOT NULL CHECK (state IN ('held', 'confirmed', 'released', 'cancelled')),
    reason         TEXT CHECK ((reason IS NOT NULL) = (state = 'released')),
    expires_at     INTEGER CHECK ((expires_at IS NOT NULL) = (state = 'held')),
    payment_id     TEXT CHECK ((payment_id IS NOT NULL) = (state IN ('confirmed', 'cancelled'))),
    made_at        INTEGER NOT NULL,
    FOREIGN KEY (performance_id, place) REFERENCES seats (performance_id, place)
) STRICT;

-- A seat is sold once because of this, not because code hopes so.
CREATE UNIQUE INDEX a_seat_once ON reservations (performance_id, place) WHERE state IN ('held', 'confirmed');
CREATE INDEX holds_of_a_slot ON reservations (room, number) WHERE state = 'held';
CREATE INDEX holds_by_their_end ON reservations (expires_at) WHERE state = 'held';

CREATE TABLE payments (
    entry          INTEGER PRIMARY KEY,
    payment_id     TEXT NOT NULL UNIQUE,
    room           TEXT NOT NULL,
    sub            TEXT NOT NULL,
    number         INTEGER NOT NULL,
    reservation_id TEXT NOT NULL REFERENCES reservations (reservation_id),
    performance_id TEXT NOT NULL,
    seat_id        TEXT NOT NULL,
    amount_minor   INTEGER NOT NULL CHECK (amount_minor > 0),
    currency       TEXT NOT NULL,
    state          TEXT NOT NULL CHECK (state IN ('completed', 'failed', 'cancelling', 'cancelled')),
    reason         TEXT CHECK ((reason IS NOT NULL) = (state = 'failed')),
    made_at        INTEGER NOT NULL,
    asked_at       INTEGER CHECK (asked_at IS NOT NULL OR state <> 'cancelling')
) STRICT;

CREATE INDEX payments_of_a_visitor ON payments (room, sub, entry);
CREATE INDEX cancellations_under_way ON payments (asked_at) WHERE state = 'cancelling';
-- A reservation is paid once, also after a cancellation.
CREATE UNIQUE INDEX a_reservation_paid_once ON payments (reservation_id) WHERE state <> 'failed';

CREATE TABLE balances (
    room         TEXT NOT NULL,
    sub          TEXT NOT NULL,
    amount_minor INTEGER NOT NULL CHECK (amount_minor >= 0),
    PRIMARY KEY (room, sub)
) STRICT, WITHOUT ROWID;

CREATE TABLE ledger (
    entry        INTEGER PRIMARY KEY,
    room         TEXT NOT NULL,
    sub          TEXT NOT NULL,
    amount_minor INTEGER NOT NULL CHECK (amount_minor <> 0),
    kind         TEXT NOT NULL CHECK (kind IN ('charge', 'payment', 'refund')),
    reference    TEXT NOT NULL,
    made_at      INTEGER NOT NULL
) STRICT;

CREATE INDEX ledger_of_a_visitor ON ledger (room, sub, entry);
-- Charged, paid and refunded once each.
CREATE UNIQUE INDEX a_reference_once ON ledger (reference, kind);

-- Slots that ended: they open nothing any more, however late their last call arrives.
CREATE TABLE ended_slots (
    room     TEXT NOT NULL,
    number   INTEGER NOT NULL,
    ended_at INTEGER NOT NULL,
    PRIMARY KEY (room, number)
) STRICT, WITHOUT ROWID;

CREATE INDEX ended_slots_by_age ON ended_slots (ended_at);

CREATE TABLE call_keys (
    room      TEXT NOT NULL,
    sub       TEXT NOT NULL,
    operation TEXT NOT NULL,
    call_key  TEXT NOT NULL,
    body      BLOB NOT NULL,
    answer    TEXT NOT NULL,
    made_at   INTEGER NOT NULL,
    PRIMARY KEY (room, sub, operation, call_key)
) STRICT, WITHOUT ROWID;

CREATE INDEX call_keys_by_age ON call_keys (made_at);

CREATE TABLE outbox (
    entry        INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id     TEXT NOT NULL UNIQUE,
    room         TEXT NOT NULL,
    traceparent  TEXT,
    event        TEXT NOT NULL,
    made_at      INTEGER NOT NULL,
    published_at INTEGER
) STRICT;

CREATE INDEX outbox_to_publish ON outbox (entry) WHERE published_at IS NULL;
CREATE INDEX outbox_published ON outbox (published_at) WHERE published_at IS NOT NULL;
