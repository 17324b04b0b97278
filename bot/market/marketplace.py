"""What the bot asks of a marketplace, whether it speaks the whole contract, has endpoints of its own, or only people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Protocol

from bot.domain.outcomes import Outcome
from bot.domain.plans import Plan
from bot.domain.subjects import Subject
from bot.domain.verbs import Capability, Verb

NO_PARAMS: Mapping[str, str | int] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredOperation:
    """What the marketplace has in its own books under one key."""

    key: str
    verb: Verb
    subject: Subject
    is_done: bool


class MarketUnreachable(Exception):
    """The marketplace did not answer a question, or not as agreed; ask again later."""


class SubjectNotFound(Exception):
    """The marketplace does not know this subject."""


class Marketplace(Protocol):
    """Asks and tells the marketplace; a step of adoption is one implementation."""

    async def capabilities(self) -> Mapping[Verb, Capability]:
        """The verbs that can be carried out, and how far each can be trusted.

        Raises:
            MarketUnreachable: no answer, or not as agreed.
        """
        ...

    async def plan(
        self, verb: Verb, subject: Subject, params: Mapping[str, str | int] = NO_PARAMS
    ) -> Plan:
        """What the verb would do now, and nothing done.

        Raises:
            SubjectNotFound: the marketplace does not know the subject.
            MarketUnreachable: no answer, or not as agreed.
        """
        ...

    async def send(
        self,
        verb: Verb,
        subject: Subject,
        *,
        key: str,
        body: Mapping[str, object],
        timeout_s: float | None = None,
    ) -> Outcome:
        """Have a verb carried out; `key` is the operation's id. Never raises for what the network does."""
        ...

    async def lookup(self, key: str, *, verb: Verb, subject: Subject) -> Outcome | None:
        """What became of an operation; None if the marketplace has not received it so far.

        Raises:
            MarketUnreachable: it could not be asked.
        """
        ...

    async def received(self, since: datetime | None) -> Sequence[StoredOperation]:
        """What the marketplace received since then, by its own clock; nothing where it keeps no such list.

        Raises:
            MarketUnreachable: it could not be asked.
        """
        ...

    async def retry_steps(self, key: str, *, verb: Verb) -> Outcome:
        """Run the failed steps of a partly succeeded operation again."""
        ...
