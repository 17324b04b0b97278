"""The executor: carries operations out, once each, whatever dies in between."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from uuid import uuid4

from sqlalchemy.exc import SQLAlchemyError

from bot.cases.recording import Result, record
from bot.cases.room import OPERATIONS, Room
from bot.domain.audit import AuditEntry, AuditTag
from bot.domain.cases import OperationState
from bot.domain.outcomes import Outcome, OutcomeKind
from bot.domain.tracing import traced
from bot.domain.verbs import Capability, OperationClass, Verb
from bot.ledger import audit, claims, operations, people
from bot.ledger.operations import ClaimedOperation
from bot.market.marketplace import Marketplace, MarketUnreachable

logger = logging.getLogger(__name__)

LEASE_S = 60.0
SEND_TIMEOUT_S = 10.0
POLL_S = 1.0
DRAIN_S = 14.0
"""How long calls in flight may take when we are stopped: longer than any send, and with all else that ends
with us within 25 s."""
PARALLEL = 8
KEY_MARGIN = 0.8
"""A key is not sent again after this share of the marketplace's window for it."""
DEFAULT_KEY_WINDOW_S = 24 * 3600
MAX_STEP_RETRIES = 5
NOT_DONE = "not_done"
BY_HAND = "by_hand"
NEVER_S = 100 * 365 * 24 * 3600.0
"""What people do by hand ends when they say so, or when it shows in the marketplace."""

# Only what was never sent may be stopped by a brake; what is unknown must still be cleared up.
_NOT_PAUSED = """NOT (state = 'queued' AND EXISTS (
    SELECT FROM ledger.switches s JOIN ledger.decisions d ON d.decision_id = ledger.operations.decision_id
     WHERE s.paused_at IS NOT NULL AND s.name IN ('all', d.action)))"""


# A process in a dry run leaves what was decided in earnest to one that is not; what is out is looked up.
_ONLY_RECORDED = """(state <> 'queued' OR EXISTS (
    SELECT FROM ledger.decisions d WHERE d.decision_id = ledger.operations.decision_id AND d.dry_run))"""


