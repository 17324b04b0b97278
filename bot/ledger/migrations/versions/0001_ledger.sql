-- The ledger: what was found, decided, done and said. Constraints say what is allowed (invariant 8).
-- Lease columns are the same on every table that is a queue (bot/ledger/claims.py).

CREATE TABLE ledger.people (
    user_id         text        PRIMARY KEY,
    team_id         text        NOT NULL,
    display_name    text        NOT NULL,
    locale          text        NOT NULL DEFAULT 'ja',
    is_bot          boolean     NOT NULL DEFAULT false,
    is_guest        boolean     NOT NULL DEFAULT false,
    is_deleted      boolean     NOT NULL DEFAULT false,
    roles           text[]      NOT NULL DEFAULT '{}',
    synced_at       timestamptz NOT NULL
);
COMMENT ON TABLE ledger.people IS 'Slack users with their roles, as of the last sync; older than five minutes means that no money moves';

CREATE TABLE ledger.user_groups (
    group_id        text        PRIMARY KEY,
    handle          text        NOT NULL UNIQUE,
    synced_at       timestamptz NOT NULL
);

CREATE TABLE ledger.capabilities (
    verb            text        PRIMARY KEY,
    operation_class text        NOT NULL CHECK (operation_class IN ('key', 'lookup', 'none', 'manual')),
    key_window_s    integer,
    execution_bound_s integer   NOT NULL,
    read_at         timestamptz NOT NULL
);
COMMENT ON TABLE ledger.capabilities IS 'What the marketplace declared of each verb when it was last asked';

