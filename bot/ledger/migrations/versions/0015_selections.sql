-- Whom a person has ticked so far in a modal of many pages; a modal itself holds no more than what it shows.

CREATE TABLE ledger.selections (
    plan_set_id     text        PRIMARY KEY REFERENCES ledger.plan_sets,
    chosen          jsonb       NOT NULL CHECK (jsonb_typeof(chosen) = 'array'),
    revision        integer     NOT NULL DEFAULT 1 CHECK (revision > 0),
    changed_at      timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON COLUMN ledger.selections.chosen IS 'kind:id of every member that is ticked';
COMMENT ON COLUMN ledger.selections.revision IS 'Counts up with every change; a confirmation is good for the one that it showed';
