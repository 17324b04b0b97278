"""The client of Redash's API: its alerts, its queries, and the rows that they returned last."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import aiohttp

from bot.domain.redash import AlertState, StrangePayloadError, read_alert, read_moment
from bot.market.answers import kind_of_loss

_SMALL = 256 * 1024
_LARGE = 20_000_000
_LOGIN = "login"
_LONGEST_NAME = 300
_FINISHED, _FAILED, _CANCELED = 3, 4, 5
_WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryInfo:
    """A query as it stands in Redash; its own API key is left where it is."""

    query_id: int
    name: str
    sql: str
    query_hash: str
    latest_result_id: int | None
    every: timedelta | None
    """How often Redash runs it by itself; None: it does not."""
    is_archived: bool
    parameters: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The rows that a query returned once."""

    result_id: int
    retrieved_at: datetime
    columns: tuple[str, ...]
    rows: tuple[Mapping[str, Any], ...]


class RedashFault(Exception):
    """Why Redash gave nothing, in a sentence without a key."""


class RedashAway(RedashFault):
    """It does not answer, or not now: it may at the next try."""


class RedashKeyRefused(RedashFault):
    """The key is wrong, or may not see this."""


class RedashHasNone(RedashFault):
    """There is no such query, or no result of it yet."""


class RedashQueryFails(RedashFault):
    """Its database refused the query, or its run was cancelled."""


class RedashApi:
    """Speaks to one Redash, with a user's key, or with each query's own. Every text that comes back is data."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        base_url: str,
        key: str | None = None,
        *,
        query_keys: Mapping[int, str] | None = None,
        timeout_s: float = 30,
        job_timeout_s: float = 60,
        job_poll_s: float = 1.0,
        largest: int = _LARGE,
    ) -> None:
        self._session = session
        self.base_url = base_url.rstrip("/")
        self._key = key
        self._query_keys = dict(query_keys or {})
        self._timeout_s = timeout_s
        self._job_timeout_s = job_timeout_s
        self._job_poll_s = job_poll_s
        self._largest = largest

    @property
    def sees_alerts(self) -> bool:
        """A query's own key opens nothing but that query."""
        return self._key is not None

    async def alerts(self) -> tuple[AlertState, ...]:
        """Every alert that the user may see; one of a shape that we do not know is left out.

        Raises:
            RedashFault: see there.
        """
        answer = await self._ask("GET", "/api/alerts", self._key)
        if not isinstance(answer, list):
            raise RedashAway("Redash's list of alerts is no list.")
        found = []
        for one in answer:
            try:
                found.append(read_alert(one))
            except StrangePayloadError:
                continue
        return tuple(found)

    async def query(self, query_id: int) -> QueryInfo:
        """Raises RedashFault."""
        answer = await self._ask("GET", f"/api/queries/{query_id}", self._key_of(query_id))
        try:
            options = answer.get("options") or {}
            latest = answer.get("latest_query_data_id")
            return QueryInfo(
                query_id=query_id,
                name=str(answer["name"])[:_LONGEST_NAME],
                sql=str(answer["query"]),
                query_hash=str(answer.get("query_hash") or ""),
                latest_result_id=None if latest is None else int(latest),
                every=_every(answer.get("schedule")),
                is_archived=bool(answer.get("is_archived")),
                parameters=tuple(
                    one for one in options.get("parameters") or () if isinstance(one, dict)
                ),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise RedashAway(
                f"Redash's query {query_id} is not as Redash tells queries."
            ) from error

    async def result(self, query_id: int) -> Result:
        """What the query returned last. Raises RedashFault; RedashHasNone where it never ran."""
        answer = await self._ask(
            "GET", f"/api/queries/{query_id}/results.json", self._key_of(query_id)
        )
        return _result(answer, query_id)

    async def run(self, query_id: int, parameters: Mapping[str, Any], max_age: timedelta) -> Result:
        """What the query returns with these parameters: a result that is not older, else it is run now.

        Raises:
            RedashFault: see there; RedashQueryFails where its database refuses it.
        """
        key = self._key_of(query_id)
        answer = await self._ask(
            "POST",
            f"/api/queries/{query_id}/results",
            key,
            body={"parameters": dict(parameters), "max_age": int(max_age.total_seconds())},
        )
        until = time.monotonic() + self._job_timeout_s
        while isinstance(answer, dict) and "query_result" not in answer:
            job = answer.get("job")
            if not isinstance(job, dict) or not isinstance(job.get("status"), int):
                raise RedashAway(f"Redash's answer for query {query_id} is no result and no job.")
            if job["status"] in {_FAILED, _CANCELED}:
                # What the database said may quote rows: it is in Redash, for who may see it there.
                raise RedashQueryFails(
                    f"Redash cannot run query {query_id}: open it there to see why."
                )
            if job["status"] == _FINISHED:
                # Newer versions say it under another name as well.
                result_id = job.get("query_result_id", job.get("result"))
                if not isinstance(result_id, int):
                    raise RedashAway(f"Redash's job for query {query_id} ended without a result.")
                answer = await self._ask(
                    "GET", f"/api/queries/{query_id}/results/{result_id}.json", key
                )
                break
            if time.monotonic() > until:
                raise RedashAway(
                    f"Redash's query {query_id} still runs after {self._job_timeout_s:.0f} s."
                )
            await asyncio.sleep(self._job_poll_s)
            answer = await self._ask("GET", f"/api/jobs/{_job_id(job)}", key)
        return _result(answer, query_id)

    def _key_of(self, query_id: int) -> str | None:
        return self._query_keys.get(query_id, self._key)

    async def _ask(
        self, method: str, path: str, key: str | None, body: Mapping[str, Any] | None = None
    ) -> Any:
        if key is None:
            raise RedashKeyRefused(
                "Redash needs a key: set REDASH_API_KEY, or `key_env` of the query in REDASH_MAP."
            )
        try:
            async with self._session.request(
                method,
                self.base_url + path,
                json=body,
                headers={"Authorization": f"Key {key}", "Accept": "application/json"},
                # A redirect leads to its page to sign in; our key goes nowhere else.
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=self._timeout_s),
            ) as response:
                content = await self._read(response)
                return await self._judge(response.status, content)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise RedashAway(
                f"Redash at REDASH_URL does not answer ({kind_of_loss(error)})."
            ) from error

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        content = bytearray()
        async for chunk in response.content.iter_chunked(65536):
            content += chunk
            if len(content) > self._largest:
                response.close()
                raise RedashFault(
                    f"Redash's result is larger than {self._largest:,} bytes: let the query return fewer rows."
                )
        return bytes(content)

    async def _judge(self, status: int, content: bytes) -> Any:
        if len(content) <= _SMALL:
            answer = _parse(content)
        else:
            answer = await asyncio.to_thread(_parse, content)
        if status == 200:
            if answer is None:
                raise RedashAway("Redash's answer is no JSON: is REDASH_URL its address?")
            return answer
        job = answer.get("job") if status in {400, 403} and isinstance(answer, dict) else None
        if isinstance(job, dict):
            # A paused data source, a missing parameter, a key that may only look.
            raise RedashQueryFails("Redash refuses to run the query: open it there to see why.")
        if status == 404:
            said = str(answer.get("message", "")) if isinstance(answer, dict) else ""
            if _LOGIN in said:
                raise RedashKeyRefused(
                    "Redash does not accept the key (it answers 404 then): set REDASH_API_KEY to a user's key, as at"
                    " the foot of the user's profile, or `key_env` to the query's own."
                )
            raise RedashHasNone("Redash has no such query, or no result of it yet.")
        if status in {301, 302, 303, 307, 308, 401, 403}:
            raise RedashKeyRefused(
                f"Redash's answer is {status}: the key may not see this; use a key of a user who may."
            )
        raise RedashAway(f"Redash's answer is {status}.")


