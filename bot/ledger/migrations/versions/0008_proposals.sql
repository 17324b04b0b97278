-- What needs two people: resuming, policy changes, reviews after a break-glass.

-- The outbox also carries notices: what is told beside the cases. One that changed is drawn anew.
ALTER TABLE ledger.posts DROP CONSTRAINT posts_kind_check;
ALTER TABLE ledger.posts
    ADD CHECK (kind IN ('story', 'roll_up', 'notice')),
    ADD COLUMN revision integer NOT NULL DEFAULT 1;
COMMENT ON COLUMN ledger.posts.revision IS 'Moves when a notice must look different; a publisher that drew an older one draws again';

CREATE TABLE ledger.proposals (
    proposal_id     text        PRIMARY KEY CHECK (proposal_id <> ''),
    kind            text        NOT NULL CHECK (kind IN ('resume', 'policy', 'review')),
    about           text        NOT NULL CHECK (about <> ''),
    body            jsonb       NOT NULL,
    body_hash       text        NOT NULL CHECK (body_hash ~ '^[0-9a-f]{64}$'),
    proposed_by     text        NOT NULL CHECK (proposed_by <> ''),
    barred          text[]      NOT NULL DEFAULT '{}',
    approvals_needed integer    NOT NULL CHECK (approvals_needed >= 1),
    proposed_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at      timestamptz,
    state           text        NOT NULL DEFAULT 'open' CHECK (state IN
                      ('open', 'approved', 'rejected', 'expired', 'superseded')),
    ended_at        timestamptz,
    ended_by        text,
    words           text,
    CHECK ((state = 'open') = (ended_at IS NULL)),
    -- A person proposes and another agrees; what no person proposed needs two.
    CHECK (approvals_needed >= 2 OR proposed_by !~ '^(cli|file|env|system)$')
);
COMMENT ON TABLE ledger.proposals IS 'What needs two people and belongs to no case''s decision; a review is one that another person must do';
COMMENT ON COLUMN ledger.proposals.about IS 'What is to be resumed, the hash of a policy, or the decision to be reviewed';
COMMENT ON COLUMN ledger.proposals.barred IS 'Who beside the proposer may not end it';
CREATE UNIQUE INDEX one_open_proposal ON ledger.proposals (kind, about) WHERE state = 'open';

CREATE TABLE ledger.proposal_approvals (
    proposal_id     text        NOT NULL REFERENCES ledger.proposals,
    user_id         text        NOT NULL,
    body_hash       text        NOT NULL,
    roles           text[]      NOT NULL DEFAULT '{}',
    at              timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (proposal_id, user_id)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON ledger.proposal_approvals
    FOR EACH ROW EXECUTE FUNCTION ledger.refuse_change();
CREATE TRIGGER append_only BEFORE DELETE ON ledger.proposals
    FOR EACH ROW EXECUTE FUNCTION ledger.refuse_change();

-- Nobody agrees to what they proposed, whatever the code above believes, nor to anything but what was proposed.
CREATE FUNCTION ledger.check_proposal_approval() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE p ledger.proposals;
BEGIN
    SELECT * INTO p FROM ledger.proposals WHERE proposal_id = NEW.proposal_id FOR UPDATE;
    IF p.proposed_by = NEW.user_id OR NEW.user_id = ANY(p.barred) THEN
        RAISE EXCEPTION 'nobody agrees to their own proposal' USING CONSTRAINT = 'proposal_not_own';
    END IF;
    IF p.body_hash <> NEW.body_hash THEN
        RAISE EXCEPTION 'this is not what was proposed';
    END IF;
    IF p.state <> 'open' OR p.expires_at <= clock_timestamp() THEN
        RAISE EXCEPTION 'proposal % has ended', NEW.proposal_id;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER check_proposal_approval BEFORE INSERT ON ledger.proposal_approvals
    FOR EACH ROW EXECUTE FUNCTION ledger.check_proposal_approval();

CREATE FUNCTION ledger.check_proposal_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.kind, NEW.about, NEW.body, NEW.body_hash, NEW.proposed_by, NEW.barred, NEW.approvals_needed,
        NEW.proposed_at, NEW.expires_at)
       IS DISTINCT FROM
       (OLD.kind, OLD.about, OLD.body, OLD.body_hash, OLD.proposed_by, OLD.barred, OLD.approvals_needed,
        OLD.proposed_at, OLD.expires_at) THEN
        RAISE EXCEPTION 'what was proposed is frozen';
    END IF;
    IF NEW.state <> OLD.state AND OLD.state <> 'open' THEN
        RAISE EXCEPTION 'a proposal cannot move from % to %', OLD.state, NEW.state;
    END IF;
    IF NEW.state = 'approved' AND OLD.state <> 'approved' AND NEW.approvals_needed >
       (SELECT count(*) FROM ledger.proposal_approvals a WHERE a.proposal_id = NEW.proposal_id) THEN
        RAISE EXCEPTION 'proposal % lacks approvals', NEW.proposal_id;
    END IF;
    IF NEW.state = 'rejected' AND NEW.kind = 'review'
       AND (NEW.ended_by = NEW.proposed_by OR NEW.ended_by = ANY(NEW.barred)) THEN
        RAISE EXCEPTION 'nobody reviews what they did themselves' USING CONSTRAINT = 'proposal_not_own';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER check_proposal_move BEFORE UPDATE ON ledger.proposals
    FOR EACH ROW EXECUTE FUNCTION ledger.check_proposal_move();

