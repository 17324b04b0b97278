"""Named queries about cases, their members, findings, decisions and operations."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.cases import (
    Approval,
    CaseState,
    CaseView,
    Decision,
    DecisionState,
    FinalStep,
    Hold,
    Member,
    MemberFacts,
    Note,
    Operation,
    OperationState,
    Precision,
    Wait,
    WaitKind,
)
from bot.domain.findings import Finding, Severity
from bot.domain.outcomes import Outcome
from bot.domain.plans import Plan
from bot.domain.rates import NO_RATES, Rates, weight
from bot.domain.subjects import Subject, SubjectKind
from bot.domain.verbs import OperationClass, Verb
from bot.ledger import rings, switches
from bot.ledger.values import from_json, to_json

NOTES = 5
"""How many of a case's notes are read with it, the newest."""
Targets = tuple[tuple[Verb, Subject], ...]
Amounts = tuple[tuple[int, str], ...]
Slots = tuple[tuple[str, ...], ...]


# ---- Opening and joining


async def lock_opening(conn: AsyncConnection) -> None:
    """Let cases be opened one after the other until this transaction ends.

    Two detections that find the same order at once would else each see no open case, and the second
    one's case would be left without the order.
    """
    await conn.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('ledger.cases', 1))"))


async def insert_case(
    conn: AsyncConnection,
    *,
    severity: Severity,
    opened_at: datetime,
    opened_by: str | None,
    channel: str,
    priority: int,
    in_channel: bool = True,
) -> int:
    """Open a case with its (yet unpublished) card; `in_channel` False leaves it in the queue alone."""
    case_id: int = (
        await conn.execute(
            text(
                """WITH opened AS (
                     INSERT INTO ledger.cases (severity, opened_at, opened_by, updated_by)
                     VALUES (:severity, :opened_at, :opened_by, :opened_by) RETURNING case_id),
                   card AS (
                     INSERT INTO ledger.cards (case_id, channel, priority, in_channel)
                     SELECT case_id, :channel, :priority, :in_channel FROM opened)
                   SELECT case_id FROM opened"""
            ),
            {
                "severity": severity.value,
                "opened_at": opened_at,
                "opened_by": opened_by,
                "channel": channel,
                "priority": priority,
                "in_channel": in_channel,
            },
        )
    ).scalar_one()
    return case_id


async def add_members(
    conn: AsyncConnection,
    case_id: int,
    members: Iterable[tuple[Subject, bool, MemberFacts]],
    at: datetime,
) -> list[Subject]:
    """Add members that the case has not; a subject that another open case has is left there.

    Returns the subjects that are new to the case.
    """
    added: list[Subject] = []
    for subject, is_subject, facts in sorted(members, key=lambda entry: entry[0]):
        row = (
            await conn.execute(
                text(
                    """INSERT INTO ledger.case_members
                         (case_id, subject_kind, subject_id, is_subject, facts, joined_at)
                       VALUES (:case_id, :kind, :id, :is_subject, cast(:facts AS jsonb), :at)
                       ON CONFLICT DO NOTHING RETURNING subject_id"""
                ),
                {
                    "case_id": case_id,
                    "kind": subject.kind.value,
                    "id": subject.id,
                    "is_subject": is_subject,
                    "facts": to_json(facts, MemberFacts),
                    "at": at,
                },
            )
        ).first()
        if row is not None:
            added.append(subject)
    return added


# ---- Moving a case


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseHead:
    """What a transaction must know of a case before it changes it."""

    case_id: int
    state: CaseState
    version: int
    opened_by: str | None
    updated_by: str | None
    updated_at: datetime


async def lock_case(conn: AsyncConnection, case_id: int) -> CaseHead | None:
    row = (
        await conn.execute(
            text(
                """SELECT case_id, state, version, opened_by, updated_by, updated_at
                     FROM ledger.cases WHERE case_id = :case_id FOR UPDATE"""
            ),
            {"case_id": case_id},
        )
    ).first()
    if row is None:
        return None
    return CaseHead(
        case_id=row.case_id,
        state=CaseState(row.state),
        version=row.version,
        opened_by=row.opened_by,
        updated_by=row.updated_by,
        updated_at=row.updated_at,
    )