CREATE TABLE ledger.preferences (
    name            text        PRIMARY KEY,
    value           text        NOT NULL,
    updated_at      timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE ledger.preferences IS 'Small shared choices, such as the language of the channel''s cards';

CREATE TABLE ledger.switches (
    name            text        PRIMARY KEY,
    paused_by       text,
    reason          text        NOT NULL DEFAULT '',
    paused_at       timestamptz
);
COMMENT ON TABLE ledger.switches IS 'Brakes: name is "all" or an action; paused_at set means that nothing of it is carried out';

CREATE TABLE ledger.ticks (
    name            text        PRIMARY KEY,
    every_s         double precision NOT NULL CHECK (every_s > 0),
    watermark       timestamptz,
    last_error      text,
    last_run_at     timestamptz,
    due_at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    lease_owner     text,
    lease_until     timestamptz,
    fence           bigint      NOT NULL DEFAULT 0,
    attempts        integer     NOT NULL DEFAULT 0
);
COMMENT ON COLUMN ledger.ticks.watermark IS 'The market''s time up to which the last good tick has looked';

CREATE TABLE ledger.cases (
    case_id         bigint      GENERATED ALWAYS AS IDENTITY (START WITH 2001) PRIMARY KEY,
    state           text        NOT NULL DEFAULT 'open' CHECK (state IN
                      ('open', 'awaiting_approval', 'executing', 'partly_done', 'done', 'dismissed')),
    severity        text        NOT NULL CHECK (severity IN ('P1', 'P2', 'P3')),
    version         integer     NOT NULL DEFAULT 1,
    revision        integer     NOT NULL DEFAULT 1,
    opened_at       timestamptz NOT NULL,
    opened_by       text,
    assignee        text,
    closed_at       timestamptz,
    closed_by       text,
    dismiss_reason  text,
    updated_by      text,
    updated_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK ((state IN ('done', 'dismissed')) = (closed_at IS NOT NULL))
);
COMMENT ON COLUMN ledger.cases.version IS 'Moves when what is decided on moves; a click carries it';
COMMENT ON COLUMN ledger.cases.revision IS 'Moves whenever the card would look different';
CREATE INDEX ON ledger.cases (state) WHERE closed_at IS NULL;

CREATE FUNCTION ledger.check_case_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.version < OLD.version OR NEW.revision < OLD.revision THEN
        RAISE EXCEPTION 'version and revision of a case never fall';
    END IF;
    IF NEW.state <> OLD.state AND (OLD.state || '>' || NEW.state) NOT IN (
        'open>awaiting_approval', 'open>executing', 'open>dismissed',
        'awaiting_approval>open', 'awaiting_approval>executing',
        'executing>open', 'executing>partly_done', 'executing>done', 'executing>dismissed',
        'partly_done>awaiting_approval', 'partly_done>executing', 'partly_done>dismissed', 'partly_done>done',
        'partly_done>open',
        'done>awaiting_approval', 'done>executing'
    ) THEN
        RAISE EXCEPTION 'a case cannot move from % to %', OLD.state, NEW.state;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER check_case_move BEFORE UPDATE ON ledger.cases
    FOR EACH ROW EXECUTE FUNCTION ledger.check_case_move();

CREATE TABLE ledger.case_members (
    case_id         bigint      NOT NULL REFERENCES ledger.cases,
    subject_kind    text        NOT NULL CHECK (subject_kind IN ('order', 'account', 'listing')),
    subject_id      text        NOT NULL CHECK (subject_id <> ''),
    is_subject      boolean     NOT NULL,
    is_open         boolean     NOT NULL DEFAULT true,
    facts           jsonb       NOT NULL,
    verdict         text        CHECK (verdict IN ('fraud', 'good')),
    joined_at       timestamptz NOT NULL,
    PRIMARY KEY (case_id, subject_kind, subject_id)
);
-- One open case a subject: a second finding joins it.
CREATE UNIQUE INDEX one_open_case_per_subject ON ledger.case_members (subject_kind, subject_id)
    WHERE is_open AND is_subject;
CREATE INDEX ON ledger.case_members (subject_kind, subject_id);

CREATE TABLE ledger.findings (
    finding_id      bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    detection       text        NOT NULL,
    subject_kind    text        NOT NULL,
    subject_id      text        NOT NULL,
    window_key      text        NOT NULL,
    severity        text        NOT NULL,
    mode            text        NOT NULL CHECK (mode IN ('shadow', 'review', 'automatic')),
    amount          bigint,
    currency        text,
    occurred_at     timestamptz NOT NULL,
    body            jsonb       NOT NULL,
    case_id         bigint      REFERENCES ledger.cases,
    suppressed_by   bigint      REFERENCES ledger.findings,
    verdict         text        CHECK (verdict IN ('fraud', 'good')),
    found_at        timestamptz NOT NULL,
    CONSTRAINT finding_once UNIQUE (detection, subject_kind, subject_id, window_key)
);
COMMENT ON COLUMN ledger.findings.suppressed_by IS 'An earlier finding of the same that people have in hand, or had within 24 h';
CREATE INDEX ON ledger.findings (case_id);
CREATE INDEX ON ledger.findings (detection, found_at);

CREATE TABLE ledger.plan_sets (
    plan_set_id     text        PRIMARY KEY CHECK (plan_set_id <> ''),
    case_id         bigint      NOT NULL REFERENCES ledger.cases,
    case_version    integer     NOT NULL,
    action          text        NOT NULL,
    shown_to        text        NOT NULL,
    plans           jsonb       NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE ledger.plan_sets IS 'The plans that a modal showed, so that a submission decides on what was shown';

CREATE TABLE ledger.decisions (
    decision_id     text        PRIMARY KEY CHECK (decision_id <> ''),
    case_id         bigint      NOT NULL REFERENCES ledger.cases,
    case_version    integer     NOT NULL,
    action          text        NOT NULL,
    state           text        NOT NULL CHECK (state IN
                      ('awaiting_approval', 'approved', 'rejected', 'expired', 'superseded')),
    requested_by    text        NOT NULL,
    requested_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    reason          text        NOT NULL,
    note            text,
    targets         jsonb       NOT NULL,
    plans           jsonb       NOT NULL,
    params_hash     text        NOT NULL,
    amounts         jsonb       NOT NULL,
    evidence        jsonb       NOT NULL,
    approvals_needed integer    NOT NULL CHECK (approvals_needed >= 0),
    approver_roles  text[]      NOT NULL DEFAULT '{}',
    policy_hash     text        NOT NULL,
    rejected_by     text,
    rejected_reason text,
    expires_at      timestamptz,
    decided_at      timestamptz,
    -- One decision per case and version (invariant 1).
    CONSTRAINT one_decision_per_version UNIQUE (case_id, case_version)
);
CREATE INDEX ON ledger.decisions (expires_at) WHERE state = 'awaiting_approval';

CREATE FUNCTION ledger.check_decision_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.targets, NEW.plans, NEW.params_hash, NEW.amounts, NEW.evidence, NEW.requested_by, NEW.action,
        NEW.case_id, NEW.case_version, NEW.reason)
       IS DISTINCT FROM
       (OLD.targets, OLD.plans, OLD.params_hash, OLD.amounts, OLD.evidence, OLD.requested_by, OLD.action,
        OLD.case_id, OLD.case_version, OLD.reason) THEN
        RAISE EXCEPTION 'what a decision decided is frozen';
    END IF;
    IF NEW.state <> OLD.state AND OLD.state <> 'awaiting_approval' THEN
        RAISE EXCEPTION 'a decision cannot move from % to %', OLD.state, NEW.state;
    END IF;
    IF NEW.state = 'approved' AND OLD.state <> 'approved' AND NEW.approvals_needed >
       (SELECT count(*) FROM ledger.approvals a
         WHERE a.decision_id = NEW.decision_id AND a.params_hash = NEW.params_hash) THEN
        RAISE EXCEPTION 'decision % lacks approvals', NEW.decision_id;
    END IF;
    RETURN NEW;
END $$;

CREATE TABLE ledger.approvals (
    decision_id     text        NOT NULL REFERENCES ledger.decisions,
    user_id         text        NOT NULL,
    params_hash     text        NOT NULL,
    at              timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (decision_id, user_id)
);

-- Nobody approves what they asked for or opened by hand, whatever the code above believes.
CREATE FUNCTION ledger.check_approval() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM ledger.decisions d JOIN ledger.cases c USING (case_id)
                WHERE d.decision_id = NEW.decision_id
                  AND (d.requested_by = NEW.user_id OR c.opened_by = NEW.user_id)) THEN
        RAISE EXCEPTION 'nobody approves their own request' USING CONSTRAINT = 'approval_not_own';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER check_approval BEFORE INSERT OR UPDATE ON ledger.approvals
    FOR EACH ROW EXECUTE FUNCTION ledger.check_approval();
