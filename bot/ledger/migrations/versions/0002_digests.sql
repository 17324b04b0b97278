-- Digests: one row a digest day and channel, posted once however many processes run.

CREATE TABLE ledger.digests (
    digest_id       text        PRIMARY KEY CHECK (digest_id <> ''),
    day             date        NOT NULL,
    channel         text        NOT NULL CHECK (channel <> ''),
    content         jsonb       NOT NULL,
    audit_seq       bigint      NOT NULL CHECK (audit_seq >= 0),
    audit_hash      text        NOT NULL CHECK (audit_hash ~ '^[0-9a-f]{64}$'),
    message_ts      text,
    state           text        NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'sent')),
    last_error      text,
    post_started_at timestamptz,
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    due_at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    lease_owner     text,
    lease_until     timestamptz,
    fence           bigint      NOT NULL DEFAULT 0,
    attempts        integer     NOT NULL DEFAULT 0,
    CONSTRAINT one_digest_per_day UNIQUE (day, channel),
    CHECK ((state = 'sent') = (message_ts IS NOT NULL))
);
COMMENT ON TABLE ledger.digests IS 'What each digest says, as values; the wording is drawn when it is posted';
COMMENT ON COLUMN ledger.digests.day IS 'The day that it is about, by the market''s clock in the team''s zone';
CREATE INDEX ON ledger.digests (due_at) WHERE state = 'queued';

CREATE FUNCTION ledger.check_digest_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.digest_id, NEW.day, NEW.channel, NEW.content, NEW.audit_seq, NEW.audit_hash, NEW.created_at)
       IS DISTINCT FROM
       (OLD.digest_id, OLD.day, OLD.channel, OLD.content, OLD.audit_seq, OLD.audit_hash, OLD.created_at) THEN
        RAISE EXCEPTION 'what a digest says is frozen';
    END IF;
    IF OLD.state = 'sent' AND (NEW.state <> 'sent' OR NEW.message_ts IS DISTINCT FROM OLD.message_ts) THEN
        RAISE EXCEPTION 'a digest is posted once';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER check_digest_move BEFORE UPDATE ON ledger.digests
    FOR EACH ROW EXECUTE FUNCTION ledger.check_digest_move();

-- Decisions and operations carry the database's time, digest days are the market's.
CREATE TABLE ledger.market_days (
    day             date        PRIMARY KEY,
    began_at        timestamptz NOT NULL
);
COMMENT ON TABLE ledger.market_days IS 'When a day of the market''s clock began by the database''s; only where the two clocks differ';
