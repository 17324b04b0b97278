"""The Postgres that a laptop gets: two databases, four roles, closed to everybody else, gone with its users."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import secrets
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg

from bot.domain.errors import SayableError
from bot.playground.postgres_programs import Programs, choose_account, find_programs
from bot.playground.postgres_server import (
    Membership,
    Place,
    exclusive,
    give_to_owner,
    join,
    leave,
    make_cluster,
    make_home,
    prepare_place,
)

SUPERUSER = "postgres"
LEDGER_OWNER = "mimawari_owner"
LEDGER_APP = "mimawari_app"
LEDGER_READER = "mimawari_reader"
MARKET_OWNER = "market_owner"
MARKET_READER = "market_reader"
LEDGER_DATABASE = "mimawari"
MARKET_DATABASE = "market"

_ROLES = {
    LEDGER_OWNER: "LOGIN",
    LEDGER_APP: "LOGIN",
    LEDGER_READER: "LOGIN CONNECTION LIMIT 10",
    MARKET_OWNER: "LOGIN",
    # The limit keeps a runaway scan from taking every connection.
    MARKET_READER: "LOGIN CONNECTION LIMIT 30",
}

DATABASES = (
    (LEDGER_DATABASE, LEDGER_OWNER, (LEDGER_APP, LEDGER_READER)),
    (MARKET_DATABASE, MARKET_OWNER, (MARKET_READER,)),
)
"""Name, owner, and who else may enter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A running server, as its users see it."""

    socket_folder: Path
    passwords: Mapping[str, str] = field(repr=False)

    def dsn(self, database: str, role: str) -> str:
        host = quote(str(self.socket_folder), safe="/")
        return f"postgresql://{role}:{self.passwords[role]}@/{database}?host={host}"

    def environment(self) -> dict[str, str]:
        """The settings with which another process of ours uses this server."""
        return {
            "DATABASE_URL": self.dsn(LEDGER_DATABASE, LEDGER_APP),
            "DATABASE_OWNER_URL": self.dsn(LEDGER_DATABASE, LEDGER_OWNER),
            "DATABASE_READER_URL": self.dsn(LEDGER_DATABASE, LEDGER_READER),
            "MARKET_DATABASE_URL": self.dsn(MARKET_DATABASE, MARKET_READER),
        }

    async def create_database(
        self, name: str, *, owner: str, guests: tuple[str, ...] = (), template: str = "template0"
    ) -> None:
        """Make a database that only its owner and guests may enter, and in which only the owner may create."""
        async with self.superuser() as conn:
            await _create_database(conn, name, owner=owner, guests=guests, template=template)

    async def drop_database(self, name: str) -> None:
        """Drop it, whoever is still connected."""
        async with self.superuser() as conn:
            await conn.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    @asynccontextmanager
    async def superuser(self, database: str = "postgres") -> AsyncIterator[Any]:
        """A connection that may do everything, for setting up and for tests."""
        conn = await asyncpg.connect(self.dsn(database, SUPERUSER))
        try:
            yield conn
        finally:
            await conn.close()


@asynccontextmanager
async def embedded_postgres(
    folder: Path, *, programs: Path | None = None, settings: Mapping[str, str] | None = None
) -> AsyncIterator[Server]:
    """A server on `folder`/<major version>, shared by all processes of ours that enter this on the same folder.

    It stops when the last of them is gone, after `kill -9` too. What it holds stays for the next run.

    Raises:
        SayableError: no server can be had here; the sentence says why and what to do.
    """
    membership, passwords = await asyncio.to_thread(_enter, folder, programs, settings or {})
    try:
        yield Server(socket_folder=membership.socket_folder, passwords=passwords)
    finally:
        await asyncio.to_thread(_exit, membership)


async def serve_database(
    folder: Path, *, as_json: bool, write: Callable[[str], None], programs: Path | None = None
) -> None:
    """Keep the server up until we are told to stop, and say first how to reach it."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        async with embedded_postgres(folder, programs=programs) as server:
            environment = server.environment()
            if as_json:
                write(json.dumps(environment))
            else:
                # Quoted: a shell would take the ? for a pattern.
                for name, value in environment.items():
                    write(f"{name}='{value}'")
            await stop.wait()
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def grant_market_reader(owner_dsn: str, schema: str = "market") -> None:
    """Let the reader see the contract's relations, those made later too, and nothing beside that schema."""
    conn = await asyncpg.connect(owner_dsn)
    try:
        await conn.execute(
            f"GRANT USAGE ON SCHEMA {schema} TO {MARKET_READER};"
            f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {MARKET_READER};"
            f"ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT SELECT ON TABLES TO {MARKET_READER}"
        )
    finally:
        await conn.close()