-- What was paused goes on only by a proposal that another person agreed to, made for this very pause.
ALTER TABLE ledger.switches ADD COLUMN resumed_by_proposal text REFERENCES ledger.proposals;
CREATE FUNCTION ledger.check_switch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.paused_at IS NULL OR NEW.paused_at IS NOT DISTINCT FROM OLD.paused_at THEN
        RETURN NEW;
    END IF;
    IF NEW.paused_at IS NOT NULL THEN
        RAISE EXCEPTION '% is paused already', OLD.name;
    END IF;
    IF NOT EXISTS (SELECT FROM ledger.proposals p
                    WHERE p.proposal_id = NEW.resumed_by_proposal AND p.kind = 'resume' AND p.about = OLD.name
                      AND p.state = 'approved' AND p.proposed_at >= OLD.paused_at) THEN
        RAISE EXCEPTION 'resuming % needs two people', OLD.name USING CONSTRAINT = 'resume_by_two';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER check_switch BEFORE UPDATE ON ledger.switches
    FOR EACH ROW EXECUTE FUNCTION ledger.check_switch();

-- A dry run ends its operations without any call.
ALTER TABLE ledger.operations DROP CONSTRAINT operations_resolved_by_check;
ALTER TABLE ledger.operations ADD CONSTRAINT operations_resolved_by_check
    CHECK (resolved_by IN ('answer', 'lookup', 'resend', 'human', 'seen', 'dry_run'));

-- Decided in a dry run: recorded, and never sent, whoever carries it out and whenever.
ALTER TABLE ledger.decisions ADD COLUMN dry_run boolean NOT NULL DEFAULT false;
CREATE FUNCTION ledger.check_dry_run() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.dry_run IS DISTINCT FROM OLD.dry_run THEN
        RAISE EXCEPTION 'what was decided in a dry run stays one';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER check_dry_run BEFORE UPDATE ON ledger.decisions
    FOR EACH ROW EXECUTE FUNCTION ledger.check_dry_run();
CREATE FUNCTION ledger.check_dry_operation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.sends > 0 OR coalesce(NEW.resolved_by, 'dry_run') <> 'dry_run') AND EXISTS
       (SELECT FROM ledger.decisions d WHERE d.decision_id = NEW.decision_id AND d.dry_run) THEN
        RAISE EXCEPTION 'operation % belongs to a dry run', NEW.operation_id;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER check_dry_operation BEFORE UPDATE ON ledger.operations
    FOR EACH ROW WHEN (NEW.sends > 0 OR NEW.resolved_by IS NOT NULL)
    EXECUTE FUNCTION ledger.check_dry_operation();
