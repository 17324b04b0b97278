"""What must hold of the ledger after every step, asked in plain SQL that shares nothing with the case room."""

from __future__ import annotations

PROMISES = {
    "one decision a case and version": """
        SELECT format('case %s version %s', case_id, case_version) FROM mine_decisions
         GROUP BY case_id, case_version HAVING count(*) > 1""",
    "no operation without an approved decision": """
        SELECT o.operation_id FROM mine_operations o JOIN mine_decisions d USING (decision_id)
         WHERE d.state NOT IN ('approved', 'taken_back')""",
    "enough other people agreed to what runs": """
        SELECT d.decision_id FROM mine_decisions d JOIN mine_cases c USING (case_id)
         WHERE d.state = 'approved' AND d.approvals_needed > (
            SELECT count(DISTINCT a.user_id) FROM ledger.approvals a
             WHERE a.decision_id = d.decision_id AND a.params_hash = d.params_hash
               AND a.user_id <> d.requested_by AND a.user_id IS DISTINCT FROM c.opened_by)""",
    "nobody approved their own request or case": """
        SELECT a.decision_id FROM ledger.approvals a JOIN mine_decisions d USING (decision_id)
          JOIN mine_cases c USING (case_id)
         WHERE a.user_id IN (d.requested_by, c.opened_by)""",
    "an approval is of what was decided": """
        SELECT a.decision_id FROM ledger.approvals a JOIN mine_decisions d USING (decision_id)
         WHERE a.params_hash <> d.params_hash OR a.at < d.requested_at""",
    "one person of each role agreed": """
        SELECT d.decision_id FROM mine_decisions d
         WHERE d.state = 'approved' AND d.slots = '[["approver"], ["accountant"]]' AND NOT EXISTS (
            SELECT FROM ledger.approvals a JOIN ledger.approvals b USING (decision_id)
             WHERE a.decision_id = d.decision_id AND a.user_id <> b.user_id
               AND 'approver' = ANY(a.roles) AND 'accountant' = ANY(b.roles))""",
    "operations are of the decision's targets, each once": """
        SELECT d.decision_id FROM mine_decisions d
         WHERE d.state IN ('approved', 'taken_back')
           AND (SELECT coalesce(jsonb_agg(x ORDER BY x), '[]') FROM (
                  SELECT jsonb_build_array(t.value ->> 0, t.value -> 1 ->> 'kind', t.value -> 1 ->> 'id') AS x
                    FROM jsonb_array_elements(d.targets) t) told)
            IS DISTINCT FROM
               (SELECT coalesce(jsonb_agg(x ORDER BY x), '[]') FROM (
                  SELECT jsonb_build_array(o.verb, o.subject_kind, o.subject_id) AS x
                    FROM mine_operations o WHERE o.decision_id = d.decision_id) queued)""",
    "a case is executing if and only if an operation is open": """
        SELECT format('case %s is %s', c.case_id, c.state) FROM mine_cases c
         WHERE (c.state = 'executing') <> EXISTS (
            SELECT FROM mine_operations o WHERE o.case_id = c.case_id
               AND o.state IN ('queued', 'executing', 'pending', 'unknown'))""",
    "a closed case has nothing open": """
        SELECT format('case %s', c.case_id) FROM mine_cases c
         WHERE (c.closed_at IS NOT NULL) <> (c.state IN ('done', 'dismissed'))
            OR (c.closed_at IS NOT NULL AND EXISTS (
                SELECT FROM mine_operations o WHERE o.case_id = c.case_id AND o.ended_at IS NULL))
            OR (c.closed_at IS NOT NULL AND EXISTS (
                SELECT FROM mine_decisions d WHERE d.case_id = c.case_id AND d.state = 'awaiting_approval'))""",
    "a case waits if and only if its last decision does": """
        SELECT format('case %s is %s', c.case_id, c.state) FROM mine_cases c
         WHERE (c.state = 'awaiting_approval') <> EXISTS (
            SELECT FROM mine_decisions d WHERE d.case_id = c.case_id AND d.state = 'awaiting_approval')""",
    "of what was taken back nothing was sent": """
        SELECT o.operation_id FROM mine_operations o JOIN mine_decisions d USING (decision_id)
         WHERE d.state = 'taken_back' AND (o.sends > 0 OR o.state <> 'stopped' OR EXISTS (
            SELECT FROM ledger.operation_attempts t WHERE t.operation_id = o.operation_id))""",
    "what was stopped was never sent": """
        SELECT operation_id FROM mine_operations WHERE state = 'stopped' AND sends > 0""",
    "what was sent has its attempt": """
        SELECT o.operation_id FROM mine_operations o
         WHERE o.sends <> (SELECT count(*) FROM ledger.operation_attempts t
                            WHERE t.operation_id = o.operation_id AND t.what = 'send')""",
    "a verdict of fraud comes from a decision that stands": """
        SELECT format('case %s %s', m.case_id, m.subject_id) FROM ledger.case_members m JOIN mine_cases USING (case_id)
         WHERE m.verdict = 'fraud' AND NOT EXISTS (
            SELECT FROM mine_decisions d, jsonb_array_elements(d.targets) t
             WHERE d.case_id = m.case_id AND d.state = 'approved' AND d.action IN ('cancel', 'suspend')
               AND t.value -> 1 ->> 'id' = m.subject_id)""",
    "a verdict of good comes from a decision that stands": """
        SELECT format('case %s %s', m.case_id, m.subject_id) FROM ledger.case_members m JOIN mine_cases USING (case_id)
         WHERE m.verdict = 'good' AND NOT EXISTS (
            SELECT FROM mine_decisions d WHERE d.case_id = m.case_id AND d.state = 'approved'
               AND d.action IN ('dismiss', 'reinstate'))""",
    "every decision is in the log once, as what it is": """
        SELECT d.decision_id FROM mine_decisions d
         WHERE 1 <> (SELECT count(*) FROM mine_entries e WHERE e.decision_id = d.decision_id
                        AND e.actor = d.requested_by AND e.case_id = d.case_id
                        AND (CASE WHEN d.action = 'dismiss' THEN e.tag = 'person:case:dismissed'
                             ELSE e.tag = 'person:decision:requested'
                                  AND e.details ->> 'params_hash' = d.params_hash END))""",
    "every approval is in the log": """
        SELECT a.decision_id FROM ledger.approvals a JOIN mine_decisions d USING (decision_id)
         WHERE 1 <> (SELECT count(*) FROM mine_entries e WHERE e.decision_id = d.decision_id
                        AND e.actor = a.user_id AND e.tag = 'person:decision:approved')""",
    "every approval in the log is one": """
        SELECT e.decision_id FROM mine_entries e JOIN mine_decisions d USING (decision_id)
         WHERE e.tag = 'person:decision:approved'
           AND NOT (d.approvals_needed = 0 AND e.actor = d.requested_by)
           AND NOT EXISTS (SELECT FROM ledger.approvals a
                            WHERE a.decision_id = d.decision_id AND a.user_id = e.actor)""",
    "every end of a decision is in the log, and no other": """
        SELECT d.decision_id FROM mine_decisions d, (VALUES ('rejected', 'person:decision:rejected'),
               ('expired', 'clock:decision:expired'), ('taken_back', 'person:decision:taken_back')) ends(state, tag)
         WHERE (d.state = ends.state) <> (1 = (SELECT count(*) FROM mine_entries e
                WHERE e.decision_id = d.decision_id AND e.tag = ends.tag))""",
    "every end of an operation is in the log": """
        SELECT o.operation_id FROM mine_operations o
         WHERE o.state IN ('succeeded', 'failed', 'needs_human') AND NOT EXISTS (
            SELECT FROM mine_entries e WHERE e.operation_id = o.operation_id
               AND e.tag IN ('executor:operation:ended', 'person:operation:ended')
               AND e.details ->> 'state' = o.state)
            OR o.state = 'stopped' AND NOT EXISTS (
            SELECT FROM mine_entries e WHERE e.decision_id = o.decision_id
               AND e.tag IN ('person:operation:stopped', 'person:decision:taken_back'))""",
    "every finding's case is in the log": """
        SELECT format('case %s', case_id) FROM mine_cases c WHERE NOT EXISTS (
            SELECT FROM mine_entries e WHERE e.case_id = c.case_id
               AND e.tag IN ('detection:case:opened', 'person:case:opened'))""",
    "what a decision takes of the caps is what it decided, and nothing where nothing is done": """
        SELECT d.decision_id FROM (
            SELECT *, state IN ('rejected', 'expired', 'taken_back')
                      OR (SELECT coalesce(bool_and(o.state = 'stopped' AND o.sends = 0), false)
                            FROM mine_operations o WHERE o.decision_id = x.decision_id) AS undone
              FROM mine_decisions x) d
         WHERE d.action <> 'dismiss' AND NOT d.undone
           AND (SELECT count(DISTINCT t.value -> 1 ->> 'id') FROM jsonb_array_elements(d.targets) t)
            <> (SELECT count(*) FROM ledger.cap_entries e WHERE e.decision_id = d.decision_id
                   AND e.part = 'request' AND e.returned_at IS NULL)
            OR d.undone AND EXISTS (
               SELECT FROM ledger.cap_entries e WHERE e.decision_id = d.decision_id AND e.returned_at IS NULL)""",
    "the cap that all share holds": """
        SELECT format('%s is too much', sum(e.amount)) FROM ledger.cap_entries e
          JOIN mine_decisions d USING (decision_id)
         WHERE e.action = 'cancel' AND e.part = 'request' AND e.returned_at IS NULL
        HAVING sum(e.amount) > cast(:action_cap AS bigint)""",
    "nobody's own cap is passed": """
        SELECT format('%s took %s', e.user_id, count(*)) FROM ledger.cap_entries e
          JOIN mine_decisions d USING (decision_id)
         WHERE e.action IN ('cancel', 'refund') AND e.returned_at IS NULL
           AND (e.part = 'approval' OR d.approvals_needed = 0)
         GROUP BY e.user_id HAVING count(*) > cast(:person_cap AS bigint)""",
    "a card is never ahead of its case, and knows of every change": """
        SELECT format('case %s', c.case_id) FROM mine_cases c JOIN ledger.cards k USING (case_id)
         WHERE k.published_revision > c.revision OR k.wanted_revision <> c.revision OR c.version > c.revision""",
}
"""Each lists what breaks it; an empty answer is the promise kept."""

