"""The bot's processes: started, killed, told where to die, and started again."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

ROOT = Path(__file__).parents[2]
NEAR_S = (0.0, 5.0, -5.0, 120.0, -120.0, 280.0, -280.0)
"""How wrong a process's clock may be for its front door to let a click in."""
FAR_S = (*NEAR_S, 600.0, -600.0, 600.0, -600.0)
"""Beyond five minutes it must refuse every click; everything else of it goes on."""
DRAIN_S = 40.0


@dataclass(kw_only=True)
class BotProcess:
    """One of the three; dead or alive."""

    name: str
    settings: Mapping[str, str]
    folder: Path
    chance: random.Random
    skews_s: Sequence[float]
    """Its clock is wrong by one of these, another one after each start."""
    planted: str | None
    port: int = 0
    kills: int = 0
    """How often it was ended by -9, by us from outside or by itself at a named point."""
    crashes: list[int] = field(default_factory=list)
    """Exit codes that nobody asked for."""
    struck: list[str] = field(default_factory=list)
    """The named points at which it died."""
    drains_s: list[float] = field(default_factory=list)
    """How long each stop in good order took in the middle of the work, as at a deploy."""
    _process: asyncio.subprocess.Process | None = None
    _armed: str | None = None
    _stopping: bool = False
    _keeper: asyncio.Task[None] | None = None

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.returncode is None

    def begin(self) -> None:
        """Keep a process running until `stop`."""
        self._keeper = asyncio.create_task(self._keep())

    async def _keep(self) -> None:
        while not self._stopping:
            await self._start()
            process = self._process
            if process is None:
                return
            code = await process.wait()
            if code == -signal.SIGKILL:
                self.kills += 1
                if self._armed is not None:
                    self.struck.append(self._armed)
            elif code != 0 and not self._stopping:
                # It may not start while Postgres is away; whoever runs it starts it again.
                self.crashes.append(code)
                await asyncio.sleep(0.5)
            self._armed = None

    async def _start(self) -> None:
        skew_s = self.chance.choice(self.skews_s)
        environment = {
            name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ
        }
        environment |= dict(self.settings)
        environment |= {
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PORT": str(self.port),
            "CHAOS_SKEW_S": str(skew_s),
            "CHAOS_PLANTED": self.planted or "",
        }
        with (self.folder / f"{self.name}.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "tests.chaos.bot_process",
                cwd=self.folder,
                env=environment,
                stdin=asyncio.subprocess.PIPE,
                stdout=log,
                stderr=log,
            )

    async def until_ready(self, within_s: float) -> bool:
        """Whether it takes clicks in time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s), aiohttp.ClientSession() as session:
                while True:
                    with suppress(aiohttp.ClientError):
                        async with session.get(f"http://127.0.0.1:{self.port}/readyz") as answer:
                            if answer.status == 200:
                                return True
                    await asyncio.sleep(0.1)
        return False

    def kill(self) -> None:
        if self.alive and self._process is not None:
            self._armed = None
            with suppress(ProcessLookupError):
                self._process.kill()

    def arm(self, point: str, when: str) -> None:
        """Let it die before or after the next call of a named point."""
        if self.alive and self._process is not None and self._process.stdin is not None:
            self._armed = f"{point} {when}"
            with suppress(ConnectionError):
                self._process.stdin.write(f"{point} {when}\n".encode())

    async def deploy(self) -> None:
        """Stop it in good order, as before a new version; the next process starts at once."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        begun = time.monotonic()
        with suppress(ProcessLookupError):
            process.terminate()
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                if await process.wait() == 0:
                    self.drains_s.append(time.monotonic() - begun)
                return
        # Whoever runs it loses patience, and that is a fault of ours.
        self.crashes.append(-signal.SIGTERM)
        self.kill()

    async def stop(self) -> None:
        """End it in good order; -9 where it does not come to an end."""
        self._stopping = True
        # It may just be starting again, so it is not enough to look once.
        while self._keeper is not None and not self._keeper.done():
            if self.alive and self._process is not None:
                await self._end(self._process)
            await asyncio.sleep(0.05)

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(DRAIN_S):
                code = await process.wait()
            if code != 0:
                self.crashes.append(code)
        except TimeoutError:
            process.kill()
            self.crashes.append(-signal.SIGKILL)
            await process.wait()


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on; bound together, so that they differ."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()