CREATE TRIGGER check_decision_move BEFORE UPDATE ON ledger.decisions
    FOR EACH ROW EXECUTE FUNCTION ledger.check_decision_move();

CREATE TABLE ledger.operations (
    operation_id    text        PRIMARY KEY CHECK (length(operation_id) BETWEEN 8 AND 128),
    decision_id     text        NOT NULL REFERENCES ledger.decisions,
    case_id         bigint      NOT NULL REFERENCES ledger.cases,
    verb            text        NOT NULL,
    subject_kind    text        NOT NULL,
    subject_id      text        NOT NULL CHECK (subject_id <> ''),
    body            jsonb       NOT NULL,
    body_hash       text        NOT NULL,
    plan_token      text,
    operation_class text        NOT NULL CHECK (operation_class IN ('key', 'lookup', 'none', 'manual')),
    amount          bigint,
    currency        text,
    state           text        NOT NULL DEFAULT 'queued' CHECK (state IN
                      ('queued', 'executing', 'pending', 'unknown', 'succeeded', 'failed', 'needs_human', 'stopped')),
    resolved_by     text        CHECK (resolved_by IN ('answer', 'lookup', 'resend', 'human')),
    outcome         jsonb,
    failure_code    text,
    failure_message text,
    sends           integer     NOT NULL DEFAULT 0,
    last_sent_at    timestamptz,
    unknown_since   timestamptz,
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at        timestamptz,
    due_at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    lease_owner     text,
    lease_until     timestamptz,
    fence           bigint      NOT NULL DEFAULT 0,
    attempts        integer     NOT NULL DEFAULT 0,
    UNIQUE (decision_id, verb, subject_kind, subject_id),
    CHECK ((state IN ('succeeded', 'failed', 'needs_human', 'stopped')) = (ended_at IS NOT NULL))
);
COMMENT ON COLUMN ledger.operations.operation_id IS 'Sent as Idempotency-Key; one per effect, for ever';
CREATE INDEX ON ledger.operations (case_id);
CREATE INDEX ON ledger.operations (due_at) WHERE ended_at IS NULL;

CREATE FUNCTION ledger.check_operation_move() RETURNS trigger LANGUAGE plpgsql AS $$
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
    ) THEN
        RAISE EXCEPTION 'an operation cannot move from % to %', OLD.state, NEW.state;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER check_operation_move BEFORE UPDATE ON ledger.operations
    FOR EACH ROW EXECUTE FUNCTION ledger.check_operation_move();

CREATE TABLE ledger.operation_attempts (
    operation_id    text        NOT NULL REFERENCES ledger.operations,
    fence           bigint      NOT NULL,
    what            text        NOT NULL CHECK (what IN ('send', 'lookup')),
    started_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at        timestamptz,
    outcome         text,
    PRIMARY KEY (operation_id, fence, what)
);
COMMENT ON TABLE ledger.operation_attempts IS 'Committed before each call, so that a crash during the call is seen';

CREATE TABLE ledger.cards (
    case_id         bigint      PRIMARY KEY REFERENCES ledger.cases,
    channel         text        NOT NULL,
    message_ts      text,
    wanted_revision integer     NOT NULL DEFAULT 1,
    published_revision integer  NOT NULL DEFAULT 0,
    -- Both sides stand in this row, so that a publisher's write back cannot miss a change made meanwhile.
    stale           boolean     GENERATED ALWAYS AS (wanted_revision > published_revision) STORED,
    priority        bigint      NOT NULL DEFAULT 0,
    last_error      text,
    post_started_at timestamptz,
    due_at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    lease_owner     text,
    lease_until     timestamptz,
    fence           bigint      NOT NULL DEFAULT 0,
    attempts        integer     NOT NULL DEFAULT 0
);
COMMENT ON COLUMN ledger.cards.post_started_at IS 'Set before a post whose answer we have not seen: look before posting again';
CREATE INDEX ON ledger.cards (priority DESC) WHERE stale;

