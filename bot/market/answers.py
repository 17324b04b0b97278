"""Reads what a marketplace answers over HTTP, within limits: every text in it is data, never trusted."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import aiohttp

MAX_ANSWER = 1024 * 1024
MAX_RETRY_AFTER_S = 3600.0


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer."""

    status: int
    body: Any
    """Parsed JSON; None where it could not be read."""
    retry_after_s: float | None


async def read_answer(response: aiohttp.ClientResponse) -> Answer:
    """The answer, cut off where it is larger than any honest one."""
    content = b""
    async for chunk in response.content.iter_chunked(65536):
        content += chunk
        if len(content) > MAX_ANSWER:
            response.close()
            return Answer(response.status, None, None)
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        body = None
    return Answer(response.status, body, _retry_after(response.headers.get("Retry-After")))


def kind_of_loss(error: Exception) -> str:
    """The kind of a network fault; its text may hold the address."""
    return "timeout" if isinstance(error, TimeoutError) else type(error).__name__


def _retry_after(value: str | None) -> float | None:
    """Seconds to wait, bounded; a date or nonsense means that there is one, and a short wait."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        return 1.0
    return min(max(0.0, seconds), MAX_RETRY_AFTER_S) if math.isfinite(seconds) else 1.0
