-- What was compared with the marketplace's own word, and which alarms were given.
ALTER TABLE ledger.operations
    ADD COLUMN reconciled_at timestamptz,
    ADD COLUMN alarmed smallint NOT NULL DEFAULT 0;
COMMENT ON COLUMN ledger.operations.reconciled_at IS 'When the marketplace was asked, after its end, what became of it';
COMMENT ON COLUMN ledger.operations.alarmed IS '1: somebody was reminded that its outcome is unknown; 2: everybody was told';
CREATE INDEX ON ledger.operations (ended_at) WHERE reconciled_at IS NULL;
CREATE INDEX ON ledger.operations (subject_kind, subject_id);

-- Running the failed steps of an operation again is an attempt of its own, committed before the call.
ALTER TABLE ledger.operation_attempts DROP CONSTRAINT operation_attempts_what_check;
ALTER TABLE ledger.operation_attempts ADD CHECK (what IN ('send', 'lookup', 'retry'));
