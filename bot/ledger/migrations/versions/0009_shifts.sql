-- Holds with an owner and an end, reminders, and what happened outside staffed hours.

-- How often and when those who must answer a request were reminded, and when others were called in.
ALTER TABLE ledger.decisions
    ADD COLUMN reminders    integer     NOT NULL DEFAULT 0 CHECK (reminders >= 0),
    ADD COLUMN reminded_at  timestamptz,
    ADD COLUMN escalated_at timestamptz,
    ADD CHECK ((reminders = 0) = (reminded_at IS NULL));

-- A hold that took effect belongs to whoever decided it, and ends; by the database's clock.
ALTER TABLE ledger.cases
    ADD COLUMN hold_decision_id text        REFERENCES ledger.decisions,
    ADD COLUMN hold_owner       text,
    ADD COLUMN hold_since       timestamptz,
    ADD COLUMN hold_until       timestamptz,
    ADD COLUMN hold_warned_at   timestamptz,
    ADD COLUMN hold_extended    integer     NOT NULL DEFAULT 0,
    ADD CHECK ((hold_until IS NULL) = (hold_since IS NULL)),
    ADD CHECK (hold_until IS NOT NULL OR (hold_owner IS NULL AND hold_warned_at IS NULL));
COMMENT ON COLUMN ledger.cases.hold_owner IS 'Who decided or extended the hold; NULL: a detection did, so the whole team owns it';
COMMENT ON COLUMN ledger.cases.hold_decision_id IS 'The last decision whose hold took effect; stays when the hold has ended';
CREATE INDEX ON ledger.cases (hold_until) WHERE hold_until IS NOT NULL;

-- What a detection did about an order while nobody was there: held it at once, or not, and why not.
CREATE TABLE ledger.night_holds (
    case_id         bigint      NOT NULL REFERENCES ledger.cases,
    subject_id      text        NOT NULL,
    detection       text        NOT NULL,
    opens_at        timestamptz NOT NULL,
    decision_id     text        REFERENCES ledger.decisions,
    why_not         text        CHECK (why_not IN ('cap', 'paused')),
    amount          bigint      NOT NULL DEFAULT 0 CHECK (amount >= 0),
    currency        text        NOT NULL DEFAULT '',
    at              timestamptz NOT NULL DEFAULT clock_timestamp(),
    told_at         timestamptz,
    PRIMARY KEY (case_id, subject_id),
    CHECK ((decision_id IS NULL) <> (why_not IS NULL))
);
COMMENT ON TABLE ledger.night_holds IS 'One row an order that a listed detection found outside staffed hours; the caps of the night are counted over them';
COMMENT ON COLUMN ledger.night_holds.opens_at IS 'When somebody is there again, which names the night';
CREATE INDEX ON ledger.night_holds (opens_at);
CREATE INDEX ON ledger.night_holds (at) WHERE told_at IS NULL;
