"""Alembic's environment: online only, over asyncpg, all in the schema `ledger`."""

from __future__ import annotations

import asyncio

from alembic import context
from sqlalchemy import Connection, text
from sqlalchemy.pool import NullPool

from bot.ledger.engine import create_engine


def run(connection: Connection) -> None:
    connection.execute(text("SET lock_timeout = '5s'"))
    connection.execute(text("SET statement_timeout = '5min'"))
    connection.execute(text("CREATE SCHEMA IF NOT EXISTS ledger"))
    connection.commit()
    context.configure(
        connection=connection, version_table_schema="ledger", transaction_per_migration=True
    )
    with context.begin_transaction():
        context.run_migrations()


async def run_online() -> None:
    engine = create_engine(context.config.attributes["dsn"], poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(run)
            await connection.commit()
    finally:
        await engine.dispose()


asyncio.run(run_online())
