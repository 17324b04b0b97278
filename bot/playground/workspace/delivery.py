"""Brings things to the app as Slack does: signed, within three seconds, interactions once, events again."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

import aiohttp

from bot.playground.workspace.seed import Seed
from bot.playground.workspace.socket_mode import SocketMode
from bot.playground.workspace.state import Json
from bot.playground.workspace.traffic import Traffic

ACK_TIMEOUT_S = 3.0
EVENT_RETRIES_S = (0.0, 60.0, 300.0)
MAX_EVENT_REDIRECTS = 2
MAX_ANSWER_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the app said; `error` is how Slack's client would name what went wrong."""

    status: int | None
    ms: int
    body: str = ""
    error: str | None = None
    retry_reason: str | None = None
    no_retry: bool = False

    @property
    def ok(self) -> bool:
        return self.error is None


class Delivery:
    """The way to the app: Socket Mode while it is connected, else HTTP to its request URL."""

    def __init__(
        self,
        seed: Seed,
        socket: SocketMode,
        traffic: Traffic,
        *,
        request_url: str | None,
        now: Callable[[], float],
        ack_timeout_s: float = ACK_TIMEOUT_S,
        event_retries_s: Sequence[float] = EVENT_RETRIES_S,
    ) -> None:
        self.request_url = request_url
        self.ack_timeout_s = ack_timeout_s
        self.event_retries_s = tuple(event_retries_s)
        self._seed = seed
        self._socket = socket
        self._traffic = traffic
        self._now = now
        self._session: aiohttp.ClientSession | None = None
        self._events: set[asyncio.Task[None]] = set()

    async def interaction(self, payload: Json) -> Answer:
        """A click, a submission or a closed view; never brought twice."""
        body = urlencode({"payload": json.dumps(payload, ensure_ascii=False)})
        kind = str(payload["type"])
        return await self._bring("interactive", kind, payload, body)

    async def command(self, fields: Mapping[str, str]) -> Answer:
        """A slash command; never brought twice."""
        return await self._bring(
            "slash_commands", str(fields["command"]), dict(fields), urlencode(fields)
        )

    def event(self, event: Json) -> None:
        """Bring an event in the background, up to three times again where the app does not take it."""
        envelope: Json = {
            "token": self._seed.verification_token,
            "team_id": self._seed.team_id,
            "context_team_id": self._seed.team_id,
            "api_app_id": self._seed.app_id,
            "event": event,
            "type": "event_callback",
            "event_id": f"Ev{secrets.token_hex(5).upper()}",
            "event_time": int(self._now()),
            "authorizations": [
                {
                    "enterprise_id": None,
                    "team_id": self._seed.team_id,
                    "user_id": self._seed.bot_user_id,
                    "is_bot": True,
                    "is_enterprise_install": False,
                }
            ],
            "is_ext_shared_channel": False,
        }
        if self._session is None:
            return  # nobody serves this workspace yet
        task = asyncio.create_task(self._bring_event(envelope, str(event["type"])))
        self._events.add(task)
        task.add_done_callback(self._events.discard)

    async def settle(self) -> None:
        """Wait until every event has been brought or given up; for tests."""
        while self._events:
            await asyncio.gather(*self._events)

    async def open(self) -> None:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=self.ack_timeout_s),
            headers={"User-Agent": "Slackbot 1.0 (+https://api.slack.com/robots)"},
        )

    async def close(self) -> None:
        """Give up what is still to be brought."""
        for task in list(self._events):
            task.cancel()
        await asyncio.gather(*self._events, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _bring_event(self, envelope: Json, name: str) -> None:
        body = json.dumps(envelope, ensure_ascii=False)
        answer = await self._bring("events_api", name, envelope, body)
        for number, wait_s in enumerate(self.event_retries_s, start=1):
            if answer.ok or answer.no_retry:
                return
            await asyncio.sleep(wait_s)
            retry = (number, answer.retry_reason or "unknown_error")
            answer = await self._bring("events_api", name, envelope, body, retry=retry)

    async def _bring(
        self,
        kind: str,
        name: str,
        payload: Json,
        body: str,
        retry: tuple[int, str] | None = None,
    ) -> Answer:
        started = time.monotonic()
        shown: Json = {"payload": payload}
        if self._socket.connected:
            shown["via"] = "socket_mode"
            answer = await self._over_socket(kind, payload, retry)
        elif self.request_url is not None:
            headers = self._headers(kind, body, retry)
            shown["headers"] = headers
            answer = await self._over_http(kind, body, headers)
        else:
            answer = Answer(
                status=None, ms=0, error="dispatch_failed", retry_reason="unknown_error"
            )
        answer = Answer(
            status=answer.status,
            ms=round((time.monotonic() - started) * 1000),
            body=answer.body,
            error=answer.error,
            retry_reason=answer.retry_reason,
            no_retry=answer.no_retry,
        )
        self._traffic.note(
            "out",
            name,
            request=shown,
            response=_readable(answer.body),
            status=answer.status,
            ok=answer.ok,
            error=answer.error,
            ms=answer.ms,
        )
        return answer

    async def _over_socket(self, kind: str, payload: Json, retry: tuple[int, str] | None) -> Answer:
        acked = await self._socket.send(kind, payload, timeout_s=self.ack_timeout_s, retry=retry)
        if acked is None:
            return Answer(status=None, ms=0, error="operation_timeout", retry_reason="http_timeout")
        body = json.dumps(acked, ensure_ascii=False) if acked else ""
        return Answer(status=200, ms=0, body=body)

    async def _over_http(self, kind: str, body: str, headers: Mapping[str, str]) -> Answer:
        if self._session is None or self.request_url is None:
            raise RuntimeError("the workspace is not being served")
        is_event = kind == "events_api"
        try:
            async with self._session.post(
                self.request_url,
                data=body.encode(),
                headers=headers,
                allow_redirects=is_event,
                max_redirects=MAX_EVENT_REDIRECTS + 1,
            ) as response:
                text = (await response.content.read(MAX_ANSWER_BYTES)).decode(errors="replace")
                good = response.status == 200 or (is_event and 200 <= response.status < 300)
                return Answer(
                    status=response.status,
                    ms=0,
                    body=text,
                    error=None if good else "dispatch_failed",
                    retry_reason=None if good else "http_error",
                    no_retry=response.headers.get("x-slack-no-retry") == "1",
                )
        except TimeoutError:
            return Answer(status=None, ms=0, error="operation_timeout", retry_reason="http_timeout")
        except aiohttp.TooManyRedirects:
            reason = "too_many_redirects"
        except aiohttp.ClientConnectorSSLError:
            reason = "ssl_error"
        except (aiohttp.ClientError, OSError):
            reason = "connection_failed"
        return Answer(status=None, ms=0, error="dispatch_failed", retry_reason=reason)

    def _headers(self, kind: str, body: str, retry: tuple[int, str] | None) -> dict[str, str]:
        timestamp = str(int(self._now()))
        headers = {
            "Content-Type": "application/json"
            if kind == "events_api"
            else "application/x-www-form-urlencoded",
            "X-Slack-Request-Timestamp": timestamp,
            "X-Slack-Signature": sign(self._seed.signing_secret, timestamp, body),
        }
        if retry is not None:
            headers["x-slack-retry-num"] = str(retry[0])
            headers["x-slack-retry-reason"] = retry[1]
        return headers


def sign(secret: str, timestamp: str, body: str) -> str:
    """Slack's signature, version 0."""
    signed = f"v0:{timestamp}:{body}".encode()
    return "v0=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


def _readable(body: str) -> object:
    try:
        return json.loads(body)
    except ValueError:
        return body
