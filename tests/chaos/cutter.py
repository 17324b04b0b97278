"""A TCP proxy between one bot and Postgres that cuts connections, also exactly at COMMIT."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

COMMIT = b"COMMIT"
ANSWER_S = 5.0


class Cut(StrEnum):
    BEFORE = "before"
    """The COMMIT never reaches the server, which rolls back."""
    AFTER = "after"
    """The server has committed, and its answer never reaches the bot."""
    ANYWHERE = "anywhere"
    """Any connection, whatever it is doing."""


@dataclass(eq=False, slots=True)
class _Link:
    """One connection: the bot's side and the server's."""

    bot: asyncio.StreamWriter
    server: asyncio.StreamWriter
    mute: bool = False
    answered: asyncio.Event = field(default_factory=asyncio.Event)

    def abort(self) -> None:
        self.bot.transport.abort()
        self.server.transport.abort()


@dataclass(kw_only=True)
class Cutter:
    """Forwards bytes until it is armed."""

    socket: Path
    chance: random.Random
    port: int = 0
    armed: Cut | None = None
    made: list[Cut] = field(default_factory=list)
    """The cuts that were made."""
    _links: set[_Link] = field(default_factory=set)

    def arm(self, cut: Cut) -> None:
        """Cut the next COMMIT; anywhere: one connection, now."""
        if cut is not Cut.ANYWHERE:
            self.armed = cut
        elif self._links:
            self.chance.choice(sorted(self._links, key=id)).abort()
            self.made.append(cut)

    async def serve(self, bot_reads: asyncio.StreamReader, bot: asyncio.StreamWriter) -> None:
        try:
            server_reads, server = await asyncio.open_unix_connection(str(self.socket))
        except OSError:
            bot.transport.abort()
            return
        link = _Link(bot, server)
        self._links.add(link)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._from_bot(bot_reads, link))
                both.create_task(self._from_server(server_reads, link))
        finally:
            self._links.discard(link)
            link.abort()

    async def _from_bot(self, reads: asyncio.StreamReader, link: _Link) -> None:
        with suppress(OSError):
            while chunk := await reads.read(65536):
                cut = self.armed
                # Another connection may have used the cut up while this one was read.
                if cut is not None and COMMIT in chunk:
                    self.armed = None
                    self.made.append(cut)
                    if cut is Cut.AFTER:
                        link.mute = True
                        link.server.write(chunk)
                        with suppress(TimeoutError):
                            async with asyncio.timeout(ANSWER_S):
                                await link.answered.wait()
                    break
                link.server.write(chunk)
                await link.server.drain()
        link.abort()

    async def _from_server(self, reads: asyncio.StreamReader, link: _Link) -> None:
        with suppress(OSError):
            while chunk := await reads.read(65536):
                if link.mute:
                    link.answered.set()
                    return
                link.bot.write(chunk)
                await link.bot.drain()
        link.answered.set()
        link.abort()


@asynccontextmanager
async def a_cutter(socket: Path, chance: random.Random) -> AsyncIterator[Cutter]:
    """A proxy on a free port of this machine."""
    cutter = Cutter(socket=socket, chance=chance)
    server = await asyncio.start_server(cutter.serve, "127.0.0.1", 0)
    cutter.port = server.sockets[0].getsockname()[1]
    try:
        yield cutter
    finally:
        server.close()
        for link in list(cutter._links):
            link.abort()
