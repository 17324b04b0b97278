-- A working day of 150 cases: the queue beside the channel, time to take a decision back, cases that wait for
-- somebody, posts as members, work that people do by hand.

ALTER TABLE ledger.case_members DROP CONSTRAINT case_members_subject_kind_check;
ALTER TABLE ledger.case_members ADD CONSTRAINT case_members_subject_kind_check
    CHECK (subject_kind IN ('order', 'account', 'listing', 'post'));

-- Cards: only what is urgent, or what somebody works on, stands in the channel; the rest waits in the queue.
ALTER TABLE ledger.cards ADD COLUMN in_channel boolean NOT NULL DEFAULT true;
COMMENT ON COLUMN ledger.cards.in_channel IS 'False: the case waits in the queue, and an hourly roll-up counts it';
ALTER TABLE ledger.cards ADD COLUMN folded boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN ledger.cards.folded IS 'A case that closed a while ago is drawn as one line';
CREATE INDEX ON ledger.cases (opened_at);

-- Cases that wait for an answer: of the customer, or of another group.
ALTER TABLE ledger.cases
    ADD COLUMN wait_kind text CHECK (wait_kind IN ('customer', 'group')),
    ADD COLUMN wait_by text,
    ADD COLUMN wait_since timestamptz,
    ADD COLUMN wait_until timestamptz,
    ADD COLUMN wait_group text,
    ADD CHECK ((wait_kind IS NULL) = (wait_by IS NULL) AND (wait_kind IS NULL) = (wait_since IS NULL)),
    ADD CHECK ((wait_kind = 'group') = (wait_group IS NOT NULL));
COMMENT ON COLUMN ledger.cases.wait_until IS 'When the case comes back by itself; by the database''s clock';
CREATE INDEX ON ledger.cases (wait_until) WHERE wait_kind IS NOT NULL;

-- Decisions: approved, but not begun, can be taken back.
ALTER TABLE ledger.decisions DROP CONSTRAINT decisions_state_check;
ALTER TABLE ledger.decisions ADD CONSTRAINT decisions_state_check CHECK (state IN
    ('awaiting_approval', 'approved', 'rejected', 'expired', 'superseded', 'taken_back'));
ALTER TABLE ledger.decisions
    ADD COLUMN starts_at timestamptz,
    ADD COLUMN taken_back_by text;
COMMENT ON COLUMN ledger.decisions.starts_at IS 'Until then an approved decision can be taken back';

CREATE OR REPLACE FUNCTION ledger.check_decision_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.targets, NEW.plans, NEW.params_hash, NEW.amounts, NEW.evidence, NEW.requested_by, NEW.action,
        NEW.case_id, NEW.case_version, NEW.reason)
       IS DISTINCT FROM
       (OLD.targets, OLD.plans, OLD.params_hash, OLD.amounts, OLD.evidence, OLD.requested_by, OLD.action,
        OLD.case_id, OLD.case_version, OLD.reason) THEN
        RAISE EXCEPTION 'what a decision decided is frozen';
    END IF;
    IF NEW.state <> OLD.state AND OLD.state <> 'awaiting_approval'
       AND (OLD.state, NEW.state) <> ('approved', 'taken_back') THEN
        RAISE EXCEPTION 'a decision cannot move from % to %', OLD.state, NEW.state;
    END IF;
    IF NEW.state = 'approved' AND OLD.state <> 'approved' AND NEW.approvals_needed >
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

-- Operations: done by hand, seen in the marketplace or told by the person who did it.
ALTER TABLE ledger.operations DROP CONSTRAINT operations_resolved_by_check;
ALTER TABLE ledger.operations ADD CONSTRAINT operations_resolved_by_check
    CHECK (resolved_by IN ('answer', 'lookup', 'resend', 'human', 'seen'));

CREATE OR REPLACE FUNCTION ledger.check_operation_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.body, NEW.body_hash, NEW.plan_token, NEW.verb, NEW.subject_kind, NEW.subject_id, NEW.decision_id)
       IS DISTINCT FROM
       (OLD.body, OLD.body_hash, OLD.plan_token, OLD.verb, OLD.subject_kind, OLD.subject_id, OLD.decision_id) THEN
        RAISE EXCEPTION 'what an operation does is frozen';
    END IF;
    IF NEW.state <> OLD.state AND (OLD.state || '>' || NEW.state) NOT IN (
        'queued>executing', 'queued>stopped', 'queued>needs_human',
        'executing>queued', 'executing>pending', 'executing>unknown', 'executing>succeeded', 'executing>failed',
        'executing>needs_human',
        'pending>succeeded', 'pending>failed', 'pending>unknown', 'pending>needs_human',
        'unknown>executing', 'unknown>pending', 'unknown>succeeded', 'unknown>failed', 'unknown>needs_human',
        'needs_human>succeeded', 'needs_human>failed'
    ) AND NOT (OLD.operation_class = 'manual' AND (OLD.state || '>' || NEW.state) IN
        ('queued>pending', 'pending>stopped')) THEN
        RAISE EXCEPTION 'an operation cannot move from % to %', OLD.state, NEW.state;
    END IF;
    RETURN NEW;
END $$;

-- The outbox also carries what belongs to no case, such as the hourly roll-up.
ALTER TABLE ledger.posts
    ADD COLUMN kind text NOT NULL DEFAULT 'story' CHECK (kind IN ('story', 'roll_up')),
    ADD CHECK ((kind = 'story') = (case_id IS NOT NULL));