async def move_case(
    conn: AsyncConnection,
    case_id: int,
    *,
    version: int,
    to: CaseState,
    by: str,
    closed_at: datetime | None = None,
    dismiss_reason: str | None = None,
) -> bool:
    """Compare-and-set: move the case on if it still has this version; the card goes stale with it."""
    moved = await conn.execute(
        text(
            """UPDATE ledger.cases
                  SET state = :to, version = version + 1, revision = revision + 1,
                      updated_by = :by, updated_at = clock_timestamp(),
                      closed_at = :closed_at,
                      closed_by = CASE WHEN cast(:closed_at AS timestamptz) IS NULL THEN NULL ELSE :by END,
                      dismiss_reason = :dismiss_reason,
                      wait_kind = NULL, wait_by = NULL, wait_since = NULL, wait_until = NULL, wait_group = NULL
                WHERE case_id = :case_id AND version = :version"""
        ),
        {
            "case_id": case_id,
            "version": version,
            "to": to.value,
            "by": by,
            "closed_at": closed_at,
            "dismiss_reason": dismiss_reason,
        },
    )
    if moved.rowcount != 1:
        return False
    # A case that is reopened (to undo something) leaves a subject to the case that has it open by now.
    await conn.execute(
        text(
            """UPDATE ledger.case_members m SET is_open = :is_open
                WHERE case_id = :case_id AND is_open <> :is_open
                  AND NOT (:is_open AND m.is_subject AND EXISTS (
                    SELECT FROM ledger.case_members o
                     WHERE o.subject_kind = m.subject_kind AND o.subject_id = m.subject_id
                       AND o.is_open AND o.is_subject))"""
        ),
        {"case_id": case_id, "is_open": closed_at is None},
    )
    # What others must see, such as a request, leaves the queue for the channel.
    await mark_card_stale(conn, case_id)
    await show_card(conn, case_id, only_if=to not in {CaseState.OPEN, CaseState.DISMISSED})
    return True


async def touch_case(
    conn: AsyncConnection, case_id: int, *, moves_version: bool = False, by: str | None = None
) -> None:
    """The card would look different; with `moves_version` also what is decided on, and `by` moved it."""
    await conn.execute(
        text(
            """UPDATE ledger.cases SET revision = revision + 1,
                      version = version + CASE WHEN :moves_version THEN 1 ELSE 0 END,
                      updated_at = CASE WHEN :moves_version THEN clock_timestamp() ELSE updated_at END,
                      updated_by = CASE WHEN :moves_version THEN :by ELSE updated_by END
                WHERE case_id = :case_id"""
        ),
        {"case_id": case_id, "moves_version": moves_version, "by": by},
    )
    await mark_card_stale(conn, case_id)


async def raise_priority(conn: AsyncConnection, case_id: int, priority: int) -> None:
    """A card never becomes less urgent."""
    await conn.execute(
        text(
            """UPDATE ledger.cards SET priority = greatest(priority, :priority)
                WHERE case_id = :case_id"""
        ),
        {"case_id": case_id, "priority": priority},
    )


async def mark_card_stale(conn: AsyncConnection, case_id: int) -> None:
    await conn.execute(
        text(
            """UPDATE ledger.cards
                  SET wanted_revision = (SELECT revision FROM ledger.cases WHERE case_id = :case_id)
                WHERE case_id = :case_id"""
        ),
        {"case_id": case_id},
    )


async def show_card(conn: AsyncConnection, case_id: int, *, only_if: bool = True) -> None:
    """Bring the card into the channel, whole; with it what its thread has to tell."""
    await conn.execute(
        text(
            """WITH shown AS (
                 UPDATE ledger.cards SET folded = false, in_channel = in_channel OR :shown
                  WHERE case_id = :case_id AND (folded OR (:shown AND NOT in_channel))
                  RETURNING case_id, in_channel)
               UPDATE ledger.posts p SET due_at = clock_timestamp() FROM shown
                WHERE p.case_id = shown.case_id AND shown.in_channel AND p.state = 'queued'
                  AND p.due_at = 'infinity'"""
        ),
        {"case_id": case_id, "shown": only_if},
    )


