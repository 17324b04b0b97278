-- Redash: what it told and was asked, stored before it is understood, and what is wrong with its queries now.

CREATE TABLE ledger.redash_events (
    event_id        bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dedupe_key      text        NOT NULL UNIQUE CHECK (dedupe_key ~ '^[0-9a-f]{64}$'),
    via             text        NOT NULL CHECK (via IN ('webhook', 'poll')),
    alert_id        bigint,
    query_id        bigint,
    alert_state     text        CHECK (alert_state <> ''),
    triggered_at    timestamptz,
    raw             bytea       CHECK (octet_length(raw) <= 1048576),
    state           text        NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'done', 'unreadable')),
    outcome         text,
    received_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    due_at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    lease_owner     text,
    lease_until     timestamptz,
    fence           bigint      NOT NULL DEFAULT 0,
    attempts        integer     NOT NULL DEFAULT 0,
    CHECK ((state = 'unreadable') = (raw IS NOT NULL)),
    CHECK (state = 'unreadable' OR (alert_id IS NOT NULL AND query_id IS NOT NULL AND alert_state IS NOT NULL))
);
COMMENT ON TABLE ledger.redash_events IS 'Each change of an alert once, however often and by which way it was told; deleted after 30 days';
COMMENT ON COLUMN ledger.redash_events.raw IS 'Only of a body that no known version of Redash sends; what is understood keeps no word of it';
CREATE INDEX ON ledger.redash_events (due_at) WHERE state = 'queued';
CREATE INDEX ON ledger.redash_events (query_id, event_id);

CREATE TABLE ledger.redash_queries (
    query_id        bigint      PRIMARY KEY,
    result_id       bigint      NOT NULL,
    retrieved_at    timestamptz NOT NULL,
    taken_id        bigint,
    seen_at         timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE ledger.redash_queries IS 'The latest result of each mapped query that we have seen';
COMMENT ON COLUMN ledger.redash_queries.taken_id IS 'The last result whose rows became findings';

CREATE TABLE ledger.redash_troubles (
    query_id        bigint      NOT NULL,
    trouble         text        NOT NULL CHECK (trouble IN ('stale', 'idle', 'misfit', 'hidden', 'away')),
    since           timestamptz NOT NULL DEFAULT clock_timestamp(),
    told_at         timestamptz,
    PRIMARY KEY (query_id, trouble)
);
COMMENT ON TABLE ledger.redash_troubles IS 'What is wrong with a query (0: with all of Redash) now; gone when it has recovered';
