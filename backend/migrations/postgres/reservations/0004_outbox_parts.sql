-- Replicas share the telling part by part; what happens to one reservation is in one part.

ALTER TABLE outbox ADD COLUMN part SMALLINT NOT NULL DEFAULT 0;
CREATE INDEX outbox_parts_to_publish ON outbox (part, entry) WHERE published_at IS NULL;
DROP INDEX outbox_to_publish;