class Executor:
    """One process's worker. Its owner name is random per boot: a name that is used again would let
    a restarted process believe that its predecessor's claims are its own.
    """

    def __init__(
        self,
        room: Room,
        api: Marketplace,
        *,
        send_timeout_s: float = SEND_TIMEOUT_S,
        lease_s: float = LEASE_S,
        drain_s: float = DRAIN_S,
    ) -> None:
        self._room = room
        self._api = api
        self._owner = f"executor-{uuid4().hex}"
        self._send_timeout_s = send_timeout_s
        self._lease_s = lease_s
        self._drain_s = drain_s
        self._running: dict[asyncio.Task[None], ClaimedOperation] = {}
        self._begun: set[tuple[str, int]] = set()
        """Operation and fence of claims of which an attempt is committed."""
        self._held_until: dict[tuple[str, int], float] = {}
        """By operation and fence, on this process's own stopwatch: no call may begin that could outlast the lease."""
        self._stopping = False

    async def run(self, stop: asyncio.Event) -> None:
        """Work until stopped, then let calls in flight finish; none is ever cancelled."""
        while not stop.is_set():
            try:
                started = await self._start_some()
            except (SQLAlchemyError, OSError) as error:
                logger.warning("executor cannot reach the ledger: %s", type(error).__name__)
                started = 0
            if started == 0 or len(self._running) >= PARALLEL:
                await self._room.bell.wait(OPERATIONS, POLL_S)
        self._stopping = True
        await self._drain()

    async def _drain(self) -> None:
        """Let calls in flight finish; what has no answer by then is left to the next process at once.

        None is cancelled: its effect may still come, and then it is the look-up that finds it.
        """
        if self._running:
            await asyncio.wait(self._running, timeout=self._drain_s)
        for operation in list(self._running.values()):
            try:
                await self._leave(operation)
            except (SQLAlchemyError, OSError) as error:
                # The lease ends by itself, and then another process looks it up.
                logger.warning("an operation could not be handed on: %s", type(error).__name__)

    async def _leave(self, operation: ClaimedOperation) -> None:
        if _held(operation) not in self._begun:
            async with self._room.engine.begin() as conn:
                await operations.give_back(conn, operation.claim)
            return
        what = "send" if operation.state is OperationState.QUEUED else "lookup"
        unknown = Result(state=OperationState.UNKNOWN, code="stopped_waiting")
        await record(self._room, operation, what, unknown)

    async def _start_some(self) -> int:
        free = PARALLEL - len(self._running)
        if free <= 0:
            return 0
        held_until = time.monotonic() + self._lease_s
        async with self._room.engine.begin() as conn:
            claimed = [
                await operations.read_claimed(conn, claim)
                for claim in await claims.claim(
                    conn,
                    claims.OPERATIONS,
                    owner=self._owner,
                    lease_s=self._lease_s,
                    limit=free,
                    also=f"{_NOT_PAUSED} AND {_ONLY_RECORDED}"
                    if self._room.dry_run
                    else _NOT_PAUSED,
                )
            ]
            capabilities = await people.read_capabilities(conn)
        for operation in claimed:
            self._held_until[_held(operation)] = held_until
            task = asyncio.create_task(self._carry_out(operation, capabilities))
            self._running[task] = operation
            task.add_done_callback(self._ended)
        return len(claimed)

    def _ended(self, task: asyncio.Task[None]) -> None:
        operation = self._running.pop(task)
        self._begun.discard(_held(operation))
        self._held_until.pop(_held(operation), None)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            # The lease brings the operation back; what happened meanwhile is looked up then.
            logger.error("an attempt broke off: %s", traced(error))
        self._room.bell.ring(OPERATIONS)

    async def _carry_out(
        self, operation: ClaimedOperation, capabilities: Mapping[Verb, Capability]
    ) -> None:
        if operation.dry_run:
            await self._only_record(operation)
            return
        by_hand = operation.operation_class is OperationClass.MANUAL
        if operation.state is OperationState.QUEUED and by_hand:
            await record(
                self._room,
                operation,
                "",
                Result(state=OperationState.PENDING, code=BY_HAND, due_in_s=NEVER_S),
            )
            return
        if operation.state is OperationState.QUEUED:
            await self._send(operation, resolved_by="answer")
            return
        capability = capabilities.get(operation.verb)
        if operation.operation_class in {OperationClass.NONE, OperationClass.MANUAL}:
            await record(
                self._room,
                operation,
                "",
                Result(state=OperationState.NEEDS_HUMAN, code="outcome_unknown"),
            )
            return
        await self._look_up(operation, capability)

    async def _only_record(self, operation: ClaimedOperation) -> None:
        """What was decided in a dry run is never sent, not even by a process that runs in earnest."""
        async with self._room.engine.begin() as conn:
            held = await operations.start_dry_run(conn, operation.claim)
        if held:
            done = Result(state=OperationState.SUCCEEDED, resolved_by="dry_run")
            await record(self._room, operation, "", done)

    def _is_late(self, operation: ClaimedOperation) -> bool:
        """Whether a call begun now could still be under way when the lease has ended and another has taken over.

        A process that was stopped for a while, or waited long for the ledger, must not send what its successor
        has looked up meanwhile.
        """
        held_until = self._held_until.get(_held(operation))
        return held_until is not None and time.monotonic() + self._send_timeout_s > held_until

    async def _send(self, operation: ClaimedOperation, *, resolved_by: str) -> None:
        if self._is_late(operation):
            return
        async with self._room.engine.begin() as conn:
            held = await operations.start_attempt(conn, operation.claim, "send")
            # Judged since it was decided, as in the minute in which it could be taken back.
            pays_a_suspect = operation.verb is Verb.REFUND and await operations.pays_a_suspect(
                conn, operation.decision_id, operation.subject
            )
            if held:
                await audit.append(conn, [_sent(operation, resolved_by)])
        if not held:
            return
        self._begun.add(_held(operation))
        if pays_a_suspect and operation.maybe_received == 0:
            judged = Result(state=OperationState.FAILED, code="judged_fraud", resolved_by="answer")
            await record(self._room, operation, "send", judged)
            return
        if self._is_late(operation):
            await record(self._room, operation, "send", _never_sent(operation))
            return
        outcome = await self._api.send(
            operation.verb,
            operation.subject,
            key=operation.operation_id,
            body=operation.body,
            timeout_s=self._send_timeout_s,
        )
        if operation.verb is Verb.REMOVE_FOLLOWS and outcome.code == "nothing_to_remove":
            # Older follows stay by intention, so an account that has no newer ones is as was wanted.
            outcome = replace(outcome, kind=OutcomeKind.SUCCEEDED)
        result = result_of_send(
            outcome,
            resolved_by=resolved_by,
            attempts=operation.claim.attempts,
            maybe_received=operation.maybe_received > 0,
        )
        if not await record(self._room, operation, "send", result):
            logger.warning("operation %s was taken over", operation.operation_id)

    async def _look_up(self, operation: ClaimedOperation, capability: Capability | None) -> None:
        async with self._room.engine.begin() as conn:
            held = await operations.start_attempt(conn, operation.claim, "lookup")
        if not held:
            return
        self._begun.add(_held(operation))
        try:
            outcome = await self._api.lookup(
                operation.operation_id, verb=operation.verb, subject=operation.subject
            )
            if outcome is not None and outcome.kind is OutcomeKind.PARTLY_SUCCEEDED:
                outcome = await self._retry_steps(operation, outcome)
        except MarketUnreachable:
            result = Result(
                state=OperationState.UNKNOWN,
                code="unreachable",
                due_in_s=claims.backoff_s(operation.claim.attempts, cap=30),
            )
            await record(self._room, operation, "lookup", result)
            return
        if outcome is not None:
            result = result_of_lookup(
                outcome, attempts=operation.claim.attempts, retries=operation.retries
            )
            await record(self._room, operation, "lookup", result)
            return
        wait_s = resend_wait_s(operation, capability, self._send_timeout_s)
        if wait_s is None:
            await record(
                self._room,
                operation,
                "lookup",
                Result(state=OperationState.NEEDS_HUMAN, code="outcome_unknown"),
            )
        elif wait_s > 0 or self._stopping or operation.state is OperationState.PENDING:
            # A marketplace that forgot what it had accepted: looked up once more before it is sent again.
            await record(
                self._room,
                operation,
                "lookup",
                Result(state=OperationState.UNKNOWN, code="not_received", due_in_s=wait_s),
            )
        elif self._room.dry_run:
            await record(
                self._room,
                operation,
                "lookup",
                Result(state=OperationState.UNKNOWN, code="not_received", due_in_s=60),
            )
        else:
            await self._send(operation, resolved_by="resend")

    async def _retry_steps(self, operation: ClaimedOperation, partly: Outcome) -> Outcome:
        """Run the failed steps alone again, a few times, and not while they are paused."""
        if operation.retries >= MAX_STEP_RETRIES or self._room.dry_run or self._stopping:
            return partly
        if self._is_late(operation):
            return partly
        async with self._room.engine.begin() as conn:
            if await operations.is_paused(conn, operation.operation_id):
                return partly
            if not await operations.start_attempt(conn, operation.claim, "retry"):
                return partly
            await audit.append(conn, [_sent(operation, "retry")])
        return await self._api.retry_steps(operation.operation_id, verb=operation.verb)