async def fold_cards(conn: AsyncConnection, *, closed_for_s: float, limit: int) -> int:
    """Have the cards of cases that closed so long ago drawn as one line; returns how many."""
    result = await conn.execute(
        text(
            """WITH due AS (
                 SELECT c.case_id FROM ledger.cards k JOIN ledger.cases c USING (case_id)
                  WHERE NOT k.folded AND k.message_ts IS NOT NULL AND c.closed_at IS NOT NULL
                    AND c.updated_at < clock_timestamp() - make_interval(secs => :closed_for_s)
                  ORDER BY c.case_id LIMIT :limit FOR UPDATE OF c SKIP LOCKED),
               drawn AS (
                 UPDATE ledger.cases c SET revision = revision + 1 FROM due WHERE c.case_id = due.case_id
                 RETURNING c.case_id, c.revision)
               UPDATE ledger.cards k SET folded = true, wanted_revision = drawn.revision
                 FROM drawn WHERE k.case_id = drawn.case_id"""
        ),
        {"closed_for_s": closed_for_s, "limit": limit},
    )
    return result.rowcount


async def redraw_all_cards(conn: AsyncConnection) -> None:
    """Redraw every live card, as when the channel's language changes."""
    await conn.execute(
        text(
            """WITH live AS (
                 UPDATE ledger.cases SET revision = revision + 1
                  WHERE closed_at IS NULL OR updated_at > clock_timestamp() - interval '1 day'
                  RETURNING case_id, revision)
               UPDATE ledger.cards k SET wanted_revision = live.revision FROM live
                WHERE k.case_id = live.case_id"""
        )
    )


async def redraw_open_cards(conn: AsyncConnection) -> None:
    """Redraw the cards of all open cases, as when somebody pauses what they wait for."""
    await conn.execute(
        text(
            """WITH live AS (
                 UPDATE ledger.cases SET revision = revision + 1 WHERE closed_at IS NULL
                  RETURNING case_id, revision)
               UPDATE ledger.cards k SET wanted_revision = live.revision FROM live
                WHERE k.case_id = live.case_id"""
        )
    )


async def forget_messages(conn: AsyncConnection) -> None:
    """Have the cards of open cases posted anew, as after a workspace lost its messages."""
    await conn.execute(
        text(
            """UPDATE ledger.cards k
                  SET message_ts = NULL, post_started_at = NULL, published_revision = 0,
                      lease_owner = NULL, lease_until = NULL, due_at = clock_timestamp()
                 FROM ledger.cases c WHERE c.case_id = k.case_id AND c.closed_at IS NULL"""
        )
    )


async def assign_case(conn: AsyncConnection, case_id: int, assignee: str | None) -> None:
    await conn.execute(
        text("UPDATE ledger.cases SET assignee = :assignee WHERE case_id = :case_id"),
        {"case_id": case_id, "assignee": assignee},
    )


async def set_wait(conn: AsyncConnection, case_id: int, wait: Wait | None) -> None:
    """Let a case wait for somebody's answer, or end that."""
    await conn.execute(
        text(
            """UPDATE ledger.cases SET wait_kind = :kind, wait_by = :by, wait_since = :since,
                      wait_until = :until, wait_group = :group
                WHERE case_id = :case_id"""
        ),
        {
            "case_id": case_id,
            "kind": wait.kind.value if wait else None,
            "by": wait.by if wait else None,
            "since": wait.since if wait else None,
            "until": wait.until if wait else None,
            "group": wait.group if wait else None,
        },
    )


async def overdue_waits(conn: AsyncConnection) -> Sequence[int]:
    """Cases whose wait has run out."""
    rows = await conn.execute(
        text(
            """SELECT case_id FROM ledger.cases
                WHERE wait_kind IS NOT NULL AND wait_until <= clock_timestamp()
                ORDER BY wait_until LIMIT 100"""
        )
    )
    return [row.case_id for row in rows]


