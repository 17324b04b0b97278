"""Sends inputs to a running bot and watches what becomes of it: its answers, its log, its memory."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

from bot.settings import Settings
from tests.bench.world import rss_mb, until_ready
from tests.fuzz.inputs import (
    CANARY,
    REDASH_PASSWORD,
    REDASH_SECRET,
    REDASH_USER,
    Input,
    Inputs,
)
from tests.redash_stage import USER_KEY, write_map

CONNECTIONS = 8
ANSWER_S = 15.0
WAITS_S = 0.2
"""Bytes that are no whole request may wait for their rest for ever."""
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})")
_LENGTH = re.compile(rb"\r\nContent-Length: ([0-9]+)", re.IGNORECASE)


@dataclass(kw_only=True)
class Found:
    """What a run came to."""

    seed: int
    sent: int = 0
    took_s: float = 0.0
    statuses: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    """What must not be: 5xx, silence, a traceback, a word of a body in the log."""
    memory_mb: list[float] = field(default_factory=list)
    """After the first tenth, then after each further one."""

    @property
    def grown_mb(self) -> float:
        return self.memory_mb[-1] - self.memory_mb[0] if self.memory_mb else 0.0

    def as_text(self) -> str:
        answers = " ".join(f"{k}:{n}" for k, n in sorted(self.statuses.items()))
        memory = " ".join(f"{mb:.0f}" for mb in self.memory_mb)
        return "\n".join(
            [
                f"seed {self.seed}: {self.sent} inputs, {self.sent / self.took_s:.0f} a second",
                f"answers: {answers}",
                f"memory (MB): {memory}; grown by {self.grown_mb:.1f}",
                f"broken: {len(self.broken)}",
                *(f"  {what}" for what in self.broken[:40]),
            ]
        )


class Wire:
    """One connection that is opened anew whenever the server has closed it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, raw: bytes) -> int | None:
        """The status of the answer; None: the server closed without one."""
        for attempt in (1, 2):
            fresh = self._streams is None
            reader, writer = await self._open()
            try:
                writer.write(raw)
                await writer.drain()
                return await self._answer(reader, is_head=raw.startswith(b"HEAD "))
            except (ConnectionError, asyncio.IncompleteReadError):
                await self.close()
                # A connection that had been closed before says nothing about this input.
                if fresh or attempt == 2:
                    return None
        return None

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port, limit=2**20)
        return self._streams

    async def _answer(self, reader: asyncio.StreamReader, *, is_head: bool) -> int:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            found = _STATUS.match(head)
            status = int(found[1]) if found else 0
            if status != 100:
                break
        length = _LENGTH.search(head)
        if length is not None and not is_head:
            await reader.readexactly(int(length[1]))
        if length is None or b"close" in head.lower():
            await self.close()
        return status

    async def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def with_redash(settings: Settings, folder: Path) -> Settings:
    """The settings with a door for webhooks of a Redash that does not answer."""
    return settings.model_copy(
        update={
            "redash_url": "http://127.0.0.1:9",
            "redash_api_key": SecretStr(USER_KEY),
            "redash_map": write_map(folder),
            "redash_webhook_user": REDASH_USER,
            "redash_webhook_password": SecretStr(REDASH_PASSWORD),
            "redash_webhook_secret": SecretStr(REDASH_SECRET),
        }
    )


@asynccontextmanager
async def a_bot(settings: Settings, log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """`mimawari --verbose run` as a process of its own, with its log in a file."""
    environment = {k: os.environ[k] for k in ("PATH", "HOME", "LANG") if k in os.environ}
    for name in Settings.model_fields:
        value = getattr(settings, name)
        if value is not None:
            plain = value.get_secret_value() if hasattr(value, "get_secret_value") else value
            environment[name.upper()] = str(plain)
    with log.open("wb") as written:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bot", "--verbose", "run"), env=environment, stderr=written
        )
    try:
        await until_ready(settings.port)
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def fuzz(
    settings: Settings,
    cases: Sequence[tuple[int, int]],
    log: Path,
    *,
    inputs: int,
    seed: int,
    first: Sequence[Input] = (),
) -> Found:
    """Send so many inputs to a bot of its own; `first` before those of the seed."""
    found = Found(seed=seed)
    drawn = Inputs(seed, cases)
    waiting = list(first)
    began = time.perf_counter()
    async with a_bot(with_redash(settings, log.parent), log) as process:

        async def send(wire: Wire) -> None:
            while found.sent < inputs:
                found.sent += 1
                one = waiting.pop() if waiting else drawn.draw()
                await _send(wire, one, found)
                if found.sent >= (len(found.memory_mb) + 1) * inputs / 10:
                    found.memory_mb.append(rss_mb(process.pid)[0])
            await wire.close()

        async with asyncio.TaskGroup() as tasks:
            for _ in range(CONNECTIONS):
                tasks.create_task(send(Wire(settings.port)))
        if process.returncode is not None:
            found.broken.append(f"the process ended: {process.returncode}")
        await until_ready(settings.port)
    found.took_s = time.perf_counter() - began
    found.broken += wrong_lines(log)
    return found


async def _send(wire: Wire, one: Input, found: Found) -> None:
    try:
        async with asyncio.timeout(WAITS_S if one.kind == "no_http" else ANSWER_S):
            status = await wire.send(one.raw)
    except TimeoutError:
        await wire.close()
        status = None
        if one.kind != "no_http":
            found.broken.append(f"no answer to {one.kind}: {one.raw[:700]!r}")
    found.statuses[f"{one.kind}/{status or 'closed'}"] += 1
    if status is not None and status >= 500:
        found.broken.append(f"{status} to {one.kind}: {one.raw[:700]!r}")


def wrong_lines(log: Path) -> list[str]:
    """Lines of a log that no input may cause."""
    with log.open(encoding="utf-8", errors="replace") as lines:
        return [
            f"log: {line.strip()[:600]}"
            for line in lines
            if "Traceback" in line
            or " ERROR " in line
            or any(secret in line for secret in (CANARY, REDASH_PASSWORD, REDASH_SECRET))
        ]
