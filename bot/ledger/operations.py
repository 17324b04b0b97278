"""Named queries about operations: queue them, start an attempt, write back what came of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.cases import OperationState
from bot.domain.outcomes import Outcome
from bot.domain.subjects import Subject, SubjectKind
from bot.domain.verbs import OperationClass, Verb
from bot.ledger import switches
from bot.ledger.claims import OPERATIONS, Claim
from bot.ledger.values import canonical_hash, to_json


@dataclass(frozen=True, slots=True, kw_only=True)
class NewOperation:
    """An effect to queue with its decision; `body` is what will be sent, as it will be sent."""

    operation_id: str
    decision_id: str
    case_id: int
    verb: Verb
    subject: Subject
    body: Mapping[str, object]
    plan_token: str | None
    operation_class: OperationClass
    amount: int | None
    currency: str | None
    starts_at: datetime | None = None
    """Not before this moment of the database's clock; None: at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedOperation:
    """An operation in the hands of one worker, as it was when claimed; ages in seconds by the database."""

    claim: Claim
    operation_id: str
    case_id: int
    decision_id: str
    action: str
    verb: Verb
    subject: Subject
    body: Mapping[str, object]
    state: OperationState
    operation_class: OperationClass
    sends: int
    sent_ago_s: float | None
    first_sent_ago_s: float | None
    """Since the first send that the marketplace may have received."""
    maybe_received: int = 0
    """How many sends it may have received: all but those that were answered with "nothing was done"."""
    retries: int = 0
    """How often its failed steps alone were run again."""
    dry_run: bool = False
    """Decided in a dry run: recorded, and never sent."""


async def insert_operations(conn: AsyncConnection, new: Sequence[NewOperation]) -> None:
    """Queue them, in as many statements as one takes: a ring has hundreds."""
    if not new:
        return
    await conn.execute(
        text(
            """INSERT INTO ledger.operations (operation_id, decision_id, case_id, verb, subject_kind, subject_id,
                 body, body_hash, plan_token, operation_class, amount, currency, due_at)
               VALUES (:operation_id, :decision_id, :case_id, :verb, :kind, :id, cast(:body AS jsonb), :body_hash,
                 :plan_token, :operation_class, :amount, :currency,
                 coalesce(cast(:starts_at AS timestamptz), clock_timestamp()))"""
        ),
        [
            {
                "operation_id": operation.operation_id,
                "decision_id": operation.decision_id,
                "case_id": operation.case_id,
                "verb": operation.verb.value,
                "kind": operation.subject.kind.value,
                "id": operation.subject.id,
                "body": json.dumps(dict(operation.body), ensure_ascii=False),
                "body_hash": canonical_hash(dict(operation.body)),
                "plan_token": operation.plan_token,
                "operation_class": operation.operation_class.value,
                "amount": operation.amount,
                "currency": operation.currency,
                "starts_at": operation.starts_at,
            }
            for operation in new
        ],
    )


async def read_claimed(conn: AsyncConnection, claim: Claim) -> ClaimedOperation:
    """What the executor must know of a row that it has claimed."""
    row = (
        await conn.execute(
            text(
                """SELECT o.*, d.action, d.dry_run,
                          extract(epoch FROM clock_timestamp() - o.last_sent_at)::float AS sent_ago_s,
                          s.maybe_received, s.first_sent_ago_s, s.retries
                     FROM ledger.operations o JOIN ledger.decisions d USING (decision_id)
                    CROSS JOIN LATERAL (
                      SELECT count(*) FILTER (WHERE what = 'retry') AS retries,
                             count(*) FILTER (WHERE what = 'send' AND outcome IS DISTINCT FROM 'not_done')
                               AS maybe_received,
                             extract(epoch FROM clock_timestamp() - min(started_at)
                               FILTER (WHERE what = 'send' AND outcome IS DISTINCT FROM 'not_done'))::float
                               AS first_sent_ago_s
                        FROM ledger.operation_attempts a WHERE a.operation_id = o.operation_id) s
                    WHERE o.operation_id = :key"""
            ),
            {"key": claim.key},
        )
    ).one()
    if canonical_hash(row.body) != row.body_hash:
        raise RuntimeError(f"the body of operation {claim.key} does not fit its hash")
    return ClaimedOperation(
        claim=claim,
        operation_id=row.operation_id,
        case_id=row.case_id,
        decision_id=row.decision_id,
        action=row.action,
        verb=Verb(row.verb),
        subject=Subject(SubjectKind(row.subject_kind), row.subject_id),
        body=row.body,
        state=OperationState(row.state),
        operation_class=OperationClass(row.operation_class),
        sends=row.sends,
        sent_ago_s=row.sent_ago_s,
        first_sent_ago_s=row.first_sent_ago_s,
        maybe_received=row.maybe_received,
        retries=row.retries,
        dry_run=row.dry_run,
    )


