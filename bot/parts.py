"""Single parts built from the settings: for the app, and for commands that need one of them and not all of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import aiohttp

from bot.actions import registry
from bot.detections.detection import BUILT_IN
from bot.detections.redash_map import MappedQuery, read_redash_map
from bot.domain.errors import SayableError
from bot.market.ledger_reader import LedgerReader
from bot.market.redash import RedashApi
from bot.market.selecting import Limits as SelectLimits
from bot.settings import Settings, read_secret, require

HTTP_TIMEOUT = aiohttp.ClientTimeout(total=10, connect=5)


def secret_of(value: object) -> str:
    """What a secret setting holds; empty where it is not set."""
    return value.get_secret_value() if hasattr(value, "get_secret_value") else ""


def detection_folders(settings: Settings) -> Sequence[Path]:
    """The built-in detections, and the operators' own where there are some.

    Raises:
        SayableError: DETECTIONS_DIR is no folder.
    """
    if settings.detections_dir is None:
        return [BUILT_IN]
    if not settings.detections_dir.is_dir():
        raise SayableError(
            f"DETECTIONS_DIR names {settings.detections_dir}, which is no folder: make it, or unset the setting."
        )
    return [BUILT_IN, settings.detections_dir]


def redash_queries_of(settings: Settings) -> tuple[MappedQuery, ...]:
    """The queries of the Redash map; none where there is no map.

    Raises:
        SayableError: the map is wrong, or Redash is set up only in part.
    """
    if settings.redash_map is None:
        if settings.redash_url is not None or settings.redash_webhook_secret is not None:
            require(settings, "redash_map")
        return ()
    require(settings, "redash_url")
    queries = read_redash_map(settings.redash_map, actions=registry())
    if settings.redash_api_key is None and any(one.key_env is None for one in queries):
        require(settings, "redash_api_key")
    return queries


def redash_api_of(
    settings: Settings, queries: Sequence[MappedQuery], session: aiohttp.ClientSession
) -> RedashApi:
    """The Redash that the settings name.

    Raises:
        SayableError: a key is missing.
    """
    require(settings, "redash_url")
    return RedashApi(
        session,
        settings.redash_url or "",
        secret_of(settings.redash_api_key) or None,
        query_keys={
            one.query_id: read_secret(one.key_env) for one in queries if one.key_env is not None
        },
        largest=settings.detection_bytes,
    )


def ledger_reader_of(settings: Settings) -> LedgerReader | None:
    """What detections over our own ledger read through; None where no role was made for it."""
    url = secret_of(settings.database_reader_url)
    return LedgerReader(url) if url else None


def select_limits(settings: Settings) -> SelectLimits:
    """What one run of a detection may cost at most."""
    return SelectLimits(
        seconds=settings.detection_seconds,
        rows=settings.detection_rows,
        bytes=settings.detection_bytes,
    )
