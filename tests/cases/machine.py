"""A machine that presses, waits, answers and confuses the case room at random, and checks it after every step."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import count
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import text

from bot.actions import registry
from bot.cases.approving import approve, expire_requests, reject
from bot.cases.deciding import Decided, decide, dismiss, stop_rest
from bot.cases.freezing import Choice
from bot.cases.opening import open_by_hand, open_findings
from bot.cases.pausing import pause, propose_resume
from bot.cases.planning import read_case
from bot.cases.policy import ActionRule, Cap, Policy, Tier
from bot.cases.recording import Result, record
from bot.cases.room import Press, Room
from bot.cases.taking_back import take_back
from bot.cases.targets import targets_of
from bot.cases.watching import note_changes
from bot.domain.cases import CaseView, MemberFacts, OperationState
from bot.domain.outcomes import Outcome, OutcomeKind
from bot.domain.refusals import Refusal, RefusalCode
from bot.domain.roles import Person, Role
from bot.domain.subjects import Subject, SubjectKind
from bot.domain.verbs import Verb
from bot.executor import _NOT_PAUSED as NOT_PAUSED
from bot.executor import result_of_lookup, result_of_send
from bot.ledger import claims, operations, people
from bot.ledger.operations import ClaimedOperation
from tests.cases.conftest import NOW, TEAM
from tests.cases.machine_promises import BROKEN, LEGAL, STATES
from tests.cases.stage import a_finding, a_plan

T = TypeVar("T")

ACTION_CAP = 90_000
PERSON_CAP = 4
AMOUNTS = (1000, 12_400, 45_000)
TEAM_ROLES: dict[str, frozenset[Role]] = {
    "U0SATO": frozenset({Role.AGENT}),
    "U0SUZUKI": frozenset({Role.AGENT}),
    "U0TANAKA": frozenset({Role.APPROVER}),
    "U0SMITH": frozenset({Role.APPROVER}),
    "U0KATO": frozenset({Role.ACCOUNTANT}),
    "U0BOSS": frozenset({Role.AGENT, Role.APPROVER, Role.ACCOUNTANT, Role.ADMIN}),
    "U0YAMADA": frozenset(),
}
GUEST = "U0GUEST"
ANYBODY = st.sampled_from([*TEAM_ROLES, GUEST])
ASKING = st.sampled_from(
    ["U0SATO", "U0SATO", "U0SUZUKI", "U0TANAKA", "U0BOSS", "U0KATO", "U0YAMADA", GUEST]
)
ANSWERING = st.sampled_from(
    ["U0TANAKA", "U0TANAKA", "U0SMITH", "U0SMITH", "U0KATO", "U0KATO", "U0BOSS", "U0SATO", GUEST]
)
BEHIND = st.sampled_from([0, 0, 0, 0, 0, 0, 0, 1])
DENIED = frozenset(
    {
        RefusalCode.NO_ROLE,
        RefusalCode.OWN_REQUEST,
        RefusalCode.GUEST,
        RefusalCode.ROLES_TOO_OLD,
        RefusalCode.OVER_LIMIT,
    }
)
"""Refusals that are in the log, every one."""
AFTER: dict[Verb, dict[str, object]] = {
    Verb.HOLD: {"held_at": NOW.isoformat()},
    Verb.RELEASE: {"held_at": None},
    Verb.CANCEL: {"status": "canceled", "canceled_at": NOW.isoformat()},
    Verb.SUSPEND: {"status": "suspended", "suspended_at": NOW.isoformat()},
    Verb.REINSTATE: {"status": "active", "suspended_at": None},
    Verb.REFUND: {},
}
_examples = count(1)


def machine_policy(policy: Policy) -> Policy:
    """The policy under which the machine plays: small caps, and two roles above an amount."""
    cancel = policy.file.actions["cancel"].model_copy(
        update={
            "approvals": (Tier(above={"JPY": 50_000}, each_of=(Role.APPROVER, Role.ACCOUNTANT)),),
            "second_person_above": {"JPY": 20_000},
        }
    )
    rules: dict[str, ActionRule] = {**policy.file.actions, "cancel": cancel}
    caps = (
        Cap(per="action", window="day", actions=("cancel",), amount={"JPY": ACTION_CAP}),
        Cap(per="person", window="hour", actions=("cancel", "refund"), count=PERSON_CAP),
    )
    return replace(policy, file=policy.file.model_copy(update={"caps": caps, "actions": rules}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A row as the last step left it."""

    state: str
    version: int
    revision: int
    sends: int