PAUSED_RETRY_S = 5.0
_PAUSED = """EXISTS (SELECT FROM ledger.switches s JOIN ledger.decisions d ON d.decision_id = operations.decision_id
                      WHERE s.paused_at IS NOT NULL AND s.name IN ('all', d.action))"""


async def start_attempt(conn: AsyncConnection, claim: Claim, what: str) -> bool:
    """Commit this before the call: the attempt, and for a send the state `executing`.

    False if the claim was lost meanwhile, or if somebody paused it: then it is given up, unsent. And where
    neither a key nor a look-up guards a second effect, what may have been received is never sent again.
    """
    if what == "send" and not await _is_free_to_start(conn, claim):
        return False
    held = await conn.execute(
        text(
            """UPDATE ledger.operations
                  SET state = CASE WHEN :what = 'send' THEN 'executing' ELSE state END,
                      sends = sends + CASE WHEN :what = 'send' THEN 1 ELSE 0 END,
                      last_sent_at = CASE WHEN :what = 'send' THEN clock_timestamp() ELSE last_sent_at END
                WHERE operation_id = :key AND fence = :fence AND lease_owner = :owner AND ended_at IS NULL
                  AND lease_until > clock_timestamp()
                  AND NOT (:what = 'send' AND operation_class IN ('none', 'manual') AND EXISTS (
                    SELECT FROM ledger.operation_attempts a
                     WHERE a.operation_id = :key AND a.what = 'send' AND a.outcome IS DISTINCT FROM 'not_done'))"""
        ),
        {"what": what, "key": claim.key, "fence": claim.fence, "owner": claim.owner},
    )
    if held.rowcount != 1:
        return False
    await conn.execute(
        text(
            """INSERT INTO ledger.operation_attempts (operation_id, fence, what) VALUES (:key, :fence, :what)
               ON CONFLICT DO NOTHING"""
        ),
        {"key": claim.key, "fence": claim.fence, "what": what},
    )
    return True


async def start_dry_run(conn: AsyncConnection, claim: Claim) -> bool:
    """Take an operation that is only to be recorded; False if the claim was lost, or somebody paused it."""
    if not await _is_free_to_start(conn, claim):
        return False
    held = await conn.execute(
        text(
            """UPDATE ledger.operations SET state = 'executing'
                WHERE operation_id = :key AND fence = :fence AND lease_owner = :owner
                  AND state IN ('queued', 'executing')"""
        ),
        {"key": claim.key, "fence": claim.fence, "owner": claim.owner},
    )
    return held.rowcount == 1


async def _is_free_to_start(conn: AsyncConnection, claim: Claim) -> bool:
    """False where somebody paused it: the claim is given up, and what is queued stays queued."""
    # Before anything is read: a brake that was committed by now is seen, one that was not waits for us.
    await switches.lock_shared(conn)
    paused = await conn.execute(
        text(
            f"""UPDATE ledger.operations
                   SET lease_owner = NULL, lease_until = NULL, attempts = greatest(attempts - 1, 0),
                       due_at = clock_timestamp() + CASE WHEN state = 'queued' THEN interval '0'
                                                         ELSE make_interval(secs => :retry_s) END
                 WHERE operation_id = :key AND fence = :fence AND lease_owner = :owner AND {_PAUSED}"""  # noqa: S608
        ),
        {"key": claim.key, "fence": claim.fence, "owner": claim.owner, "retry_s": PAUSED_RETRY_S},
    )
    return paused.rowcount == 0


async def is_paused(conn: AsyncConnection, operation_id: str) -> bool:
    """Whether a brake is on what this operation belongs to; the brakes stay so until the transaction ends."""
    await switches.lock_shared(conn)
    paused: bool = (
        await conn.execute(
            text(f"SELECT {_PAUSED} FROM ledger.operations WHERE operation_id = :key"),  # noqa: S608
            {"key": operation_id},
        )
    ).scalar_one()
    return paused


