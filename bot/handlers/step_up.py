"""The pages where who approves a large amount signs in: a link from Slack, the provider, one button."""

from __future__ import annotations

import html
import logging
import re
from collections.abc import Awaitable, Callable
from datetime import tzinfo
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.cards import pages
from bot.cards.refusals import refusal_sentence
from bot.cases import stepping_up
from bot.cases.approving import approve
from bot.cases.deciding import Decided
from bot.cases.room import Press, Room, find_person
from bot.cases.trouble import Trouble, trouble_of
from bot.domain.clock import WallClock
from bot.domain.refusals import RefusalCode
from bot.domain.step_up import StepUp
from bot.domain.tracing import traced
from bot.handlers.desk import slack_code
from bot.handlers.identity import IdentityProvider, NotAcceptedError, ProviderAwayError
from bot.locale import Messages, messages_for

logger = logging.getLogger(__name__)

COOKIE = "mimawari_step_up"
PATH = "/step-up"
BACK = f"{PATH}/back"
CONFIRM = f"{PATH}/confirm"
MAX_FORM = 4096
_SECRET = re.compile(r"[A-Za-z0-9_-]{20,100}")
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self';"
    " frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_CHANGED = frozenset(
    {RefusalCode.STALE, RefusalCode.CASE_CLOSED, RefusalCode.CASE_NOT_FOUND, RefusalCode.LINK_ENDED}
)

EmailOf = Callable[[str], Awaitable[str | None]]
"""The e-mail address of a Slack user, asked at that moment; None: Slack does not say."""


async def email_in_slack(client: AsyncWebClient, user_id: str) -> str | None:
    """The e-mail address of a user's profile, which needs the scope users:read.email; kept nowhere."""
    try:
        answer = await client.users_info(user=user_id)
    except (SlackApiError, aiohttp.ClientError, TimeoutError) as error:
        logger.warning("Slack did not say who signed in: %s", slack_code(error))
        return None
    email = ((answer.get("user") or {}).get("profile") or {}).get("email")
    return email if isinstance(email, str) and email else None


