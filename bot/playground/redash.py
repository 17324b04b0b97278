"""A strict local Redash: its API, its alerts and its webhook as they are, with every trap that they have.

Written from its source (v25.1): states and rearming (tasks/alerts.py), evaluation (models), the webhook
destination, what an unknown key is answered, jobs, and that a failing query evaluates nothing.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
from aiohttp import web

NO_LOGIN = "Couldn't find resource. Please login and try again."
NO_RESULT = "No cached result found for this query."
UNKNOWN, OK, TRIGGERED = "unknown", "ok", "triggered"
WEBHOOK_TIMEOUT_S = 5.0
_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    ">": lambda value, threshold: value > threshold,
    ">=": lambda value, threshold: value >= threshold,
    "<": lambda value, threshold: value < threshold,
    "<=": lambda value, threshold: value <= threshold,
    "==": lambda value, threshold: value == threshold,
    "!=": lambda value, threshold: value != threshold,
    "greater than": lambda value, threshold: value > threshold,
    "less than": lambda value, threshold: value < threshold,
    "equals": lambda value, threshold: value == threshold,
}
Rows = Sequence[Mapping[str, Any]]


class QueryFailsError(Exception):
    """What the database says of a query that it refuses."""


@dataclass(kw_only=True)
class Query:
    """A saved query; `run` stands for its database."""

    query_id: int
    name: str
    text: str
    run: Callable[[Mapping[str, Any]], Rows]
    interval_s: int | None = 60
    columns: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    is_archived: bool = False
    api_key: str = ""
    is_hidden: bool = False
    """Of a data source that the user's groups may not view."""
    latest_id: int | None = None
    failures: int = 0


