-- The shop: what is sold, who holds and bought it, whose money it was, and what is yet to be told.
-- Times are milliseconds since 1970, money is minor units. Names are compared byte by byte.

CREATE TABLE rooms (
    room     TEXT COLLATE "C" PRIMARY KEY,
    currency TEXT NOT NULL
);

CREATE TABLE concerts (
    entry      BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    concert_id TEXT COLLATE "C" NOT NULL UNIQUE,
    title      TEXT NOT NULL,
    room       TEXT COLLATE "C" NOT NULL,
    currency   TEXT NOT NULL,
    definition BYTEA NOT NULL,
    added_at   BIGINT NOT NULL
);

CREATE TABLE performances (
    performance_id TEXT COLLATE "C" PRIMARY KEY,
    concert_id     TEXT COLLATE "C" NOT NULL REFERENCES concerts (concert_id),
    place          BIGINT NOT NULL,
    starts_at      BIGINT NOT NULL,
    seats          BIGINT NOT NULL,
    UNIQUE (concert_id, place)
);

CREATE TABLE seats (
    performance_id TEXT COLLATE "C" NOT NULL REFERENCES performances (performance_id),
    place          BIGINT NOT NULL,
    seat_id        TEXT COLLATE "C" NOT NULL,
    label          TEXT NOT NULL,
    amount_minor   BIGINT NOT NULL CHECK (amount_minor > 0),
    PRIMARY KEY (performance_id, place),
    UNIQUE (performance_id, seat_id)
);

CREATE TABLE reservations (
    entry          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    reservation_id TEXT COLLATE "C" NOT NULL UNIQUE,
    room           TEXT COLLATE "C" NOT NULL,
    sub            TEXT COLLATE "C" NOT NULL,
    number         BIGINT NOT NULL,
    performance_id TEXT COLLATE "C" NOT NULL,
    place          BIGINT NOT NULL,
    seat_id        TEXT COLLATE "C" NOT NULL,
    amount_minor   BIGINT NOT NULL CHECK (amount_minor > 0),
    currency       TEXT NOT NULL,
    state          TEXT COLLATE "C" NOT NULL CHECK (state IN ('held', 'confirmed', 'released', 'cancelled')),
    reason         TEXT COLLATE "C" CHECK ((reason IS NOT NULL) = (state = 'released')),
    expires_at     BIGINT CHECK ((expires_at IS NOT NULL) = (state = 'held')),
    payment_id     TEXT COLLATE "C" CHECK ((payment_id IS NOT NULL) = (state IN ('confirmed', 'cancelled'))),
    made_at        BIGINT NOT NULL,
    FOREIGN KEY (performance_id, place) REFERENCES seats (performance_id, place)
);

-- A seat is sold once because of this, not because code hopes so.
CREATE UNIQUE INDEX a_seat_once ON reservations (performance_id, place) WHERE state IN ('held', 'confirmed');
CREATE INDEX holds_of_a_slot ON reservations (room, number) WHERE state = 'held';
CREATE INDEX holds_by_their_end ON reservations (expires_at) WHERE state = 'held';

CREATE TABLE payments (
    entry          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    payment_id     TEXT COLLATE "C" NOT NULL UNIQUE,
    room           TEXT COLLATE "C" NOT NULL,
    sub            TEXT COLLATE "C" NOT NULL,
    number         BIGINT NOT NULL,
    reservation_id TEXT COLLATE "C" NOT NULL REFERENCES reservations (reservation_id),
    performance_id TEXT COLLATE "C" NOT NULL,
    seat_id        TEXT COLLATE "C" NOT NULL,
    amount_minor   BIGINT NOT NULL CHECK (amount_minor > 0),
    currency       TEXT NOT NULL,
    state          TEXT COLLATE "C" NOT NULL CHECK (state IN ('completed', 'failed', 'cancelling', 'cancelled')),
    reason         TEXT COLLATE "C" CHECK ((reason IS NOT NULL) = (state = 'failed')),
    made_at        BIGINT NOT NULL,
    asked_at       BIGINT CHECK (asked_at IS NOT NULL OR state <> 'cancelling')
);

CREATE INDEX payments_of_a_visitor ON payments (room, sub, entry);
CREATE INDEX cancellations_under_way ON payments (asked_at) WHERE state = 'cancelling';
-- A reservation is paid once, also after a cancellation.
CREATE UNIQUE INDEX a_reservation_paid_once ON payments (reservation_id) WHERE state <> 'failed';

CREATE TABLE balances (
    room         TEXT COLLATE "C" NOT NULL,
    sub          TEXT COLLATE "C" NOT NULL,
    amount_minor BIGINT NOT NULL CHECK (amount_minor >= 0),
    PRIMARY KEY (room, sub)
);

CREATE TABLE ledger (
    entry        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    room         TEXT COLLATE "C" NOT NULL,
    sub          TEXT COLLATE "C" NOT NULL,
    amount_minor BIGINT NOT NULL CHECK (amount_minor <> 0),
    kind         TEXT COLLATE "C" NOT NULL CHECK (kind IN ('charge', 'payment', 'refund')),
    reference    TEXT COLLATE "C" NOT NULL,
    made_at      BIGINT NOT NULL
);

CREATE INDEX ledger_of_a_visitor ON ledger (room, sub, entry);
-- Charged, paid and refunded once each.
CREATE UNIQUE INDEX a_reference_once ON ledger (reference, kind);

-- Slots that ended: they open nothing any more, however late their last call arrives.
CREATE TABLE ended_slots (
    room     TEXT COLLATE "C" NOT NULL,
    number   BIGINT NOT NULL,
    ended_at BIGINT NOT NULL,
    PRIMARY KEY (room, number)
);

CREATE INDEX ended_slots_by_age ON ended_slots (ended_at);

-- A key is claimed before the call is judged: of two replicas with one key, the later waits here.
CREATE TABLE call_keys (
    room      TEXT COLLATE "C" NOT NULL,
    sub       TEXT COLLATE "C" NOT NULL,
    operation TEXT COLLATE "C" NOT NULL,
    call_key  TEXT COLLATE "C" NOT NULL,
    body      BYTEA NOT NULL,
    answer    TEXT NOT NULL,
    made_at   BIGINT NOT NULL,
    PRIMARY KEY (room, sub, operation, call_key)
);

CREATE INDEX call_keys_by_age ON call_keys (made_at);

-- Entries are given before they are committed: a lower one may appear after a higher one.
CREATE TABLE outbox (
    entry        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id     TEXT COLLATE "C" NOT NULL UNIQUE,
    room         TEXT COLLATE "C" NOT NULL,
    traceparent  TEXT,
    event        TEXT NOT NULL,
    made_at      BIGINT NOT NULL,
    published_at BIGINT
);

CREATE INDEX outbox_to_publish ON outbox (entry) WHERE published_at IS NULL;
CREATE INDEX outbox_published ON outbox (published_at) WHERE published_at IS NOT NULL;