async def set_verdicts(
    conn: AsyncConnection,
    case_id: int,
    verdict: str | None,
    subjects: Collection[Subject] | None,
    *,
    only_unset: bool = False,
    overturned: bool = False,
) -> None:
    """Label members and the findings about them; None stands for all of the case.

    What the bank took back as fraud stays fraud, whatever anybody decides.

    Args:
        only_unset: leave alone what was judged already.
        overturned: another person found the decision that said otherwise to be wrong.
    """
    ids = None if subjects is None else [f"{subject.kind}:{subject.id}" for subject in subjects]
    params = {"case_id": case_id, "verdict": verdict, "ids": ids, "only_unset": only_unset}
    source = None if verdict is None else "overturned" if overturned else "decision"
    await conn.execute(
        text(
            """UPDATE ledger.case_members m SET verdict = :verdict
                WHERE case_id = :case_id AND NOT (:only_unset AND verdict IS NOT NULL)
                  AND NOT (subject_kind = 'order' AND EXISTS
                    (SELECT FROM ledger.chargebacks b WHERE b.order_id = m.subject_id))
                  AND (cast(:ids AS text[]) IS NULL
                   OR subject_kind || ':' || subject_id = ANY(cast(:ids AS text[])))"""
        ),
        params,
    )
    await conn.execute(
        text(
            """UPDATE ledger.findings SET verdict = :verdict, verdict_source = :source
                WHERE case_id = :case_id AND NOT (:only_unset AND verdict IS NOT NULL)
                  AND verdict_source IS DISTINCT FROM 'chargeback'
                  AND (cast(:ids AS text[]) IS NULL
                   OR subject_kind || ':' || subject_id = ANY(cast(:ids AS text[]))
                   OR EXISTS (SELECT FROM jsonb_array_elements_text(body -> 'order_ids') o(id)
                               WHERE 'order:' || o.id = ANY(cast(:ids AS text[]))))"""
        ),
        params | {"source": source},
    )


async def is_judged_fraud(conn: AsyncConnection, subject: Subject) -> bool:
    """Whether people judged it fraudulent in any case."""
    judged: bool = (
        await conn.execute(
            text(
                """SELECT EXISTS (SELECT FROM ledger.case_members
                     WHERE subject_kind = :kind AND subject_id = :id AND verdict = 'fraud')"""
            ),
            {"kind": subject.kind.value, "id": subject.id},
        )
    ).scalar_one()
    return judged


async def read_facts(conn: AsyncConnection, case_id: int, subject: Subject) -> MemberFacts | None:
    """What is known of one member; None where it is none of the case."""
    facts = await conn.scalar(
        text(
            """SELECT facts FROM ledger.case_members
                WHERE case_id = :case_id AND subject_kind = :kind AND subject_id = :id"""
        ),
        {"case_id": case_id, "kind": subject.kind.value, "id": subject.id},
    )
    return None if facts is None else from_json(facts, MemberFacts)


async def store_facts(
    conn: AsyncConnection, case_id: int, subject: Subject, facts: MemberFacts
) -> None:
    await conn.execute(
        text(
            """UPDATE ledger.case_members SET facts = cast(:facts AS jsonb)
                WHERE case_id = :case_id AND subject_kind = :kind AND subject_id = :id"""
        ),
        {
            "case_id": case_id,
            "kind": subject.kind.value,
            "id": subject.id,
            "facts": to_json(facts, MemberFacts),
        },
    )


# ---- Decisions


