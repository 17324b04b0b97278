"""Slack's rate limits: buckets by method, and for posts also by channel."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from bot.playground.workspace.api_errors import ApiError


class Tier(Enum):
    """Calls a minute, and how many may come at once; Slack publishes the first only."""

    ONE = (1, 5)
    TWO = (20, 20)
    THREE = (50, 50)
    FOUR = (100, 100)
    SPECIAL = (600, 600)
    POSTS = (300, 300)
    """All posts of an app in a workspace: "several hundred messages per minute"."""
    CHANNEL = (60, 3)
    """Posts to one channel: about one a second, bursts tolerated."""


@dataclass(slots=True)
class _Bucket:
    level: float
    at: float


class RateLimits:
    """Counts calls; `scale` multiplies every limit, so that tests need not wait."""

    def __init__(self, scale: float = 1.0, now: Callable[[], float] = time.monotonic) -> None:
        self.scale = scale
        self._now = now
        self._buckets: dict[tuple[str, ...], _Bucket] = {}

    def take(self, tier: Tier, *key: str) -> None:
        """Count one call.

        Raises:
            ApiError: `ratelimited`; the call was not counted.
        """
        per_minute, burst = tier.value
        per_s, capacity = per_minute * self.scale / 60, max(1.0, burst * self.scale)
        now = self._now()
        bucket = self._buckets.setdefault(key, _Bucket(capacity, now))
        bucket.level = min(capacity, bucket.level + (now - bucket.at) * per_s)
        bucket.at = now
        if bucket.level < 1:
            raise ApiError("ratelimited", retry_after=max(1, math.ceil((1 - bucket.level) / per_s)))
        bucket.level -= 1