@dataclass(kw_only=True)
class Alert:
    """One value of one query, compared."""

    alert_id: int
    name: str
    query_id: int
    options: dict[str, Any]
    rearm: int | None = None
    state: str = UNKNOWN
    last_triggered_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A webhook that was sent, and what it was answered; None: nothing came in time."""

    payload: dict[str, Any]
    status: int | None


@dataclass(kw_only=True)
class Webhook:
    """An alert destination of the type Webhook."""

    url: str
    username: str | None = None
    password: str | None = None
    version: int = 25
    """10: no `metadata`; 2019: `description` at the top."""


@dataclass(kw_only=True)
class _Result:
    result_id: int
    query_id: int
    query_hash: str
    columns: list[dict[str, Any]]
    rows: list[dict[str, Any]]
    retrieved_at: datetime
    text: str


@dataclass(kw_only=True)
class _Job:
    job_id: str
    looks_left: int
    query: Query
    parameters: Mapping[str, Any]
    status: int = 1
    error: str = ""
    result_id: int | None = None


@dataclass(kw_only=True)
class Redash:
    """Everything that one Redash knows."""

    user_key: str
    webhook: Webhook | None = None
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    webhook_timeout_s: float = WEBHOOK_TIMEOUT_S
    job_looks: int = 2
    """A job is queued, then started, for so many looks each."""
    is_away: bool = False
    queries: dict[int, Query] = field(default_factory=dict)
    alerts: dict[int, Alert] = field(default_factory=dict)
    sent: list[Sent] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    """Method and path of every request, in order."""
    _results: dict[int, _Result] = field(default_factory=dict)
    _jobs: dict[str, _Job] = field(default_factory=dict)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1000))

    # ---- What people set up

    def add_query(
        self,
        query_id: int,
        run: Callable[[Mapping[str, Any]], Rows] | Rows,
        *,
        name: str = "",
        text: str = "SELECT 1",
        interval_s: int | None = 60,
        columns: Sequence[str] = (),
        parameters: Sequence[str] = (),
    ) -> Query:
        rows_of = run if callable(run) else (lambda _, rows=run: rows)
        query = Query(
            query_id=query_id,
            name=name or f"Query {query_id}",
            text=text,
            run=rows_of,
            interval_s=interval_s,
            columns=tuple(columns),
            parameters=tuple(parameters),
            api_key=hashlib.sha256(f"key of {query_id}".encode()).hexdigest()[:40],
        )
        self.queries[query_id] = query
        return query

    def add_alert(
        self,
        alert_id: int,
        query_id: int,
        *,
        column: str,
        op: str = ">",
        value: Any = 0,
        selector: str | None = "first",
        rearm: int | None = None,
        **options: Any,
    ) -> Alert:
        told = {"column": column, "op": op, "value": value, "muted": False, **options}
        if selector is not None:
            told["selector"] = selector
        alert = Alert(
            alert_id=alert_id,
            name=f"Alert {alert_id}",
            query_id=query_id,
            options=told,
            rearm=rearm,
        )
        self.alerts[alert_id] = alert
        return alert

    # ---- What Redash does by itself

    async def refresh(self, query_id: int, *, scheduled: bool = True) -> bool:
        """Run a query as its schedule or a person does; False: its database refused it, and nothing follows."""
        query = self.queries[query_id]
        if query.parameters and scheduled:
            # It has no values to run with, and its alerts stay what they were.
            return False
        try:
            result = self._store(query, {})
        except QueryFailsError:
            query.failures += 1
            return False
        query.failures = 0
        query.latest_id = result.result_id
        await self._check_alerts(query, scheduled=scheduled)
        return True

    async def evaluate(self, alert_id: int) -> None:
        """`POST /api/alerts/<id>/eval`: notifies whatever comes of it, and with no metadata."""
        alert = self.alerts[alert_id]
        state = self._evaluate(alert)
        if self._should_notify(alert, state):
            alert.state, alert.last_triggered_at = state, self.now()
        await self._notify(alert, {})

    async def _check_alerts(self, query: Query, *, scheduled: bool) -> None:
        for alert in [one for one in self.alerts.values() if one.query_id == query.query_id]:
            try:
                state = self._evaluate(alert)
            except TypeError:
                # `min` or `max` over a NULL: the job dies, and the alerts after it are never looked at.
                return
            if not self._should_notify(alert, state):
                continue
            before, alert.state = alert.state, state
            alert.last_triggered_at = self.now()
            if (before, state) == (UNKNOWN, OK) or alert.options.get("muted"):
                continue
            metadata = {
                "query_id": query.query_id,
                "Username": "cre@example.com",
                "Queue": "scheduled_queries",
                "Job ID": "3b0c5b3e-8a5c-4d2b-9a53-1a2b3c4d5e6f",
                "Query Hash": _hash_of(query.text),
                "Scheduled": scheduled,
            }
            await self._notify(alert, metadata)

    def _evaluate(self, alert: Alert) -> str:
        query = self.queries[alert.query_id]
        result = self._results.get(query.latest_id or 0)
        if result is None or not result.rows or alert.options["column"] not in result.rows[0]:
            # No row is not `ok`: a query that lists offenders never says that they are gone.
            return UNKNOWN
        column = alert.options["column"]
        match alert.options.get("selector", "first"):
            case "max":
                value = max(row[column] for row in result.rows)
            case "min":
                value = min(row[column] for row in result.rows)
            case _:
                value = result.rows[0][column]
        threshold = alert.options["value"]
        try:
            value, threshold = float(value), float(threshold)
        except ValueError:
            value, threshold = str(value), str(threshold)
        holds = _OPERATORS[alert.options["op"]](value, threshold)
        return TRIGGERED if holds else OK

    def _should_notify(self, alert: Alert, state: str) -> bool:
        again = bool(
            alert.rearm
            and alert.last_triggered_at
            and alert.last_triggered_at + timedelta(seconds=alert.rearm) < self.now()
        )
        return state != alert.state or (alert.state == TRIGGERED and again)

    async def _notify(self, alert: Alert, metadata: Mapping[str, Any]) -> None:
        """One request, five seconds, no second try, and whatever goes wrong is only in Redash's own log."""
        if self.webhook is None:
            return
        custom = alert.options.get("custom_body") or alert.options.get("custom_subject")
        if custom and "selector" not in alert.options:
            return  # a KeyError inside the destination, which swallows it
        payload = self._payload(alert, metadata)
        headers = {"Content-Type": "application/json"}
        if self.webhook.username:
            # As the library does that Redash sends with.
            login = f"{self.webhook.username}:{self.webhook.password or ''}".encode("latin1")
            headers["Authorization"] = f"Basic {b64encode(login).decode()}"
        status = None
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.post(
                    self.webhook.url,
                    data=json.dumps(payload).encode(),
                    headers=headers,
                    timeout=aiohttp.ClientTimeout(total=self.webhook_timeout_s),
                ) as response,
            ):
                status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError):
            pass
        self.sent.append(Sent(payload=payload, status=status))

    def _payload(self, alert: Alert, metadata: Mapping[str, Any]) -> dict[str, Any]:
        version = self.webhook.version if self.webhook else 25
        told = {
            **_alert_json(alert),
            "query_id": alert.query_id,
            "user_id": 7,
            "description": alert.options.get("custom_body", ""),
            "title": alert.options.get("custom_subject", ""),
        }
        payload = {
            "event": "alert_state_change",
            "alert": told,
            "url_base": "https://redash.example.com",
        }
        if version == 2019:
            payload["description"] = told.pop("description")
            told.pop("title")
        elif version >= 25:
            payload["metadata"] = dict(metadata)
        return payload

    def _store(self, query: Query, parameters: Mapping[str, Any]) -> _Result:
        rows = [dict(row) for row in query.run(parameters)]
        names = list(rows[0]) if rows else list(query.columns)
        result = _Result(
            result_id=next(self._numbers),
            query_id=query.query_id,
            query_hash=_hash_of(query.text),
            columns=[{"name": name, "friendly_name": name, "type": "string"} for name in names],
            rows=rows,
            retrieved_at=self.now(),
            text=_filled(query.text, parameters),
        )
        self._results[result.result_id] = result
        return result

    # ---- Its API

    def add_to(self, app: web.Application) -> None:
        app.router.add_get("/api/alerts", self._get_alerts)
        app.router.add_get("/api/alerts/{alert_id:[0-9]+}", self._get_alert)
        app.router.add_get("/api/queries/{query_id:[0-9]+}", self._get_query)
        app.router.add_get("/api/queries/{query_id:[0-9]+}/results", self._get_latest)
        app.router.add_get("/api/queries/{query_id:[0-9]+}/results.json", self._get_latest)
        app.router.add_get(
            "/api/queries/{query_id:[0-9]+}/results/{result_id:[0-9]+}.json", self._get_result
        )
        app.router.add_post("/api/queries/{query_id:[0-9]+}/results", self._run)
        app.router.add_get("/api/jobs/{job_id}", self._get_job)

    @web.middleware
    async def guard(
        self, request: web.Request, handler: Callable[[web.Request], Any]
    ) -> web.StreamResponse:
        """Who has no key is told that there is nothing, with 404 and not 401."""
        self.requests.append(f"{request.method} {request.path}")
        if self.is_away:
            raise web.HTTPBadGateway(text="<html>502 Bad Gateway</html>")
        if not self._may(request):
            return web.json_response({"message": NO_LOGIN}, status=404)
        answer: web.StreamResponse = await handler(request)
        return answer

    def _may(self, request: web.Request) -> bool:
        scheme, _, told = request.headers.get("Authorization", "").partition(" ")
        key = told if scheme == "Key" else request.query.get("api_key", "")
        if key == self.user_key:
            return True
        # A query's own key opens only paths that have its number.
        query = self.queries.get(int(request.match_info.get("query_id", "0")))
        return bool(key) and query is not None and key == query.api_key

    async def _get_alerts(self, _: web.Request) -> web.Response:
        return web.json_response([self._full(alert) for alert in self.alerts.values()])

    async def _get_alert(self, request: web.Request) -> web.Response:
        alert = self.alerts.get(int(request.match_info["alert_id"]))
        return _not_found() if alert is None else web.json_response(self._full(alert))

    def _full(self, alert: Alert) -> dict[str, Any]:
        return {
            **_alert_json(alert),
            "query": self._query_json(self.queries[alert.query_id]),
            "user": {"id": 7, "name": "CRE", "email": "cre@example.com"},
        }

    def _query_json(self, query: Query) -> dict[str, Any]:
        schedule = None
        if query.interval_s is not None:
            schedule = {
                "interval": query.interval_s,
                "time": None,
                "day_of_week": None,
                "until": None,
            }
        return {
            "id": query.query_id,
            "latest_query_data_id": query.latest_id,
            "name": query.name,
            "description": None,
            "query": query.text,
            "query_hash": _hash_of(query.text),
            "schedule": schedule,
            "api_key": query.api_key,
            "is_archived": query.is_archived,
            "is_draft": False,
            "data_source_id": 1,
            "options": {
                "parameters": [
                    {"name": name, "title": name, "type": "text", "value": ""}
                    for name in query.parameters
                ]
            },
            "version": 1,
            "tags": [],
            "is_safe": True,
        }

    async def _get_query(self, request: web.Request) -> web.Response:
        query = self.queries.get(int(request.match_info["query_id"]))
        if query is not None and query.is_hidden:
            return web.json_response({"message": "Forbidden"}, status=403)
        return _not_found() if query is None else web.json_response(self._query_json(query))

    async def _get_latest(self, request: web.Request) -> web.Response:
        query = self.queries.get(int(request.match_info["query_id"]))
        if query is None:
            return _not_found()
        result = self._results.get(query.latest_id or 0)
        if result is None:
            return web.json_response({"message": NO_RESULT}, status=404)
        return web.json_response({"query_result": _result_json(result)})

    async def _get_result(self, request: web.Request) -> web.Response:
        result = self._results.get(int(request.match_info["result_id"]))
        if result is None or result.query_id != int(request.match_info["query_id"]):
            return _not_found()
        return web.json_response({"query_result": _result_json(result)})

    async def _run(self, request: web.Request) -> web.Response:
        query = self.queries.get(int(request.match_info["query_id"]))
        if query is None:
            return _not_found()
        asked = await request.json()
        parameters: Mapping[str, Any] = asked.get("parameters", {})
        max_age = int(asked.get("max_age", -1))
        missing = [name for name in query.parameters if name not in parameters]
        if missing:
            error = f"Missing parameter value for: {', '.join(missing)}"
            return web.json_response({"job": {"status": 4, "error": error}}, status=400)
        text = _filled(query.text, parameters)
        for result in sorted(self._results.values(), key=lambda one: -one.result_id):
            age = (self.now() - result.retrieved_at).total_seconds()
            is_cached = result.query_id == query.query_id and result.text == text
            if is_cached and max_age != 0 and (max_age == -1 or age <= max_age):
                return web.json_response({"query_result": _result_json(result)})
        job_id = f"{next(self._numbers):08d}-8a5c-4d2b-9a53-1a2b3c4d5e6f"
        job = _Job(job_id=job_id, looks_left=2 * self.job_looks, query=query, parameters=parameters)
        self._jobs[job_id] = job
        return web.json_response({"job": _job_json(job)})

    async def _get_job(self, request: web.Request) -> web.Response:
        job = self._jobs.get(request.match_info["job_id"])
        if job is None:
            return _not_found()
        await self._go_on(job)
        return web.json_response({"job": _job_json(job)})

    async def _go_on(self, job: _Job) -> None:
        if job.status in {3, 4}:
            return
        job.looks_left -= 1
        job.status = 1 if job.looks_left > self.job_looks else 2
        if job.looks_left > 0:
            return
        try:
            result = self._store(job.query, job.parameters)
        except QueryFailsError as error:
            job.status, job.error = 4, str(error)
            return
        job.status, job.result_id = 3, result.result_id
        if not job.parameters:
            job.query.latest_id = result.result_id
            await self._check_alerts(job.query, scheduled=False)