async def insert_decision(
    conn: AsyncConnection,
    decision: Decision,
    *,
    evidence: dict[str, object],
    policy_hash: str,
    dry_run: bool,
) -> None:
    await conn.execute(
        text(
            """INSERT INTO ledger.decisions (decision_id, case_id, case_version, action, state, requested_by,
                 reason, note, targets, plans, params_hash, amounts, evidence, approvals_needed, approver_roles,
                 policy_hash, expires_at, decided_at, starts_at, slots, dry_run)
               VALUES (:decision_id, :case_id, :case_version, :action, :state, :requested_by, :reason, :note,
                 cast(:targets AS jsonb), cast(:plans AS jsonb), :params_hash, cast(:amounts AS jsonb),
                 cast(:evidence AS jsonb), :approvals_needed, :approver_roles, :policy_hash, :expires_at,
                 :decided_at, :starts_at, cast(:slots AS jsonb), :dry_run)"""
        ),
        {
            "decision_id": decision.decision_id,
            "case_id": decision.case_id,
            "case_version": decision.case_version,
            "action": decision.action,
            "state": decision.state.value,
            "requested_by": decision.requested_by,
            "reason": decision.reason,
            "note": decision.note,
            "targets": to_json(decision.targets, Targets),
            "plans": to_json(decision.plans, tuple[Plan, ...]),
            "params_hash": decision.params_hash,
            "amounts": to_json(decision.amounts, Amounts),
            "evidence": json.dumps(evidence, ensure_ascii=False),
            "approvals_needed": decision.approvals_needed,
            "approver_roles": list(decision.approver_roles),
            "policy_hash": policy_hash,
            "dry_run": dry_run,
            "expires_at": decision.expires_at,
            "decided_at": decision.decided_at,
            "starts_at": decision.starts_at,
            "slots": to_json(decision.slots, Slots),
        },
    )


async def insert_approval(conn: AsyncConnection, decision: Decision, given: Approval) -> bool:
    """Record an approval, bound to the frozen parameters; False if this person approved already."""
    result = await conn.execute(
        text(
            """INSERT INTO ledger.approvals (decision_id, user_id, params_hash, roles, on_behalf_of, step_up_id)
               VALUES (:decision_id, :user_id, :params_hash, :roles, :on_behalf_of, :step_up_id)
               ON CONFLICT (decision_id, user_id) DO NOTHING"""
        ),
        {
            "decision_id": decision.decision_id,
            "user_id": given.user_id,
            "params_hash": decision.params_hash,
            "roles": list(given.roles),
            "on_behalf_of": given.on_behalf_of,
            "step_up_id": given.step_up_id,
        },
    )
    return result.rowcount == 1


async def end_decision(
    conn: AsyncConnection,
    decision_id: str,
    state: DecisionState,
    *,
    rejected_by: str | None = None,
    rejected_reason: str | None = None,
    starts_at: datetime | None = None,
    broken_glass_by: str | None = None,
    broken_glass_reason: str | None = None,
) -> bool:
    """Move a waiting decision to its end; False if it waits no more."""
    result = await conn.execute(
        text(
            """UPDATE ledger.decisions SET state = :state, decided_at = clock_timestamp(),
                      rejected_by = :rejected_by, rejected_reason = :rejected_reason, starts_at = :starts_at,
                      broken_glass_by = :broken_glass_by, broken_glass_reason = :broken_glass_reason
                WHERE decision_id = :decision_id AND state = 'awaiting_approval'"""
        ),
        {
            "decision_id": decision_id,
            "state": state.value,
            "rejected_by": rejected_by,
            "rejected_reason": rejected_reason,
            "starts_at": starts_at,
            "broken_glass_by": broken_glass_by,
            "broken_glass_reason": broken_glass_reason,
        },
    )
    return result.rowcount == 1


async def take_decision_back(conn: AsyncConnection, decision_id: str, by: str) -> bool:
    """End an approved decision of which nothing was sent; False if it is no such decision."""
    result = await conn.execute(
        text(
            """UPDATE ledger.decisions SET state = 'taken_back', taken_back_by = :by
                WHERE decision_id = :decision_id AND state = 'approved'"""
        ),
        {"decision_id": decision_id, "by": by},
    )
    return result.rowcount == 1


