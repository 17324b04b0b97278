-- Rings: who is joined to whom, and by what.

-- Addresses, IPs and all other evidence are kept as HMAC-SHA256 under this key, which no other ledger has.
CREATE TABLE ledger.ring_key (
    key             bytea       NOT NULL CHECK (octet_length(key) = 32),
    is_only         boolean     PRIMARY KEY DEFAULT true CHECK (is_only)
);
INSERT INTO ledger.ring_key (key)
SELECT sha256(convert_to(gen_random_uuid()::text || gen_random_uuid()::text, 'UTF8'));
COMMENT ON TABLE ledger.ring_key IS 'Made with the ledger; without it nobody can try addresses or IPs against the values of ring_edges';

CREATE TABLE ledger.rings (
    case_id         bigint      PRIMARY KEY REFERENCES ledger.cases,
    revision        integer     NOT NULL DEFAULT 0,
    looked_members  integer     NOT NULL,
    looked_at       timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON COLUMN ledger.rings.revision IS 'Moves when the ring looks different; 0: nothing joins the members of this case';
COMMENT ON COLUMN ledger.rings.looked_members IS 'How many members the case had when we last looked around them; with another number we look again';

CREATE TABLE ledger.ring_edges (
    case_id         bigint      NOT NULL REFERENCES ledger.cases,
    kind            text        NOT NULL
                    CHECK (kind IN ('card', 'device', 'address', 'payout', 'ip', 'image', 'follow')),
    value           text        NOT NULL CHECK (value ~ '^[0-9a-f]{32}$'),
    account_id      text        NOT NULL CHECK (account_id <> ''),
    subject_kind    text        NOT NULL CHECK (subject_kind IN ('order', 'account', 'listing')),
    subject_id      text        NOT NULL CHECK (subject_id <> ''),
    joins           boolean     NOT NULL,
    is_damped       boolean     NOT NULL DEFAULT false,
    PRIMARY KEY (case_id, kind, value, account_id, subject_kind, subject_id)
);
COMMENT ON TABLE ledger.ring_edges IS 'Which evidence the accounts of a case have used, and where';
COMMENT ON COLUMN ledger.ring_edges.joins IS 'Another account of the case has it too; else it only waits for somebody who has';
COMMENT ON COLUMN ledger.ring_edges.is_damped IS 'Too many have come to share it: it brings nobody else into the case';
CREATE INDEX ON ledger.ring_edges (kind, value) WHERE NOT is_damped;

CREATE TABLE ledger.ring_ties (
    case_id         bigint      NOT NULL REFERENCES ledger.cases,
    other_id        bigint      NOT NULL REFERENCES ledger.cases,
    tied_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (case_id, other_id),
    CHECK (case_id < other_id)
);
COMMENT ON TABLE ledger.ring_ties IS 'Cases that turned out to be about one ring while both were open: never merged, each names the other';
CREATE INDEX ON ledger.ring_ties (other_id);

CREATE TABLE ledger.ring_pictures (
    case_id         bigint      PRIMARY KEY REFERENCES ledger.cases,
    wanted_revision integer     NOT NULL,
    posted_revision integer     NOT NULL DEFAULT 0,
    file_id         text,
    file_revision   integer,
    completed_at    timestamptz,
    last_error      text,
    due_at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    lease_owner     text,
    lease_until     timestamptz,
    fence           bigint      NOT NULL DEFAULT 0,
    attempts        integer     NOT NULL DEFAULT 0
);
COMMENT ON TABLE ledger.ring_pictures IS 'The outbox of ring pictures: one row a case, since of several revisions only the newest is worth a picture';
COMMENT ON COLUMN ledger.ring_pictures.file_id IS 'Uploaded and perhaps in the thread already: looked for there before it is sent again';
CREATE INDEX ON ledger.ring_pictures (due_at) WHERE wanted_revision > posted_revision;
