"""Trigger ids and response URLs: what an interaction lends the app, for a short time."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from bot.playground.workspace.api_errors import ApiError

TRIGGER_LIFE_S = 3.0
RESPONSE_LIFE_S = 30 * 60.0
RESPONSE_USES = 5
# More are never open at once; the oldest are long over.
KEPT = 10_000


@dataclass(slots=True, kw_only=True)
class Trigger:
    """The right to open a modal for somebody; `view_id` where they pressed inside one."""

    trigger_id: str
    user_id: str
    view_id: str | None
    expires: float
    used: bool = False


class Triggers:
    """Issues trigger ids that live three seconds and work once."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.life_s = TRIGGER_LIFE_S
        self._now = now
        self._issued: OrderedDict[str, Trigger] = OrderedDict()

    def issue(self, user_id: str, view_id: str | None = None) -> str:
        trigger_id = (
            f"{secrets.randbelow(10**13)}.{secrets.randbelow(10**10)}.{secrets.token_hex(16)}"
        )
        self._issued[trigger_id] = Trigger(
            trigger_id=trigger_id,
            user_id=user_id,
            view_id=view_id,
            expires=self._now() + self.life_s,
        )
        while len(self._issued) > KEPT:
            self._issued.popitem(last=False)
        return trigger_id

    def exchange(self, trigger_id: str) -> Trigger:
        """Use it up.

        Raises:
            ApiError: it never was, was used, or is too old.
        """
        trigger = self._issued.get(trigger_id)
        if trigger is None:
            raise ApiError("invalid_trigger_id")
        if trigger.used:
            raise ApiError("exchanged_trigger_id")
        if self._now() > trigger.expires:
            raise ApiError("expired_trigger_id")
        trigger.used = True
        return trigger


@dataclass(slots=True, kw_only=True)
class ResponseUrl:
    """The right to answer an interaction; `message_ts` is the message that was pressed, if any."""

    user_id: str
    channel: str
    message_ts: str | None
    thread_ts: str | None
    expires: float
    uses: int = 0


class ResponseUrls:
    """Issues addresses that work five times within half an hour."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._issued: OrderedDict[str, ResponseUrl] = OrderedDict()

    def issue(
        self,
        user_id: str,
        channel: str,
        message_ts: str | None = None,
        thread_ts: str | None = None,
    ) -> str:
        """The secret end of the address."""
        secret = secrets.token_urlsafe(18)
        self._issued[secret] = ResponseUrl(
            user_id=user_id,
            channel=channel,
            message_ts=message_ts,
            thread_ts=thread_ts,
            expires=self._now() + RESPONSE_LIFE_S,
        )
        while len(self._issued) > KEPT:
            self._issued.popitem(last=False)
        return secret

    def use(self, secret: str) -> ResponseUrl:
        """Count one use.

        Raises:
            ApiError: it never was, was used five times, or is too old.
        """
        lent = self._issued.get(secret)
        if lent is None:
            raise ApiError("invalid_url")
        if self._now() > lent.expires:
            raise ApiError("expired_url")
        if lent.uses >= RESPONSE_USES:
            raise ApiError("used_url")
        lent.uses += 1
        return lent
