-- What became of findings: chargebacks and overturned decisions beside the decisions; and how urgent that makes each
-- open case.

ALTER TABLE ledger.findings ADD COLUMN verdict_source text
    CHECK (verdict_source IN ('decision', 'overturned', 'chargeback'));
COMMENT ON COLUMN ledger.findings.verdict_source IS 'Who says so; what a chargeback says no decision unsays';
UPDATE ledger.findings SET verdict_source = 'decision' WHERE verdict IS NOT NULL;

-- Findings about an order: their subject, or named by them.
CREATE INDEX ON ledger.findings (subject_kind, subject_id);
CREATE INDEX ON ledger.findings USING gin ((body -> 'order_ids') jsonb_path_ops);

CREATE TABLE ledger.chargebacks (
    chargeback_id   text        PRIMARY KEY CHECK (chargeback_id <> ''),
    order_id        text        NOT NULL,
    amount          bigint,
    currency        text,
    received_at     timestamptz NOT NULL,
    warned_by       text[]      NOT NULL,
    counts          boolean     NOT NULL,
    taken_at        timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE ledger.chargebacks IS 'Chargebacks with the reason fraud, each once';
COMMENT ON COLUMN ledger.chargebacks.warned_by IS 'Detections that had a finding about its order before it arrived; none: it was missed';
COMMENT ON COLUMN ledger.chargebacks.counts IS 'False: its order came before anything was detected here at all';
CREATE INDEX ON ledger.chargebacks (received_at);

CREATE TABLE ledger.overturns (
    decision_id     text        PRIMARY KEY REFERENCES ledger.decisions,
    case_id         bigint      NOT NULL REFERENCES ledger.cases,
    verdict         text        NOT NULL CHECK (verdict IN ('fraud', 'good')),
    overturned_by   text        NOT NULL CHECK (overturned_by <> ''),
    overturned_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE ledger.overturns IS 'Decisions that another person found to be wrong later, and what the case is held for since; why stands in the log';
CREATE INDEX ON ledger.overturns (case_id);
CREATE INDEX ON ledger.overturns (overturned_at);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON ledger.overturns
    FOR EACH ROW EXECUTE FUNCTION ledger.refuse_change();

-- Nobody overturns what they decided or let through, whatever the code above believes.
CREATE FUNCTION ledger.check_overturn() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE d ledger.decisions;
BEGIN
    SELECT * INTO d FROM ledger.decisions WHERE decision_id = NEW.decision_id;
    IF d.state <> 'approved' OR d.case_id <> NEW.case_id THEN
        RAISE EXCEPTION 'decision % does not stand', NEW.decision_id;
    END IF;
    IF NEW.overturned_by IN (d.requested_by, d.broken_glass_by)
       OR EXISTS (SELECT FROM ledger.approvals a
                   WHERE a.decision_id = NEW.decision_id AND a.user_id = NEW.overturned_by) THEN
        RAISE EXCEPTION 'nobody overturns their own decision';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER check_overturn BEFORE INSERT ON ledger.overturns
    FOR EACH ROW EXECUTE FUNCTION ledger.check_overturn();

-- A case that was dismissed is open again when that is overturned.
CREATE OR REPLACE FUNCTION ledger.check_case_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.version < OLD.version OR NEW.revision < OLD.revision THEN
        RAISE EXCEPTION 'version and revision of a case never fall';
    END IF;
    IF NEW.state <> OLD.state AND (OLD.state || '>' || NEW.state) NOT IN (
        'open>awaiting_approval', 'open>executing', 'open>dismissed',
        'awaiting_approval>open', 'awaiting_approval>executing',
        'awaiting_approval>partly_done', 'awaiting_approval>done',
        'executing>open', 'executing>partly_done', 'executing>done', 'executing>dismissed',
        'partly_done>awaiting_approval', 'partly_done>executing', 'partly_done>dismissed', 'partly_done>done',
        'partly_done>open',
        'done>awaiting_approval', 'done>executing'
    ) AND NOT (OLD.state = 'dismissed' AND NEW.state = 'open' AND EXISTS
        (SELECT FROM ledger.overturns o JOIN ledger.decisions d USING (decision_id)
          WHERE o.case_id = NEW.case_id AND d.action = 'dismiss' AND d.decision_id =
                (SELECT l.decision_id FROM ledger.decisions l WHERE l.case_id = NEW.case_id AND l.state = 'approved'
                  ORDER BY l.case_version DESC LIMIT 1))) THEN
        RAISE EXCEPTION 'a case cannot move from % to %', OLD.state, NEW.state;
    END IF;
    RETURN NEW;
END $$;

CREATE TABLE ledger.case_ranks (
    case_id         bigint      PRIMARY KEY REFERENCES ledger.cases,
    probability     double precision NOT NULL CHECK (probability BETWEEN 0 AND 1),
    expected_loss   bigint      NOT NULL CHECK (expected_loss >= 0),
    leaves_at       timestamptz
);
COMMENT ON TABLE ledger.case_ranks IS 'How urgent each open case is; counted anew every half minute, so that the queue need only sort';
COMMENT ON COLUMN ledger.case_ranks.expected_loss IS 'Probability times the dearest sum of one currency that can still be stopped, compared by the policy''s sort_rates';
COMMENT ON COLUMN ledger.case_ranks.leaves_at IS 'The next shipping deadline or payout of an order that is not held, by the market''s clock';