class StepUpPages:
    """Serves `/step-up/…`; only the last request of a sign-in approves, through the one way there is."""

    def __init__(
        self,
        room: Room,
        provider: IdentityProvider,
        email_of: EmailOf,
        *,
        public_url: str,
        tz: tzinfo,
        default_locale: str,
    ) -> None:
        self._room = room
        self._provider = provider
        self._email_of = email_of
        self._public = urlsplit(public_url)
        self._tz = tz
        self._default_locale = default_locale

    def add_to(self, app: web.Application) -> None:
        app.router.add_get(BACK, self.come_back, allow_head=False)
        app.router.add_post(CONFIRM, self.confirm)
        app.router.add_get(PATH + "/{token}", self.open, allow_head=False)

    async def open(self, request: web.Request) -> web.StreamResponse:
        """The link: on to the identity provider."""
        return await self._safely(self._open(request))

    async def come_back(self, request: web.Request) -> web.StreamResponse:
        """Back from the provider: what is about to be approved."""
        return await self._safely(self._come_back(request))

    async def confirm(self, request: web.Request) -> web.StreamResponse:
        """The button: approve."""
        return await self._safely(self._confirm(request))

    async def _safely(self, work: Awaitable[web.StreamResponse]) -> web.StreamResponse:
        try:
            return await work
        except Exception as error:
            trouble = trouble_of(error)
            if trouble is None:
                raise
            logger.warning("a sign-in was not taken: %s", traced(error))
            end = "ledger" if trouble is Trouble.AWAY else "changed"
            return self._end(end, messages_for(self._default_locale), status=503)

    async def _open(self, request: web.Request) -> web.StreamResponse:
        token = request.match_info["token"]
        begun = await stepping_up.begin(self._room, token) if _SECRET.fullmatch(token) else None
        if begun is None:
            return self._end("link", messages_for(self._default_locale), status=410)
        step_up, sign_in = begun
        try:
            address = await self._provider.address(sign_in, max_age_s=self._max_age_s)
        except ProviderAwayError as error:
            return await self._away(step_up, error)
        response = web.Response(status=303, headers={**_HEADERS, "Location": address})
        response.set_cookie(
            COOKIE,
            sign_in.browser,
            path=PATH,
            max_age=int(stepping_up.LINK_LIVES_S),
            secure=self._public.scheme == "https",
            httponly=True,
            # Lax: the way back from the provider is a link that leads here from there.
            samesite="Lax",
        )
        return response

    async def _come_back(self, request: web.Request) -> web.StreamResponse:
        nobody = messages_for(self._default_locale)
        browser, state = request.cookies.get(COOKIE, ""), request.query.get("state", "")
        if not _SECRET.fullmatch(browser) or not _SECRET.fullmatch(state):
            return self._end("link", nobody, status=410)
        known = await stepping_up.come_back(self._room, browser=browser, state=state)
        if known is None:
            return self._end("link", nobody, status=410)
        step_up, nonce_hash, code_verifier = known
        messages = await self._messages_of(step_up)
        code = request.query.get("code", "")
        try:
            email = await self._provider.email_of(
                code,
                code_verifier=code_verifier,
                nonce_hash=nonce_hash,
                max_age_s=self._max_age_s,
            )
        except ProviderAwayError as error:
            return await self._away(step_up, error)
        except NotAcceptedError as error:
            await stepping_up.refused(self._room, step_up, str(error))
            return self._end("not_accepted", messages, status=403)
        expected = await self._email_of(step_up.user_id)
        if expected is None:
            await stepping_up.refused(self._room, step_up, "slack")
            return self._end("slack", messages, status=503)
        if expected.strip().casefold() != email.strip().casefold():
            await stepping_up.refused(self._room, step_up, "person")
            return self._end("person", messages, status=403)
        shown = await stepping_up.signed_in(self._room, step_up)
        if shown is None:
            return self._end("changed", messages, status=409)
        view, decision, csrf = shown
        return self._page(
            pages.confirm_page(view, decision, csrf=csrf, action=CONFIRM, messages=messages)
        )

    async def _confirm(self, request: web.Request) -> web.StreamResponse:
        nobody = messages_for(self._default_locale)
        browser, csrf = request.cookies.get(COOKIE, ""), await _csrf_of(request)
        if not _SECRET.fullmatch(browser) or not _SECRET.fullmatch(csrf):
            return self._end("link", nobody, status=410)
        step_up = await stepping_up.find_signed_in(self._room, browser=browser, csrf=csrf)
        if step_up is None:
            return self._end("link", nobody, status=410)
        messages = await self._messages_of(step_up)
        answer = await approve(
            self._room,
            Press(user_id=step_up.user_id, case_id=step_up.case_id, version=step_up.case_version),
            step_up.decision_id,
            step_up=step_up.step_up_id,
        )
        if isinstance(answer, Decided):
            response = self._end("waits" if answer.awaiting_approval else "done", messages)
            response.del_cookie(COOKIE, path=PATH)
            return response
        if answer.code in _CHANGED:
            return self._end("changed", messages, status=409)
        told = refusal_sentence(answer, messages, self._tz, now=WallClock().now())
        # Written for Slack, whose escapes are those of HTML.
        return self._end("changed", messages, status=403, sentence=html.unescape(told))

    async def _away(self, step_up: StepUp, error: ProviderAwayError) -> web.Response:
        logger.warning("the identity provider does not answer: %s", error)
        await stepping_up.refused(self._room, step_up, "provider")
        return self._end("provider", await self._messages_of(step_up), status=503)

    @property
    def _max_age_s(self) -> int:
        rule = self._room.policy.file.step_up
        return int(60 * (rule.max_age_minutes if rule else 10))

    async def _messages_of(self, step_up: StepUp) -> Messages:
        person = await find_person(self._room, step_up.user_id)
        return messages_for(person.locale if person else self._default_locale)

    def _end(
        self, end: str, messages: Messages, *, status: int = 200, sentence: str | None = None
    ) -> web.Response:
        return self._page(pages.end_page(end, messages, sentence=sentence), status)

    def _page(self, page: str, status: int = 200) -> web.Response:
        return web.Response(text=page, status=status, content_type="text/html", headers=_HEADERS)


async def _csrf_of(request: web.Request) -> str:
    """The form's one field; empty where the body is anything but that form."""
    if request.content_type != "application/x-www-form-urlencoded":
        return ""
    body = await request.content.read(MAX_FORM + 1)
    found = re.fullmatch(rb"csrf=([A-Za-z0-9_-]{20,100})", body)
    return found[1].decode() if found else ""
