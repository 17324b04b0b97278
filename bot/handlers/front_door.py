"""The front door: verifies the raw bytes of a request of Slack before anything is parsed."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import ClientError, web
from aiohttp.http_exceptions import HttpProcessingError
from slack_bolt.async_app import AsyncApp, AsyncBoltRequest

from bot.domain.tracing import traced
from bot.handlers.errands import held_back

logger = logging.getLogger(__name__)

MAX_BODY = 1024 * 1024
MAX_DEPTH = 64
MAX_SKEW_S = 300
SKEW_ALARM_S = 60
"""Slack's requests are seconds old when they come; more than this means that our clock is wrong."""
SKEWED_IN_A_ROW = 3
"""One request may be an old one that somebody sends again; so many say that it is the clock."""
_TIMESTAMP = re.compile(r"[0-9]{9,11}")
_SIGNATURE = re.compile(r"v0=[0-9a-f]{64}")
_UNSAYABLE = re.compile("[\x00\ud800-\udfff]")
_FORM = "application/x-www-form-urlencoded"
_JSON = "application/json"
_BOLTS_OWN = "x-slack-bolt-"

# What Bolt takes for an object, a list or a text without looking. Slack sends nothing else there.
_OBJECTS = ("event", "message", "previous_message", "view", "item", "assistant_thread")
_LISTS = ("actions", "authorizations", "response_urls")
_TEXTS = (
    *("type", "subtype", "command", "callback_id", "action_id", "block_id", "bot_id", "thread_ts"),
    *("team_id", "user_id", "channel_id", "enterprise_id", "app_installed_team_id", "user_team"),
    *("id", "response_url", "trigger_id", "challenge", "function_execution_id", "bot_access_token"),
)
_NAMED = ("team", "user", "channel", "enterprise")
"""An id, or an object that has one."""
_KINDS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "block_actions": ("actions", ("action_id",)),
    "view_submission": ("view", ("type", "callback_id")),
    "view_closed": ("view", ("type", "callback_id")),
    "event_callback": ("event", ("type",)),
}
"""What we know what to do with, by type: where its name stands. Bolt takes for granted that it does."""

Document = Mapping[str, Any]


def _without_words(record: logging.LogRecord) -> bool:
    """For aiohttp, which quotes the headers that it could not read, signatures included."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError | web.RequestPayloadError | ConnectionError):
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        record.msg, record.args = "a request was refused: %s", (type(error).__name__,)
    else:
        record.msg, record.args = "a request failed: %s", (traced(error) if error else "no answer",)
    record.exc_info = None
    return record.levelno > logging.DEBUG


HTTP_LOGGER = logging.getLogger("bot.http")
"""For whoever serves the front door."""
HTTP_LOGGER.addFilter(_without_words)


class MalformedError(Exception):
    """A body that is not what Slack sends."""


class FrontDoor:
    """Answers `POST /slack/events`: refuses with 4xx and no word of the body in the log, or lets Bolt in.

    Bolt parses a body before it checks the signature, trusts `x-slack-bolt-*` headers from the wire, and
    falls over a body of another shape than Slack's; so none of that is left to it.
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
        self._skewed = 0
        self._skew_s = 0.0
        self.refused: Counter[str] = Counter()
        """Refusals by reason."""

    @property
    def problem(self) -> str | None:
        """What keeps Slack's clicks out, in a few words; None: nothing."""
        if self._skewed < SKEWED_IN_A_ROW:
            return None
        return f"clock: {self._skew_s:+.0f} s from Slack's"

    async def handle(self, request: web.Request) -> web.Response:
        if any(name.lower().startswith(_BOLTS_OWN) for name in request.headers):
            return self._refuse("bolt_header", 400)
        if "Content-Encoding" in request.headers:
            # Slack compresses nothing; what is small on the wire must not grow in here.
            return self._refuse("encoding", 400)
        if request.content_length is not None and request.content_length > MAX_BODY:
            return self._refuse("too_large", 413)
        try:
            body = await read_body(request)
        except (ClientError, HttpProcessingError, web.RequestPayloadError, ValueError):
            return self._refuse("malformed", 400)
        if len(body) > MAX_BODY:
            return self._refuse("too_large", 413)
        reason = self.reason_to_refuse(
            body,
            request.headers.getall("X-Slack-Request-Timestamp", []),
            request.headers.getall("X-Slack-Signature", []),
        )
        if reason is not None:
            return self._refuse(reason, 401)
        try:
            document = parse(body, request.headers.getall("Content-Type", []))
        except MalformedError:
            return self._refuse("malformed", 400)
        if document.get("ssl_check") == "1":
            return web.Response()
        if not is_for_us(document):
            return self._refuse("unknown", 404)
        try:
            # As over a socket, already parsed: two parsers that differ would be a way in.
            # Nothing is as good as missing; Bolt calls methods of it.
            body_of_bolt = {name: value for name, value in document.items() if value is not None}
            asked = AsyncBoltRequest(body=body_of_bolt, mode="socket_mode")
        except (AttributeError, IndexError, KeyError, TypeError, ValueError):
            # Of no shape that Slack sends, as Bolt's reading of it shows.
            return self._refuse("malformed", 400)
        with held_back():
            response = await self._answer(asked)
            # On the wire before anything else of this press goes to Slack.
            await response.prepare(request)
            await response.write_eof()
        return response

    async def _answer(self, asked: AsyncBoltRequest) -> web.Response:
        try:
            answer = await self._app.async_dispatch(asked)
        except Exception as error:  # noqa: BLE001  # whatever it is, its text may hold the body
            logger.error("a request to /slack/events failed: %s", traced(error))  # noqa: TRY400
            return web.Response(status=500)
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
        signed = b"v0:" + timestamps[0].encode() + b":" + body
        expected = [
            "v0=" + hmac.new(secret, signed, hashlib.sha256).hexdigest() for secret in self._secrets
        ]
        if not any(hmac.compare_digest(one, signatures[0]) for one in expected):
            return "signature"
        # Only now: what nobody signed says nothing about our clock.
        skew_s = self._now() - int(timestamps[0])
        self._watch_clock(skew_s)
        return "skew" if abs(skew_s) > MAX_SKEW_S else None

    def _watch_clock(self, skew_s: float) -> None:
        self._skew_s = skew_s
        if abs(skew_s) <= SKEW_ALARM_S:
            self._skewed = 0
            return
        self._skewed += 1
        if self._skewed == SKEWED_IN_A_ROW:
            logger.error("our clock is %+.0f s from Slack's: set it, or clicks are lost", skew_s)

    def _refuse(self, reason: str, status: int) -> web.Response:
        self.refused[reason] += 1
        logger.warning("a request to /slack/events was refused: %s", reason)
        return web.json_response({"error": reason}, status=status)