async def read_decisions(conn: AsyncConnection, case_id: int) -> tuple[Decision, ...]:
    """All decisions of a case with their approvals, oldest first."""
    rows = await conn.execute(
        text(
            """SELECT d.*, coalesce((SELECT jsonb_agg(jsonb_build_object('user_id', a.user_id, 'at', a.at,
                                              'roles', a.roles, 'on_behalf_of', a.on_behalf_of) ORDER BY a.at)
                                FROM ledger.approvals a WHERE a.decision_id = d.decision_id), '[]') AS given
                 FROM ledger.decisions d WHERE d.case_id = :case_id ORDER BY d.case_version"""
        ),
        {"case_id": case_id},
    )
    return tuple(_decision(row) for row in rows.mappings())


async def expired_decisions(conn: AsyncConnection) -> Sequence[tuple[int, str]]:
    """Case and decision ids of requests whose time has run out."""
    rows = await conn.execute(
        text(
            """SELECT case_id, decision_id FROM ledger.decisions
                WHERE state = 'awaiting_approval' AND expires_at <= clock_timestamp() ORDER BY expires_at LIMIT 100"""
        )
    )
    return [(row.case_id, row.decision_id) for row in rows]


def _decision(row: RowMapping) -> Decision:
    return Decision(
        decision_id=row["decision_id"],
        case_id=row["case_id"],
        case_version=row["case_version"],
        action=row["action"],
        state=DecisionState(row["state"]),
        requested_by=row["requested_by"],
        requested_at=row["requested_at"],
        reason=row["reason"],
        note=row["note"],
        targets=from_json(row["targets"], Targets),
        plans=from_json(row["plans"], tuple[Plan, ...]),
        params_hash=row["params_hash"],
        amounts=from_json(row["amounts"], Amounts),
        approvals_needed=row["approvals_needed"],
        approvals=from_json(row["given"], tuple[Approval, ...]),
        approver_roles=tuple(row["approver_roles"]),
        slots=from_json(row["slots"], Slots),
        broken_glass_by=row["broken_glass_by"],
        starts_at=row["starts_at"],
        taken_back_by=row["taken_back_by"],
        rejected_by=row["rejected_by"],
        rejected_reason=row["rejected_reason"],
        expires_at=row["expires_at"],
        decided_at=row["decided_at"],
    )


# ---- Reading a case whole


async def read_view(conn: AsyncConnection, case_id: int) -> CaseView | None:
    """One case as its card draws it."""
    case = (
        (
            await conn.execute(
                text(
                    """SELECT c.*, k.channel, k.message_ts, k.in_channel, k.folded,
                              s.detection AS step_detection, s.action AS step_action, s.due_at AS step_due_at,
                              coalesce(n.newest, '[]') AS notes, coalesce(n.count, 0) AS note_count
                         FROM ledger.cases c LEFT JOIN ledger.cards k USING (case_id)
                         LEFT JOIN ledger.automatic_steps s
                                ON s.case_id = c.case_id AND s.state = 'waiting'
                         LEFT JOIN LATERAL (
                           SELECT count(*), jsonb_agg(jsonb_build_object(
                                    'author', author, 'body', body, 'at', at) ORDER BY note_id)
                                    FILTER (WHERE recency <= :notes) AS newest
                             FROM (SELECT *, row_number() OVER (ORDER BY note_id DESC) AS recency
                                     FROM ledger.notes WHERE notes.case_id = c.case_id) numbered
                         ) n ON true
                        WHERE c.case_id = :case_id"""
                ),
                {"case_id": case_id, "notes": NOTES},
            )
        )
        .mappings()
        .first()
    )
    if case is None:
        return None
    findings = await _read_findings(conn, case_id)
    decisions = await read_decisions(conn, case_id)
    operations = await read_operations(conn, case_id)
    offered, by_hand = await _read_offered(conn)
    notes = from_json(case["notes"], tuple[Note, ...])
    people = {
        *(note.author for note in notes),
        *(d.taken_back_by for d in decisions),
        case["wait_by"],
        case["hold_owner"],
        case["opened_by"],
        case["assignee"],
        case["closed_by"],
        case["updated_by"],
        *(d.requested_by for d in decisions),
        *(d.rejected_by for d in decisions),
        *(a.user_id for d in decisions for a in d.approvals),
        *(a.on_behalf_of for d in decisions for a in d.approvals),
        *(d.broken_glass_by for d in decisions),
    }
    return CaseView(
        case_id=case_id,
        state=CaseState(case["state"]),
        severity=Severity(case["severity"]),
        version=case["version"],
        revision=case["revision"],
        opened_at=case["opened_at"],
        opened_by=case["opened_by"],
        assignee=case["assignee"],
        closed_at=case["closed_at"],
        closed_by=case["closed_by"],
        dismiss_reason=case["dismiss_reason"],
        updated_by=case["updated_by"],
        updated_at=case["updated_at"],
        members=await _read_members(conn, case_id),
        findings=findings,
        decisions=decisions,
        operations=operations,
        precisions=await _read_precisions(
            conn, case_id, {f.detection for f in findings}, case["opened_at"]
        ),
        names=await read_names(conn, {person for person in people if person}),
        offered=offered,
        by_hand=by_hand,
        channel=case["channel"],
        message_ts=case["message_ts"],
        in_channel=bool(case["in_channel"]),
        wait=_wait(case),
        hold=_hold(case),
        final_step=_final_step(case),
        folded=bool(case["folded"]),
        notes=notes,
        note_count=case["note_count"],
        ring=await rings.read_ring(conn, case_id),
        pauses=tuple(await switches.pauses(conn)) if case["closed_at"] is None else (),
    )