def _held(operation: ClaimedOperation) -> tuple[str, int]:
    return operation.operation_id, operation.claim.fence


def _sent(operation: ClaimedOperation, resolved_by: str) -> AuditEntry:
    """Committed before the call: that we were about to send, whatever becomes of it."""
    return AuditEntry(
        actor="system",
        tag=AuditTag.OPERATION_SENT,
        case_id=operation.case_id,
        decision_id=operation.decision_id,
        operation_id=operation.operation_id,
        subject=operation.subject,
        details={
            "verb": operation.verb.value,
            "attempt": operation.retries + 1 if resolved_by == "retry" else operation.sends + 1,
            "again": resolved_by != "answer",
            **({"steps": "failed"} if resolved_by == "retry" else {}),
        },
    )


def _never_sent(operation: ClaimedOperation) -> Result:
    """An attempt that was given up between its commit and the call."""
    waits = OperationState.UNKNOWN if operation.maybe_received else OperationState.QUEUED
    return Result(state=waits, code="not_sent", attempt=NOT_DONE)


def result_of_send(
    outcome: Outcome, *, resolved_by: str, attempts: int, maybe_received: bool = False
) -> Result:
    """What an answer to a send means for the operation; only a documented refusal is a failure.

    Args:
        maybe_received: an earlier send may have been received. That this one did nothing tells nothing of that
            one, so the operation stays unknown and is looked up before it is sent again.
    """
    match outcome.kind:
        case OutcomeKind.SUCCEEDED:
            return Result(state=OperationState.SUCCEEDED, outcome=outcome, resolved_by=resolved_by)
        case OutcomeKind.REFUSED:
            return Result(
                state=OperationState.FAILED,
                outcome=outcome,
                resolved_by=resolved_by,
                code=outcome.code,
                message=outcome.message,
            )
        case OutcomeKind.PENDING | OutcomeKind.PARTLY_SUCCEEDED:
            return Result(
                state=OperationState.PENDING,
                outcome=outcome,
                code=outcome.kind.value,
                due_in_s=claims.backoff_s(attempts, cap=30),
            )
        case OutcomeKind.NOT_DONE:
            wait_s = outcome.retry_after_s or claims.backoff_s(attempts, cap=30)
            return Result(
                state=OperationState.UNKNOWN if maybe_received else OperationState.QUEUED,
                code=outcome.code,
                message=outcome.message,
                due_in_s=min(wait_s, 300),
                attempt=NOT_DONE,
            )
        case OutcomeKind.IN_PROGRESS | OutcomeKind.UNKNOWN:
            return Result(
                state=OperationState.UNKNOWN,
                code=outcome.code or outcome.kind.value,
                due_in_s=claims.backoff_s(attempts, cap=30),
            )