CREATE TABLE ledger.posts (
    post_id         text        PRIMARY KEY,
    case_id         bigint      REFERENCES ledger.cases,
    channel         text        NOT NULL,
    dedupe_key      text        NOT NULL UNIQUE,
    story           jsonb       NOT NULL,
    message_ts      text,
    state           text        NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'sent', 'failed')),
    last_error      text,
    post_started_at timestamptz,
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    due_at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    lease_owner     text,
    lease_until     timestamptz,
    fence           bigint      NOT NULL DEFAULT 0,
    attempts        integer     NOT NULL DEFAULT 0
);
COMMENT ON TABLE ledger.posts IS 'The outbox of thread messages: what happened, as values; the wording is drawn when it is sent';
CREATE INDEX ON ledger.posts (due_at) WHERE state = 'queued';

CREATE TABLE ledger.notes (
    note_id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    case_id         bigint      NOT NULL REFERENCES ledger.cases,
    author          text        NOT NULL,
    body            text        NOT NULL,
    message_ts      text        NOT NULL,
    at              timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (case_id, message_ts)
);

-- The audit log: append-only, chained by SHA-256 in the transaction of what it describes.
CREATE TABLE ledger.audit_head (
    only_row        boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
    seq             bigint      NOT NULL,
    hash            text        NOT NULL
);
INSERT INTO ledger.audit_head (seq, hash) VALUES (0, repeat('0', 64));

CREATE TABLE ledger.audit_entries (
    seq             bigint      PRIMARY KEY,
    at              timestamptz NOT NULL,
    actor           text        NOT NULL CHECK (actor <> ''),
    tag             text        NOT NULL CHECK (tag ~ '^[a-z_]+:[a-z_]+:[a-z_]+$'),
    case_id         bigint,
    decision_id     text,
    operation_id    text,
    subject_kind    text,
    subject_id      text,
    details         jsonb       NOT NULL DEFAULT '{}',
    canonical       text        NOT NULL,
    previous_hash   text        NOT NULL,
    hash            text        NOT NULL UNIQUE
);
COMMENT ON COLUMN ledger.audit_entries.canonical IS 'The very text that was hashed, so that no verifier must render it again';
CREATE INDEX ON ledger.audit_entries (case_id);
CREATE INDEX ON ledger.audit_entries (subject_kind, subject_id);

CREATE FUNCTION ledger.audit_canonical(e ledger.audit_entries) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object(
        'seq', e.seq,
        'at', to_char(e.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'actor', e.actor, 'tag', e.tag, 'case_id', e.case_id, 'decision_id', e.decision_id,
        'operation_id', e.operation_id, 'subject_kind', e.subject_kind, 'subject_id', e.subject_id,
        'details', e.details)::text
$$;

-- SECURITY DEFINER: the application role may append, but not touch the head.
CREATE FUNCTION ledger.chain_audit_entry() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = ledger, pg_temp AS $$
BEGIN
    SELECT h.seq + 1, h.hash INTO NEW.seq, NEW.previous_hash FROM ledger.audit_head h FOR UPDATE;
    NEW.at := clock_timestamp();
    NEW.canonical := ledger.audit_canonical(NEW);
    NEW.hash := encode(sha256(convert_to(
        'mimawari.audit.v1' || E'\n' || NEW.previous_hash || E'\n' || NEW.canonical, 'UTF8')), 'hex');
    UPDATE ledger.audit_head SET seq = NEW.seq, hash = NEW.hash;
    RETURN NEW;
END $$;
CREATE TRIGGER chain_audit_entry BEFORE INSERT ON ledger.audit_entries
    FOR EACH ROW EXECUTE FUNCTION ledger.chain_audit_entry();

CREATE FUNCTION ledger.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME;
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON ledger.audit_entries
    FOR EACH ROW EXECUTE FUNCTION ledger.refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON ledger.audit_entries
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
CREATE TRIGGER append_only BEFORE DELETE ON ledger.approvals
    FOR EACH ROW EXECUTE FUNCTION ledger.refuse_change();
CREATE TRIGGER append_only BEFORE DELETE ON ledger.decisions
    FOR EACH ROW EXECUTE FUNCTION ledger.refuse_change();
CREATE TRIGGER append_only BEFORE DELETE ON ledger.operations
    FOR EACH ROW EXECUTE FUNCTION ledger.refuse_change();