def _wait(row: RowMapping) -> Wait | None:
    if row["wait_kind"] is None:
        return None
    return Wait(
        kind=WaitKind(row["wait_kind"]),
        by=row["wait_by"],
        since=row["wait_since"],
        until=row["wait_until"],
        group=row["wait_group"],
    )


def _final_step(row: RowMapping) -> FinalStep | None:
    if row["step_due_at"] is None:
        return None
    return FinalStep(
        detection=row["step_detection"], action=row["step_action"], due_at=row["step_due_at"]
    )


def _hold(row: RowMapping) -> Hold | None:
    if row["hold_until"] is None:
        return None
    return Hold(
        owner=row["hold_owner"],
        since=row["hold_since"],
        until=row["hold_until"],
        warned_at=row["hold_warned_at"],
        extended=row["hold_extended"],
    )


async def _read_members(conn: AsyncConnection, case_id: int) -> tuple[Member, ...]:
    rows = await conn.execute(
        text(
            """SELECT subject_kind, subject_id, is_subject, facts, joined_at FROM ledger.case_members
                WHERE case_id = :case_id
                ORDER BY is_subject DESC, (facts ->> 'amount')::bigint DESC NULLS LAST, subject_id"""
        ),
        {"case_id": case_id},
    )
    return tuple(
        Member(
            subject=Subject(SubjectKind(row.subject_kind), row.subject_id),
            is_subject=row.is_subject,
            facts=from_json(row.facts, MemberFacts),
            joined_at=row.joined_at,
        )
        for row in rows
    )


async def _read_findings(conn: AsyncConnection, case_id: int) -> tuple[Finding, ...]:
    rows = await conn.execute(
        text(
            """SELECT finding_id, body FROM ledger.findings WHERE case_id = :case_id
                ORDER BY severity, finding_id"""
        ),
        {"case_id": case_id},
    )
    return tuple(from_json({**row.body, "finding_id": row.finding_id}, Finding) for row in rows)


async def _read_precisions(
    conn: AsyncConnection, case_id: int, detections: Collection[str], now: datetime
) -> tuple[Precision, ...]:
    """In how many other cases the detections were right; a case counts once, whatever was found in it."""
    rows = await conn.execute(
        text(
            """SELECT detection, count(DISTINCT case_id) FILTER (WHERE verdict = 'fraud') AS confirmed,
                      count(DISTINCT case_id) AS decided
                 FROM ledger.findings
                WHERE detection = ANY(:detections) AND verdict IS NOT NULL AND case_id <> :case_id
                  AND found_at > cast(:now AS timestamptz) - interval '30 days'
                GROUP BY detection ORDER BY detection"""
        ),
        {"case_id": case_id, "detections": list(detections), "now": now},
    )
    return tuple(
        Precision(detection=row.detection, confirmed=row.confirmed, decided=row.decided)
        for row in rows
    )