async def end_attempt(conn: AsyncConnection, claim: Claim, what: str, outcome: str) -> None:
    await conn.execute(
        text(
            """UPDATE ledger.operation_attempts SET ended_at = clock_timestamp(), outcome = :outcome
                WHERE operation_id = :key AND fence = :fence AND what = :what"""
        ),
        {"key": claim.key, "fence": claim.fence, "what": what, "outcome": outcome},
    )


async def write_back(
    conn: AsyncConnection,
    claim: Claim,
    state: OperationState,
    *,
    outcome: Outcome | None = None,
    resolved_by: str | None = None,
    failure_code: str | None = None,
    failure_message: str | None = None,
    due_in_s: float = 0,
) -> bool:
    """Write what came of a claimed operation and give it up; False if the claim was lost meanwhile."""
    ended = state in {
        OperationState.SUCCEEDED,
        OperationState.FAILED,
        OperationState.NEEDS_HUMAN,
        OperationState.STOPPED,
    }
    params: dict[str, Any] = {
        "state": state.value,
        "ended": ended,
        "outcome": to_json(outcome, Outcome) if outcome is not None else None,
        "resolved_by": resolved_by,
        "failure_code": failure_code,
        "failure_message": failure_message[:500] if failure_message else None,
        "key": claim.key,
        "fence": claim.fence,
        "owner": claim.owner,
        "due_in_s": due_in_s,
    }
    result = await conn.execute(
        text(
            f"""UPDATE {OPERATIONS.table}
                   SET state = :state, outcome = coalesce(cast(:outcome AS jsonb), outcome),
                       resolved_by = coalesce(:resolved_by, resolved_by),
                       failure_code = :failure_code, failure_message = :failure_message,
                       unknown_since = CASE WHEN :state = 'unknown' THEN coalesce(unknown_since, clock_timestamp())
                                            ELSE unknown_since END,
                       ended_at = CASE WHEN :ended THEN clock_timestamp() END,
                       lease_owner = NULL, lease_until = NULL,
                       due_at = clock_timestamp() + make_interval(secs => :due_in_s)
                 WHERE operation_id = :key AND fence = :fence AND lease_owner = :owner"""  # noqa: S608
        ),
        params,
    )
    return result.rowcount == 1


async def give_back(conn: AsyncConnection, claim: Claim) -> None:
    """Let another worker have what was claimed and never begun."""
    await conn.execute(
        text(
            """UPDATE ledger.operations
                  SET lease_owner = NULL, lease_until = NULL, attempts = greatest(attempts - 1, 0)
                WHERE operation_id = :key AND fence = :fence AND lease_owner = :owner"""
        ),
        {"key": claim.key, "fence": claim.fence, "owner": claim.owner},
    )


async def stop_queued(conn: AsyncConnection, decision_id: str) -> int:
    """Stop what of a decision was never sent, or waits for somebody's hand; returns how many operations."""
    result = await conn.execute(
        text(
            """UPDATE ledger.operations SET state = 'stopped', ended_at = clock_timestamp()
                WHERE decision_id = :decision_id AND sends = 0
                  AND (state = 'queued' OR (state = 'pending' AND operation_class = 'manual'))
                  AND (lease_until IS NULL OR lease_until < clock_timestamp())"""
        ),
        {"decision_id": decision_id},
    )
    return result.rowcount


async def nothing_sent(conn: AsyncConnection, decision_id: str) -> bool:
    """Whether of a decision nothing was sent and nothing can be any more."""
    stopped: bool = (
        await conn.execute(
            text(
                """SELECT bool_and(state = 'stopped' AND sends = 0) FROM ledger.operations
                    WHERE decision_id = :decision_id"""
            ),
            {"decision_id": decision_id},
        )
    ).scalar_one()
    return bool(stopped)


async def pays_a_suspect(conn: AsyncConnection, decision_id: str, subject: Subject) -> bool:
    """Whether a refund would go another way than back to the card, of an order judged fraudulent by now."""
    pays: bool = (
        await conn.execute(
            text(
                """SELECT EXISTS (
                     SELECT FROM ledger.decisions d, jsonb_array_elements(d.plans) p
                      WHERE d.decision_id = :decision_id AND p ->> 'verb' = 'refund'
                        AND p -> 'subject' ->> 'id' = :id AND coalesce(p ->> 'refund_route', '') <> 'card')
                   AND EXISTS (
                     SELECT FROM ledger.case_members
                      WHERE subject_kind = :kind AND subject_id = :id AND verdict = 'fraud')"""
            ),
            {"decision_id": decision_id, "kind": subject.kind.value, "id": subject.id},
        )
    ).scalar_one()
    return pays


