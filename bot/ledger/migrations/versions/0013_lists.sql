-- Allow, deny and watch lists, and detections that are quiet about a subject for some days.

CREATE TABLE ledger.list_entries (
    entry_id        text        PRIMARY KEY CHECK (entry_id <> ''),
    list            text        NOT NULL CHECK (list IN ('allow', 'deny', 'watch')),
    kind            text        NOT NULL CHECK (kind IN ('accounts', 'cards', 'addresses', 'hosts')),
    value           text        NOT NULL CHECK (value <> '' AND length(value) <= 300),
    reason          text        NOT NULL CHECK (reason <> ''),
    owner           text        NOT NULL,
    added_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at      timestamptz NOT NULL,
    removed_at      timestamptz,
    removed_by      text,
    CHECK (expires_at > added_at),
    CHECK ((removed_at IS NULL) = (removed_by IS NULL))
);
COMMENT ON COLUMN ledger.list_entries.owner IS 'Who put it there, and is asked when it ends';
-- Nobody is allowed and denied at once.
CREATE UNIQUE INDEX one_entry_per_value ON ledger.list_entries (kind, value) WHERE removed_at IS NULL;

CREATE TABLE ledger.snoozes (
    snooze_id       text        PRIMARY KEY CHECK (snooze_id <> ''),
    detection       text        NOT NULL,
    subject_kind    text        NOT NULL,
    subject_id      text        NOT NULL CHECK (subject_id <> ''),
    reason          text        NOT NULL CHECK (reason <> ''),
    made_by         text        NOT NULL,
    made_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    until           timestamptz NOT NULL,
    CHECK (until > made_at)
);
CREATE INDEX ON ledger.snoozes (detection, until);

-- What a shop may look at when somebody signs up or pays; it is granted to nobody until the operator grants it.
CREATE SCHEMA lists;
CREATE VIEW lists.in_force AS
    SELECT list, kind, value, expires_at
      FROM ledger.list_entries
     WHERE removed_at IS NULL AND expires_at > clock_timestamp();
COMMENT ON VIEW lists.in_force IS 'Grant: GRANT USAGE ON SCHEMA lists TO shop; GRANT SELECT ON lists.in_force TO shop';
