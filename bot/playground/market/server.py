"""The demo marketplace's admin API: contract/market-api.yaml, complete and strict."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
from aiohttp import web

from bot.domain.clock import Clock, WallClock
from bot.playground.market import page
from bot.playground.market.bodies import BodyError, parse_body, parse_plan_query, parse_time
from bot.playground.market.drafts import KINDS, TEMPLATES, Draft, Refused, draft, step_json
from bot.playground.market.effects import apply, create_schema, plain
from bot.playground.market.faults import (
    OF_THE_CONNECTION,
    OF_THE_EXECUTION,
    Fault,
    Faults,
    Setting,
)
from bot.playground.web import local_only

__all__ = ["Marketplace", "create_schema", "serve_marketplace"]

logger = logging.getLogger(__name__)

KEY_WINDOW_S = 7 * 24 * 3600
EXECUTION_BOUND_S = 30
PAGE_SIZE = 100
_COLLECTIONS = {
    "orders": "order_id",
    "accounts": "account_id",
    "listings": "listing_id",
    "posts": "post_id",
}
_VERB_OF_PATH = {
    ("orders", "refunds"): "refund",
    ("accounts", "remove-follows"): "remove_follows",
    ("posts", "remove"): "remove_post",
    ("posts", "restore"): "restore_post",
}


class Marketplace:
    """One demo marketplace over the contract's tables; `dsn` is the owner's address."""

    def __init__(
        self,
        dsn: str,
        *,
        token: str,
        clock: Clock | None = None,
        faults: Faults | None = None,
    ) -> None:
        self._dsn = dsn
        self._token = token
        self.clock = clock or WallClock()
        self.faults = faults or Faults()
        self.classes: dict[str, str] = dict.fromkeys(KINDS, "key")
        """How far each verb can be trusted: key, lookup or none; a verb that is left out is not offered."""
        self.pool: Any = None
        self._secret = b""
        self._later: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        await create_schema(self._dsn)
        self.pool = await asyncpg.create_pool(self._dsn, min_size=1, max_size=8)
        secret = await self.pool.fetchval(
            "SELECT value FROM backoffice.secrets WHERE name = 'plan_token'"
        )
        self._secret = str(secret).encode()

    async def stop(self) -> None:
        for task in self._later:
            task.cancel()
        await asyncio.gather(*self._later, return_exceptions=True)
        await self.pool.close()

    # ---- Used by the page and by tests

    async def effects(self, subject_id: str | None = None) -> list[dict[str, Any]]:
        """What really happened, one row an effect: the proof that nothing happened twice."""
        rows = await self.pool.fetch(
            """SELECT idempotency_key, kind, subject_id, amount, currency FROM backoffice.effects
                WHERE $1::text IS NULL OR subject_id = $1 ORDER BY effect_id""",
            subject_id,
        )
        return [dict(row) for row in rows]

    async def carry_out(
        self, kind: str, subject_id: str, body: Mapping[str, Any], *, key: str
    ) -> tuple[int, dict[str, Any]]:
        """One request, answered as the contract says: the HTTP status and the body."""
        request_hash = _hash_of({"kind": kind, "subject": subject_id, "body": plain(dict(body))})
        setting = self.faults.strike(kind, OF_THE_EXECUTION)
        delay_s = setting.seconds if setting else 0.0
        pending = setting is not None and setting.fault is Fault.PENDING
        failing = setting is not None and setting.fault is Fault.STEP_FAILS
        async with self.pool.acquire() as conn, conn.transaction():
            # Held until the commit: a second request under this key meets it and is told to wait.
            free = await conn.fetchval(
                "SELECT pg_try_advisory_xact_lock(hashtextextended($1, 7))", key
            )
            if not free:
                return 409, {"code": "in_progress", "message": "The first request is under way."}
            if self.classes[kind] == "key":
                stored = await conn.fetchrow(
                    "SELECT * FROM backoffice.operations WHERE idempotency_key = $1", key
                )
                if stored is not None:
                    return _replay(stored, request_hash)
            if setting is not None and setting.fault is Fault.SLOW:
                await asyncio.sleep(delay_s)
            now = self.clock.now()
            if pending:
                completes_at = now + timedelta(seconds=delay_s)
                outcome: dict[str, Any] = {"state": "pending"}
                await self._store(
                    conn, kind, subject_id, body, key, request_hash, 202, outcome, completes_at
                )
                return 202, await self._operation(conn, key)
            status, outcome = await self._execute(
                conn, kind, subject_id, body, key=key, last_step_fails=failing
            )
            await self._store(
                conn, kind, subject_id, body, key, request_hash, status, outcome, None
            )
            if "failure" in outcome:
                return status, outcome["failure"]
            return status, await self._operation(conn, key)

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
            drafted = await draft(conn, kind, subject_id, body, now)
        except LookupError:
            return 404, {
                "state": "failed",
                "failure": {"code": "not_found", "message": f"There is no {subject_id}."},
            }
        refused = drafted.refused
        token = body.get("plan_token")
        if token is not None and not hmac.compare_digest(
            str(token).encode(), drafted.token(self._secret).encode()
        ):
            refused = refused or Refused(
                code="state_changed", message="What it would do has changed since the plan."
            )
        if refused is not None:
            return refused.status, {"state": "failed", "failure": refused.as_problem()}
        await apply(conn, drafted, key=key, now=now)
        return 200, _outcome_of(drafted, body, last_step_fails=last_step_fails)

    async def _store(
        self,
        conn: Any,
        kind: str,
        subject_id: str,
        body: Mapping[str, Any],
        key: str,
        request_hash: str,
        status: int,
        outcome: Mapping[str, Any],
        completes_at: datetime | None,
    ) -> None:
        await conn.execute(
            """INSERT INTO backoffice.operations (operation_id, idempotency_key, kind, subject_id, body,
                 request_hash, state, http_status, outcome, received_at, completes_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)""",
            f"mo_{uuid4().hex}",
            key,
            kind,
            subject_id,
            json.dumps(plain(dict(body))),
            request_hash,
            outcome["state"],
            status,
            json.dumps(outcome),
            self.clock.now(),
            completes_at,
        )

    async def _operation(self, conn: Any, key: str) -> dict[str, Any]:
        row = await conn.fetchrow(
            "SELECT * FROM backoffice.operations WHERE idempotency_key = $1 ORDER BY seq DESC LIMIT 1",
            key,
        )
        return operation_json(row)

    async def find(self, key: str) -> dict[str, Any] | None:
        """The stored operation of a key; a pending one whose time has come is carried out first."""
        async with self.pool.acquire() as conn, conn.transaction():
            row = await conn.fetchrow(
                """SELECT * FROM backoffice.operations WHERE idempotency_key = $1
                    ORDER BY seq LIMIT 1 FOR UPDATE""",
                key,
            )
            if row is None or self.classes.get(row["kind"]) == "none":
                return None
            if row["state"] == "pending" and row["completes_at"] <= self.clock.now():
                body = _with_times(json.loads(row["body"]))
                status, outcome = await self._execute(
                    conn, row["kind"], row["subject_id"], body, key=key
                )
                await self._complete(conn, row["seq"], status, outcome)
                return await self._operation(conn, key)
            return operation_json(row)

    async def retry(self, key: str) -> tuple[int, dict[str, Any]]:
        """Run the failed steps of a partly succeeded operation again."""
        async with self.pool.acquire() as conn, conn.transaction():
            row = await conn.fetchrow(
                "SELECT * FROM backoffice.operations WHERE idempotency_key = $1 ORDER BY seq LIMIT 1 FOR UPDATE",
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
                await self._complete(conn, row["seq"], 200, outcome)
            return 200, await self._operation(conn, key)

    async def _complete(self, conn: Any, seq: int, status: int, outcome: Mapping[str, Any]) -> None:
        await conn.execute(
            "UPDATE backoffice.operations SET state = $2, http_status = $3, outcome = $4 WHERE seq = $1",
            seq,
            outcome["state"],
            status,
            json.dumps(outcome),
        )

    async def plan(self, kind: str, subject_id: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """The contract's plan. Raises LookupError."""
        async with self.pool.acquire() as conn, conn.transaction():
            return (await draft(conn, kind, subject_id, params, self.clock.now())).as_plan(
                self._secret
            )

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
        page.add_routes(app, self)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if not request.path.startswith("/v1/"):
            local_only(request)
            answer: web.StreamResponse = await handler(request)
            return answer
        given = request.headers.get("Authorization", "").encode()
        if not hmac.compare_digest(given, f"Bearer {self._token}".encode()):
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
                        "execution_bound_s": EXECUTION_BOUND_S,
                        **({"key_window_s": KEY_WINDOW_S} if idempotency == "key" else {}),
                        **({"templates": list(TEMPLATES)} if kind == "warn" else {}),
                    }
                    for kind, idempotency in self.classes.items()
                ]
            }
        )

    async def _get_subject(self, request: web.Request) -> web.Response:
        collection, subject_id = request.match_info["collection"], request.match_info["id"]
        key = _COLLECTIONS.get(collection)
        row = None
        if key is not None:
            row = await self.pool.fetchrow(
                f"SELECT * FROM market.{collection} WHERE {key} = $1",  # noqa: S608 - our own names
                subject_id,
            )
        if row is None:
            return _problem(404, "not_found", f"There is no {subject_id}.")
        record = plain(dict(row))
        if collection == "orders":
            for related in ("order_items", "refunds", "payment_attempts", "chargebacks"):
                rows = await self.pool.fetch(
                    f"SELECT * FROM market.{related} WHERE order_id = $1",  # noqa: S608
                    subject_id,
                )
                record[related] = [plain(dict(one)) for one in rows]
        return web.json_response(record)

    async def _get_plan(self, request: web.Request) -> web.Response:
        collection, subject_id = request.match_info["collection"], request.match_info["id"]
        kind, params = parse_plan_query(request.query)
        if KINDS[kind] != collection or kind not in self.classes:
            return _problem(422, "not_offered", f"{kind} is not offered for {collection}.")
        try:
            return web.json_response(await self.plan(kind, subject_id, params))
        except LookupError:
            return _problem(404, "not_found", f"There is no {subject_id}.")

    async def _post_verb(self, request: web.Request) -> web.StreamResponse:
        collection, subject_id = request.match_info["collection"], request.match_info["id"]
        path = request.match_info["verb"]
        kind = _VERB_OF_PATH.get((collection, path), path)
        if KINDS.get(kind) != collection or kind not in self.classes:
            return _problem(404, "not_offered", f"{path} is not offered for {collection}.")
        key = _key_of(request)
        body = parse_body(kind, await request.read(), request.content_type)
        struck = self.faults.strike(kind, OF_THE_CONNECTION)
        if struck is not None:
            answered = await self._struck_before(request, struck, kind, subject_id, body, key)
            if answered is not None:
                return answered
        status, answer = await self.carry_out(kind, subject_id, body, key=key)
        if struck is not None and struck.fault is Fault.ANSWER_LOST:
            _hang_up(request)
        if struck is not None and struck.fault is Fault.ERROR_AFTER:
            return _problem(500, "error", "Something went wrong.")
        return web.json_response(answer, status=status)

    async def _struck_before(
        self,
        request: web.Request,
        setting: Setting,
        kind: str,
        subject_id: str,
        body: Mapping[str, Any],
        key: str,
    ) -> web.StreamResponse | None:
        match setting.fault:
            case Fault.ERROR_BEFORE:
                return _problem(500, "error", "Something went wrong.")
            case Fault.UNAVAILABLE:
                return _problem(503, "unavailable", "Try again.", retry_after_s=setting.seconds)
            case Fault.TOO_MANY:
                return _problem(
                    429, "too_many_requests", "Slow down.", retry_after_s=setting.seconds
                )
            case Fault.LATE:
                task = asyncio.create_task(self._late(setting.seconds, kind, subject_id, body, key))
                self._later.add(task)
                task.add_done_callback(self._later.discard)
                _hang_up(request)
                return _problem(500, "error", "Nobody reads this.")
            case _:
                return None

    async def _late(
        self, seconds: float, kind: str, subject_id: str, body: Mapping[str, Any], key: str
    ) -> None:
        await asyncio.sleep(seconds)
        await self.carry_out(kind, subject_id, body, key=key)

    async def _get_operation(self, request: web.Request) -> web.Response:
        found = await self.find(request.match_info["key"])
        if found is None:
            return _problem(404, "not_found", "No request with this key was received.")
        return web.json_response(found)

    async def _post_retry(self, request: web.Request) -> web.Response:
        status, answer = await self.retry(request.match_info["key"])
        return web.json_response(answer, status=status)

    async def _get_operations(self, request: web.Request) -> web.Response:
        since = parse_time(request.query.get("since"), "since")
        cursor = request.query.get("cursor", "0")
        if not cursor.isascii() or not cursor.isdigit() or len(cursor) > 18:
            raise BodyError("invalid_cursor", "`cursor` must come from an earlier page.", 422)
        rows = await self.pool.fetch(
            """SELECT * FROM backoffice.operations
                WHERE seq > $1 AND ($2::timestamptz IS NULL OR received_at >= $2)
                ORDER BY seq LIMIT $3""",
            int(cursor),
            since,
            PAGE_SIZE + 1,
        )
        answer: dict[str, Any] = {"operations": [operation_json(row) for row in rows[:PAGE_SIZE]]}
        if len(rows) > PAGE_SIZE:
            answer["next_cursor"] = str(rows[PAGE_SIZE - 1]["seq"])
        return web.json_response(answer)


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


def _key_of(request: web.Request) -> str:
    keys = request.headers.getall("Idempotency-Key", [])
    if len(keys) != 1 or not 8 <= len(keys[0]) <= 128:
        raise BodyError(
            "invalid_idempotency_key", "Idempotency-Key must have 8 to 128 characters.", 400
        )
    return keys[0]


def _hash_of(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _hang_up(request: web.Request) -> None:
    """Close the connection under the caller's feet."""
    with suppress(AttributeError):
        request.transport.abort()  # type: ignore[union-attr]  # a closed one is None: suppressed


def _problem(
    status: int, code: str, message: str, *, retry_after_s: float | None = None
) -> web.Response:
    headers = {} if retry_after_s is None else {"Retry-After": str(max(1, round(retry_after_s)))}
    return web.json_response({"code": code, "message": message}, status=status, headers=headers)
