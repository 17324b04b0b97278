"""The front door: verifies the raw bytes of a request of Slack before anything is parsed."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from urllib.parse import parse_qsl

from aiohttp import web
from slack_bolt.async_app import AsyncApp, AsyncBoltRequest

logger = logging.getLogger(__name__)

MAX_BODY = 1024 * 1024
MAX_DEPTH = 64
MAX_SKEW_S = 300
_TIMESTAMP = re.compile(r"[0-9]{9,11}")
_SIGNATURE = re.compile(r"v0=[0-9a-f]{64}")
_FORM = "application/x-www-form-urlencoded"
_JSON = "application/json"


class FrontDoor:
    """Answers `POST /slack/events`: refuses with 4xx and no word of the body in the log, or lets Bolt in.

    Bolt parses a body before it checks the signature, and trusts `x-slack-bolt-*` headers from the
    wire; so neither is left to it.
    """

    def __init__(
        self,
        app: AsyncApp,
        signing_secrets: Sequence[str],
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._app = app
        self._secrets = [secret.encode() for secret in signing_secrets]
        self._now = now
        self.refused: Counter[str] = Counter()
        """Refusals by reason; a rising `skew` means that our clock is wrong."""

    async def handle(self, request: web.Request) -> web.Response:
        if request.content_length is not None and request.content_length > MAX_BODY:
            return self._refuse("too_large", 413)
        body = await request.content.read(MAX_BODY + 1)
        while len(body) <= MAX_BODY and not request.content.at_eof():
            body += await request.content.read(MAX_BODY + 1 - len(body))
        if len(body) > MAX_BODY:
            return self._refuse("too_large", 413)
        reason = self.reason_to_refuse(
            body,
            request.headers.getall("X-Slack-Request-Timestamp", []),
            request.headers.getall("X-Slack-Signature", []),
        )
        if reason is not None:
            return self._refuse(reason, 401)
        if not is_well_formed(body, request.content_type):
            return self._refuse("malformed", 400)
        answer = await self._app.async_dispatch(
            AsyncBoltRequest(
                body=body.decode(),
                query=dict(request.query),
                headers={
                    name: value
                    for name, value in request.headers.items()
                    if not name.lower().startswith("x-slack-bolt-")
                },
            )
        )
        return web.Response(
            status=answer.status,
            text=answer.body,
            content_type=answer.first_headers().get("content-type", "text/plain").split(";")[0],
            charset="utf-8",
        )

    def reason_to_refuse(
        self, body: bytes, timestamps: Sequence[str], signatures: Sequence[str]
    ) -> str | None:
        """Why these bytes are not Slack's; None: they are."""
        if len(timestamps) != 1 or not _TIMESTAMP.fullmatch(timestamps[0]):
            return "timestamp"
        if len(signatures) != 1 or not _SIGNATURE.fullmatch(signatures[0]):
            return "signature"
        if abs(self._now() - int(timestamps[0])) > MAX_SKEW_S:
            return "skew"
        signed = b"v0:" + timestamps[0].encode() + b":" + body
        for secret in self._secrets:
            expected = "v0=" + hmac.new(secret, signed, hashlib.sha256).hexdigest()
            if hmac.compare_digest(expected, signatures[0]):
                return None
        return "signature"

    def _refuse(self, reason: str, status: int) -> web.Response:
        self.refused[reason] += 1
        logger.warning("a request to /slack/events was refused: %s", reason)
        return web.json_response({"error": reason}, status=status)


def is_well_formed(body: bytes, content_type: str) -> bool:
    """Whether a body is what Slack sends: UTF-8, a JSON object or a form, and not absurdly nested."""
    try:
        content = body.decode()
        if not content:
            return False
        if content_type == _JSON:
            documents = [content]
        elif content_type == _FORM:
            fields = dict(
                parse_qsl(content, keep_blank_values=True, strict_parsing=True, errors="strict")
            )
            documents = [fields["payload"]] if "payload" in fields else []
        else:
            return False
        return all(_is_shallow_object(document) for document in documents)
    except ValueError:
        return False


def _is_shallow_object(document: str) -> bool:
    depth = deepest = 0
    for character in document:
        if character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    # Brackets inside strings count too: a generous bound costs nothing and keeps this one pass.
    if deepest > MAX_DEPTH * 4:
        return False
    try:
        return isinstance(json.loads(document), dict)
    except RecursionError:
        return False
