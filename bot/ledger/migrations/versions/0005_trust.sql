-- Decisions that money can be trusted to: which policy was in force, who had which role since when, who stood in for
-- whom, whose approval was for which role, and caps as rows that are taken inside the decision's transaction.

CREATE TABLE ledger.policies (
    policy_id       bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    hash            text        NOT NULL CHECK (hash ~ '^[0-9a-f]{64}$'),
    body            text        NOT NULL,
    adopted_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    source          text        NOT NULL CHECK (source IN ('file', 'people')),
    proposed_by     text,
    approved_by     text,
    -- Either the file came from a commit that was reviewed, or two people agreed here.
    CHECK (source = 'file' OR (proposed_by IS NOT NULL AND approved_by IS NOT NULL AND proposed_by <> approved_by))
);
COMMENT ON TABLE ledger.policies IS 'Every policy that was ever in force, whole; the newest row is';

CREATE TABLE ledger.role_spans (
    user_id         text        NOT NULL,
    role            text        NOT NULL,
    since           timestamptz NOT NULL DEFAULT clock_timestamp(),
    effective_at    timestamptz NOT NULL,
    until           timestamptz,
    PRIMARY KEY (user_id, role, since),
    CHECK (effective_at >= since AND (until IS NULL OR until >= since))
);
COMMENT ON TABLE ledger.role_spans IS 'Who had which role from when to when; a new approver counts as one only from effective_at on';
CREATE UNIQUE INDEX one_open_span_per_role ON ledger.role_spans (user_id, role) WHERE until IS NULL;

CREATE TABLE ledger.delegations (
    delegation_id   text        PRIMARY KEY CHECK (delegation_id <> ''),
    from_user       text        NOT NULL,
    to_user         text        NOT NULL,
    starts_at       timestamptz NOT NULL,
    ends_at         timestamptz NOT NULL,
    created_by      text        NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at        timestamptz,
    ended_by        text,
    CHECK (from_user <> to_user AND ends_at > starts_at)
);
CREATE INDEX ON ledger.delegations (to_user, ends_at);

-- Which person of which role each approval stands for: [["approver"], ["accountant"]] asks for two different people.
ALTER TABLE ledger.decisions
    ADD COLUMN slots jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN broken_glass_by text,
    ADD COLUMN broken_glass_reason text,
    ADD CHECK ((broken_glass_by IS NULL) = (broken_glass_reason IS NULL));
COMMENT ON COLUMN ledger.decisions.broken_glass_by IS 'Who let it through alone in an emergency, and owes a review by somebody else';
ALTER TABLE ledger.approvals
    ADD COLUMN roles text[] NOT NULL DEFAULT '{}',
    ADD COLUMN on_behalf_of text;
COMMENT ON COLUMN ledger.approvals.roles IS 'The roles that the person had then';

CREATE TABLE ledger.cap_entries (
    cap_entry_id    bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    decision_id     text        NOT NULL REFERENCES ledger.decisions,
    part            text        NOT NULL CHECK (part IN ('request', 'approval')),
    user_id         text        NOT NULL,
    action          text        NOT NULL,
    subject_kind    text        NOT NULL,
    subject_id      text        NOT NULL,
    account_id      text,
    amount          bigint      NOT NULL DEFAULT 0 CHECK (amount >= 0),
    currency        text        NOT NULL DEFAULT '',
    taken_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    returned_at     timestamptz,
    UNIQUE (decision_id, part, user_id, subject_kind, subject_id)
);
COMMENT ON COLUMN ledger.cap_entries.account_id IS 'Whose it is: the buyer of an order, so that many small refunds to one person add up';
COMMENT ON TABLE ledger.cap_entries IS 'What each decision takes of the caps: one row a target; returned when nothing of it was done';
CREATE INDEX ON ledger.cap_entries (action, taken_at) WHERE returned_at IS NULL;

-- An emergency lets a decision through without the approvals that it lacks, never without a name and a reason.
CREATE OR REPLACE FUNCTION ledger.check_decision_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.targets, NEW.plans, NEW.params_hash, NEW.amounts, NEW.evidence, NEW.requested_by, NEW.action,
        NEW.case_id, NEW.case_version, NEW.reason, NEW.approvals_needed, NEW.slots)
       IS DISTINCT FROM
       (OLD.targets, OLD.plans, OLD.params_hash, OLD.amounts, OLD.evidence, OLD.requested_by, OLD.action,
        OLD.case_id, OLD.case_version, OLD.reason, OLD.approvals_needed, OLD.slots) THEN
        RAISE EXCEPTION 'what a decision decided is frozen';
    END IF;
    IF NEW.state <> OLD.state AND OLD.state <> 'awaiting_approval'
       AND (OLD.state, NEW.state) <> ('approved', 'taken_back') THEN
        RAISE EXCEPTION 'a decision cannot move from % to %', OLD.state, NEW.state;
    END IF;
    IF NEW.state = 'approved' AND OLD.state <> 'approved' AND NEW.broken_glass_by IS NULL AND NEW.approvals_needed >
       (SELECT count(*) FROM ledger.approvals a
         WHERE a.decision_id = NEW.decision_id AND a.params_hash = NEW.params_hash) THEN
        RAISE EXCEPTION 'decision % lacks approvals', NEW.decision_id;
    END IF;
    -- What was sent cannot be taken back, whatever the code above believes.
    IF NEW.state = 'taken_back' AND OLD.state <> 'taken_back' AND EXISTS
       (SELECT FROM ledger.operations o WHERE o.decision_id = NEW.decision_id
           AND (o.state <> 'stopped' OR o.sends > 0)) THEN
        RAISE EXCEPTION 'decision % has begun already', NEW.decision_id;
    END IF;
    RETURN NEW;
END $$;

-- Standing in for somebody lends their right, not their own request: neither may be approved.
CREATE OR REPLACE FUNCTION ledger.check_approval() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM ledger.decisions d JOIN ledger.cases c USING (case_id)
                WHERE d.decision_id = NEW.decision_id
                  AND (d.requested_by IN (NEW.user_id, NEW.on_behalf_of)
                       OR c.opened_by IN (NEW.user_id, NEW.on_behalf_of))) THEN
        RAISE EXCEPTION 'nobody approves their own request' USING CONSTRAINT = 'approval_not_own';
    END IF;
    RETURN NEW;
END $$;

-- A request that comes to nothing leaves the case as it stood before: also one that was done.
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
    ) THEN
        RAISE EXCEPTION 'a case cannot move from % to %', OLD.state, NEW.state;
    END IF;
    RETURN NEW;
END $$;