@asynccontextmanager
async def serve_redash(
    redash: Redash, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[str]:
    """Serve it over HTTP; gives its address."""
    app = web.Application(middlewares=[redash.guard])
    redash.add_to(app)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield f"http://{host}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def _not_found() -> web.Response:
    return web.json_response(
        {
            "message": "The requested URL was not found on the server. If you entered the URL manually please check"
            " your spelling and try again."
        },
        status=404,
    )


def _alert_json(alert: Alert) -> dict[str, Any]:
    at = alert.last_triggered_at
    return {
        "id": alert.alert_id,
        "name": alert.name,
        "options": dict(alert.options),
        "state": alert.state,
        "last_triggered_at": None if at is None else _moment(at),
        "updated_at": _moment(at or datetime(2026, 10, 1, tzinfo=UTC)),
        "created_at": "2026-10-01T02:11:09.100Z",
        "rearm": alert.rearm,
    }


def _result_json(result: _Result) -> dict[str, Any]:
    return {
        "id": result.result_id,
        "query_hash": result.query_hash,
        "query": result.text,
        "data": {"columns": result.columns, "rows": result.rows},
        "data_source_id": 1,
        "runtime": 0.12,
        "retrieved_at": _moment(result.retrieved_at),
    }


def _job_json(job: _Job) -> dict[str, Any]:
    return {
        "id": job.job_id,
        "updated_at": 0,
        "status": job.status,
        "error": job.error,
        "result": job.result_id,
        "query_result_id": job.result_id,
    }


def _moment(moment: datetime) -> str:
    """Milliseconds and a Z, as Redash's encoder writes it."""
    return (
        moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
    )


def _hash_of(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _filled(text: str, parameters: Mapping[str, Any]) -> str:
    return re.sub(
        r"\{\{\s*(\w+)\s*\}\}", lambda found: str(parameters.get(found[1], found[0])), text
    )
