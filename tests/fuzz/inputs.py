"""Requests as nobody should send them, by seed: of a shape near to Slack's, and of none."""

from __future__ import annotations

import hashlib
import hmac
import json
import random
import time
from base64 import b64encode
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus, urlencode

SECRET = "demo-signing-secret"
CANARY = "canary-of-the-body-5e1f"
EVENTS = "/slack/events"
REDASH_USER, REDASH_PASSWORD = "redash", "password-of-the-fuzz"
REDASH_SECRET = "secret-path-of-the-fuzz-0123"
FORM, JSON = "application/x-www-form-urlencoded", "application/json"
USERS = ("U0SATO", "U0SUZUKI", "U0TANAKA", "U0SMITH", "U0ITO", "U0YAMADA", "U0GUEST", "U0NOBODY")
ACTIONS = (
    *("hold", "release", "cancel", "suspend", "reinstate", "takedown", "restore", "refund"),
    *("approve", "reject", "dismiss", "details", "consult", "by_hand", "break_glass", "claim"),
    *("stop_rest", "take_back", "retry", "next", "open_admin", "more", "proposal_approve"),
    *("proposal_reject", "review_justified", "review_not", "nothing-of-ours"),
)
COMMANDS = (
    *(
        "help",
        "queue",
        "next",
        "case",
        "audit",
        "refund",
        "cancel",
        "suspend",
        "takedown",
        "digest",
    ),
    *("delegate", "delegate end", "pausee", "cases", ""),
)