def result_of_lookup(outcome: Outcome, *, attempts: int, retries: int | None = None) -> Result:
    """What a stored outcome means for the operation.

    Args:
        retries: how often failed steps were run again; not told: as often as anything was tried.
    """
    tried = attempts - 1 if retries is None else retries
    if outcome.kind is OutcomeKind.PARTLY_SUCCEEDED and tried >= MAX_STEP_RETRIES:
        return Result(state=OperationState.NEEDS_HUMAN, outcome=outcome, code="partly_succeeded")
    if outcome.kind is OutcomeKind.NOT_DONE:
        # The look-up itself was turned away; the operation is as unknown as before.
        return Result(
            state=OperationState.UNKNOWN, code=outcome.code, due_in_s=outcome.retry_after_s or 5
        )
    return result_of_send(outcome, resolved_by="lookup", attempts=attempts)


def resend_wait_s(
    operation: ClaimedOperation, capability: Capability | None, send_timeout_s: float
) -> float | None:
    """How long until an operation that the marketplace has not received may be sent again.

    0: now, under the same key; None: never, a person must look. Where only a look-up tells (class
    `lookup`), a request that still travels could take effect after we looked, so we wait out the
    declared bound and send once more at the most.
    """
    if capability is None:
        return None
    match operation.operation_class:
        case OperationClass.KEY:
            window_s = (capability.key_window_s or DEFAULT_KEY_WINDOW_S) * KEY_MARGIN
            first_sent_ago_s = operation.first_sent_ago_s or 0.0
            return 0.0 if first_sent_ago_s < window_s else None
        case OperationClass.LOOKUP:
            if operation.maybe_received >= 2:
                return None
            bound_s = max(capability.execution_bound_s, 3 * send_timeout_s)
            return max(0.0, bound_s - (operation.sent_ago_s or 0.0))
        case OperationClass.NONE | OperationClass.MANUAL:
            return None
