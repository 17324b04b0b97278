"""The Postgres that the harness owns: killed with -9 and started again on the same data and the same address."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from bot.ledger.migrate import migrate
from bot.playground.postgres import (
    LEDGER_APP,
    LEDGER_DATABASE,
    LEDGER_OWNER,
    SUPERUSER,
    Server,
    embedded_postgres,
)
from bot.playground.postgres_programs import CLEAN_ENVIRONMENT, choose_account, find_programs

# What is committed survives the death of every process; only a power cut would need more.
SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "on",
    "max_connections": "200",
    "timezone": "UTC",
    "max_parallel_workers_per_gather": "0",
    "restart_after_crash": "off",
}
START_S = 60.0


@dataclass(kw_only=True)
class ChaosPostgres:
    """One server with the migrated ledger in it, which can die."""

    folder: Path
    server: Server | None = None
    restarts: int = 0
    _process: subprocess.Popen[bytes] | None = None
    _log: Path | None = None
    _sockets: Path = field(default_factory=Path)

    @property
    def socket(self) -> Path:
        return self._sockets / ".s.PGSQL.5432"

    @property
    def owner_dsn(self) -> str:
        return self._server.dsn(LEDGER_DATABASE, LEDGER_OWNER)

    @property
    def auditor_dsn(self) -> str:
        """The address of somebody who may look at everything."""
        return self._server.dsn(LEDGER_DATABASE, SUPERUSER)

    def dsn_through(self, port: int) -> str:
        """The application's address by way of a proxy on this port."""
        password = self._server.passwords[LEDGER_APP]
        return f"postgresql://{LEDGER_APP}:{password}@127.0.0.1:{port}/{LEDGER_DATABASE}"

    @property
    def _server(self) -> Server:
        if self.server is None:
            raise RuntimeError("it was not made yet")
        return self.server

    async def make(self) -> None:
        """A cluster with a migrated ledger, then our own server on it."""
        async with embedded_postgres(self.folder, settings={"fsync": "off"}) as made:
            await asyncio.to_thread(migrate, made.dsn(LEDGER_DATABASE, LEDGER_OWNER), LEDGER_APP)
            passwords = dict(made.passwords)
        account = choose_account(self.folder)
        self._sockets = Path(tempfile.mkdtemp(prefix="mimawari-chaos-", dir="/tmp"))
        if account.run_as:
            os.chown(self._sockets, account.uid, account.gid)
        self._log = self.folder / "chaos-postgres.log"
        self.server = Server(socket_folder=self._sockets, passwords=passwords)
        await self.start()

    async def start(self) -> None:
        account = choose_account(self.folder)
        programs = find_programs(account)
        data = (self.folder / str(programs.major) / "cluster").resolve() / "data"
        command = [str(programs.folder / "postgres"), "-D", str(data)]
        for name, value in (SETTINGS | {"unix_socket_directories": str(self._sockets)}).items():
            command += ["-c", f"{name}={value}"]
        with (self.folder / "chaos-postgres.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd="/",
                env=CLEAN_ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                umask=0o077,
                start_new_session=True,
                **account.run_as,
            )
        async with asyncio.timeout(START_S):
            while True:
                try:
                    conn = await asyncpg.connect(self.auditor_dsn)
                except (OSError, asyncpg.PostgresError):
                    if self._process.poll() is not None:
                        raise RuntimeError("Postgres ended: see chaos-postgres.log") from None
                    await asyncio.sleep(0.05)
                else:
                    await conn.close()
                    return

    def kill(self) -> None:
        """-9 for the server and every process of its own, as when the machine's memory runs out."""
        if self._process is None:
            return
        children = children_of(self._process.pid)
        self._process.kill()
        for pid in children:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    async def restart(self, *, down_s: float) -> None:
        self.kill()
        await asyncio.sleep(down_s)
        await self.start()
        self.restarts += 1

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.kill()
        shutil.rmtree(self._sockets, ignore_errors=True)


@asynccontextmanager
async def chaos_postgres(folder: Path) -> AsyncIterator[ChaosPostgres]:
    """A running server, stopped at the end."""
    made = ChaosPostgres(folder=folder)
    try:
        await made.make()
        yield made
    finally:
        made.stop()


def children_of(pid: int) -> list[int]:
    """The processes whose parent this is."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError, IndexError, ValueError):
                # The command's name stands in brackets and may hold anything.
                fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
                if int(fields[1]) == pid:
                    found.append(int(entry.name))
    return found
