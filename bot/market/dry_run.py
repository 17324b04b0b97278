"""A marketplace that is only asked: in a dry run nothing that could change it leaves this process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from bot.domain.outcomes import Outcome, OutcomeKind
from bot.domain.plans import Plan
from bot.domain.subjects import Subject
from bot.domain.verbs import Capability, Verb
from bot.market.marketplace import NO_PARAMS, Marketplace, StoredOperation


class DryRunMarket:
    """Plans and look-ups go through; whatever would send a verb is told that nothing was done."""

    def __init__(self, market: Marketplace) -> None:
        self._market = market

    async def capabilities(self) -> Mapping[Verb, Capability]:
        return await self._market.capabilities()

    async def plan(
        self, verb: Verb, subject: Subject, params: Mapping[str, str | int] = NO_PARAMS
    ) -> Plan:
        return await self._market.plan(verb, subject, params)

    async def send(
        self,
        verb: Verb,  # noqa: ARG002 - nothing is sent
        subject: Subject,  # noqa: ARG002
        *,
        key: str,  # noqa: ARG002
        body: Mapping[str, object],  # noqa: ARG002
        timeout_s: float | None = None,  # noqa: ARG002
    ) -> Outcome:
        return Outcome(kind=OutcomeKind.NOT_DONE, code="dry_run", retry_after_s=60)

    async def lookup(self, key: str, *, verb: Verb, subject: Subject) -> Outcome | None:
        return await self._market.lookup(key, verb=verb, subject=subject)

    async def received(self, since: datetime | None) -> Sequence[StoredOperation]:
        return await self._market.received(since)

    async def retry_steps(self, key: str, *, verb: Verb) -> Outcome:  # noqa: ARG002
        return Outcome(kind=OutcomeKind.PARTLY_SUCCEEDED, code="dry_run")
