"""The contract test: tries a marketplace the way the bot will use it, and says check by check what it found."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from uuid import uuid4

import aiohttp

from bot.domain.subjects import SubjectKind
from bot.domain.verbs import Verb
from bot.market.answers import kind_of_loss
from bot.market.marketplace import MarketUnreachable, SubjectNotFound

ROUND_TRIPS: tuple[tuple[Verb, Verb], ...] = (
    (Verb.HOLD, Verb.RELEASE),
    (Verb.SUSPEND, Verb.REINSTATE),
    (Verb.TAKEDOWN, Verb.RESTORE),
    (Verb.REMOVE_POST, Verb.RESTORE_POST),
)
"""What can be done and undone: here most of the contract is tried."""
ONE_WAY: tuple[Verb, ...] = (Verb.WARN, Verb.REMOVE_FOLLOWS, Verb.REFUND, Verb.CANCEL)
"""What cannot, the most final last."""
REASON: Mapping[str, object] = {"reason": "mimawari contract test", "actor": "U0CONTRACTTEST"}


class Standing(StrEnum):
    PASSED = "pass"
    FAILED = "fail"
    SKIPPED = "skip"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """One check: what it asks, how it ended, and why if it did not pass."""

    check: str
    standing: Standing
    told: str = ""


class Disobedience(Exception):
    """The marketplace does not do what it must; the sentence says what it did instead."""


class Untold(Exception):
    """This check cannot be made; the sentence says what is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a test may work on.

    Without `write` nothing is changed; with it, these subjects are changed, some of them for good.
    """

    subjects: Mapping[SubjectKind, tuple[str, ...]]
    write: bool = False
    patience_s: float = 60.0
    """Longer than this no check waits."""

    def ids_of(self, kind: SubjectKind) -> tuple[str, ...]:
        """The given subjects of a kind.

        Raises:
            Untold: there is none.
        """
        ids = self.subjects.get(kind, ())
        if not ids:
            raise Untold(f"give a sacrificial {kind.value} with --{kind.value} ID")
        return ids


@dataclass(frozen=True, slots=True)
class Check:
    """Something to try: it returns what there is to tell, or raises why it is not so."""

    name: str
    make: Callable[[], Awaitable[str | None]]
    vital: bool = False
    """What comes after it in turn makes no sense without it."""
    always: bool = False
    """Tidies up: made whatever went wrong before."""


async def judge(check: Check) -> CheckResult:
    """Make one check; whatever goes wrong in it is told, never raised."""
    name = check.name
    try:
        told = await check.make()
    except Untold as reason:
        return CheckResult(check=name, standing=Standing.SKIPPED, told=str(reason))
    except Disobedience as fault:
        return CheckResult(check=name, standing=Standing.FAILED, told=str(fault))
    except SubjectNotFound as unknown:
        told = f"the marketplace does not know {unknown}"
        return CheckResult(check=name, standing=Standing.FAILED, told=told)
    except MarketUnreachable as error:
        told = f"no answer that could be used ({error})"
        return CheckResult(check=name, standing=Standing.FAILED, told=told)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        told = f"no answer ({kind_of_loss(error)})"
        return CheckResult(check=name, standing=Standing.FAILED, told=told)
    return CheckResult(check=name, standing=Standing.PASSED, told=told or "")


async def in_turn(*checks: Check) -> AsyncIterator[CheckResult]:
    """Checks that build on each other: after a vital one that did not pass, the rest is skipped in one line."""
    missing: str | None = None
    unmade: list[Check] = []
    for check in checks:
        if missing is not None and not check.always:
            unmade.append(check)
            continue
        result = await judge(check)
        if check.vital and result.standing is not Standing.PASSED:
            missing = missing or result.check
        if not check.always or result.standing is not Standing.SKIPPED:
            yield result
    if unmade:
        more = f" and {len(unmade) - 1} more" if len(unmade) > 1 else ""
        told = f"nothing can be told without `{missing}`"
        yield CheckResult(check=unmade[0].name + more, standing=Standing.SKIPPED, told=told)


async def wait_until(
    look: Callable[[], Awaitable[bool]], *, within_s: float, every_s: float = 0.2
) -> float | None:
    """How many seconds passed until it was so; None: it never was."""
    started = time.monotonic()
    while True:
        if await look():
            return time.monotonic() - started
        if time.monotonic() - started >= within_s:
            return None
        await asyncio.sleep(min(every_s, within_s))


def fresh_key() -> str:
    """A key that nobody has used, recognizable in the marketplace's own log."""
    return f"op_contracttest{uuid4().hex}"


def made_up_id() -> str:
    """An id that no marketplace knows."""
    return f"mimawari-{uuid4().hex[:12]}"