class CaseRoomMachine(RuleBasedStateMachine):
    """One example: its own cases in a ledger that it shares with those before it."""

    loop: asyncio.AbstractEventLoop
    room: Room
    chain: tuple[int, str]
    """Up to where the log was verified, and its head there."""

    def __init__(self) -> None:
        super().__init__()
        self.name = f"{next(_examples)}"
        self.cases: list[int] = []
        self.orders = 0
        self.denials = 0
        self.seen: dict[tuple[str, str], Seen] = {}
        self.in_hand: list[ClaimedOperation] = []
        self.lost: list[ClaimedOperation] = []
        self.paused: frozenset[str] = frozenset()
        self.disturbed = 0
        self.resuming: set[str] = set()
        """Who asked for the pause of now to end."""
        self.roles = dict(TEAM_ROLES)
        self.synced = True
        self.sql_denials = 0
        self.first_entry = 0

    # ---- The stage

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    async def sql(self, statement: str, **params: object) -> list[Any]:
        async with self.room.engine.begin() as conn:
            result = await conn.execute(text(statement), params)
            return list(result) if result.returns_rows else []

    @initialize()
    def set_the_stage(self) -> None:
        self.do(self._set_the_stage())

    async def _set_the_stage(self) -> None:
        await self._sync()
        for (name,) in await self.sql(
            "SELECT name FROM ledger.switches WHERE paused_at IS NOT NULL"
        ):
            await self._resume(name)
        # What earlier examples took of the caps is long past.
        await self.sql("UPDATE ledger.cap_entries SET returned_at = clock_timestamp()")
        ((self.first_entry,),) = await self.sql("SELECT seq FROM ledger.audit_head")
        self.chain = type(self).chain

    async def _sync(self) -> None:
        async with self.room.engine.begin() as conn:
            await people.store_people(
                conn,
                [
                    *(
                        Person(user_id=id_, team_id=TEAM, display_name=id_, roles=roles)
                        for id_, roles in self.roles.items()
                    ),
                    Person(
                        user_id=GUEST,
                        team_id=TEAM,
                        display_name="ゲスト",
                        is_guest=True,
                        roles=frozenset(Role),
                    ),
                ],
            )

    async def _resume(self, name: str) -> None:
        for user in ("U0TANAKA", "U0SMITH"):
            await propose_resume(self.room, user, name)

    def _case(self, number: int, *states: str) -> CaseView:
        fitting = self._in_state(*states) or self.cases
        view = self.do(read_case(self.room, fitting[number % len(fitting)]))
        assert view is not None
        return view

    def _in_state(self, *states: str) -> list[int]:
        return [id_ for id_ in self.cases if self._seen_state("case", str(id_)) in states]

    def _seen_state(self, kind: str, id_: str) -> str | None:
        seen = self.seen.get((kind, id_))
        return seen.state if seen else None

    def _has_open_operations(self) -> bool:
        return any(map(self._has_operation, ("queued", "executing", "pending", "unknown")))

    def _has_operation(self, state: str) -> bool:
        return any(
            kind == "operation" and seen.state == state for (kind, _), seen in self.seen.items()
        )

    def _pressed(
        self,
        user: str,
        view: CaseView,
        behind: int,
        press: Callable[[Press], Coroutine[Any, Any, Decided | Refusal]],
        *,
        money: bool = True,
    ) -> Decided | Refusal:
        """A press on the case as it was `behind` versions ago, and what can be said of any answer."""
        version = view.version - behind
        answer = self.do(press(Press(user_id=user, case_id=view.case_id, version=version)))
        if isinstance(answer, Decided):
            assert not behind, "a press on an older version decided"
            assert user != GUEST, "a guest decided"
            assert self.roles[user], "somebody without a role decided"
            assert self.synced or not money, "roles were too old"
        elif answer.code in DENIED:
            self.denials += 1
        return answer

    # ---- What happens

    @precondition(lambda self: len(self.cases) < 4)
    @rule(amount=st.sampled_from(AMOUNTS), orders=st.integers(1, 2))
    def a_detection_finds(self, amount: int, orders: int) -> None:
        names = [self._new_order() for _ in range(orders)]
        finding = a_finding(
            names[0],
            at=NOW,
            amount=amount,
            order_ids=tuple(names),
            account_ids=(f"buyer-{self.name}-{names[0]}",),
        )
        known = {Subject(SubjectKind.ORDER, name): self._order_facts(amount) for name in names}
        known[Subject(SubjectKind.ACCOUNT, finding.account_ids[0])] = MemberFacts(status="active")
        self.do(open_findings(self.room, [finding], known))
        self._take_over_case(names[0])

    @precondition(lambda self: len(self.cases) < 4)
    @rule(user=ANYBODY, amount=st.sampled_from(AMOUNTS))
    def somebody_opens_by_hand(self, user: str, amount: int) -> None:
        order = self._new_order()
        subject = Subject(SubjectKind.ORDER, order)
        answer = self.do(
            open_by_hand(
                self.room,
                user_id=user,
                action="cancel",
                subjects=[subject],
                facts={subject: self._order_facts(amount)},
            )
        )
        if isinstance(answer, Refusal):
            self.denials += answer.code in DENIED
        else:
            assert self.roles.get(user), "somebody without a role opened a case"
            self.cases.append(answer)

    def _new_order(self) -> str:
        self.orders += 1
        return f"O-{self.name}-{self.orders}"

    def _order_facts(self, amount: int) -> MemberFacts:
        return MemberFacts(
            status="paid",
            amount=amount,
            currency="JPY",
            buyer_id=f"buyer-{self.name}",
            ordered_at=NOW,
            ship_due_at=NOW + timedelta(hours=2),
        )

    def _take_over_case(self, order: str) -> None:
        for (case_id,) in self.do(
            self.sql(
                "SELECT case_id FROM ledger.case_members WHERE subject_id = :order", order=order
            )
        ):
            if case_id not in self.cases:
                self.cases.append(case_id)

    @precondition(lambda self: self.cases)
    @rule(
        number=st.integers(0, 3),
        user=ASKING,
        action=st.sampled_from(["hold", "cancel", "cancel", "cancel", "suspend", "refund"]),
        behind=BEHIND,
        first_only=st.booleans(),
        allowed=st.sampled_from([True, True, True, True, False]),
    )
    def somebody_decides(
        self, number: int, user: str, action: str, behind: int, first_only: bool, allowed: bool
    ) -> None:
        self._decide(
            self._case(number, "open", "partly_done"), user, action, behind, first_only, allowed
        )

    @precondition(lambda self: self._in_state("open", "partly_done"))
    @rule(
        number=st.integers(0, 3),
        user=st.sampled_from(["U0SATO", "U0SUZUKI"]),
        action=st.sampled_from(["cancel", "cancel", "refund"]),
    )
    def an_agent_asks(self, number: int, user: str, action: str) -> None:
        self._decide(self._case(number, "open", "partly_done"), user, action, 0, False, True)

    @precondition(lambda self: self._in_state("open", "partly_done"))
    @rule(
        number=st.integers(0, 3),
        user=st.sampled_from(["U0TANAKA", "U0BOSS"]),
        action=st.sampled_from(["hold", "cancel", "refund", "suspend"]),
    )
    def an_approver_decides(self, number: int, user: str, action: str) -> None:
        self._decide(self._case(number, "open", "partly_done"), user, action, 0, True, True)

    @precondition(lambda self: self._has_operation("succeeded"))
    @rule(number=st.integers(0, 3), user=ASKING, action=st.sampled_from(["release", "reinstate"]))
    def somebody_undoes(self, number: int, user: str, action: str) -> None:
        self._decide(self._case(number, "done", "partly_done"), user, action, 0, False, True)

    def _decide(
        self, view: CaseView, user: str, action: str, behind: int, first_only: bool, allowed: bool
    ) -> None:
        targets = targets_of(registry()[action], view)
        if first_only or action == "refund":
            targets = targets[:1]
        facts = {member.subject: member.facts for member in view.members}
        choice = Choice(
            action=action,
            targets=targets,
            plans=tuple(
                replace(
                    a_plan(verb, subject, token=f"{verb}-{subject.id}", allowed=allowed),
                    refund_amount=facts[subject].amount or 0,
                )
                for verb, subject in targets
            ),
            reason="Stolen card",
        )
        answer = self._pressed(user, view, behind, lambda press: decide(self.room, press, choice))
        if isinstance(answer, Decided):
            assert allowed or not registry()[action].dangerous, "a refused plan was decided on"
            assert not self._is_paused(action), "decided while paused"

    @precondition(lambda self: self._in_state("awaiting_approval"))
    @rule(number=st.integers(0, 3), user=ANSWERING, behind=BEHIND)
    def somebody_approves(self, number: int, user: str, behind: int) -> None:
        self._approve(self._case(number, "awaiting_approval"), user, behind)

    @precondition(lambda self: self._in_state("awaiting_approval"))
    @rule(number=st.integers(0, 3), own=st.booleans())
    def who_asked_or_opened_approves(self, number: int, own: bool) -> None:
        view = self._case(number, "awaiting_approval")
        user = view.decisions[-1].requested_by if own else view.opened_by
        if user is not None:
            self._approve(view, user, 0)

    @precondition(lambda self: self._in_state("awaiting_approval"))
    @rule(number=st.integers(0, 3), first=ANSWERING, second=ANSWERING)
    def two_people_approve_what_they_saw(self, number: int, first: str, second: str) -> None:
        """The second one's card is as it was before the first one pressed."""
        view = self._case(number, "awaiting_approval")
        self._approve(view, first, 0)
        again = self._case(self.cases.index(view.case_id))
        self._approve(again, second, again.version - view.version)

    def _approve(self, view: CaseView, user: str, behind: int) -> None:
        if not view.decisions:
            return
        decision = view.decisions[-1]
        answer = self._pressed(
            user, view, behind, lambda press: approve(self.room, press, decision.decision_id)
        )
        if isinstance(answer, Decided):
            assert user not in {decision.requested_by, view.opened_by}, (
                "somebody approved their own"
            )
            assert self.roles[user] & {Role.APPROVER, Role.ACCOUNTANT}, "no role to approve"
            assert not self._is_paused(decision.action), "approved while paused"
            assert user not in {given.user_id for given in decision.approvals}, "approved twice"

    @precondition(lambda self: self._in_state("awaiting_approval"))
    @rule(number=st.integers(0, 3), user=ANYBODY, behind=BEHIND)
    def somebody_rejects(self, number: int, user: str, behind: int) -> None:
        self._reject(self._case(number, "awaiting_approval"), user, behind)

    @precondition(lambda self: self.cases)
    @rule(
        number=st.integers(0, 3),
        user=ANSWERING,
        which=st.sampled_from(["approve", "reject", "back", "stop"]),
    )
    def somebody_presses_what_is_not_there(self, number: int, user: str, which: str) -> None:
        """A button of a card that is long gone, on a case in whatever state."""
        view = self._case(number)
        match which:
            case "approve":
                self._approve(view, user, 0)
            case "reject":
                self._reject(view, user, 0)
            case "back":
                self._pressed(user, view, 0, lambda press: take_back(self.room, press))
            case _:
                self._stop(view, user)

    def _reject(self, view: CaseView, user: str, behind: int) -> None:
        if not view.decisions:
            return
        decision = view.decisions[-1]
        self._pressed(
            user,
            view,
            behind,
            lambda press: reject(self.room, press, decision.decision_id, reason="No"),
        )

    @precondition(
        lambda self: self._in_state("open", "partly_done") and not self._in_state("dismissed")
    )
    @rule(number=st.integers(0, 3), user=ASKING, behind=BEHIND)
    def somebody_dismisses(self, number: int, user: str, behind: int) -> None:
        view = self._case(number, "partly_done", "open")
        self._pressed(
            user, view, behind, lambda press: dismiss(self.room, press, reason="A regular")
        )

    @precondition(lambda self: self._in_state("executing"))
    @rule(number=st.integers(0, 3), user=ASKING, behind=BEHIND)
    def somebody_takes_back(self, number: int, user: str, behind: int) -> None:
        view = self._case(number, "executing")
        self._pressed(user, view, behind, lambda press: take_back(self.room, press))

    @precondition(lambda self: self._in_state("executing"))
    @rule(number=st.integers(0, 3), user=ASKING)
    def somebody_stops_the_rest(self, number: int, user: str) -> None:
        self._stop(self._case(number, "executing"), user)

    def _stop(self, view: CaseView, user: str) -> None:
        self._pressed(user, view, 0, lambda press: stop_rest(self.room, press))

    @precondition(lambda self: self._in_state("executing", "awaiting_approval"))
    @rule(number=st.integers(0, 3), run_out=st.sampled_from([False, False, True]))
    def time_passes(self, number: int, run_out: bool) -> None:
        """What may be taken back is due; a request that waits runs out, and the clock may come by."""
        case_id = self._case(number, "executing", "awaiting_approval").case_id
        self.do(
            self.sql(
                "UPDATE ledger.operations SET due_at = clock_timestamp() WHERE case_id = :id AND state = 'queued'",
                id=case_id,
            )
        )
        if run_out:
            self.do(
                self.sql(
                    "UPDATE ledger.decisions SET expires_at = clock_timestamp() - interval '1 second'"
                    " WHERE case_id = :id AND state = 'awaiting_approval'",
                    id=case_id,
                )
            )

    @precondition(lambda self: self._in_state("awaiting_approval"))
    @rule()
    def the_clock_ends_requests(self) -> None:
        self.do(expire_requests(self.room))

    @precondition(lambda self: self.cases)
    @rule(
        number=st.integers(0, 3),
        change=st.sampled_from(
            [{"status": "shipped", "shipped_at": NOW}, {"amount": 31_000}, {"held_at": NOW}, {}]
        ),
    )
    def the_marketplace_moves(self, number: int, change: dict[str, Any]) -> None:
        view = self._case(number)
        member = next(m for m in view.members if m.subject.kind is SubjectKind.ORDER)
        self.do(
            note_changes(
                self.room,
                view.case_id,
                [member.subject],
                {member.subject: replace(member.facts, **change)},
            )
        )

    @precondition(lambda self: self.cases and self.disturbed < 3)
    @rule(user=st.sampled_from(sorted(TEAM_ROLES)), roles=st.sampled_from(sorted(TEAM_ROLES)))
    def roles_change(self, user: str, roles: str) -> None:
        self.disturbed += 1
        self.roles[user] = TEAM_ROLES[roles]
        self.do(self._sync())

    @precondition(lambda self: self.cases and self.disturbed < 3)
    @rule(number=st.integers(0, 3), user=ASKING)
    def somebody_decides_while_the_sync_is_behind(self, number: int, user: str) -> None:
        self.disturbed += 1
        self.synced = False
        self.do(
            self.sql("UPDATE ledger.people SET synced_at = clock_timestamp() - interval '1 hour'")
        )
        self._decide(self._case(number, "open"), user, "hold", 0, False, True)
        self.synced = True
        self.do(self._sync())

    @precondition(lambda self: self.cases and self.disturbed < 3 and not self.paused)
    @rule(user=ANYBODY, name=st.sampled_from(["all", "cancel"]))
    def somebody_pauses(self, user: str, name: str) -> None:
        self.disturbed += 1
        answer = self.do(pause(self.room, user, name, "Payments are down"))
        if isinstance(answer, Refusal):
            self.denials += answer.code in DENIED
        else:
            assert self.roles.get(user), "somebody without a role paused"
            self.resuming.clear()

    @precondition(lambda self: self.paused)
    @rule(first=ANSWERING, second=ANSWERING)
    def two_people_resume(self, first: str, second: str) -> None:
        (name,) = self.paused
        for user in (first, second):
            answer = self.do(propose_resume(self.room, user, name))
            if isinstance(answer, Refusal):
                self.denials += answer.code in DENIED
            if not isinstance(answer, Refusal) or answer.code is RefusalCode.OWN_PROPOSAL:
                self.resuming.add(user)
        assert len(self.resuming) > 1 or name in self._switches(), "one person resumed"

    def _is_paused(self, action: str) -> bool:
        return bool(self.paused & {"all", action})

    def _switches(self) -> frozenset[str]:
        rows = self.do(self.sql("SELECT name FROM ledger.switches WHERE paused_at IS NOT NULL"))
        return frozenset(name for (name,) in rows)

    # ---- The executor, one step at a time

    @precondition(lambda self: self._has_open_operations() and len(self.in_hand) < 4)
    @rule()
    def a_worker_claims(self) -> None:
        self.do(self._claim())

    @precondition(lambda self: self._has_open_operations())
    @rule(
        kinds=st.lists(
            st.sampled_from([OutcomeKind.SUCCEEDED] * 4 + [*OutcomeKind]), min_size=1, max_size=3
        )
    )
    def time_passes_and_a_worker_works(self, kinds: list[OutcomeKind]) -> None:
        self.do(
            self.sql(
                "UPDATE ledger.operations SET due_at = clock_timestamp()"
                " WHERE case_id = ANY(:cases) AND ended_at IS NULL",
                cases=self.cases,
            )
        )
        self.do(self._claim())
        for kind in kinds:
            if self.in_hand:
                self.do(self._attempt(self.in_hand.pop(0), kind))

    async def _claim(self) -> None:
        async with self.room.engine.begin() as conn:
            for claim in await claims.claim(
                conn,
                claims.OPERATIONS,
                owner="executor-of-the-machine",
                lease_s=600,
                limit=2,
                also=f"{NOT_PAUSED} AND case_id = ANY(:mine)",
                params={"mine": self.cases},
            ):
                self.in_hand.append(await operations.read_claimed(conn, claim))

    @precondition(lambda self: self.in_hand)
    @rule(kind=st.sampled_from([*OutcomeKind, OutcomeKind.SUCCEEDED, OutcomeKind.SUCCEEDED]))
    def a_worker_ends_an_attempt(self, kind: OutcomeKind) -> None:
        self.do(self._attempt(self.in_hand.pop(0), kind))

    async def _attempt(self, operation: ClaimedOperation, kind: OutcomeKind) -> None:
        outcome = Outcome(
            kind=kind,
            code="already_shipped" if kind is OutcomeKind.REFUSED else None,
            after=AFTER.get(operation.verb, {}) if kind is OutcomeKind.SUCCEEDED else {},
        )
        attempts = operation.claim.attempts
        what = "send" if operation.state is OperationState.QUEUED else "lookup"
        if not await self._start(operation, what):
            return
        if what == "send":
            result = result_of_send(outcome, resolved_by="answer", attempts=attempts)
        elif kind is OutcomeKind.NOT_DONE and operation.state is OperationState.PENDING:
            result = Result(state=OperationState.UNKNOWN, code="not_received")
        elif kind is OutcomeKind.NOT_DONE:  # the marketplace never received it
            what = "send"
            if not await self._start(operation, what):
                return
            sent = Outcome(kind=OutcomeKind.SUCCEEDED, after=AFTER.get(operation.verb, {}))
            result = result_of_send(sent, resolved_by="resend", attempts=attempts)
        else:
            result = result_of_lookup(outcome, attempts=attempts)
        assert await record(self.room, operation, what, replace(result, due_in_s=0))

    async def _start(self, operation: ClaimedOperation, what: str) -> bool:
        async with self.room.engine.begin() as conn:
            return await operations.start_attempt(conn, operation.claim, what)

    @precondition(lambda self: self.in_hand)
    @rule(sent=st.booleans())
    def a_worker_dies(self, sent: bool) -> None:
        operation = self.in_hand.pop(0)
        if sent and operation.state is OperationState.QUEUED:
            self.do(self._start(operation, "send"))
        self.do(
            self.sql(
                "UPDATE ledger.operations SET lease_until = clock_timestamp() - interval '1 second'"
                " WHERE operation_id = :id AND lease_owner IS NOT NULL",
                id=operation.operation_id,
            )
        )
        self.lost.append(operation)

    @precondition(lambda self: self.lost)
    @rule()
    def a_lost_worker_wakes(self) -> None:
        """Whoever was taken over meanwhile writes nothing."""
        operation = self.lost.pop(0)
        ((fence, owner),) = self.do(
            self.sql(
                "SELECT fence, lease_owner FROM ledger.operations WHERE operation_id = :id",
                id=operation.operation_id,
            )
        )
        if fence == operation.claim.fence and owner == operation.claim.owner:
            return
        result = result_of_send(Outcome(kind=OutcomeKind.REFUSED), resolved_by="answer", attempts=1)
        assert not self.do(record(self.room, operation, "send", result)), "a lost claim wrote"

    @precondition(lambda self: self.cases)
    @rule()
    def the_publisher_draws(self) -> None:
        self.do(
            self.sql(
                "UPDATE ledger.cards SET published_revision = wanted_revision WHERE case_id = ANY(:cases)",
                cases=self.cases,
            )
        )

    # ---- What must hold

    @invariant()
    def every_promise_holds(self) -> None:
        if self.first_entry or self.cases:
            self.do(self._check())

    async def _check(self) -> None:
        async with self.room.engine.connect() as conn:
            broken = await conn.execute(
                text(BROKEN),
                {"cases": self.cases, "action_cap": ACTION_CAP, "person_cap": PERSON_CAP},
            )
            told = [f"{promise}: {what}" for promise, what in broken]
            assert not told, "; ".join(told)
            rows = list(await conn.execute(text(STATES), {"cases": self.cases}))
            paused = frozenset(
                row.name
                for row in await conn.execute(
                    text("SELECT name FROM ledger.switches WHERE paused_at IS NOT NULL")
                )
            )
            denied = await conn.scalar(
                text(
                    "SELECT count(*) FROM ledger.audit_entries WHERE seq > :since"
                    " AND tag = 'policy:decision:denied' AND details ->> 'code' = ANY(:codes)"
                ),
                {"since": self.first_entry, "codes": [code.value for code in DENIED]},
            )
            entries = list(
                await conn.execute(
                    text(
                        "SELECT seq, previous_hash, canonical, hash FROM ledger.audit_entries"
                        " WHERE seq > :seq ORDER BY seq"
                    ),
                    {"seq": type(self).chain[0]},
                )
            )
            head = (await conn.execute(text("SELECT seq, hash FROM ledger.audit_head"))).one()
        self._check_moves(rows, self.paused & paused)
        self.paused = paused
        assert denied == self.denials, "denials and their entries differ"
        self._check_chain(entries, (head.seq, head.hash))

    def _check_moves(self, rows: list[Any], paused: frozenset[str]) -> None:
        for row in rows:
            before = self.seen.get((row.kind, row.id))
            now = Seen(state=row.state, version=row.version, revision=row.revision, sends=row.sends)
            self.seen[row.kind, row.id] = now
            if before is None:
                continue
            assert now.version >= before.version, "a version fell"
            assert now.revision >= before.revision, "a revision fell"
            if paused & {"all", row.action}:
                assert now.sends == before.sends, "something was sent while it was paused"
            if now.state != before.state:
                legal = LEGAL[row.kind].get(before.state, ())
                both = row.kind == "operation" and _through_executing(before.state, now.state)
                assert now.state in legal or both, f"{row.kind}: {before.state} to {now.state}"
                assert row.kind != "case" or now.version > before.version, (
                    "a case moved, its version not"
                )

    def _check_chain(self, entries: list[Any], head: tuple[int, str]) -> None:
        seq, last = type(self).chain
        for entry in entries:
            told = f"mimawari.audit.v1\n{last}\n{entry.canonical}"
            assert entry.seq == seq + 1, "the log has a gap"
            assert entry.previous_hash == last, "the chain is broken"
            assert entry.hash == hashlib.sha256(told.encode()).hexdigest(), "a hash does not fit"
            seq, last = entry.seq, entry.hash
        assert head == (seq, last), "the head is not the last entry"
        type(self).chain = (seq, last)


def _through_executing(before: str, now: str) -> bool:
    """An attempt starts and ends in one step of the machine."""
    return now in LEGAL["operation"]["executing"] and before in {"queued", "unknown", "pending"}
