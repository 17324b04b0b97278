-- What detections over our own ledger (`source: ledger`) may read: names, kinds, states, sums and times.
-- No names of people, no text that anybody wrote, no evidence; bot/ledger/views.py holds the same as values.
-- The views read as their owner, so that their readers need no right on any table.

-- A case may also be about a detection of ours that does not work.
ALTER TABLE ledger.case_members DROP CONSTRAINT case_members_subject_kind_check;
ALTER TABLE ledger.case_members ADD CONSTRAINT case_members_subject_kind_check
    CHECK (subject_kind IN ('order', 'account', 'listing', 'post', 'detection'));

CREATE SCHEMA ledger_views;
REVOKE ALL ON SCHEMA ledger_views FROM PUBLIC;

CREATE VIEW ledger_views.ticks WITH (security_barrier) AS
SELECT t.name,
       CASE WHEN t.name LIKE 'detection:%' THEN substr(t.name, 11) END AS detection,
       t.every_s,
       t.watermark,
       t.last_run_at,
       t.last_error IS NOT NULL AS failed,
       t.due_at
  FROM ledger.ticks t
 WHERE t.due_at < 'infinity';
COMMENT ON VIEW ledger_views.ticks IS 'What runs again and again: every detection (detection:NAME) and every job (job:NAME) that there is now';
COMMENT ON COLUMN ledger_views.ticks.watermark IS 'The market''s time of the last good run; NULL: there was none';
COMMENT ON COLUMN ledger_views.ticks.last_run_at IS 'The end of the last run, good or not, by the database''s clock';

CREATE VIEW ledger_views.detection_runs WITH (security_barrier) AS
SELECT r.detection, r.at, r.market_at, r.took_ms, r.rows, r.fresh, r.error IS NOT NULL AS failed
  FROM ledger.detection_runs r;
COMMENT ON VIEW ledger_views.detection_runs IS 'The latest runs of each detection; older ones are deleted';

CREATE VIEW ledger_views.detection_modes WITH (security_barrier) AS
SELECT m.detection, m.mode, m.cause, m.since
  FROM ledger.detection_modes m;
COMMENT ON VIEW ledger_views.detection_modes IS 'Which mode a detection has since when; the last row counts, and without any its file says it';

CREATE VIEW ledger_views.findings WITH (security_barrier) AS
SELECT f.finding_id, f.detection, f.subject_kind, f.subject_id, f.severity, f.mode, f.amount, f.currency,
       f.occurred_at, f.found_at, f.case_id, f.suppressed_by, f.verdict
  FROM ledger.findings f;
COMMENT ON COLUMN ledger_views.findings.found_at IS 'The market''s time of the run that found it';

CREATE VIEW ledger_views.cases WITH (security_barrier) AS
SELECT c.case_id, c.state, c.severity, c.version, c.opened_at, c.opened_by IS NOT NULL AS by_hand,
       c.assignee IS NOT NULL AS claimed, c.updated_at, c.closed_at, c.wait_kind, c.wait_since, c.wait_until,
       c.hold_since, c.hold_until
  FROM ledger.cases c;
COMMENT ON COLUMN ledger_views.cases.opened_at IS 'By the market''s clock, as closed_at is';

CREATE VIEW ledger_views.case_members WITH (security_barrier) AS
SELECT m.case_id, m.subject_kind, m.subject_id, m.is_subject, m.is_open, m.verdict, m.joined_at
  FROM ledger.case_members m;

CREATE VIEW ledger_views.decisions WITH (security_barrier) AS
SELECT d.decision_id, d.case_id, d.action, d.state, d.requested_by LIKE 'detection:%' AS by_detection,
       d.requested_at, d.approvals_needed, d.expires_at, d.decided_at, d.starts_at,
       d.broken_glass_by IS NOT NULL AS broke_glass, d.dry_run
  FROM ledger.decisions d;

CREATE VIEW ledger_views.operations WITH (security_barrier) AS
SELECT o.operation_id, o.decision_id, o.case_id, o.verb, o.subject_kind, o.subject_id, o.operation_class,
       o.amount, o.currency, o.state, o.resolved_by, o.sends, o.last_sent_at, o.unknown_since, o.created_at,
       o.ended_at
  FROM ledger.operations o;

CREATE VIEW ledger_views.posts WITH (security_barrier) AS
SELECT p.post_id, p.case_id, p.kind, p.state, p.created_at, p.due_at, p.attempts
  FROM ledger.posts p;
COMMENT ON VIEW ledger_views.posts IS 'What we said or have still to say in Slack; not what it says';
