"""Erase what the ledger keeps of a person or a shop's subject beside the audit log, and leave the log whole.

The log itself holds ids, codes and hashes, never names or what people wrote, so that nothing in it need change.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.audit import AuditEntry, AuditTag
from bot.domain.errors import SayableError
from bot.domain.subjects import Subject
from bot.ledger import audit

# What is frozen by a trigger stays so for everybody else: only the owner may lift it, and only in here.
_FROZEN = ("decisions", "operations", "proposals")
_PLAN_TEXTS = """(SELECT coalesce(jsonb_agg(p || '{"messages": [], "affects": []}'::jsonb ORDER BY n), '[]')
                    FROM jsonb_array_elements(plans) WITH ORDINALITY AS e(p, n))"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """How much was emptied, by table."""

    subject: Subject
    cases: int
    rows: int


async def erase_subject(conn: AsyncConnection, subject: Subject) -> Erased:
    """Empty names, evidence, notes and messages of every case of a subject; as the ledger's owner.

    Raises:
        SayableError: nothing is known of it, or a case of it is open still.
    """
    named = {"kind": subject.kind.value, "id": subject.id}
    rows = (
        await conn.execute(
            text(
                """SELECT c.case_id, c.closed_at IS NULL AS is_open FROM ledger.cases c
                     JOIN ledger.case_members m USING (case_id)
                    WHERE m.subject_kind = :kind AND m.subject_id = :id ORDER BY c.case_id FOR UPDATE OF c"""
            ),
            named,
        )
    ).all()
    if not rows:
        raise SayableError(f"The ledger knows nothing of {subject.kind} {subject.id!r}.")
    still_open = [f"C-{row.case_id}" for row in rows if row.is_open]
    if still_open:
        raise SayableError(
            f"{', '.join(still_open)} is open still: decide it first, then erase {subject.id!r}."
        )
    cases = {"cases": [row.case_id for row in rows], **named}
    for table in _FROZEN:
        await conn.execute(text(f"ALTER TABLE ledger.{table} DISABLE TRIGGER USER"))
    emptied = 0
    for statement in (
        """UPDATE ledger.case_members SET facts = facts - 'name_masked' - 'admin_url'
            WHERE subject_kind = :kind AND subject_id = :id AND facts ?| ARRAY['name_masked', 'admin_url']""",
        """UPDATE ledger.findings SET body = body || '{"evidence": []}'::jsonb
            WHERE case_id = ANY(:cases) AND body -> 'evidence' <> '[]'::jsonb""",
        "UPDATE ledger.notes SET body = '' WHERE case_id = ANY(:cases) AND body <> ''",
        """DELETE FROM ledger.audit_private
            WHERE case_id = ANY(:cases) OR (subject_kind = :kind AND subject_id = :id)""",
        f"""UPDATE ledger.decisions SET note = NULL, plans = {_PLAN_TEXTS},
                   broken_glass_reason = CASE WHEN broken_glass_by IS NOT NULL THEN '' END
             WHERE case_id = ANY(:cases)""",  # noqa: S608 - our own constant
        """UPDATE ledger.proposals SET words = NULL, body = body || '{"reason": ""}'::jsonb
            WHERE kind = 'review' AND about IN
                  (SELECT decision_id FROM ledger.decisions WHERE case_id = ANY(:cases))""",
        # Found, but never part of a case: repeated, or in shadow.
        """UPDATE ledger.findings SET body = body || '{"evidence": []}'::jsonb
            WHERE subject_kind = :kind AND subject_id = :id AND body -> 'evidence' <> '[]'::jsonb""",
        """UPDATE ledger.operations SET body = body - 'note', failure_message = NULL
            WHERE case_id = ANY(:cases) AND (body ? 'note' OR failure_message IS NOT NULL)""",
        f"UPDATE ledger.plan_sets SET plans = {_PLAN_TEXTS} WHERE case_id = ANY(:cases)",  # noqa: S608
        """UPDATE ledger.posts SET story = story || '{"note": null, "detail": null, "evidence": []}'::jsonb
            WHERE case_id = ANY(:cases) AND kind = 'story'""",
        """UPDATE ledger.posts SET story = story || '{"note": null, "reason": null}'::jsonb
            WHERE kind = 'notice' AND EXISTS (SELECT FROM unnest(cast(:cases AS bigint[])) one
                                             WHERE story -> 'case_id' = to_jsonb(one))""",
        """DELETE FROM ledger.ring_edges
            WHERE (subject_kind = :kind AND subject_id = :id) OR (:kind = 'account' AND account_id = :id)""",
        # The cards are drawn anew without what is no more.
        """WITH moved AS (UPDATE ledger.cases SET revision = revision + 1
                           WHERE case_id = ANY(:cases) RETURNING case_id, revision)
           UPDATE ledger.cards k SET wanted_revision = moved.revision FROM moved
            WHERE k.case_id = moved.case_id""",
    ):
        emptied += (await conn.execute(text(statement), cases)).rowcount
    for table in _FROZEN:
        await conn.execute(text(f"ALTER TABLE ledger.{table} ENABLE TRIGGER USER"))
    await audit.append(
        conn,
        [
            AuditEntry(
                actor="cli",
                tag=AuditTag.SUBJECT_ERASED,
                subject=subject,
                details={"cases": cases["cases"]},
            )
        ],
    )
    return Erased(subject=subject, cases=len(rows), rows=emptied)
