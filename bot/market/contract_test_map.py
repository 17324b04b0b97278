"""The contract test of step 2: a shop's own endpoints, tried through the verb map that will be used."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import aiohttp

from bot.domain.outcomes import Outcome, OutcomeKind
from bot.domain.subjects import Subject
from bot.domain.verbs import VERB_SUBJECT, Verb
from bot.market.contract_test import (
    ONE_WAY,
    REASON,
    ROUND_TRIPS,
    Check,
    CheckResult,
    Disobedience,
    Given,
    Standing,
    Untold,
    fresh_key,
    in_turn,
    judge,
    made_up_id,
)
from bot.market.contract_test_map_writing import Params, VerbRun, params_of, record_of
from bot.market.mapped import MappedMarket
from bot.market.marketplace import MarketUnreachable, SubjectNotFound
from bot.market.verb_map import MappedVerb, VerbMap


class MapTest:
    """One run against one shop."""

    def __init__(
        self, session: aiohttp.ClientSession, verb_map: VerbMap, token: str | None, given: Given
    ) -> None:
        self._map = verb_map
        self._given = given
        self._market = MappedMarket(session, verb_map, token, timeout_s=15)
        self._stranger = MappedMarket(session, verb_map, "wrong-secret", timeout_s=15)

    async def run(self) -> AsyncIterator[CheckResult]:
        """Every check, those that change nothing first."""
        for check in self._reading():
            yield await judge(check)
        if not self._given.write:
            told = "with --write, and subjects that may be changed for good"
            yield CheckResult(check="all that changes", standing=Standing.SKIPPED, told=told)
            return
        for verb in self._sent:
            yield await judge(Check(f"{verb}: an unknown id", partial(self._send_to_nobody, verb)))
            yield await judge(
                Check(f"{verb}: a wrong secret", partial(self._send_as_stranger, verb))
            )
        for verb in (*(verb for trip in ROUND_TRIPS for verb in trip), *ONE_WAY):
            if verb in self._sent:
                run = VerbRun(self._market, verb, self._sent[verb], self._given)
                async for result in in_turn(*run.checks()):
                    yield result

    @property
    def _sent(self) -> dict[Verb, MappedVerb]:
        return {
            verb: mapped
            for verb, mapped in self._map.verbs.items()
            if mapped.request is not None and verb in VERB_SUBJECT
        }

    def _reading(self) -> list[Check]:
        checks = [Check("the verb map", self._told_of)]
        for kind, ids in self._given.subjects.items():
            checks += [
                Check(f"read {kind.value} {id_}", partial(self._readable, Subject(kind, id_)))
                for id_ in ids
            ]
        for verb, mapped in self._sent.items():
            checks.append(Check(f"{verb}: plan", partial(self._plans, verb, mapped)))
            if mapped.lookup is not None:
                nothing = partial(self._finds_nothing, verb, mapped)
                checks.append(Check(f"{verb}: a look-up of what was never sent", nothing))
        if Verb.CANCEL in self._sent:
            checks.append(Check("cancel: withholds the money of a fraud", self._withholds))
        return checks

    async def _told_of(self) -> str:
        return ", ".join(
            f"{verb} {mapped.operation_class}" for verb, mapped in self._map.verbs.items()
        )

    async def _readable(self, subject: Subject) -> None:
        if subject.kind not in self._map.subjects:
            raise Untold(f"write under `subjects` where a {subject.kind.value} can be read")
        await self._market.read(subject)
        if self._map.auth == "none":
            return
        try:
            await self._stranger.read(subject)
        except MarketUnreachable:
            return
        raise Disobedience("a wrong secret reads it too")

    async def _plans(self, verb: Verb, mapped: MappedVerb) -> str:
        if mapped.plan is None:
            words = "your consequence" if mapped.consequence else "no word about its consequence"
            raise Untold(f"the map has no `plan`: people see {words}, and that it is all we know")
        kind = VERB_SUBJECT[verb]
        await _expect_nobody(self._market, verb, Subject(kind, made_up_id()))
        told = []
        for id_ in self._given.ids_of(kind):
            subject = Subject(kind, id_)
            before = await record_of(self._market, subject)
            plan = await self._market.plan(verb, subject, params_of(verb, mapped))
            again = await self._market.plan(verb, subject, params_of(verb, mapped))
            if plan != again:
                raise Disobedience(f"two plans of {id_} at once differ")
            if await record_of(self._market, subject) != before:
                raise Disobedience(f"planning changed {id_}")
            told.append(f"{id_} {'allowed' if plan.allowed else plan.refusal_code}")
        return ", ".join(told)

    async def _finds_nothing(self, verb: Verb, mapped: MappedVerb) -> str:
        kind = VERB_SUBJECT[verb]
        by_state = mapped.lookup is not None and mapped.lookup.by == "state"
        ids = self._given.ids_of(kind) if by_state else (made_up_id(),)
        told = []
        for id_ in ids:
            found = await self._market.lookup(fresh_key(), verb=verb, subject=Subject(kind, id_))
            if found is not None and not by_state:
                raise Disobedience(f"an operation that was never sent is found as {found.kind}")
            told.append(f"{id_} {'not done' if found is None else found.kind}")
        return ", ".join(told) if by_state else "not received"

    async def _withholds(self) -> None:
        subject = Subject(VERB_SUBJECT[Verb.CANCEL], made_up_id())
        body = {**REASON, "refund_policy": "withhold"}
        problem = self._market.problem_of(Verb.CANCEL, subject, key=fresh_key(), body=body)
        if problem is not None:
            raise Disobedience(
                f"every forced cancel withholds, and this map cannot: {problem.message} Send"
                " {refund_policy}, or make cancel `class: manual`"
            )

    async def _send_to_nobody(self, verb: Verb) -> str:
        outcome = await self._send(self._market, verb)
        if outcome.kind is not OutcomeKind.REFUSED:
            raise Disobedience(
                f"an id that does not exist is {outcome.kind} ({outcome.code}): say under `refused`"
                " how the shop tells it"
            )
        return outcome.code or ""

    async def _send_as_stranger(self, verb: Verb) -> str:
        if self._map.auth == "none":
            raise Untold("the map has `auth: none`")
        outcome = await self._send(self._stranger, verb)
        if outcome.kind is OutcomeKind.SUCCEEDED or (
            outcome.kind is OutcomeKind.REFUSED and outcome.code != "unauthorized"
        ):
            raise Disobedience(
                f"with a wrong secret it was {outcome.kind} ({outcome.code}): nobody looked at it"
            )
        return f"{outcome.kind} ({outcome.code})"

    async def _send(self, market: MappedMarket, verb: Verb) -> Outcome:
        subject = Subject(VERB_SUBJECT[verb], made_up_id())
        body = {**REASON, **params_of(verb, self._map.verbs[verb]), **made_up_money(verb)}
        problem = market.problem_of(verb, subject, key=fresh_key(), body=body)
        if problem is not None:
            raise Untold(f"no made-up request can be sent ({problem.code})")
        return await market.send(verb, subject, key=fresh_key(), body=body)


async def _expect_nobody(market: MappedMarket, verb: Verb, subject: Subject) -> None:
    try:
        await market.plan(verb, subject)
    except SubjectNotFound:
        return
    raise Disobedience("the plan of an id that does not exist is one all the same")


def made_up_money(verb: Verb) -> Params:
    return {"amount": 1, "currency": "JPY"} if verb is Verb.REFUND else {}
