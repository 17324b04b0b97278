"""What the contract test of a verb map does, verb by verb, to the subjects that it was given."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from bot.domain.outcomes import Outcome, OutcomeKind
from bot.domain.plans import Plan
from bot.domain.subjects import Subject
from bot.domain.verbs import VERB_SUBJECT, OperationClass, Verb
from bot.market.contract_test import (
    REASON,
    ROUND_TRIPS,
    Check,
    Disobedience,
    Given,
    Untold,
    fresh_key,
    wait_until,
)
from bot.market.mapped import MappedMarket
from bot.market.templates import Json
from bot.market.verb_map import MappedVerb
from bot.market.verb_map_file import SETS_A_STATE

_LOST_AFTER_S = 0.001
_TOO_MUCH = 10**12
_UNDOES = {**dict(ROUND_TRIPS), **{back: there for there, back in ROUND_TRIPS}}
Params = Mapping[str, str | int]


class VerbRun:
    """One verb on a subject that may be changed for good."""

    def __init__(self, market: MappedMarket, verb: Verb, mapped: MappedVerb, given: Given) -> None:
        self._market = market
        self._verb = verb
        self._mapped = mapped
        self._given = given
        self._subject: Subject | None = None
        self._key = fresh_key()
        self._body: dict[str, object] = {}

    def checks(self) -> list[Check]:
        verb, mapped = self._verb, self._mapped
        with_key = mapped.operation_class is OperationClass.KEY
        checks = [Check(f"{verb}: a subject to try it on", self._choose, vital=True)]
        if verb is Verb.REFUND:
            checks.append(Check("refund: more than is left", self._too_much))
        if mapped.plan is not None and mapped.plan.token is not None:
            checks.append(Check(f"{verb}: a made-up plan token", self._made_up_token))
        checks.append(Check(f"{verb}: carried out", self._carry_out, vital=True))
        if mapped.lookup is not None:
            checks.append(Check(f"{verb}: found afterwards", self._found))
        if with_key:
            checks.append(Check(f"{verb}: the same operation again", self._same_key))
            checks.append(Check(f"{verb}: its id with another body", self._other_body))
        if verb in SETS_A_STATE:
            checks.append(Check(f"{verb}: a second time", self._second_time))
        if mapped.operation_class is not OperationClass.NONE:
            checks.append(Check(f"{verb}: a lost answer", self._lost_answer))
        return checks

    async def _choose(self) -> str:
        self._subject = await self._next()
        self._body = await self._new_body(self._subject)
        return self._subject.id

    async def _next(self) -> Subject:
        """The first given subject with which the verb still has something to do, as far as that can be read."""
        refused = []
        for id_ in self._given.ids_of(VERB_SUBJECT[self._verb]):
            subject = Subject(VERB_SUBJECT[self._verb], id_)
            plan = await self._plan(subject)
            if not plan.allowed:
                refused.append(f"{id_} {plan.refusal_code}")
            elif await self._is_done(subject):
                refused.append(f"{id_} is in that state already")
            elif self._subject == subject and self._is_spent:
                refused.append(f"{id_} is used up")
            else:
                return subject
        raise Untold(f"no given subject is left for it: {', '.join(refused)}")

    @property
    def _is_spent(self) -> bool:
        """Whether it was done to the subject already, though nothing can be read of that."""
        return self._verb in SETS_A_STATE and self._mapped.plan is None and not self._by_state

    @property
    def _by_state(self) -> bool:
        return self._mapped.lookup is not None and self._mapped.lookup.by == "state"

    async def _is_done(self, subject: Subject) -> bool:
        return self._by_state and await self._lookup(fresh_key(), subject) is not None

    async def _plan(self, subject: Subject) -> Plan:
        return await self._market.plan(self._verb, subject, params_of(self._verb, self._mapped))

    async def _new_body(self, subject: Subject) -> dict[str, object]:
        plan = await self._plan(subject)
        body: dict[str, object] = {**REASON, **params_of(self._verb, self._mapped)}
        if plan.token is not None:
            body["plan_token"] = plan.token
        if self._verb is Verb.REFUND:
            body |= {"amount": max(1, plan.refund_amount // 10), "currency": plan.currency or ""}
        return body

    @property
    def _on(self) -> Subject:
        if self._subject is None:
            raise Untold("there is no subject to try it on")
        return self._subject

    async def _lookup(self, key: str, subject: Subject) -> Outcome | None:
        return await self._market.lookup(key, verb=self._verb, subject=subject)

    async def _send(self, key: str, body: Mapping[str, object]) -> Outcome:
        return await self._market.send(self._verb, self._on, key=key, body=body)

    async def _too_much(self) -> str:
        """The plan refuses it here; the shop must too, as another refund may come first."""
        return await self._expect_refused({**self._body, "amount": _TOO_MUCH}, "more than is left")

    async def _made_up_token(self) -> str:
        return await self._expect_refused(
            {**self._body, "plan_token": "999999999"}, "a made-up plan token"
        )

    async def _expect_refused(self, body: Mapping[str, object], what: str) -> str:
        before = await record_of(self._market, self._on)
        outcome = await self._send(fresh_key(), body)
        if outcome.kind is not OutcomeKind.REFUSED:
            raise Disobedience(f"with {what} it was {outcome.kind} ({outcome.code}), not refused")
        if await record_of(self._market, self._on) != before:
            raise Disobedience(
                f"with {what} it was refused, and changed {self._on.id} all the same"
            )
        return outcome.code or ""

    async def _carry_out(self) -> str:
        bound_s = self._mapped.execution_bound_s or 0
        started = time.monotonic()
        outcome = await self._send(self._key, self._body)
        took_s = time.monotonic() - started
        if outcome.kind is OutcomeKind.UNKNOWN:
            raise Disobedience(
                f"the map does not explain its answer ({outcome.code}): say under `success` and"
                " `refused` what it means"
            )
        if outcome.kind is OutcomeKind.PENDING:
            return await self._wait_for_end()
        if outcome.kind is not OutcomeKind.SUCCEEDED:
            raise Disobedience(f"it was {outcome.kind} ({outcome.code} {outcome.message or ''})")
        if took_s > max(bound_s, 1):
            raise Disobedience(f"it took {took_s:.1f} s, but execution_bound_s is {bound_s}")
        return f"in {took_s:.1f} s"

    async def _wait_for_end(self) -> str:
        bound_s = self._mapped.execution_bound_s or 0

        async def ended() -> bool:
            if self._mapped.lookup is None:
                found: Outcome | None = await self._send(self._key, self._body)
            else:
                found = await self._lookup(self._key, self._on)
            if found is not None and found.kind is OutcomeKind.REFUSED:
                raise Disobedience(f"it was accepted, then refused ({found.code})")
            return found is not None and found.kind is OutcomeKind.SUCCEEDED

        took_s = await wait_until(ended, within_s=min(bound_s, self._given.patience_s))
        if took_s is None:
            raise Disobedience(f"it was accepted, and is still open after {bound_s} s")
        return f"accepted, and done after {took_s:.1f} s"

    async def _found(self) -> None:
        found = await self._lookup(self._key, self._on)
        if found is None or found.kind is not OutcomeKind.SUCCEEDED:
            told = "as never received" if found is None else f"as {found.kind}"
            raise Disobedience(f"it was carried out, and its look-up finds it {told}")

    async def _same_key(self) -> str:
        before = await record_of(self._market, self._on)
        again = await self._send(self._key, self._body)
        if again.kind is not OutcomeKind.SUCCEEDED:
            raise Disobedience(
                f"the same operation was {again.kind} ({again.code}) the second time: the shop does not"
                " keep its outcome, so its class is not key"
            )
        return await self._expect_once(before, "the same operation again")

    async def _other_body(self) -> str:
        before = await record_of(self._market, self._on)
        other: dict[str, object] = {**self._body, "reason": "another"}
        if self._verb is Verb.REFUND:
            other["amount"] = int(str(self._body["amount"])) + 1
        outcome = await self._send(self._key, other)
        told = await self._expect_once(before, "its id with another body")
        return told or f"{outcome.kind} ({outcome.code})"

    async def _expect_once(self, before: Json, what: str) -> str:
        if before is None:
            kind = self._on.kind.value
            raise Untold(
                f"whether it acted twice can be seen if `subjects` says how to read a {kind}"
            )
        if await record_of(self._market, self._on) != before:
            raise Disobedience(f"{what} changed {self._on.id}: it acts twice")
        return ""

    async def _second_time(self) -> str:
        before = await record_of(self._market, self._on)
        outcome = await self._send(fresh_key(), self._body)
        if outcome.kind not in {OutcomeKind.REFUSED, OutcomeKind.SUCCEEDED}:
            raise Disobedience(
                f"done a second time it was {outcome.kind} ({outcome.code}): say under `refused` how the"
                " shop tells that nothing is left to do"
            )
        if (
            outcome.kind is OutcomeKind.REFUSED
            and await record_of(self._market, self._on) != before
        ):
            raise Disobedience(
                f"a second time it was refused, and changed {self._on.id} all the same"
            )
        return outcome.code or outcome.kind

    async def _lost_answer(self) -> str:
        """Hang up before the answer, and find out what became of it, as the executor does."""
        bound_s = self._mapped.execution_bound_s or 0
        if bound_s > self._given.patience_s:
            raise Untold(f"execution_bound_s is {bound_s}; wait so long with --patience {bound_s}")
        subject = await self._lose_on()
        key, body = fresh_key(), await self._new_body(subject)
        before = await record_of(self._market, subject)
        sent = await self._market.send(
            self._verb, subject, key=key, body=body, timeout_s=_LOST_AFTER_S
        )
        if self._mapped.lookup is None:
            again = await self._market.send(self._verb, subject, key=key, body=body)
            if again.kind is not OutcomeKind.SUCCEEDED:
                raise Disobedience(
                    f"after a lost answer the same operation was {again.kind} ({again.code})"
                )
            return "sent again under the same id"

        async def found() -> bool:
            outcome = await self._lookup(key, subject)
            return outcome is not None and outcome.kind is OutcomeKind.SUCCEEDED

        async def shows() -> bool:
            return await record_of(self._market, subject) != before

        took_s = await wait_until(found, within_s=bound_s)
        if took_s is not None:
            return f"{sent.kind}, then found after {took_s:.1f} s"
        if before is not None and await wait_until(shows, within_s=max(bound_s, 5)) is not None:
            raise Disobedience(
                f"it took effect, and {bound_s} s (execution_bound_s) after the request its look-up"
                " had not found it"
            )
        again = await self._market.send(self._verb, subject, key=key, body=body)
        if again.kind is not OutcomeKind.SUCCEEDED:
            raise Disobedience(
                f"lost, not found within {bound_s} s, then {again.kind} ({again.code}) when sent again:"
                " execution_bound_s is too short, or the look-up does not find it"
            )
        return "it was lost on the way; sent again it was done"

    async def _lose_on(self) -> Subject:
        back = _UNDOES.get(self._verb)
        mapped = self._market.verb_map.verbs.get(back) if back else None
        if back is None or mapped is None or mapped.request is None:
            return await self._next()
        undone = await self._market.send(back, self._on, key=fresh_key(), body=REASON)
        if undone.kind is not OutcomeKind.SUCCEEDED:
            raise Untold(f"{back} was {undone.kind} ({undone.code}), so it cannot be tried again")
        return self._on


async def record_of(market: MappedMarket, subject: Subject) -> Json:
    """The subject whole; None where the map does not say how to read it."""
    if subject.kind not in market.verb_map.subjects:
        return None
    return await market.read(subject)


def params_of(verb: Verb, mapped: MappedVerb) -> Params:
    """What the verb needs beside a reason, as little as it can be, in the contract's words."""
    match verb:
        case Verb.CANCEL:
            return {"refund_policy": str(mapped.fixed.get("refund_policy", "withhold"))}
        case Verb.WARN:
            templates = [*mapped.values.get("template", {}), "warning"]
            return {"template": str(mapped.fixed.get("template", templates[0]))}
        case Verb.REMOVE_FOLLOWS:
            return {"since": (datetime.now(UTC) - timedelta(days=3650)).isoformat()}
        case _:
            return {}
