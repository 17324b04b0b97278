-- Personal data beside the audit chain, and a role that can only verify.
-- Notes may be emptied by the owner when somebody's data is erased; nobody else may change them.
COMMENT ON COLUMN ledger.notes.body IS 'What a person wrote; empty once it was erased';

-- What people wrote, beside the log: an entry holds only the commitment, so that a row can go and the chain stays whole.
CREATE TABLE ledger.audit_private (
    commitment      text        PRIMARY KEY CHECK (commitment ~ '^[0-9a-f]{64}$'),
    case_id         bigint,
    subject_kind    text,
    subject_id      text,
    name            text        NOT NULL CHECK (name <> ''),
    -- Without it, whoever has an export could try likely words until a hash fits.
    salt            text        NOT NULL CHECK (salt ~ '^[0-9a-f]{32}$'),
    value           text        NOT NULL,
    CHECK (commitment = encode(sha256(convert_to(
        'mimawari.private.v1' || E'\n' || salt || E'\n' || value, 'UTF8')), 'hex'))
);
COMMENT ON TABLE ledger.audit_private IS 'Free text that audit entries are committed to by a salted hash; deleted by an erasure, never changed';
CREATE INDEX ON ledger.audit_private (case_id);
CREATE INDEX ON ledger.audit_private (subject_kind, subject_id);
CREATE TRIGGER append_only BEFORE UPDATE ON ledger.audit_private
    FOR EACH ROW EXECUTE FUNCTION ledger.refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON ledger.audit_private
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