def _parse(content: bytes) -> Any:
    try:
        # A float would lose what a shop's decimals are.
        return json.loads(content, parse_float=Decimal)
    except (ValueError, RecursionError):
        return None


def _result(answer: Any, query_id: int) -> Result:
    try:
        told = answer["query_result"]
        data = told["data"]
        if isinstance(data, str):
            # Version 8 keeps it as text.
            data = json.loads(data, parse_float=Decimal)
        return Result(
            result_id=int(told["id"]),
            retrieved_at=read_moment(told["retrieved_at"]),
            columns=tuple(str(column["name"]) for column in data["columns"]),
            rows=tuple(dict(row) for row in data["rows"]),
        )
    except (KeyError, TypeError, ValueError, RecursionError, OverflowError) as error:
        raise RedashAway(
            f"Redash's result of query {query_id} is not as Redash tells results."
        ) from error


def _job_id(job: Mapping[str, Any]) -> str:
    job_id = str(job.get("id", ""))
    if not 0 < len(job_id) <= 100 or not job_id.replace("-", "").isalnum() or not job_id.isascii():
        raise RedashAway("Redash's job has no id.")
    return job_id


def _every(schedule: Any) -> timedelta | None:
    """`{"interval": 60, "time": null, "day_of_week": null, "until": null}`; the interval is text in old ones."""
    if not isinstance(schedule, dict) or not schedule.get("interval"):
        return None
    seconds = int(schedule["interval"])
    return timedelta(seconds=seconds) if 0 < seconds <= 10 * _WEEK.total_seconds() else None