async def read_body(request: web.Request) -> bytes:
    """The body, or so much of it that it is seen to be too large."""
    body = await request.content.read(MAX_BODY + 1)
    while len(body) <= MAX_BODY and not request.content.at_eof():
        body += await request.content.read(MAX_BODY + 1 - len(body))
    return body


def parse(body: bytes, content_types: Sequence[str]) -> Document:
    """What Slack sent: a JSON object, a form, or a form that carries a JSON object.

    Raises:
        MalformedError: it is none of these, is absurdly nested, holds what no text may hold, or has
            something else where Bolt expects an object.
    """
    kind, _, rest = (content_types[0] if len(content_types) == 1 else "").partition(";")
    charset = rest.strip().lower().removeprefix("charset=").strip('"')
    try:
        content = body.decode()
        if charset not in {"", "utf-8", "utf8"}:
            raise MalformedError("charset")
        if kind.strip().lower() == _JSON:
            document = _object(content)
        elif kind.strip().lower() == _FORM:
            pairs = parse_qsl(
                content,
                keep_blank_values=True,
                strict_parsing=True,
                errors="strict",
                max_num_fields=100,
            )
            fields = dict(pairs)
            if not fields or len(fields) != len(pairs):
                raise MalformedError("no field, or one twice")
            document = _object(fields["payload"]) if "payload" in fields else fields
        else:
            raise MalformedError("content type")
    except (ValueError, RecursionError) as error:
        raise MalformedError("body") from error
    _check_texts(document)
    _check_shape(document)
    return document


def is_for_us(document: Document) -> bool:
    """Whether it is of a kind that we handle, and says which of that kind it is."""
    kind = document.get("type")
    if kind is None:
        return "command" in document
    if kind not in _KINDS:
        return bool(kind == "url_verification")
    place, names = _KINDS[kind]
    found = document.get(place) or []
    named = [found] if isinstance(found, dict) else found
    return bool(named) and all(isinstance(one.get(name), str) for one in named for name in names)


def _object(content: str) -> Document:
    document = json.loads(content, parse_constant=_no_constant)
    if not isinstance(document, dict):
        raise MalformedError("no object")
    return document


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _check_texts(document: Document) -> None:
    """No NUL and no half of a surrogate pair, which no database takes; and nothing absurdly deep."""
    level: list[Any] = [document]
    for _ in range(MAX_DEPTH):
        inner: list[Any] = []
        for value in level:
            if isinstance(value, str):
                if _UNSAYABLE.search(value):
                    raise MalformedError("text")
            elif isinstance(value, dict):
                inner += value.keys()
                inner += value.values()
            elif isinstance(value, list):
                inner += value
        if not inner:
            return
        level = inner
    raise MalformedError("depth")


def _check_shape(document: Document) -> None:
    for name in _TEXTS:
        if not isinstance(document.get(name), str | None):
            raise MalformedError(name)
    for name in (*_OBJECTS, *_NAMED):
        value = document.get(name)
        if isinstance(value, dict):
            _check_shape(value)
        elif value is not None and not (isinstance(value, str) and name in _NAMED):
            raise MalformedError(name)
    for name in _LISTS:
        values = document.get(name)
        if not isinstance(values, list | None):
            raise MalformedError(name)
        for value in values or ():
            if not isinstance(value, dict):
                raise MalformedError(name)
            _check_shape(value)