async def count_open(conn: AsyncConnection, case_id: int) -> int:
    """How many operations of the case have not ended."""
    count: int = (
        await conn.execute(
            text(
                "SELECT count(*) FROM ledger.operations WHERE case_id = :case_id AND ended_at IS NULL"
            ),
            {"case_id": case_id},
        )
    ).scalar_one()
    return count


async def lock_unbegun(conn: AsyncConnection, decision_id: str) -> bool:
    """Lock the operations of a decision; whether not one of them is sent or in a worker's hands."""
    rows = await conn.execute(
        text(
            """SELECT state = 'queued' AND sends = 0
                      AND (lease_until IS NULL OR lease_until < clock_timestamp()) AS unbegun
                 FROM ledger.operations WHERE decision_id = :decision_id
                ORDER BY operation_id FOR UPDATE"""
        ),
        {"decision_id": decision_id},
    )
    return all(row.unbegun for row in rows)


async def cases_by_hand(conn: AsyncConnection) -> Sequence[int]:
    """Cases of which something is still to be done by hand."""
    rows = await conn.execute(
        text(
            """SELECT DISTINCT case_id FROM ledger.operations
                WHERE ended_at IS NULL AND state = 'pending' AND operation_class = 'manual'"""
        )
    )
    return [row.case_id for row in rows]


async def end_by_hand(
    conn: AsyncConnection,
    operation_id: str,
    *,
    done: bool,
    resolved_by: str,
    failure_code: str | None = None,
) -> bool:
    """Write what a person did; False if the operation is no longer theirs to do."""
    result = await conn.execute(
        text(
            """UPDATE ledger.operations
                  SET state = :state, resolved_by = :resolved_by, failure_code = :failure_code,
                      failure_message = NULL, ended_at = clock_timestamp(), fence = fence + 1
                WHERE operation_id = :operation_id
                  AND ((state = 'pending' AND operation_class = 'manual') OR state = 'needs_human')"""
        ),
        {
            "operation_id": operation_id,
            "state": "succeeded" if done else "failed",
            "resolved_by": resolved_by,
            "failure_code": failure_code,
        },
    )
    return result.rowcount == 1


# ---- Comparing with the marketplace, and alarms


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedOperation:
    """An operation that has ended, as the ledger believes it to have gone."""

    operation_id: str
    case_id: int
    verb: Verb
    subject: Subject
    state: OperationState
    amount: int | None
    currency: str | None
    can_be_asked: bool = True
    """Whether the marketplace tells by its key what became of it."""
    is_last: bool = True
    """Whether we began nothing else about the subject since."""


async def read_unreconciled(
    conn: AsyncConnection, *, settled_for_s: float, limit: int
) -> Sequence[EndedOperation]:
    """Operations that reached the marketplace and ended so long ago, and were not compared since.

    What a person said and what was never sent is left out.
    """
    rows = await conn.execute(
        text(
            """SELECT operation_id, case_id, verb, subject_kind, subject_id, state, amount, currency,
                      operation_class, NOT EXISTS (SELECT FROM ledger.operations later
                        WHERE later.subject_kind = o.subject_kind AND later.subject_id = o.subject_id
                          AND later.created_at > o.created_at AND later.state <> 'stopped') AS is_last
                 FROM ledger.operations o
                WHERE reconciled_at IS NULL AND ended_at < clock_timestamp() - make_interval(secs => :settled_for_s)
                  AND ended_at > clock_timestamp() - interval '1 day'
                  AND sends > 0 AND operation_class <> 'manual'
                  AND coalesce(resolved_by, '') NOT IN ('human', 'dry_run')
                ORDER BY ended_at LIMIT :limit"""
        ),
        {"settled_for_s": settled_for_s, "limit": limit},
    )
    return [
        EndedOperation(
            operation_id=row.operation_id,
            case_id=row.case_id,
            verb=Verb(row.verb),
            subject=Subject(SubjectKind(row.subject_kind), row.subject_id),
            state=OperationState(row.state),
            amount=row.amount,
            currency=row.currency,
            can_be_asked=row.operation_class != OperationClass.NONE.value,
            is_last=row.is_last,
        )
        for row in rows
    ]


