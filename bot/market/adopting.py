"""Puts the steps of adoption together: people, a shop's own endpoints, the whole contract, verb by verb."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from bot.domain.outcomes import Outcome
from bot.domain.plans import Plan
from bot.domain.subjects import Subject
from bot.domain.verbs import Capability, OperationClass, Verb
from bot.market.mapped import MappedMarket
from bot.market.marketplace import NO_PARAMS, Marketplace, StoredOperation
from bot.market.verb_map import MappedVerb, VerbMap

BY_HAND = VerbMap(verbs={verb: MappedVerb(operation_class=OperationClass.MANUAL) for verb in Verb})
"""Step 1: every verb is carried out by people in the back office."""


class MixedMarket:
    """The verbs of a verb map go its way, all others through the contract."""

    def __init__(self, mapped: MappedMarket, contract: Marketplace) -> None:
        self._mapped = mapped
        self._contract = contract

    async def capabilities(self) -> Mapping[Verb, Capability]:
        return {**await self._contract.capabilities(), **await self._mapped.capabilities()}

    async def plan(
        self, verb: Verb, subject: Subject, params: Mapping[str, str | int] = NO_PARAMS
    ) -> Plan:
        return await self._of(verb).plan(verb, subject, params)

    async def send(
        self,
        verb: Verb,
        subject: Subject,
        *,
        key: str,
        body: Mapping[str, object],
        timeout_s: float | None = None,
    ) -> Outcome:
        return await self._of(verb).send(verb, subject, key=key, body=body, timeout_s=timeout_s)

    async def lookup(self, key: str, *, verb: Verb, subject: Subject) -> Outcome | None:
        return await self._of(verb).lookup(key, verb=verb, subject=subject)

    async def received(self, since: datetime | None) -> Sequence[StoredOperation]:
        return await self._contract.received(since)

    async def retry_steps(self, key: str, *, verb: Verb) -> Outcome:
        return await self._of(verb).retry_steps(key, verb=verb)

    def _of(self, verb: Verb) -> Marketplace:
        return self._mapped if verb in self._mapped.verb_map.verbs else self._contract
