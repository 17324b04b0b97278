"""Speaks the contract the way the bot does, and notices where the marketplace does not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import aiohttp

from bot.domain.subjects import Subject
from bot.domain.verbs import VERB_SUBJECT, Verb
from bot.market.answers import Answer, read_answer
from bot.market.api import subject_path, verb_path
from bot.market.contract_shapes import (
    CapabilityShape,
    OperationShape,
    PlanShape,
    ProblemShape,
    shaped,
)
from bot.market.contract_test import REASON, Disobedience, Given, Untold, fresh_key, wait_until

AT_ONCE = 8
_LOST_AFTER_S = 0.001
Params = Mapping[str, str | int]
_PLANNED = frozenset({"amount", "refund_policy"})
"""Parameters that a plan is asked with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A request that was carried out, and what it was answered."""

    verb: Verb
    subject: Subject
    key: str
    body: Mapping[str, object]
    operation: OperationShape


class ContractProbe:
    """One marketplace under test, and what it declared."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        token: str,
        given: Given,
        *,
        timeout_s: float = 15,
    ) -> None:
        self._session = session
        self._url = url.rstrip("/")
        self._token = token
        self._timeout_s = timeout_s
        self.given = given
        self.offered: dict[Verb, CapabilityShape] = {}

    def capability(self, verb: Verb) -> CapabilityShape:
        return self.offered[verb]

    def offers(self, verb: Verb) -> bool:
        return verb in self.offered

    async def choose(self, verb: Verb, params: Params) -> tuple[Subject, PlanShape]:
        """The first given subject on which the verb is allowed now.

        Raises:
            Untold: there is none.
        """
        kind = VERB_SUBJECT[verb]
        refusals = []
        for id_ in self.given.ids_of(kind):
            plan = await self.plan(verb, Subject(kind, id_), params)
            if plan.allowed:
                return Subject(kind, id_), plan
            refusals.append(f"{id_} {refusal_of(plan)}")
        raise Untold(f"no given {kind.value} allows it: {', '.join(refusals)}")

    async def carry_out(
        self, verb: Verb, subject: Subject, body: Mapping[str, object], key: str | None = None
    ) -> Sent:
        """Have it done and wait for its end.

        Raises:
            Disobedience: it was not done, not in time, or the answer has another shape.
        """
        key = key or fresh_key()
        bound_s = self.capability(verb).execution_bound_s
        started = time.monotonic()
        answer = await self.send(verb, subject, key, body)
        took_s = time.monotonic() - started
        if answer.status not in {200, 202}:
            raise Disobedience(
                f"{verb} was answered with {told_of(answer)}, though its plan allows it"
            )
        operation = self.its_operation(answer.body, verb, subject, key)
        if (answer.status == 202) != (operation.state == "pending"):
            raise Disobedience(f"{answer.status} came with the state {operation.state}")
        if operation.state == "pending":
            operation = await self._settled(verb, subject, key)
        elif took_s > max(bound_s, 1):
            raise Disobedience(
                f"{verb} took {took_s:.1f} s, but execution_bound_s is {bound_s}: declare what it needs"
            )
        if operation.state == "failed":
            raise Disobedience(f"{verb} failed, though its plan allows it")
        return Sent(verb=verb, subject=subject, key=key, body=body, operation=operation)

    async def _settled(self, verb: Verb, subject: Subject, key: str) -> OperationShape:
        bound_s = self.capability(verb).execution_bound_s
        if self.capability(verb).idempotency == "none":
            raise Disobedience(f"{verb} is of class none, so nobody can ask what 202 became")
        settled: list[OperationShape] = []

        async def look() -> bool:
            answer = await self.get(f"/v1/operations/{key}")
            expect(answer, 200, "the look-up of an accepted operation")
            settled.append(self.its_operation(answer.body, verb, subject, key))
            return settled[-1].state != "pending"

        if await wait_until(look, within_s=min(bound_s, self.given.patience_s)) is None:
            if bound_s > self.given.patience_s:
                raise Untold(f"{verb} is pending; wait longer with --patience {bound_s}")
            raise Disobedience(f"{verb} is still pending after execution_bound_s ({bound_s})")
        return settled[-1]

    async def check_refused_outright(self, verb: Verb, subject: Subject, params: Params) -> None:
        """Neither a request without a key nor one without a reason may do anything."""
        before = await self.record(subject)
        body = {**REASON, **params}
        answer = await self.send(verb, subject, None, body)
        expect_refusal(answer, "without an Idempotency-Key it")
        without_reason = {name: value for name, value in body.items() if name != "reason"}
        answer = await self.send(verb, subject, fresh_key(), without_reason)
        expect_refusal(answer, "without a reason it")
        await self.expect_unchanged(subject, before, "a request without a key or a reason")

    async def check_token(
        self, verb: Verb, subject: Subject, body: Mapping[str, object], token: str, what: str
    ) -> None:
        """A token of something else is refused with state_changed, and nothing is done."""
        before = await self.record(subject)
        answer = await self.send(verb, subject, fresh_key(), {**body, "plan_token": token})
        if answer.status in {200, 202}:
            raise Disobedience(f"it was carried out with {what}: what runs is not what was shown")
        problem = expect_problem(answer, 409, f"with {what} it")
        if problem.code != "state_changed":
            raise Disobedience(f"with {what} its code is {problem.code}, not state_changed")
        await self.expect_unchanged(subject, before, f"a request with {what}")

    async def check_same_key(self, sent: Sent) -> None:
        before = await self.record(sent.subject)
        answer = await self.send(sent.verb, sent.subject, sent.key, sent.body)
        if answer.status != 200:
            raise Disobedience(
                f"the same key and body were answered with {told_of(answer)}, the first time with"
                f" {sent.operation.state}: the outcome of a key must come again"
            )
        again = self.its_operation(answer.body, sent.verb, sent.subject, sent.key)
        if again.operation_id != sent.operation.operation_id:
            raise Disobedience("the same key was carried out as another operation: it acts twice")
        if again.state != sent.operation.state:
            raise Disobedience(f"the same key became {again.state} after {sent.operation.state}")
        await self.expect_unchanged(sent.subject, before, "the same key again")

    async def check_other_body(self, sent: Sent) -> None:
        before = await self.record(sent.subject)
        body = {**sent.body, "reason": "mimawari contract test, another body"}
        answer = await self.send(sent.verb, sent.subject, sent.key, body)
        problem = expect_problem(answer, 422, "the same key with another body")
        if problem.code != "idempotency_mismatch":
            raise Disobedience(f"its code is {problem.code}, not idempotency_mismatch")
        await self.expect_unchanged(sent.subject, before, "the same key with another body")

    async def check_found(self, sent: Sent) -> None:
        answer = await self.get(f"/v1/operations/{sent.key}")
        expect(answer, 200, "the look-up of what was carried out")
        found = self.its_operation(answer.body, sent.verb, sent.subject, sent.key)
        if found.state != sent.operation.state:
            raise Disobedience(f"it is found as {found.state}, but was {sent.operation.state}")

    async def check_refusal(
        self, verb: Verb, subject: Subject, params: Params
    ) -> tuple[str, ProblemShape]:
        """What the state forbids is 409 with a code, and changes nothing; gives its key."""
        before = await self.record(subject)
        key = fresh_key()
        answer = await self.send(verb, subject, key, {**REASON, **params})
        if answer.status in {200, 202}:
            raise Disobedience(f"{verb} was carried out though its plan forbids it")
        problem = expect_problem(answer, 409, f"{verb}, which its plan forbids,")
        await self.expect_unchanged(subject, before, f"a refused {verb}")
        return key, problem

    async def check_refusal_kept(
        self, verb: Verb, subject: Subject, params: Params, key: str, problem: ProblemShape
    ) -> None:
        """Now that the state allows it, the refused key must still be refused."""
        before = await self.record(subject)
        answer = await self.send(verb, subject, key, {**REASON, **params})
        if answer.status in {200, 202}:
            raise Disobedience(
                "a key that was refused was carried out later: refusals must be kept as outcomes"
            )
        again = expect_problem(answer, 409, "a refused key, sent again,")
        if again.code != problem.code:
            raise Disobedience(f"the refusal {problem.code} became {again.code}")
        await self.expect_unchanged(subject, before, "a refused key, sent again,")
        answer = await self.get(f"/v1/operations/{key}")
        expect(answer, 200, "the look-up of a refused key")
        found = self.its_operation(answer.body, verb, subject, key)
        if found.state != "failed" or found.failure is None or found.failure.code != problem.code:
            raise Disobedience(
                f"a refused key is found as {found.state}, not failed {problem.code}"
            )

    async def check_race(self, verb: Verb, subject: Subject, body: Mapping[str, object]) -> None:
        """The same request at once, many times: one operation, and for the others it or in_progress."""
        key = fresh_key()
        answers = await asyncio.gather(
            *(self.send(verb, subject, key, body) for _ in range(AT_ONCE))
        )
        done: list[OperationShape] = []
        for answer in answers:
            if answer.status in {200, 202}:
                done.append(self.its_operation(answer.body, verb, subject, key))
                continue
            problem = expect_problem(answer, 409, "one of the same requests at once")
            if problem.code != "in_progress":
                raise Disobedience(
                    f"one of the same requests at once was answered {problem.code}: the key was not"
                    " looked at"
                )
        if not done:
            raise Disobedience("none of the same requests at once was carried out")
        if len({one.operation_id for one in done}) > 1:
            raise Disobedience("the same requests at once became several operations")

    async def check_lost_answer(self, verb: Verb, subject: Subject) -> str:
        """Hang up before the answer, and find out what became of it, as the executor does."""
        capability = self.capability(verb)
        bound_s = capability.execution_bound_s
        if bound_s > self.given.patience_s:
            raise Untold(f"execution_bound_s is {bound_s}; wait so long with --patience {bound_s}")
        key, body = fresh_key(), {**REASON, **self.params(verb)}
        before = await self.record(subject)
        await self._send_and_hang_up(verb, subject, key, body)

        async def found() -> bool:
            answer = await self.get(f"/v1/operations/{key}")
            if answer.status == 404:
                return False
            expect(answer, 200, "the look-up after a lost answer")
            return self.its_operation(answer.body, verb, subject, key).state != "pending"

        async def happened() -> bool:
            return await self.record(subject) != before

        async def told() -> bool:
            if await found():
                return True
            if await happened() and not await found():
                raise Disobedience("it took effect, but a look-up says that it was never received")
            return False

        took_s = await wait_until(told, within_s=bound_s)
        if took_s is None:
            late_s = await wait_until(happened, within_s=max(bound_s, 5))
            if late_s is not None:
                raise Disobedience(
                    f"it took effect {bound_s + late_s:.0f} s after the request, but execution_bound_s"
                    f" is {bound_s}"
                )
            await self.carry_out(verb, subject, body, key)
            return "it was lost on the way; the same key then did it"
        sent = await self._sent(verb, subject, key, body)
        if sent.operation.state == "failed":
            raise Disobedience("it is found as failed, though its plan allows it")
        if capability.idempotency == "key":
            await self.check_same_key(sent)
        return f"found after {took_s:.1f} s"

    # ---- Over the wire

    async def _sent(
        self, verb: Verb, subject: Subject, key: str, body: Mapping[str, object]
    ) -> Sent:
        answer = await self.get(f"/v1/operations/{key}")
        operation = self.its_operation(answer.body, verb, subject, key)
        return Sent(verb=verb, subject=subject, key=key, body=body, operation=operation)

    def params(self, verb: Verb) -> Params:
        """What a verb needs beside a reason, as little as it can be."""
        match verb:
            case Verb.CANCEL:
                return {"refund_policy": "withhold"}
            case Verb.WARN:
                templates = self.capability(verb).templates
                return {"template": templates[0] if templates else "warning"}
            case Verb.REMOVE_FOLLOWS:
                return {"since": (datetime.now(UTC) - timedelta(days=3650)).isoformat()}
            case _:
                return {}

    def its_operation(self, body: object, verb: Verb, subject: Subject, key: str) -> OperationShape:
        operation = shaped(body, OperationShape, "the operation")
        told = (operation.kind, operation.subject_id, operation.idempotency_key)
        if told != (verb.value, subject.id, key):
            raise Disobedience(
                f"the answer is about {' '.join(told)}, not {verb} {subject.id} {key}"
            )
        return operation

    async def plan(self, verb: Verb, subject: Subject, params: Params) -> PlanShape:
        answer = await self.get(f"{path_of(subject)}/plan", query_of(verb, params))
        expect(answer, 200, f"the plan of {verb} for {subject.id}")
        plan = shaped(answer.body, PlanShape, f"the plan of {verb}")
        if (plan.kind, plan.subject_id) != (verb.value, subject.id):
            raise Disobedience(f"the plan is about {plan.kind} {plan.subject_id}")
        return plan

    async def record(self, subject: Subject) -> dict[str, object]:
        answer = await self.get(path_of(subject))
        expect(answer, 200, f"{subject.kind.value} {subject.id}")
        if not isinstance(answer.body, dict):
            raise Disobedience(f"{subject.kind.value} {subject.id} is no JSON object")
        return answer.body

    async def expect_unchanged(
        self, subject: Subject, before: Mapping[str, object], what: str
    ) -> None:
        after = await self.record(subject)
        if after != before:
            names = sorted(n for n in {*after, *before} if after.get(n) != before.get(n))
            raise Disobedience(f"{what} changed {subject.id}: {', '.join(names)}")

    async def get(
        self, path: str, params: Params | None = None, *, token: str | None = ""
    ) -> Answer:
        async with self._session.get(
            self._url + path,
            params=dict(params or {}),
            headers=self._headers(token),
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=self._timeout_s),
        ) as response:
            return await read_answer(response)

    async def send(
        self,
        verb: Verb,
        subject: Subject,
        key: str | None,
        body: Mapping[str, object],
        *,
        token: str | None = "",
    ) -> Answer:
        path = f"{path_of(subject)}/{verb_path(verb)}"
        return await self.post(path, body, key=key, token=token)

    async def post(
        self,
        path: str,
        body: Mapping[str, object] | None,
        *,
        key: str | None,
        token: str | None = "",
        timeout: aiohttp.ClientTimeout | None = None,
    ) -> Answer:
        async with self._session.post(
            self._url + path,
            json=None if body is None else dict(body),
            headers={**self._headers(token), **({} if key is None else {"Idempotency-Key": key})},
            allow_redirects=False,
            timeout=timeout or aiohttp.ClientTimeout(total=self._timeout_s),
        ) as response:
            return await read_answer(response)

    async def _send_and_hang_up(
        self, verb: Verb, subject: Subject, key: str, body: Mapping[str, object]
    ) -> None:
        timeout = aiohttp.ClientTimeout(total=self._timeout_s, sock_read=_LOST_AFTER_S)
        try:
            await self.post(f"{path_of(subject)}/{verb_path(verb)}", body, key=key, timeout=timeout)
        except aiohttp.ClientConnectorError:
            raise
        except (aiohttp.ClientError, TimeoutError, OSError):
            return

    def _headers(self, token: str | None) -> dict[str, str]:
        """`token` None: none at all; empty: the right one."""
        accept = {"Accept": "application/json"}
        return (
            accept
            if token is None
            else {**accept, "Authorization": f"Bearer {token or self._token}"}
        )


def path_of(subject: Subject) -> str:
    path = subject_path(subject)
    if path is None:
        raise Untold(f"the id {subject.id!r} fits into no address")
    return path


def query_of(verb: Verb, params: Params) -> Params:
    return {"kind": verb.value, **{n: v for n, v in params.items() if n in _PLANNED}}


def refusal_of(plan: PlanShape) -> str:
    if plan.allowed:
        return ""
    return plan.refusal.code if plan.refusal else "refused"


def told_of(answer: Answer) -> str:
    code = answer.body.get("code") if isinstance(answer.body, dict) else None
    return f"{answer.status} {code}" if isinstance(code, str) else str(answer.status)


def expect(answer: Answer, status: int, what: str) -> None:
    if answer.status != status:
        raise Disobedience(f"{what} was answered with {told_of(answer)}, not {status}")


def expect_problem(answer: Answer, status: int, what: str) -> ProblemShape:
    expect(answer, status, what)
    return shaped(answer.body, ProblemShape, f"the {status} to {what}")


def expect_refusal(answer: Answer, what: str) -> None:
    if not 400 <= answer.status < 500:
        raise Disobedience(f"{what} was answered with {told_of(answer)}, not 400 or 422")
