"""Connections to the ledger."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from bot.domain.errors import SayableError

APPLICATION_NAME = "mimawari"


def create_engine(dsn: str, **options: Any) -> AsyncEngine:
    """An engine for a `postgresql://` DSN; sockets (`?host=/dir`) work as well.

    Raises:
        SayableError: the text is no PostgreSQL address.
    """
    # An error would carry the statement's values, words of people among them, into the log.
    return create_async_engine(sqlalchemy_url(dsn), hide_parameters=True, **options)


@asynccontextmanager
async def snapshot(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection whose reads all see the same moment, so that a case is not read half before and half
    after a decision.
    """
    async with engine.connect() as conn:
        yield await conn.execution_options(isolation_level="REPEATABLE READ")


def sqlalchemy_url(dsn: str) -> str:
    parts = urlsplit(dsn)
    if parts.scheme not in {"postgresql", "postgres", "postgresql+asyncpg"}:
        raise SayableError(
            "A database address must look like postgresql://user:password@host:5432/database."
        )
    # asyncpg takes no sslmode through SQLAlchemy; `ssl` is its own name for the same setting.
    query = [("ssl" if key == "sslmode" else key, value) for key, value in parse_qsl(parts.query)]
    return urlunsplit(("postgresql+asyncpg", parts.netloc, parts.path, urlencode(query), ""))
