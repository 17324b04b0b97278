-- Step-up sign-in for the largest class of decisions.

-- One-time links. Nothing secret is kept, only hashes; no e-mail address either: Slack is asked for it at the sign-in.
CREATE TABLE ledger.step_ups (
    step_up_id      text        PRIMARY KEY CHECK (step_up_id <> ''),
    token_hash      text        NOT NULL UNIQUE CHECK (token_hash ~ '^[0-9a-f]{64}$'),
    user_id         text        NOT NULL,
    case_id         bigint      NOT NULL REFERENCES ledger.cases,
    case_version    integer     NOT NULL,
    decision_id     text        NOT NULL REFERENCES ledger.decisions,
    params_hash     text        NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at      timestamptz NOT NULL,
    starts          integer     NOT NULL DEFAULT 0,
    browser_hash    text        UNIQUE,
    state_hash      text        UNIQUE,
    nonce_hash      text,
    code_verifier   text,
    signed_in_at    timestamptz,
    csrf_hash       text,
    used_at         timestamptz,
    CHECK (used_at IS NULL OR signed_in_at IS NOT NULL),
    CHECK ((signed_in_at IS NULL) = (csrf_hash IS NULL)),
    CHECK (expires_at > created_at)
);
COMMENT ON TABLE ledger.step_ups IS 'A link to sign in by, bound to one person and to what they approve; used once';
COMMENT ON COLUMN ledger.step_ups.browser_hash IS 'The browser that began must be the one that ends';

-- What a link is bound to is frozen, and what was used stays used, whatever the code above believes.
CREATE FUNCTION ledger.check_step_up_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.token_hash, NEW.user_id, NEW.case_id, NEW.case_version, NEW.decision_id, NEW.params_hash, NEW.created_at)
       IS DISTINCT FROM
       (OLD.token_hash, OLD.user_id, OLD.case_id, OLD.case_version, OLD.decision_id, OLD.params_hash, OLD.created_at)
       OR NEW.expires_at > OLD.expires_at THEN
        RAISE EXCEPTION 'what a link is for is frozen';
    END IF;
    IF OLD.used_at IS NOT NULL THEN
        RAISE EXCEPTION 'link % was used', OLD.step_up_id;
    END IF;
    IF NEW.used_at IS NOT NULL AND NEW.expires_at <= clock_timestamp() THEN
        RAISE EXCEPTION 'link % has run out', OLD.step_up_id;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER check_step_up_move BEFORE UPDATE ON ledger.step_ups
    FOR EACH ROW EXECUTE FUNCTION ledger.check_step_up_move();

ALTER TABLE ledger.approvals ADD COLUMN step_up_id text UNIQUE REFERENCES ledger.step_ups;
COMMENT ON COLUMN ledger.approvals.step_up_id IS 'The sign-in that it was given by, where the policy asks for one';