WITH_MINE = """
    WITH mine_cases AS (SELECT * FROM ledger.cases WHERE case_id = ANY(:cases)),
         mine_decisions AS (SELECT * FROM ledger.decisions WHERE case_id = ANY(:cases)),
         mine_operations AS (SELECT * FROM ledger.operations WHERE case_id = ANY(:cases)),
         mine_entries AS (SELECT * FROM ledger.audit_entries WHERE case_id = ANY(:cases))
"""

BROKEN = WITH_MINE + " UNION ALL ".join(
    f"SELECT '{name.replace(chr(39), chr(39) * 2)}' AS promise, x.* FROM ({query}) x(what)"
    for name, query in PROMISES.items()
)

STATES = """
    SELECT 'case' AS kind, case_id::text AS id, state, version, revision, 0 AS sends, '' AS action
      FROM ledger.cases WHERE case_id = ANY(:cases)
    UNION ALL
    SELECT 'decision', decision_id, state, case_version, 0, 0, action
      FROM ledger.decisions WHERE case_id = ANY(:cases)
    UNION ALL
    SELECT 'operation', o.operation_id, o.state, 0, 0, o.sends, d.action
      FROM ledger.operations o JOIN ledger.decisions d USING (decision_id) WHERE o.case_id = ANY(:cases)
"""

_ANY_END = ("succeeded", "failed", "needs_human")
LEGAL = {
    "case": {
        "open": ("awaiting_approval", "executing", "dismissed"),
        "awaiting_approval": ("open", "executing", "partly_done", "done"),
        "executing": ("open", "partly_done", "done", "dismissed"),
        "partly_done": ("awaiting_approval", "executing", "dismissed", "done", "open"),
        "done": ("awaiting_approval", "executing"),
    },
    "decision": {
        "awaiting_approval": ("approved", "rejected", "expired"),
        "approved": ("taken_back",),
    },
    "operation": {
        "queued": ("executing", "stopped", "needs_human"),
        "executing": ("queued", "pending", "unknown", *_ANY_END),
        "pending": ("unknown", *_ANY_END),
        # What was looked for in vain is sent again; its answer comes in the same step or a later one.
        "unknown": ("executing", "pending", *_ANY_END),
        "needs_human": ("succeeded", "failed"),
    },
}
"""Every move that one step may make; written down here once more, on purpose."""