async def read_names(conn: AsyncConnection, user_ids: Collection[str]) -> dict[str, str]:
    """Display names by user id."""
    rows = await conn.execute(
        text("SELECT user_id, display_name FROM ledger.people WHERE user_id = ANY(:ids)"),
        {"ids": list(user_ids)},
    )
    return {row.user_id: row.display_name for row in rows}


async def _read_offered(conn: AsyncConnection) -> tuple[frozenset[Verb], frozenset[Verb]]:
    """The verbs that the marketplace offers, all while it was never asked; and those left to people."""
    rows = (
        await conn.execute(
            text("SELECT verb, operation_class = 'manual' AS by_hand FROM ledger.capabilities")
        )
    ).all()
    offered = frozenset(Verb(row.verb) for row in rows) if rows else frozenset(Verb)
    return offered, frozenset(Verb(row.verb) for row in rows if row.by_hand)


async def read_operations(conn: AsyncConnection, case_id: int) -> tuple[Operation, ...]:
    rows = await conn.execute(
        text(
            """SELECT * FROM ledger.operations WHERE case_id = :case_id
                ORDER BY created_at, verb, subject_kind, subject_id"""
        ),
        {"case_id": case_id},
    )
    return tuple(operation_of(row) for row in rows.mappings())


def operation_of(row: RowMapping) -> Operation:
    """An operation from its row."""
    outcome = from_json(row["outcome"], Outcome) if row["outcome"] is not None else None
    refunds = [
        step.amount or 0
        for step in (outcome.steps if outcome else ())
        if step.name in {"void_payment", "refund_payment"} and step.state == "done"
    ]
    return Operation(
        operation_id=row["operation_id"],
        decision_id=row["decision_id"],
        verb=Verb(row["verb"]),
        subject=Subject(SubjectKind(row["subject_kind"]), row["subject_id"]),
        state=OperationState(row["state"]),
        plan_token=row["plan_token"],
        operation_class=OperationClass(row["operation_class"]),
        resolved_by=row["resolved_by"],
        attempts=row["attempts"],
        failure_code=row["failure_code"],
        failure_message=row["failure_message"],
        steps=outcome.steps if outcome else (),
        after=dict(outcome.after) if outcome else {},
        refund_amount=sum(refunds) if refunds else None,
        amount=row["amount"],
        currency=row["currency"],
        created_at=row["created_at"],
        unknown_since=row["unknown_since"],
        ended_at=row["ended_at"],
    )


async def open_members(conn: AsyncConnection) -> dict[int, list[Subject]]:
    """The members of every open case, for the watch on what changes in the marketplace."""
    rows = await conn.execute(
        text("SELECT case_id, subject_kind, subject_id FROM ledger.case_members WHERE is_open")
    )
    members: dict[int, list[Subject]] = {}
    for row in rows:
        members.setdefault(row.case_id, []).append(
            Subject(SubjectKind(row.subject_kind), row.subject_id)
        )
    return members


async def open_case_of(conn: AsyncConnection, subject: Subject) -> int | None:
    """The open case that has this subject, if there is one."""
    case_id: int | None = await conn.scalar(
        text(
            """SELECT case_id FROM ledger.case_members
                WHERE subject_kind = :kind AND subject_id = :id AND is_open
                ORDER BY is_subject DESC, case_id LIMIT 1"""
        ),
        {"kind": subject.kind.value, "id": subject.id},
    )
    return case_id


def case_priority(severity: Severity, amounts: Amounts, rates: Rates = NO_RATES) -> int:
    """Orders cards: severity first, then the dearest sum of one currency, compared by the configured rates."""
    rank: dict[Severity, int] = {Severity.P1: 3, Severity.P2: 2, Severity.P3: 1}
    dearest = max((weight(amount, currency, rates) for amount, currency in amounts), default=0)
    return rank[severity] * 10**15 + min(dearest, 10**15 - 1)
