"""The demo marketplace's admin API: contract/market-api.yaml, complete and strict."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
from aiohttp import web

from bot.domain.clock import Clock, WallClock
from bot.playground.market import page, switchboard
from bot.playground.market.bodies import (
    BodyError,
    parse_body,
    parse_id,
    parse_key,
    parse_plan_query,
    parse_time,
)
from bot.playground.market.drafts import KINDS, TEMPLATES, Draft, Refused, draft, step_json
from bot.playground.market.effects import apply, create_schema, plain
from bot.playground.market.faults import (
    OF_THE_CONNECTION,
    OF_THE_EXECUTION,
    Fault,
    Faults,
    Setting,
)
from bot.playground.market.flavours import DEFAULT, Flavour
from bot.playground.market.subjects import COLLECTIONS, read_subject
from bot.playground.web import local_only

__all__ = ["Marketplace", "create_schema", "serve_marketplace"]

logger = logging.getLogger(__name__)

KEY_WINDOW_S = 7 * 24 * 3600
EXECUTION_BOUND_S = 30
PAGE_SIZE = 100
COMPLETION_POLL_S = 0.2
_VERB_OF_PATH = {
    ("orders", "refunds"): "refund",
    ("accounts", "remove-follows"): "remove_follows",
    ("posts", "remove"): "remove_post",
    ("posts", "restore"): "restore_post",
}
_BEFORE = frozenset({Fault.ERROR_BEFORE, Fault.UNAVAILABLE, Fault.TOO_MANY})
_IN_PROGRESS = (
    409,
    {"code": "in_progress", "message": "The first request under this key is still under way."},
)


class Marketplace:
    """One demo marketplace over the contract's tables; `dsn` is the owner's address."""

    def __init__(
        self,
        dsn: str,
        *,
        token: str,
        clock: Clock | None = None,
        faults: Faults | None = None,
        flavour: Flavour = DEFAULT,
        key_window_s: int = KEY_WINDOW_S,
        execution_bound_s: int = EXECUTION_BOUND_S,
    ) -> None:
        self._dsn = dsn
        self._token = token
        self.flavour = flavour
        self.clock = clock or WallClock()
        self.faults = faults or Faults()
        self.key_window_s = key_window_s
        self.execution_bound_s = execution_bound_s
        self.classes: dict[str, str] = dict.fromkeys(KINDS, "key")
        """How far each verb can be trusted: key, lookup or none; a verb that is left out is not offered."""
        self.pool: Any = None
        self._secret = b""
        self._later: set[asyncio.Task[None]] = set()
        self._under_way: set[str] = set()

    async def start(self) -> None:
        await create_schema(self._dsn)
        self.pool = await asyncpg.create_pool(self._dsn, min_size=1, max_size=8)
        secret = await self.pool.fetchval(
            "SELECT value FROM backoffice.secrets WHERE name = 'plan_token'"
        )
        self._secret = str(secret).encode()
        self._keep(self._complete_as_time_passes())

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        """Run it beside the requests, until it ends or the marketplace stops."""
        task = asyncio.create_task(work)
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    async def stop(self) -> None:
        for task in self._later:
            task.cancel()
        await asyncio.gather(*self._later, return_exceptions=True)
        await self.pool.close()

    # ---- Used by the page and by tests

    async def effects(self, subject_id: str | None = None) -> list[dict[str, Any]]:
        """What really happened, one row an effect: the proof that nothing happened twice."""
        rows = await self.pool.fetch(
            """SELECT idempotency_key, kind, subject_id, amount, currency, at FROM backoffice.effects
                WHERE $1::text IS NULL OR subject_id = $1 ORDER BY effect_id""",
            subject_id,
        )
        return [dict(row) for row in rows]

    async def carry_out(
        self,
        kind: str,
        subject_id: str,
        body: Mapping[str, Any],
        *,
        key: str,
        struck: Setting | None = None,
    ) -> tuple[int, dict[str, Any]]:
        """One request, answered as the contract says: the HTTP status and the body."""
        keyless = self.faults.disobeys(Fault.KEY_IGNORED, kind)
        if keyless or self.classes.get(kind, "key") != "key":
            return await self._carry_out(kind, subject_id, body, key, struck, once=False)
        if key in self._under_way:
            return _IN_PROGRESS
        self._under_way.add(key)
        try:
            return await self._carry_out(kind, subject_id, body, key, struck, once=True)
        finally:
            self._under_way.discard(key)

    async def _carry_out(
        self,
        kind: str,
        subject_id: str,
        body: Mapping[str, Any],
        key: str,
        struck: Setting | None,
        *,
        once: bool,
    ) -> tuple[int, dict[str, Any]]:
        fault = struck.fault if struck else None
        seconds = struck.seconds if struck else None
        if fault is Fault.SLOW:
            await asyncio.sleep(seconds or 0)
        received = _Received(
            kind=kind,
            subject_id=subject_id,
            body=plain(dict(body)),
            key=key,
            at=self.clock.now(),
        )
        async with self.pool.acquire() as conn, conn.transaction():
            if once:
                # Held until the commit: a second request that reached another process is told to wait.
                if not await conn.fetchval(
                    "SELECT pg_try_advisory_xact_lock(hashtextextended($1, 7))", key
                ):
                    return _IN_PROGRESS
                stored = await conn.fetchrow(
                    "SELECT * FROM backoffice.operations WHERE idempotency_key = $1 FOR UPDATE", key
                )
                if stored is not None and not self._forgets(stored):
                    hash_ = received.hash
                    if self.faults.disobeys(Fault.MISMATCH_ACCEPTED, kind):
                        hash_ = stored["request_hash"]
                    return _replay(await self._complete_if_due(conn, stored), hash_)
            if fault is Fault.PENDING:
                completes_at = None if seconds is None else received.at + timedelta(seconds=seconds)
                row = await _store(conn, received, 202, {"state": "pending"}, completes_at)
                return 202, operation_json(row)
            status, outcome = await self._execute(
                conn, kind, subject_id, body, key=key, last_step_fails=fault is Fault.STEP_FAILS
            )
            row = await _store(conn, received, status, outcome)
            return status, outcome.get("failure") or operation_json(row)

    def _forgets(self, stored: Any) -> bool:
        return stored["state"] == "failed" and self.faults.disobeys(
            Fault.REFUSAL_FORGOTTEN, stored["kind"]
        )

    async def _draft(
        self, conn: Any, kind: str, subject_id: str, params: Mapping[str, Any], now: datetime
    ) -> Draft:
        """Raises LookupError."""
        if kind == "cancel" and self.faults.disobeys(Fault.WITHHOLD_IGNORED, kind):
            params = {**params, "refund_policy": "normal"}
        return await draft(conn, kind, subject_id, params, now, self.flavour.letters)

    async def _execute(
        self,
        conn: Any,
        kind: str,
        subject_id: str,
        body: Mapping[str, Any],
        *,
        key: str,
        last_step_fails: bool = False,
    ) -> tuple[int, dict[str, Any]]:
        """Check, compare the plan, act: all inside the caller's transaction."""
        now = self.clock.now()
        try:
            drafted = await self._draft(conn, kind, subject_id, body, now)
        except LookupError:
            return 404, {
                "state": "failed",
                "failure": {"code": "not_found", "message": f"There is no {subject_id}."},
            }
        refused = drafted.refused
        token = body.get("plan_token")
        fits = token is None or hmac.compare_digest(
            str(token).encode(), drafted.token(self._secret).encode()
        )
        if not fits and not self.faults.disobeys(Fault.TOKEN_IGNORED, kind):
            refused = refused or Refused(
                code="state_changed", message="What it would do has changed since the plan."
            )
        if refused is not None:
            return refused.status, {"state": "failed", "failure": refused.as_problem()}
        if not self.faults.disobeys(Fault.ANSWER_MADE_UP, kind):
            await apply(conn, drafted, key=key, now=now)
        return 200, _outcome_of(drafted, body, last_step_fails=last_step_fails)

    async def find(self, key: str) -> dict[str, Any] | None:
        """The stored operation of a key, as far as the verb's class lets anybody ask."""
        async with self.pool.acquire() as conn, conn.transaction():
            # Without class `key` there may be several; the one that had an effect tells.
            row = await conn.fetchrow(
                """SELECT * FROM backoffice.operations WHERE idempotency_key = $1
                    ORDER BY state = 'failed', seq LIMIT 1 FOR UPDATE""",
                key,
            )
            if row is None or self.classes.get(row["kind"]) == "none":
                return None
            if self.faults.disobeys(Fault.OUTCOME_FORGOTTEN, row["kind"]):
                return None
            return operation_json(await self._complete_if_due(conn, row))

    async def complete(self, key: str) -> None:
        """Carry out what is pending under this key now."""
        async with self.pool.acquire() as conn, conn.transaction():
            for row in await conn.fetch(
                """SELECT * FROM backoffice.operations
                    WHERE idempotency_key = $1 AND state = 'pending' ORDER BY seq FOR UPDATE""",
                key,
            ):
                await self._complete(conn, row)

    async def _complete_as_time_passes(self) -> None:
        """Carry out pending operations when their time has come, whether or not anybody asks."""
        while True:
            try:
                while await self._complete_next():
                    pass
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
                logger.warning("pending operations must wait: %s", type(error).__name__)
            await asyncio.sleep(COMPLETION_POLL_S)

    async def _complete_next(self) -> bool:
        async with self.pool.acquire() as conn, conn.transaction():
            row = await conn.fetchrow(
                """SELECT * FROM backoffice.operations
                    WHERE state = 'pending' AND completes_at <= $1
                    ORDER BY completes_at, seq LIMIT 1 FOR UPDATE SKIP LOCKED""",
                self.clock.now(),
            )
            if row is not None:
                await self._complete(conn, row)
            return row is not None

    async def _complete_if_due(self, conn: Any, row: Any) -> Any:
        due = row["completes_at"]
        if row["state"] != "pending" or due is None or due > self.clock.now():
            return row
        return await self._complete(conn, row)

    async def _complete(self, conn: Any, row: Any) -> Any:
        status, outcome = await self._execute(
            conn,
            row["kind"],
            row["subject_id"],
            _with_times(json.loads(row["body"])),
            key=row["idempotency_key"],
        )
        return await _settle(conn, row["seq"], status, outcome)

    async def retry(self, key: str) -> tuple[int, dict[str, Any]]:
        """Run the failed steps of a partly succeeded operation again."""
        async with self.pool.acquire() as conn, conn.transaction():
            row = await conn.fetchrow(
                """SELECT * FROM backoffice.operations WHERE idempotency_key = $1
                    ORDER BY state = 'failed', seq LIMIT 1 FOR UPDATE""",
                key,
            )
            if row is None:
                return 404, {"code": "not_found", "message": "There is no such operation."}
            if row["state"] != "partly_succeeded":
                return 409, {"code": "nothing_to_retry", "message": "No step of it has failed."}
            outcome = json.loads(row["outcome"])
            fails = self.faults.strike(row["kind"], frozenset({Fault.STEP_FAILS}))
            if fails is None:
                for step in outcome["steps"]:
                    step["state"] = "done"
                    step.pop("detail", None)
                outcome["state"] = "succeeded"
                row = await _settle(conn, row["seq"], 200, outcome)
            return 200, operation_json(row)

    async def plan(self, kind: str, subject_id: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """The contract's plan. Raises LookupError."""
        async with self.pool.acquire() as conn, conn.transaction():
            drafted = await self._draft(conn, kind, subject_id, params, self.clock.now())
            return drafted.as_plan(self._secret)

    # ---- HTTP

    def web_app(self) -> web.Application:
        """The admin API below /v1 and the back office's pages beside it."""
        app = web.Application(middlewares=[self._guard], client_max_size=64 * 1024)
        app.router.add_get("/v1/capabilities", self._get_capabilities)
        app.router.add_get("/v1/operations", self._get_operations)
        app.router.add_get("/v1/operations/{key}", self._get_operation)
        app.router.add_post("/v1/operations/{key}/retry", self._post_retry)
        app.router.add_get("/v1/{collection}/{id}/plan", self._get_plan)
        app.router.add_get("/v1/{collection}/{id}", self._get_subject)
        app.router.add_post("/v1/{collection}/{id}/{verb}", self._post_verb)
        switchboard.add_routes(app, self)
        page.add_routes(app, self)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if not request.path.startswith("/v1/"):
            local_only(request)
            answer: web.StreamResponse = await handler(request)
            return answer
        given = request.headers.get("Authorization", "").encode()
        known = hmac.compare_digest(given, f"Bearer {self._token}".encode())
        if not known and not self.faults.disobeys(Fault.ANYBODY_LET_IN, ""):
            return _problem(401, "unauthorized", "The bearer token is missing or wrong.")
        try:
            answer = await handler(request)
        except web.HTTPNotFound:
            return _problem(404, "not_found", "There is no such path.")
        except web.HTTPMethodNotAllowed:
            return _problem(405, "method_not_allowed", "This path does not take this method.")
        except web.HTTPRequestEntityTooLarge:
            return _problem(413, "too_large", "The body is too large.")
        except BodyError as error:
            return _problem(error.status, error.code, str(error))
        return answer

    async def _get_capabilities(self, _: web.Request) -> web.Response:
        return web.json_response(
            {
                "kinds": [
                    {
                        "kind": kind,
                        "idempotency": idempotency,
                        "execution_bound_s": self.execution_bound_s,
                        **({"key_window_s": self.key_window_s} if idempotency == "key" else {}),
                        **({"templates": list(TEMPLATES)} if kind == "warn" else {}),
                    }
                    for kind, idempotency in self.classes.items()
                ]
            }
        )

    async def _get_subject(self, request: web.Request) -> web.Response:
        collection, subject_id = (
            request.match_info["collection"],
            parse_id(request.match_info["id"]),
        )
        if collection not in COLLECTIONS:
            return _problem(404, "not_found", "There is no such path.")
        record = await read_subject(self.pool, collection, subject_id)
        if record is None:
            return _problem(404, "not_found", f"There is no {subject_id}.")
        return web.json_response(record)

    async def _get_plan(self, request: web.Request) -> web.Response:
        collection, subject_id = (
            request.match_info["collection"],
            parse_id(request.match_info["id"]),
        )
        kind, params = parse_plan_query(request.query)
        if KINDS[kind] != collection or kind not in self.classes:
            return _problem(422, "not_offered", f"{kind} is not offered for {collection}.")
        try:
            return web.json_response(await self.plan(kind, subject_id, params))
        except LookupError:
            return _problem(404, "not_found", f"There is no {subject_id}.")

    async def _post_verb(self, request: web.Request) -> web.StreamResponse:
        collection, subject_id = (
            request.match_info["collection"],
            parse_id(request.match_info["id"]),
        )
        path = request.match_info["verb"]
        kind = _VERB_OF_PATH.get((collection, path), path)
        if KINDS.get(kind) != collection or kind not in self.classes:
            return _problem(404, "not_offered", f"{path} is not offered for {collection}.")
        keys = request.headers.getall("Idempotency-Key", [])
        if not keys and self.faults.disobeys(Fault.KEY_NOT_NEEDED, kind):
            keys = [uuid4().hex]
        key = parse_key(keys)
        body = parse_body(kind, await request.read(), request.content_type)
        struck = self.faults.strike(kind, OF_THE_CONNECTION)
        if struck is not None and struck.fault in _BEFORE:
            return _turn_away(struck)
        execution = self.carry_out(
            kind,
            subject_id,
            body,
            key=key,
            struck=self.faults.strike(kind, OF_THE_EXECUTION),
        )
        if struck is not None and struck.fault is Fault.LATE:
            self._keep(_later(struck.seconds or 0, execution))
            _hang_up(request)
            return _problem(500, "error", "Nobody reads this.")
        status, answer = await execution
        if struck is not None and struck.fault is Fault.ANSWER_LOST:
            _hang_up(request)
        if struck is not None and struck.fault is Fault.ERROR_AFTER:
            return _problem(500, "error", "Something went wrong.")
        return web.json_response(answer, status=status)

    async def _get_operation(self, request: web.Request) -> web.Response:
        found = await self.find(parse_id(request.match_info["key"]))
        if found is None:
            return _problem(404, "not_found", "No request with this key was received.")
        return web.json_response(found)

    async def _post_retry(self, request: web.Request) -> web.Response:
        status, answer = await self.retry(parse_id(request.match_info["key"]))
        return web.json_response(answer, status=status)

    async def _get_operations(self, request: web.Request) -> web.Response:
        since = parse_time(request.query.get("since"), "since")
        cursor = request.query.get("cursor", "0")
        if not cursor.isascii() or not cursor.isdigit() or len(cursor) > 18:
            raise BodyError("invalid_cursor", "`cursor` must come from an earlier page.", 422)
        rows = await self.pool.fetch(
            """SELECT * FROM backoffice.operations
                WHERE seq > $1 AND ($2::timestamptz IS NULL OR received_at >= $2) AND kind <> ALL ($4)
                ORDER BY seq LIMIT $3""",
            int(cursor),
            since,
            PAGE_SIZE + 1,
            [kind for kind, declared in self.classes.items() if declared == "none"],
        )
        answer: dict[str, Any] = {"operations": [operation_json(row) for row in rows[:PAGE_SIZE]]}
        if len(rows) > PAGE_SIZE:
            answer["next_cursor"] = str(rows[PAGE_SIZE - 1]["seq"])
        return web.json_response(answer)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Received:
    """One request for a verb; its body as JSON has it."""

    kind: str
    subject_id: str
    body: dict[str, Any]
    key: str
    at: datetime

    @property
    def hash(self) -> str:
        content = {"kind": self.kind, "subject": self.subject_id, "body": self.body}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


async def _store(
    conn: Any,
    received: _Received,
    status: int,
    outcome: Mapping[str, Any],
    completes_at: datetime | None = None,
) -> Any:
    # Numbers must be visible in their order: a reader that follows the list would never come
    # back for a lower one that was committed later. So this is a transaction's last step.
    await conn.execute("SELECT pg_advisory_xact_lock(hashtextextended('backoffice.operations', 8))")
    return await conn.fetchrow(
        """INSERT INTO backoffice.operations (operation_id, idempotency_key, kind, subject_id, body,
             request_hash, state, http_status, outcome, received_at, completes_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING *""",
        f"mo_{uuid4().hex}",
        received.key,
        received.kind,
        received.subject_id,
        json.dumps(received.body),
        received.hash,
        outcome["state"],
        status,
        json.dumps(outcome),
        received.at,
        completes_at,
    )


async def _settle(conn: Any, seq: int, status: int, outcome: Mapping[str, Any]) -> Any:
    return await conn.fetchrow(
        """UPDATE backoffice.operations SET state = $2, http_status = $3, outcome = $4
            WHERE seq = $1 RETURNING *""",
        seq,
        outcome["state"],
        status,
        json.dumps(outcome),
    )


async def _later(seconds: float, work: Coroutine[Any, Any, object]) -> None:
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        work.close()
        raise
    await work


def _turn_away(struck: Setting) -> web.Response:
    match struck.fault:
        case Fault.UNAVAILABLE:
            return _problem(503, "unavailable", "Try again.", retry_after_s=struck.seconds)
        case Fault.TOO_MANY:
            return _problem(429, "too_many_requests", "Slow down.", retry_after_s=struck.seconds)
        case _:
            return _problem(500, "error", "Something went wrong.")


@asynccontextmanager
async def serve_marketplace(marketplace: Marketplace, host: str, port: int) -> AsyncIterator[str]:
    """Serve until left; port 0 takes a free one. Gives the address without a slash at its end."""
    await marketplace.start()
    runner = web.AppRunner(marketplace.web_app(), access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        yield f"http://{host}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
        await marketplace.stop()


def operation_json(row: Any) -> dict[str, Any]:
    """The contract's Operation."""
    outcome = json.loads(row["outcome"])
    return {
        "operation_id": row["operation_id"],
        "idempotency_key": row["idempotency_key"],
        "kind": row["kind"],
        "subject_id": row["subject_id"],
        "received_at": row["received_at"].isoformat(),
        **outcome,
    }


def _outcome_of(
    drafted: Draft, body: Mapping[str, Any], *, last_step_fails: bool
) -> dict[str, Any]:
    steps = []
    for name, amount in drafted.steps:
        silent = (name == "notify_buyer" and body.get("notify_buyer") is False) or (
            name == "notify_seller" and body.get("notify_seller") is False
        )
        steps.append(step_json(name, "skipped" if silent else "done", amount))
    if last_step_fails:
        steps[-1] = {**steps[-1], "state": "failed", "detail": "The mail server did not answer."}
    return {
        "state": "partly_succeeded" if last_step_fails else "succeeded",
        "before": plain(dict(drafted.before)),
        "after": plain(dict(drafted.after)),
        "steps": steps,
    }


def _replay(stored: Any, request_hash: str) -> tuple[int, dict[str, Any]]:
    if stored["request_hash"] != request_hash:
        return 422, {
            "code": "idempotency_mismatch",
            "message": "This key was used for another request.",
        }
    operation = operation_json(stored)
    if "failure" in operation:
        return stored["http_status"], operation["failure"]
    return 202 if stored["state"] == "pending" else 200, operation


def _with_times(body: dict[str, Any]) -> dict[str, Any]:
    if "since" in body:
        body["since"] = parse_time(body["since"], "since")
    return body


def _hang_up(request: web.Request) -> None:
    """Close the connection under the caller's feet."""
    with suppress(AttributeError):
        request.transport.abort()  # type: ignore[union-attr]  # a closed one is None: suppressed


def _problem(
    status: int, code: str, message: str, *, retry_after_s: float | None = None
) -> web.Response:
    headers = {} if retry_after_s is None else {"Retry-After": str(max(1, round(retry_after_s)))}
    return web.json_response({"code": code, "message": message}, status=status, headers=headers)