HOSTILE: tuple[str, ...] = (
    *(
        "",
        " ",
        "\x00",
        "\ud800",
        "\udfff\ud800",
        "\u202e\u2066\u200b\ufeff",
        "\uffff",
        "\x1b[31m\r\n",
    ),
    *("<!channel>", "<@U0SATO>", "<https://evil.example|ok>", "`" * 50, "```", "*_~", "&lt;&amp;"),
    *("=cmd|' /C calc'!A0", "'; DROP TABLE ledger.cases; --", "${jndi:ldap://x}", "{0}{name}%s%n"),
    *("../../etc/passwd", "a" * 10_000, "山" * 4_000, "Z" + "\u0301" * 3_000, "👨‍👩‍👧‍👦" * 500),
    *("9" * 400, "-1", "1e999", "0x7f", "١٢٣", "1_000", "NaN", "true", "null", "2001|1", "prop_x"),
    *("O-1", "C-1", "c-99999999999999999999", "order:O-1", "account:", "order:", ":", "|", "||"),
)
STRANGE: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        -1,
        1.5,
        10**30,
        float("1e308"),
        [],
        {},
        [[]],
        [{}],
        {"": {}},
        {"id": 1},
    ),
    *([None], [1, "a"], {"id": None}, {"id": ["U0SATO"]}, {"text": {"text": {}}}, [[[[[[]]]]]]),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One request as bytes, and what it is, to be told where it breaks something."""

    kind: str
    raw: bytes


class Inputs:
    """Draws requests; the same seed draws the same, but for the timestamps of signatures."""

    def __init__(self, seed: int, cases: Sequence[tuple[int, int]]) -> None:
        self._dice = random.Random(seed)  # noqa: S311  # drawn to be drawn again
        self._cases = cases or [(2001, 1)]

    def draw(self) -> Input:
        kinds = {
            self._mutated: 52,
            self._sound: 10,
            self._unsigned: 14,
            self._torn: 12,
            self._other: 6,
            self._no_http: 6,
            self._redash: 14,
        }
        draw = self._dice.choices(list(kinds), list(kinds.values()))[0]
        return draw()

    # ---- Signed

    def _sound(self) -> Input:
        """What Slack could have sent."""
        content_type, document = self._document()
        return self._signed("sound", content_type, encoded(content_type, document))

    def _mutated(self) -> Input:
        """Signed, and wrong somewhere inside."""
        content_type, document = self._document()
        for _ in range(self._dice.choice((1, 1, 1, 2, 3, 8))):
            self._mutate(document)
        return self._signed("mutated", content_type, encoded(content_type, document))

    def _torn(self) -> Input:
        """Signed bytes that were cut, doubled, turned over or made up."""
        content_type, document = self._document()
        body = bytearray(encoded(content_type, document))
        match self._dice.randrange(8):
            case 0:
                body = body[: self._dice.randrange(len(body))]
            case 1:
                for _ in range(self._dice.randrange(1, 20)):
                    body[self._dice.randrange(len(body))] = self._dice.randrange(256)
            case 2:
                body += bytes(body)
            case 3:
                at = self._dice.randrange(len(body))
                body[at:at] = self._dice.randbytes(self._dice.randrange(1, 40))
            case 4:
                body = bytearray(self._dice.randbytes(self._dice.randrange(0, 500)))
            case 5:
                deep = self._dice.choice((70, 1_000, 60_000))
                opening, closing = self._dice.choice(((b"[", b"]"), (b'{"a":', b"}")))
                nested = opening * deep + b"1" + closing * deep
                body = bytearray(nested if content_type == JSON else b"payload=" + nested)
            case 6:
                content_type = self._dice.choice(
                    (JSON, FORM, "", "text/plain", "multipart/form-data; boundary=x")
                )
            case _:
                content_type += self._dice.choice(
                    ("; charset=utf-16", ";charset=bogus", ";;;", "; charset=utf-8", ", text/html")
                )
        return self._signed("torn", content_type, bytes(body))

    def _signed(self, kind: str, content_type: str, body: bytes) -> Input:
        stamp = str(int(time.time()))
        return request(kind, body, content_type, stamp, signature(body, stamp))

    def _document(self) -> tuple[str, dict[str, Any]]:
        make = self._dice.choice(
            (
                self._click,
                self._click,
                self._submission,
                self._submission,
                self._command,
                self._event,
                self._other_payload,
            )
        )
        return make()

    def _by(self, kind: str) -> dict[str, Any]:
        user = self._dice.choice(USERS)
        return {
            "type": kind,
            "token": CANARY,
            "user": {"id": user, "username": "x", "name": "x", "team_id": "T0MIMAWARI"},
            "team": {"id": "T0MIMAWARI", "domain": "minato"},
            "api_app_id": "A0MIMAWARI",
            "trigger_id": "1.2." + CANARY,
            "enterprise": None,
            "is_enterprise_install": False,
        }

    def _value(self) -> str:
        case_id, version = self._dice.choice(self._cases)
        return f"{case_id}|{version + self._dice.choice((0, 0, 0, 1, -1, 7))}"

    def _click(self) -> tuple[str, dict[str, Any]]:
        name = self._dice.choice(ACTIONS)
        action: dict[str, Any] = {
            "type": "button",
            "action_id": f"act:{name}",
            "block_id": "b",
            "action_ts": "1.2",
            "value": self._value(),
        }
        if self._dice.random() < 0.2:
            option = {
                "text": {"type": "plain_text", "text": "x"},
                "value": f"{name}|{self._value()}",
            }
            action = action | {"type": "overflow", "selected_option": option, "value": None}
        return FORM, {
            **self._by("block_actions"),
            "container": {"type": "message", "message_ts": "1.2", "channel_id": "C0ALERTS"},
            "channel": {"id": "C0ALERTS", "name": "alerts"},
            "message": {"type": "message", "ts": "1.2", "text": CANARY, "blocks": []},
            "state": {"values": {}},
            "response_url": "http://127.0.0.1:9/actions/" + CANARY,
            "actions": [action],
        }

    def _submission(self) -> tuple[str, dict[str, Any]]:
        case_id, version = self._dice.choice(self._cases)
        meta = {"case": case_id, "version": version, "plans": "ps_x", "decision": "dec_x"}
        if self._dice.random() < 0.2:
            meta["proposal"] = "prop_x"
        values = {
            "reason": {
                "reason": {"type": "static_select", "selected_option": {"value": "Stolen card"}}
            },
            "note": {"note": {"type": "plain_text_input", "value": CANARY}},
            "targets0": {"t": {"type": "checkboxes", "selected_options": [{"value": "order:O-1"}]}},
            "options": {"o": {"type": "checkboxes", "selected_options": [{"value": "suspend"}]}},
            "amount": {"amount": {"type": "plain_text_input", "value": "100"}},
            "words": {"words": {"type": "plain_text_input", "value": "a long reason, long enough"}},
            "confirm": {"confirm": {"type": "plain_text_input", "value": "x"}},
        }
        kind = self._dice.choice(("view_submission", "view_submission", "view_closed"))
        return FORM, {
            **self._by(kind),
            "view": {
                "id": "V1",
                "type": "modal",
                "callback_id": f"act:{self._dice.choice(ACTIONS)}",
                "private_metadata": json.dumps(meta),
                "hash": "1.a",
                "blocks": [],
                "state": {"values": values},
            },
            "response_urls": [],
        }

    def _command(self) -> tuple[str, dict[str, Any]]:
        words = [self._dice.choice(COMMANDS), self._dice.choice(("", "O-1", "C-1", *HOSTILE[:12]))]
        return FORM, {
            "token": CANARY,
            "team_id": "T0MIMAWARI",
            "channel_id": "C0ALERTS",
            "user_id": self._dice.choice(USERS),
            "command": "/cre",
            "text": " ".join(words),
            "response_url": "http://127.0.0.1:9/commands/" + CANARY,
            "trigger_id": "1.2." + CANARY,
        }

    def _event(self) -> tuple[str, dict[str, Any]]:
        kind = self._dice.choice(
            (
                "message",
                "message",
                "app_mention",
                "reaction_added",
                "app_home_opened",
                "channel_rename",
            )
        )
        return JSON, {
            "type": self._dice.choice(("event_callback", "event_callback", "url_verification")),
            "challenge": "c",
            "token": CANARY,
            "team_id": "T0MIMAWARI",
            "event_id": f"Ev{self._dice.randrange(10**9)}",
            "event_time": 1,
            "authorizations": [{"team_id": "T0MIMAWARI", "user_id": "U0BOT", "is_bot": True}],
            "event": {
                "type": kind,
                "user": self._dice.choice(USERS),
                "channel": "C0ALERTS",
                "text": CANARY,
                "ts": "1.2",
                "thread_ts": "1.1",
                "item": {"type": "message", "channel": "C0ALERTS", "ts": "1.1"},
            },
        }

    def _other_payload(self) -> tuple[str, dict[str, Any]]:
        kind = self._dice.choice(
            (
                "shortcut",
                "message_action",
                "block_suggestion",
                "dialog_submission",
                "ssl_check",
                "x",
            )
        )
        if kind == "ssl_check":
            return FORM, {"ssl_check": "1", "token": CANARY, "command": "/cre"}
        return FORM, {**self._by(kind), "callback_id": "c", "action_id": "a", "value": "v"}

    def _mutate(self, document: dict[str, Any]) -> None:
        """Change one thing somewhere in the tree."""
        place: Any = document
        while True:
            inner = [
                v for v in (place.values() if isinstance(place, dict) else place)
                if isinstance(v, dict | list) and v
            ]  # fmt: skip
            if not inner or self._dice.random() < 0.3:
                break
            place = self._dice.choice(inner)
        keys: list[Any] = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            return
        key = self._dice.choice(keys)
        match self._dice.randrange(6):
            case 0:
                del place[key]
            case 1 | 2:
                place[key] = self._dice.choice(HOSTILE)
            case 3:
                place[key] = deepcopy(self._dice.choice(STRANGE))
            case 4:
                place[key] = [place[key]] if self._dice.random() < 0.5 else {"id": place[key]}
            case _ if isinstance(place, dict):
                place[
                    self._dice.choice((*HOSTILE[:20], "event", "user", "team", "authorizations"))
                ] = deepcopy(self._dice.choice((*STRANGE, *HOSTILE)))
            case _:
                place.append(deepcopy(self._dice.choice(STRANGE)))

    # ---- Redash's

    def _redash(self) -> Input:
        """A webhook: as it should be, wrong somewhere inside, torn, or of somebody who may not."""
        document = self._webhook()
        for _ in range(self._dice.choice((0, 1, 1, 3))):
            self._mutate(document)
        body = json.dumps(document).encode()
        match self._dice.randrange(6):
            case 0:
                body = body[: self._dice.randrange(len(body))]
            case 1:
                body = self._dice.choice(
                    (
                        self._dice.randbytes(self._dice.randrange(300)),
                        b"[" * 60_000,
                        b'{"a":' * 60_000,
                        b"\xff\xfe" + body,
                        body * 2,
                    )
                )
            case _:
                pass
        login = f"{REDASH_USER}:{REDASH_PASSWORD}"
        secret = REDASH_SECRET
        if self._dice.random() < 0.2:
            login = self._dice.choice((*HOSTILE[:8], "redash:", ":", "a" * 5_000))
        if self._dice.random() < 0.2:
            secret = quote_plus(
                self._dice.choice(HOSTILE[:30])[:500].encode("utf-8", "surrogatepass")
            )
        coded = b64encode(login.encode("utf-8", "surrogatepass")).decode()
        method = self._dice.choice(("POST", "POST", "POST", "POST", "GET", "PUT"))
        head = (
            f"{method} /webhooks/redash/{secret} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            f"Authorization: Basic {coded}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return Input(kind="redash", raw=head.encode() + body)

    def _webhook(self) -> dict[str, Any]:
        return {
            "event": "alert_state_change",
            "alert": {
                "id": self._dice.randrange(1, 50),
                "name": CANARY,
                "options": {"column": "cnt", "op": ">", "value": 0, "custom_body": CANARY},
                "state": self._dice.choice(("triggered", "ok", "unknown", "test")),
                "last_triggered_at": f"2026-11-22T07:01:{self._dice.randrange(60):02d}.412Z",
                "rearm": None,
                "query_id": self._dice.choice((318, 7)),
                "user_id": 7,
                "description": CANARY,
                "title": CANARY,
            },
            "url_base": "https://redash.example.com",
            "metadata": {"query_id": 318, "Scheduled": True},
        }

    # ---- Not Slack's

    def _unsigned(self) -> Input:
        content_type, document = self._document()
        body = encoded(content_type, document)
        stamp = str(int(time.time()))
        good = signature(body, stamp)
        bad_stamp = self._dice.choice(
            (
                "",
                "abc",
                "9" * 400,
                "9" * 5000,
                "-1",
                "1_790_000_000",
                "١٧٩",
                "0",
                stamp + ".5",
                " " + stamp,
            )
        )
        bad_signature = self._dice.choice(
            ("", "v0=", "v1=" + good[3:], good[:-1], good + "0", good.upper(), "v0=" + "é" * 64)
        )
        extra: list[tuple[str, str]] = []
        match self._dice.randrange(7):
            case 0:
                stamp = bad_stamp
            case 1:
                good = bad_signature
            case 2:
                stamp, good = bad_stamp, bad_signature
            case 3:
                body += b"x"
            case 4:
                extra = [("X-Slack-Bolt-Lazy-Only", "1"), ("x-slack-bolt-lazy-function-name", "x")]
            case 5:
                extra = [("X-Slack-Signature", good)]
            case _:
                extra = [("Content-Encoding", self._dice.choice(("gzip", "deflate", "br", "x")))]
        return request("unsigned", body, content_type, stamp, good, extra)

    def _other(self) -> Input:
        """Other methods and other paths."""
        path = self._dice.choice(
            (
                "/healthz",
                "/readyz",
                EVENTS,
                "/",
                "/metrics",
                "/slack",
                "//slack/events",
                "/healthz/..",
            )
        )
        query = self._dice.choice(
            ("", "?a=b", "?" + quote_plus("<!channel>"), "?%00", "?" + "a" * 2000)
        )
        method = self._dice.choice(
            ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW")
        )
        body = self._dice.choice((b"", b"{}", b"x" * 3000))
        head = f"{method} {path}{query} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        return Input(kind="other", raw=head.encode() + body)

    def _no_http(self) -> Input:
        """Bytes that are no request."""
        made = self._dice.choice(
            (
                b"\r\n\r\n",
                b"GET\r\n\r\n",
                b"POST /slack/events HTTP/9.9\r\nHost: x\r\n\r\n",
                b"POST /slack/events HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
                b"POST /slack/events HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 6\r\n\r\nhello",
                b"POST /slack/events HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nContent-Length: 8\r\n\r\n",
                b"POST /slack/events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\nx\r\n0\r\n\r\n",
                b"POST /slack/events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
                b"POST /slack/events HTTP/1.1\r\nHost: x\r\nX-Slack-Signature: "
                + CANARY.encode()
                + b"\x00\r\n\r\n",
                b"POST /slack/events HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 20_000 + b"\r\n\r\n",
                b"POST /slack/events HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 2_000 + b"\r\n",
                b"POST " + b"/a" * 10_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
                b"POST /slack/events HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n",
                b"POST /slack/events HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
                b"POST /slack/events HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
                self._dice.randbytes(self._dice.randrange(1, 400)) + b"\r\n\r\n",
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            )
        )
        return Input(kind="no_http", raw=made)


def signature(body: bytes, stamp: str, secret: str = SECRET) -> str:
    signed = b"v0:" + stamp.encode() + b":" + body
    return "v0=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


def encoded(content_type: str, document: dict[str, Any]) -> bytes:
    """The document as Slack would send it; halves of surrogate pairs go as JSON's escapes."""
    if content_type == JSON:
        return json.dumps(document).encode()
    if "type" in document or "view" in document or "actions" in document:
        return urlencode({"payload": json.dumps(document)}).encode()
    fields = {str(k): v if isinstance(v, str) else json.dumps(v) for k, v in document.items()}
    return urlencode(fields, errors="surrogatepass").encode()


def request(
    kind: str,
    body: bytes,
    content_type: str,
    stamp: str,
    signed: str,
    extra: Sequence[tuple[str, str]] = (),
) -> Input:
    headers = [
        ("Host", "x"),
        *([("Content-Type", content_type)] if content_type else []),
        ("Content-Length", str(len(body))),
        ("X-Slack-Request-Timestamp", stamp),
        ("X-Slack-Signature", signed),
        *extra,
    ]
    head = f"POST {EVENTS} HTTP/1.1\r\n" + "".join(
        f"{name}: {value}\r\n" for name, value in headers
    )
    return Input(kind=kind, raw=head.encode("utf-8", "surrogatepass") + b"\r\n" + body)
