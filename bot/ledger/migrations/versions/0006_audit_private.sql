-- Personal data beside the audit chain, and a role that can only verify.
-- Notes may be emptied by the owner when somebody's data is erased; nobody else may change them.
COMMENT ON COLUMN ledger.notes.body IS 'What a person wrote; empty once it was erased';