@contextmanager
def only_one(folder: Path, what: str) -> Iterator[None]:
    """Refuse a second process that wants to be `what` on this folder; a dead one is no hindrance.

    Raises:
        SayableError: another process is it already.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{what}.lock").open("a+", encoding="ascii") as lock:
        lock.seek(0)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SayableError(
                f"`mimawari {what}` already runs on this folder (process {lock.read().strip()}):"
                " use that one, or stop it first."
            ) from error
        lock.truncate()
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _enter(
    folder: Path, programs_folder: Path | None, settings: Mapping[str, str]
) -> tuple[Membership, dict[str, str]]:
    folder = folder.absolute()
    account = choose_account(folder)
    programs = find_programs(account, programs_folder)
    home = folder / str(programs.major)
    try:
        make_home(home, account)
        with exclusive(home):
            place = prepare_place(home, account)
            passwords = _passwords(place)
            if not place.data.exists():
                make_cluster(place, programs, passwords[SUPERUSER])
            return _join(place, programs, passwords, settings), passwords
    except PermissionError as error:
        raise SayableError(
            f"The database folder {home} belongs to another user: run mimawari as that user,"
            " remove the folder, or set DATABASE_URL to a server of yours."
        ) from error
    except OSError as error:
        raise SayableError(
            f"The database cannot live in {home}: {error}. Free or mend that folder,"
            " or set DATABASE_URL to a server of yours."
        ) from error


def _join(
    place: Place, programs: Programs, passwords: Mapping[str, str], settings: Mapping[str, str]
) -> Membership:
    """Join until the server that we joined is there to stay: its last user may just have been killed."""
    for _ in range(5):
        membership = join(place, programs, settings)
        server = Server(socket_folder=membership.socket_folder, passwords=passwords)
        stays = False
        try:
            asyncio.run(_set_up(server) if membership.started_here else _greet(server))
            stays = membership.is_alive()
        except (OSError, asyncpg.PostgresError):
            if membership.started_here:
                raise
        finally:
            if not stays:
                leave(membership)
        if stays:
            return membership
    raise SayableError(f"The Postgres server in {place.home} does not stay up: see {place.log}.")


def _exit(membership: Membership) -> None:
    with exclusive(membership.place.home):
        leave(membership)


def _passwords(place: Place) -> dict[str, str]:
    """The generated passwords; they are written before the cluster that knows them is made."""
    path = place.home / "passwords.json"
    try:
        passwords: dict[str, str] = json.loads(path.read_text(encoding="ascii"))
        if all(role in passwords for role in (SUPERUSER, *_ROLES)):
            return passwords
    except FileNotFoundError:
        if place.data.exists():
            raise SayableError(
                f"{path} is gone, and nobody enters the database without it:"
                f" put it back, or remove {place.home} to start afresh."
            ) from None
        passwords = {}
    # A cluster that an earlier version made does not know the roles that came since.
    passwords = {
        role: passwords.get(role) or secrets.token_urlsafe(24) for role in (SUPERUSER, *_ROLES)
    }
    unfinished = path.with_suffix(".unfinished")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        json.dump(passwords, file)
        file.flush()
        os.fsync(descriptor)
    give_to_owner(unfinished)
    unfinished.rename(path)
    return passwords


async def _greet(server: Server) -> None:
    async with server.superuser() as conn:
        await conn.execute("SELECT 1")


async def _set_up(server: Server) -> None:
    """Make the roles and databases that are not there yet."""
    async with server.superuser() as conn:
        there = {row["rolname"] for row in await conn.fetch("SELECT rolname FROM pg_roles")}
        for role, attributes in _ROLES.items():
            if role not in there:
                # A generated password has no quote in it; CREATE ROLE takes no parameters.
                await conn.execute(
                    f"CREATE ROLE {role} {attributes} PASSWORD '{server.passwords[role]}'"
                )
        await conn.execute(
            f"ALTER ROLE {MARKET_READER} SET default_transaction_read_only = on;"
            f"ALTER ROLE {LEDGER_READER} SET default_transaction_read_only = on;"
            "REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC"
        )
        there = {row["datname"] for row in await conn.fetch("SELECT datname FROM pg_database")}
        for name, owner, guests in DATABASES:
            if name not in there:
                await _create_database(conn, name, owner=owner, guests=guests)
            else:
                await _close_database(conn, name, guests=guests)


async def _create_database(
    conn: Any, name: str, *, owner: str, guests: tuple[str, ...], template: str = "template0"
) -> None:
    await conn.execute(f'CREATE DATABASE "{name}" OWNER {owner} TEMPLATE "{template}"')
    await _close_database(conn, name, guests=guests)


async def _close_database(conn: Any, name: str, *, guests: tuple[str, ...]) -> None:
    # PUBLIC could connect and make temporary tables.
    await conn.execute(f'REVOKE ALL ON DATABASE "{name}" FROM PUBLIC')
    for guest in guests:
        await conn.execute(f'GRANT CONNECT ON DATABASE "{name}" TO {guest}')