async def mark_reconciled(conn: AsyncConnection, operation_ids: Sequence[str]) -> None:
    await conn.execute(
        text(
            """UPDATE ledger.operations SET reconciled_at = clock_timestamp()
                WHERE operation_id IN (
                  SELECT operation_id FROM ledger.operations WHERE operation_id = ANY(:ids)
                     AND ended_at IS NOT NULL ORDER BY operation_id FOR UPDATE)"""
        ),
        {"ids": list(operation_ids)},
    )


async def compare_again(conn: AsyncConnection, *, ended_within_s: float) -> None:
    """Have what ended lately compared once more, as after a start: the ledger may have been restored."""
    await conn.execute(
        text(
            """UPDATE ledger.operations SET reconciled_at = NULL
                WHERE operation_id IN (
                  SELECT operation_id FROM ledger.operations
                   WHERE ended_at > clock_timestamp() - make_interval(secs => :ended_within_s)
                     AND reconciled_at IS NOT NULL ORDER BY operation_id FOR UPDATE)"""
        ),
        {"ended_within_s": ended_within_s},
    )


async def read_states(
    conn: AsyncConnection, keys: Sequence[str]
) -> Mapping[str, tuple[OperationState, int]]:
    """The state and the case of those of the keys that the ledger knows."""
    rows = await conn.execute(
        text(
            "SELECT operation_id, state, case_id FROM ledger.operations WHERE operation_id = ANY(:keys)"
        ),
        {"keys": list(keys)},
    )
    return {row.operation_id: (OperationState(row.state), row.case_id) for row in rows}


@dataclass(frozen=True, slots=True, kw_only=True)
class Overdue:
    """An operation whose outcome nobody knows for too long, or that waits for a person."""

    operation_id: str
    case_id: int
    verb: Verb
    subject: Subject
    state: OperationState
    for_s: float
    requested_by: str
    assignee: str | None


_OVERDUE = """o.alarmed < :alarm AND o.state IN ('unknown', 'needs_human')
    AND coalesce(o.unknown_since, o.ended_at, o.last_sent_at)
        < clock_timestamp() - make_interval(secs => :older_than_s)"""


async def find_overdue(
    conn: AsyncConnection, *, older_than_s: float, alarm: int, limit: int
) -> Sequence[tuple[str, int]]:
    """Operations of which nobody knows the outcome for too long and whose alarm was not given, with their cases."""
    rows = await conn.execute(
        text(
            f"SELECT o.operation_id, o.case_id FROM ledger.operations o WHERE {_OVERDUE}"  # noqa: S608
            " ORDER BY o.operation_id LIMIT :limit"
        ),
        {"older_than_s": older_than_s, "alarm": alarm, "limit": limit},
    )
    return [(row.operation_id, row.case_id) for row in rows]


async def take_alarm(
    conn: AsyncConnection, operation_id: str, *, older_than_s: float, alarm: int
) -> Overdue | None:
    """Claim an operation's alarm; None where another process gave it, or the outcome came meanwhile.

    The caller holds the case's lock: whoever writes an outcome takes that one first as well.
    """
    row = (
        await conn.execute(
            text(
                f"""UPDATE ledger.operations o SET alarmed = :alarm
                     FROM ledger.decisions d, ledger.cases c
                    WHERE o.operation_id = :operation_id AND {_OVERDUE}
                      AND d.decision_id = o.decision_id AND c.case_id = o.case_id
                RETURNING o.operation_id, o.case_id, o.verb, o.subject_kind, o.subject_id, o.state,
                     extract(epoch FROM clock_timestamp()
                       - coalesce(o.unknown_since, o.ended_at, o.last_sent_at))::float AS for_s,
                     d.requested_by, c.assignee"""  # noqa: S608
            ),
            {"operation_id": operation_id, "older_than_s": older_than_s, "alarm": alarm},
        )
    ).first()
    if row is None:
        return None
    return Overdue(
        operation_id=row.operation_id,
        case_id=row.case_id,
        verb=Verb(row.verb),
        subject=Subject(SubjectKind(row.subject_kind), row.subject_id),
        state=OperationState(row.state),
        for_s=row.for_s,
        requested_by=row.requested_by,
        assignee=row.assignee,
    )
