"""The door for webhooks of Redash: who knows both the address and the password, and stored before it is answered."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import logging
from collections import Counter
from collections.abc import Awaitable, Callable

from aiohttp import ClientError, web
from aiohttp.http_exceptions import HttpProcessingError

from bot.handlers.front_door import MAX_BODY, read_body
from bot.jobs.redash_intake import Stored

logger = logging.getLogger(__name__)

PATH = "/webhooks/redash/{secret}"
ANSWER_S = 4.0
"""Redash hangs up after five seconds, and never comes again."""
_STATUS = {Stored.NEW: 200, Stored.KNOWN: 200, Stored.UNREADABLE: 200, Stored.AWAY: 503}

Store = Callable[[bytes], Awaitable[Stored]]


class RedashDoor:
    """Answers `POST /webhooks/redash/<secret>`: 200 once it is stored, which is all that Redash looks for."""

    def __init__(
        self, store: Store, *, user: str, password: str, secret: str, answer_s: float = ANSWER_S
    ) -> None:
        self._store = store
        self._credentials = _digest(f"{user}:{password}".encode())
        self._secret = _digest(secret.encode())
        self._answer_s = answer_s
        self.refused: Counter[str] = Counter()
        """Refusals by reason."""

    def add_to(self, app: web.Application) -> None:
        app.router.add_post(PATH, self.handle)

    async def handle(self, request: web.Request) -> web.Response:
        if not self._is_redash(request):
            return self._refuse("credentials", 401)
        if "Content-Encoding" in request.headers:
            return self._refuse("encoding", 400)
        if request.content_length is not None and request.content_length > MAX_BODY:
            return self._refuse("too_large", 413)
        try:
            async with asyncio.timeout(self._answer_s):
                body = await read_body(request)
                if len(body) > MAX_BODY:
                    return self._refuse("too_large", 413)
                stored = await self._store(body)
        except (ClientError, HttpProcessingError, web.RequestPayloadError, ValueError):
            return self._refuse("malformed", 400)
        except TimeoutError:
            # Too late for Redash, whatever we answer: the next poll finds what it told.
            logger.error("a webhook of Redash could not be stored in time")  # noqa: TRY400
            return web.json_response({"error": "too_slow"}, status=503)
        return web.json_response({"stored": stored.value}, status=_STATUS[stored])

    def _is_redash(self, request: web.Request) -> bool:
        """Whether both are right; how long it takes tells nothing of either."""
        told = request.headers.getall("Authorization", [])
        scheme, _, coded = (told[0] if len(told) == 1 else "").partition(" ")
        try:
            credentials = base64.b64decode(coded.strip(), validate=True)
        except (binascii.Error, ValueError):
            credentials = b""
        secret = request.match_info["secret"].encode("utf-8", "surrogatepass")
        knows_password = hmac.compare_digest(_digest(credentials), self._credentials)
        knows_address = hmac.compare_digest(_digest(secret), self._secret)
        return (scheme.lower() == "basic") & knows_password & knows_address

    def _refuse(self, reason: str, status: int) -> web.Response:
        self.refused[reason] += 1
        logger.warning("a request to /webhooks/redash was refused: %s", reason)
        headers = {"WWW-Authenticate": 'Basic realm="redash"'} if status == 401 else None
        return web.json_response({"error": reason}, status=status, headers=headers)


def _digest(value: bytes) -> bytes:
    """Of one length, so that comparing tells nothing of the length either."""
    return hashlib.sha256(value).digest()
