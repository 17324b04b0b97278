-- How far each detection is trusted, how its runs went, and what it does by itself.

ALTER TABLE ledger.findings DROP CONSTRAINT findings_mode_check;
ALTER TABLE ledger.findings ADD CONSTRAINT findings_mode_check
    CHECK (mode IN ('shadow', 'baseline', 'control', 'review', 'automatic'));
COMMENT ON COLUMN ledger.findings.mode IS 'shadow, baseline (was there before us) and control (kept silent to measure) open no case';

ALTER TABLE ledger.proposals DROP CONSTRAINT proposals_kind_check;
ALTER TABLE ledger.proposals ADD CONSTRAINT proposals_kind_check
    CHECK (kind IN ('resume', 'policy', 'review', 'mode'));

-- The last row of a detection counts; without any, its file says in which mode it starts.
CREATE TABLE ledger.detection_modes (
    mode_id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    detection       text        NOT NULL CHECK (detection <> ''),
    mode            text        NOT NULL CHECK (mode IN ('shadow', 'review', 'automatic')),
    file_hash       text        NOT NULL CHECK (file_hash ~ '^[0-9a-f]{64}$'),
    cause           text        NOT NULL CHECK (cause IN ('approved', 'file_changed', 'flood', 'band', 'overturned')),
    proposed_by     text        NOT NULL CHECK (proposed_by <> ''),
    approved_by     text,
    proposal_id     text        REFERENCES ledger.proposals,
    since           timestamptz NOT NULL DEFAULT clock_timestamp(),
    market_at       timestamptz NOT NULL,
    -- What nobody approved only brakes.
    CHECK ((cause = 'approved') = (proposal_id IS NOT NULL)),
    CHECK ((cause = 'approved') = (approved_by IS NOT NULL)),
    CHECK (approved_by <> proposed_by),
    CHECK (cause = 'approved' OR mode <> 'automatic')
);
COMMENT ON TABLE ledger.detection_modes IS 'Append-only: which mode a detection has since when, for which hash of its file, and who wanted and approved it';
COMMENT ON COLUMN ledger.detection_modes.market_at IS 'The same moment by the market''s clock, which findings are dated by';
CREATE INDEX ON ledger.detection_modes (detection, mode_id);

-- Two people put a detection into a mode, whatever the code above believes.
CREATE FUNCTION ledger.check_detection_mode() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.cause = 'approved' AND NOT EXISTS (
        SELECT FROM ledger.proposals p JOIN ledger.proposal_approvals a USING (proposal_id)
         WHERE p.proposal_id = NEW.proposal_id AND p.kind = 'mode' AND p.state = 'approved'
           AND p.about = NEW.detection AND p.body ->> 'mode' = NEW.mode
           AND p.body ->> 'file_hash' = NEW.file_hash
           AND p.proposed_by = NEW.proposed_by AND a.user_id = NEW.approved_by AND a.body_hash = p.body_hash
    ) THEN
        RAISE EXCEPTION 'the mode of % needs two people', NEW.detection;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER check_detection_mode BEFORE INSERT ON ledger.detection_modes
    FOR EACH ROW EXECUTE FUNCTION ledger.check_detection_mode();

CREATE TABLE ledger.detection_runs (
    run_id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    detection       text        NOT NULL,
    at              timestamptz NOT NULL DEFAULT clock_timestamp(),
    market_at       timestamptz NOT NULL,
    took_ms         integer     NOT NULL CHECK (took_ms >= 0),
    rows            integer     NOT NULL DEFAULT 0,
    fresh           integer     NOT NULL DEFAULT 0,
    error           text
);
COMMENT ON TABLE ledger.detection_runs IS 'The latest runs of each detection; older ones are deleted';
COMMENT ON COLUMN ledger.detection_runs.fresh IS 'How many of the rows were findings that were not known';
CREATE INDEX ON ledger.detection_runs (detection, run_id);

CREATE TABLE ledger.detection_troubles (
    detection       text        NOT NULL,
    trouble         text        NOT NULL CHECK (trouble IN ('failing', 'slow', 'silent')),
    since           timestamptz NOT NULL DEFAULT clock_timestamp(),
    usual           double precision,
    PRIMARY KEY (detection, trouble)
);
COMMENT ON TABLE ledger.detection_troubles IS 'What is wrong with a detection now, as the channel was told; gone when it has recovered';
COMMENT ON COLUMN ledger.detection_troubles.usual IS 'What was usual before: milliseconds of a run, or findings a day';

-- What detections do by themselves: each order that one held, or could not hold.
CREATE TABLE ledger.automatic_orders (
    case_id         bigint      NOT NULL REFERENCES ledger.cases,
    subject_id      text        NOT NULL,
    detection       text        NOT NULL,
    decision_id     text        REFERENCES ledger.decisions,
    why_not         text        CHECK (why_not IN ('cap', 'paused')),
    amount          bigint      NOT NULL DEFAULT 0 CHECK (amount >= 0),
    currency        text        NOT NULL DEFAULT '',
    at              timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (case_id, subject_id),
    CHECK ((decision_id IS NULL) <> (why_not IS NULL))
);
COMMENT ON TABLE ledger.automatic_orders IS 'One row an order that a detection in automatic found; its caps of a day are counted over them';
CREATE INDEX ON ledger.automatic_orders (at);

-- The step that follows unless somebody objects.
CREATE TABLE ledger.automatic_steps (
    case_id         bigint      PRIMARY KEY REFERENCES ledger.cases,
    detection       text        NOT NULL,
    action          text        NOT NULL,
    due_at          timestamptz NOT NULL,
    state           text        NOT NULL DEFAULT 'waiting' CHECK (state IN
                      ('waiting', 'done', 'asked', 'kept', 'dropped')),
    decision_id     text        REFERENCES ledger.decisions,
    ended_by        text,
    ended_at        timestamptz,
    CHECK ((state = 'waiting') = (ended_at IS NULL))
);
COMMENT ON TABLE ledger.automatic_steps IS 'The final step of a detection: due when the objection window has passed; kept: somebody objected';
CREATE INDEX ON ledger.automatic_steps (due_at) WHERE state = 'waiting';
