"""The contract test of step 3: a marketplace that says it speaks the whole of contract/market-api.yaml."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial

import aiohttp

from bot.domain.subjects import Subject
from bot.domain.verbs import VERB_SUBJECT, Verb
from bot.market.contract_probe import (
    ContractProbe,
    Params,
    expect,
    expect_problem,
    path_of,
    query_of,
    refusal_of,
)
from bot.market.contract_shapes import CapabilitiesShape, OperationsShape, shaped
from bot.market.contract_test import (
    ONE_WAY,
    REASON,
    ROUND_TRIPS,
    Check,
    CheckResult,
    Disobedience,
    Given,
    Standing,
    fresh_key,
    in_turn,
    judge,
    made_up_id,
)
from bot.market.contract_test_writing import OneWay, RoundTrip

KEY_WINDOW_S = 7 * 24 * 3600
_BACK = frozenset({"restore_points", "restore_coupon"})
"""Steps that give a suspect something back."""


class ContractTest:
    """One run against one marketplace."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        token: str,
        given: Given,
    ) -> None:
        self._probe = ContractProbe(session, url, token, given)
        self._given = given

    async def run(self) -> AsyncIterator[CheckResult]:
        """Every check, those that change nothing first."""
        first = await judge(Check("capabilities", self._capabilities))
        yield first
        if first.standing is not Standing.PASSED:
            return
        for check in self._reading():
            yield await judge(check)
        if not self._given.write:
            told = "with --write, and subjects that may be changed for good"
            yield CheckResult(check="all that changes", standing=Standing.SKIPPED, told=told)
            return
        async for result in self._writing():
            yield result

    # ---- What changes nothing

    def _reading(self) -> list[Check]:
        checks: list[Check] = [
            Check("no token", partial(self._unauthorized, None)),
            Check("a wrong token", partial(self._unauthorized, "wrong-token")),
            Check("an unknown key", self._unknown_key),
            Check("retry of an unknown key", self._unknown_retry),
            Check("the list of operations", self._operations),
        ]
        for kind in dict.fromkeys(VERB_SUBJECT[verb] for verb in self._probe.offered):
            unknown = Subject(kind, made_up_id())
            checks.append(Check(f"an unknown {kind.value}", partial(self._unknown, unknown)))
        for kind, ids in self._given.subjects.items():
            checks += [
                Check(f"read {kind.value} {id_}", partial(self._readable, Subject(kind, id_)))
                for id_ in ids
            ]
        checks += [
            Check(f"{verb}: plan", partial(self._plans, verb)) for verb in self._probe.offered
        ]
        if Verb.CANCEL in self._probe.offered:
            checks.append(
                Check("cancel: withheld money reaches nobody but the card", self._withheld)
            )
        return checks

    async def _capabilities(self) -> str:
        answer = await self._probe.get("/v1/capabilities")
        expect(answer, 200, "capabilities")
        offered = shaped(answer.body, CapabilitiesShape, "the answer").kinds
        kinds = [one.kind for one in offered]
        if len(set(kinds)) < len(kinds):
            raise Disobedience("a verb is declared twice")
        for one in offered:
            if one.idempotency == "key" and (one.key_window_s or 0) < KEY_WINDOW_S:
                raise Disobedience(
                    f"{one.kind} is of class key, but key_window_s is {one.key_window_s}: keys and their"
                    f" outcomes must be kept for 7 days ({KEY_WINDOW_S})"
                )
        self._probe.offered = {one.verb: one for one in offered}
        return ", ".join(f"{one.kind} {one.idempotency}" for one in offered)

    async def _unauthorized(self, token: str | None) -> None:
        answer = await self._probe.get("/v1/capabilities", token=token)
        expect(answer, 401, "capabilities")

    async def _unknown_key(self) -> None:
        answer = await self._probe.get(f"/v1/operations/{fresh_key()}")
        expect_problem(answer, 404, "a look-up of a key that was never sent")

    async def _unknown_retry(self) -> None:
        key = fresh_key()
        answer = await self._probe.post(f"/v1/operations/{key}/retry", None, key=key)
        expect_problem(answer, 404, "a retry of a key that was never sent")

    async def _operations(self) -> str:
        since = (datetime.now(UTC) - timedelta(days=1)).isoformat()
        answer = await self._probe.get("/v1/operations", {"since": since})
        expect(answer, 200, "the list")
        page = shaped(answer.body, OperationsShape, "the list")
        times = [datetime.fromisoformat(one.received_at) for one in page.operations]
        if times != sorted(times):
            raise Disobedience("the operations are not in the order in which they were received")
        if page.next_cursor is not None:
            answer = await self._probe.get(
                "/v1/operations", {"since": since, "cursor": page.next_cursor}
            )
            expect(answer, 200, "its second page")
            second = shaped(answer.body, OperationsShape, "its second page")
            seen = {one.operation_id for one in page.operations}
            if seen & {one.operation_id for one in second.operations}:
                raise Disobedience("its second page repeats operations of the first")
        return f"{len(page.operations)} operations"

    async def _unknown(self, subject: Subject) -> None:
        path = path_of(subject)
        expect_problem(await self._probe.get(path), 404, "a subject that does not exist")
        for verb in self._probe.offered:
            if VERB_SUBJECT[verb] is subject.kind:
                answer = await self._probe.get(
                    f"{path}/plan", query_of(verb, self._probe.params(verb))
                )
                expect_problem(answer, 404, f"a plan of {verb} for it")

    async def _readable(self, subject: Subject) -> None:
        answer = await self._probe.get(path_of(subject), token=None)
        expect(answer, 401, "without a token it")
        record = await self._probe.record(subject)
        if subject.id not in record.values():
            raise Disobedience("the record does not hold its own id")

    async def _plans(self, verb: Verb) -> str:
        told = []
        for id_ in self._given.ids_of(VERB_SUBJECT[verb]):
            subject = Subject(VERB_SUBJECT[verb], id_)
            before = await self._probe.record(subject)
            plan = await self._probe.plan(verb, subject, self._probe.params(verb))
            again = await self._probe.plan(verb, subject, self._probe.params(verb))
            if plan.plan_token != again.plan_token:
                raise Disobedience(f"two plans of {id_} at once have different tokens")
            if not plan.allowed and plan.refusal is None:
                raise Disobedience(f"the plan of {id_} is not allowed, but has no `refusal`")
            if await self._probe.record(subject) != before:
                raise Disobedience(f"planning changed {id_}")
            told.append(f"{id_} {refusal_of(plan) or 'allowed'}")
        return ", ".join(told)

    async def _withheld(self) -> None:
        for id_ in self._given.ids_of(VERB_SUBJECT[Verb.CANCEL]):
            subject = Subject(VERB_SUBJECT[Verb.CANCEL], id_)
            plan = await self._probe.plan(Verb.CANCEL, subject, {"refund_policy": "withhold"})
            if plan.refund_route not in {"card", "none"} or (
                plan.refund_amount > 0 and plan.refund_route != "card"
            ):
                raise Disobedience(
                    f"with refund_policy withhold {id_} would give {plan.refund_amount} back by"
                    f" {plan.refund_route}"
                )
            given_back = [s.name for s in plan.steps if s.name in _BACK and s.state == "planned"]
            if given_back:
                raise Disobedience(f"with refund_policy withhold {id_} would {given_back[0]}")

    # ---- What changes something

    async def _writing(self) -> AsyncIterator[CheckResult]:
        for verb in self._probe.offered:
            yield await judge(Check(f"{verb}: an unknown id", partial(self._send_to_nobody, verb)))
        for there, back in ROUND_TRIPS:
            if there not in self._probe.offered:
                continue
            if back not in self._probe.offered:
                told = f"{back} is not offered, so what {there} does would stay"
                yield CheckResult(check=f"{there}", standing=Standing.SKIPPED, told=told)
                continue
            async for result in in_turn(*RoundTrip(self._probe, there, back).checks()):
                yield result
        for verb in ONE_WAY:
            if verb in self._probe.offered:
                async for result in in_turn(*OneWay(self._probe, verb).checks()):
                    yield result

    async def _send_to_nobody(self, verb: Verb) -> None:
        subject = Subject(VERB_SUBJECT[verb], made_up_id())
        money: Params = {"amount": 1, "currency": "JPY"} if verb is Verb.REFUND else {}
        body = {**REASON, **self._probe.params(verb), **money}
        answer = await self._probe.send(verb, subject, fresh_key(), body, token="wrong-token")  # noqa: S106
        expect(answer, 401, "with a wrong token it")
        answer = await self._probe.send(verb, subject, fresh_key(), body)
        expect_problem(answer, 404, "it")
