"""The whole world of a chaos run, from its first row to its evidence."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import yaml

from bot.cases.policy import DEFAULT_POLICY
from bot.playground.market.server import serve_marketplace
from bot.playground.postgres import (
    MARKET_DATABASE,
    MARKET_OWNER,
    MARKET_READER,
    embedded_postgres,
)
from bot.playground.workspace.server import serve_workspace
from bot.playground.workspace.workspace import Workspace
from tests.chaos.balancer import Balancer, Habits
from tests.chaos.bots import FAR_S, NEAR_S, BotProcess, free_ports
from tests.chaos.crowd import Crowd
from tests.chaos.cutter import Cutter, a_cutter
from tests.chaos.planted import caps_for, take_guards_away
from tests.chaos.postgres import ChaosPostgres, chaos_postgres
from tests.chaos.shop import TOKEN, CountingMarketplace, Rings
from tests.chaos.town import ALERTS, Calls, a_town, people, seeded, slack_json
from tests.chaos.trouble import Trouble

AWAY = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""How the death of a server can look in the middle of a call."""
DATABASES = ("market-postgres", "ledger-postgres")
RULES = Path(__file__).parent / "rules"
BOTS = 3
WAITING_WANTED = 8
"""So many cards shall wait for a decision; fewer, and the shop gets new orders."""
UNSEEN_WANTED = 3
POLL_S = 0.5
PAUSED_WITHIN_S = 2.0
"""A pause must hold in all replicas so soon."""
START_S = 90.0
QUIET_S = 2.0
PATIENCE_S = 120.0
"""So much longer is worked on a machine that is too slow for anything to be decided in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a run is asked to do."""

    operations: int = 3000
    kills: int = 60
    cuts: int = 60
    seed: int = 1
    restarts: int | None = None
    """Of Postgres; None: every 5 to 40 seconds."""
    faults: bool = True
    skewed: bool = True
    settle_s: float = 300.0
    work_s: float = 3600.0
    """The longest that the people work, whatever came of it."""
    parallel: int = 4
    planted: str | None = None


@dataclass(kw_only=True)
class Ran:
    """What a run was, beside its evidence."""

    folder: Path
    options: Options
    settled: bool = False
    unsettled: Mapping[str, int] = field(default_factory=dict)
    """What was left when patience ended."""
    operations: int = 0
    kills: int = 0
    points: Counter[str] = field(default_factory=Counter)
    cuts: Counter[str] = field(default_factory=Counter)
    restarts: int = 0
    crashes: list[int] = field(default_factory=list)
    drains_s: list[float] = field(default_factory=list)
    pauses: int = 0
    begun_while_paused: int = 0
    work_s: float = 0.0
    settle_s: float = 0.0
    clicks: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    effects: int = 0
    doubled: int = 0
    rings: int = 0

    def lines(self) -> list[str]:
        """The run in figures, one line a thing."""
        asked = self.options
        cuts = ", ".join(f"{name} {n}" for name, n in sorted(self.cuts.items()))
        late = f"begun more than {PAUSED_WITHIN_S:.0f} s after one"
        points = ", ".join(f"{name} {n}" for name, n in sorted(self.points.items()))
        return [
            f"seed {asked.seed}: {self.operations} operations of {asked.operations} wanted,"
            f" {self.rings} rings, {self.work_s:.0f} s of work, {self.settle_s:.0f} s to settle"
            + ("" if self.settled else f", NOT SETTLED: {dict(self.unsettled)}"),
            f"kill -9: {self.kills} of {asked.kills} ({points or 'none at a named point'})",
            f"connections cut: {self.cuts.total()} of {asked.cuts} ({cuts or 'none'})",
            f"Postgres killed and restarted: {self.restarts}",
            f"stopped in good order under load: {len(self.drains_s)}"
            + (f", the slowest in {max(self.drains_s):.1f} s" if self.drains_s else ""),
            f"pauses of everything: {self.pauses}; operations {late}: {self.begun_while_paused}",
            f"other ends of processes: {dict(Counter(self.crashes)) or 'none'}",
            f"deliveries: {dict(sorted(self.clicks.items()))}",
            f"operations by state: {dict(sorted(self.states.items()))}",
            f"effects: {self.effects}; keys with more than one effect: {self.doubled}",
            f"evidence: {self.folder}",
        ]


@dataclass(kw_only=True)
class World:
    """Everything that runs, put together."""

    options: Options
    folder: Path
    postgres: ChaosPostgres
    market: CountingMarketplace
    market_dsn: str
    workspace: Workspace
    calls: Calls
    balancer: Balancer
    cutters: Sequence[Cutter]
    bots: Sequence[BotProcess]
    policy: Mapping[str, Any]
    progress: float = 0.0
    operations: int = 0
    began_at: float | None = None
    _watching: Any = None

    async def run(self) -> Ran:
        ran = Ran(folder=self.folder, options=self.options)
        started_at = datetime.now(UTC)
        trouble = Trouble(
            bots=self.bots,
            cutters=self.cutters,
            postgres=self.postgres,
            workspace=self.workspace,
            progress=self._progress_of_trouble,
            seed=self.options.seed,
            kills=self.options.kills if self.options.faults else 0,
            cuts=self.options.cuts if self.options.faults else 0,
            restarts=self.options.restarts if self.options.faults else 0,
        )
        for bot in self.bots:
            bot.begin()
        rings = Rings(self.market, seeded(self.options.seed, "rings"))
        crowd = Crowd(
            workspace=self.workspace,
            chance=seeded(self.options.seed, "people"),
            parallel=self.options.parallel,
        )
        for _ in range(WAITING_WANTED):
            await rings.add()
        if not any(await asyncio.gather(*(bot.until_ready(START_S) for bot in self.bots))):
            raise RuntimeError(f"no bot becomes ready: see {self.folder}/bot-*.log")
        begun = self.began_at = time.monotonic()
        await self._work(crowd, rings, trouble)
        ran.work_s = time.monotonic() - begun
        begun = time.monotonic()
        ran.unsettled = await self._settle(crowd)
        ran.settled = not ran.unsettled
        ran.settle_s = time.monotonic() - begun
        await asyncio.gather(*(bot.stop() for bot in self.bots))
        ran.kills = trouble.kills_done
        ran.points = Counter(point for bot in self.bots for point in bot.struck)
        ran.cuts = Counter(cut.value for cutter in self.cutters for cut in cutter.made)
        ran.restarts = self.postgres.restarts
        ran.crashes = [code for bot in self.bots for code in bot.crashes]
        ran.drains_s = [seconds for bot in self.bots for seconds in bot.drains_s]
        ran.operations = self.operations
        ran.rings = rings.made
        ran.clicks = Counter(
            f"{sent.kind} {sent.status or 'broken off'}" for sent in self.balancer.sent
        )
        await self._write_evidence(ran, started_at)
        return ran

    # ---- While people work

    def _progress_of_trouble(self) -> float:
        """By the work that is done, and on a slow machine by the time that has passed."""
        if self.began_at is None:
            return 0.0
        return max(self.progress, (time.monotonic() - self.began_at) / self.options.work_s)

    async def _work(self, crowd: Crowd, rings: Rings, trouble: Trouble) -> None:
        stop = asyncio.Event()
        if self.options.faults:
            self.market.misbehave(1.0)
            self.balancer.habits = Habits(
                doubled=0.06,
                delayed=0.12,
                late=0.03,
                late_s=(5.0, min(40.0, self.options.work_s / 5)),
            )
        async with asyncio.TaskGroup() as group:
            group.create_task(crowd.work(stop))
            group.create_task(self._feed(stop, crowd, rings))
            if self.options.faults:
                group.create_task(trouble.make(stop))
                group.create_task(self._pause_now_and_then(stop, crowd))
            ends_at = time.monotonic() + self.options.work_s
            told_at = time.monotonic()
            while time.monotonic() < ends_at or not self._something_was_done(ends_at):
                await self._look()
                if self.progress >= 1 and trouble.all_done:
                    break
                if time.monotonic() > told_at + 20:
                    told_at = time.monotonic()
                    self._tell(crowd, trouble, rings)
                await asyncio.sleep(POLL_S)
            stop.set()
        self._tell(crowd, trouble, rings)

    def _something_was_done(self, ends_at: float) -> bool:
        return self.operations > 0 or time.monotonic() > ends_at + PATIENCE_S

    def _tell(self, crowd: Crowd, trouble: Trouble, rings: Rings) -> None:
        line = (
            f"{self.operations} operations, {rings.made} rings, {crowd.waiting} cards wait,"
            f" {trouble.kills_done} kills, {trouble.cuts_done} cuts, {self.postgres.restarts} restarts,"
            f" {len(self.balancer.sent)} deliveries; {dict(crowd.tally)}"
        )
        with (self.folder / "progress.log").open("a", encoding="utf-8") as log:
            log.write(line + "\n")

    async def _feed(self, stop: asyncio.Event, crowd: Crowd, rings: Rings) -> None:
        while not stop.is_set():
            if len(crowd.unseen) < UNSEEN_WANTED:
                crowd.unseen.append(await rings.add_unseen())
            on_the_way = rings.made - len(crowd._cards)
            if crowd.waiting < WAITING_WANTED and on_the_way < WAITING_WANTED:
                await rings.add()
            else:
                await asyncio.sleep(0.2)

    async def _pause_now_and_then(self, stop: asyncio.Event, crowd: Crowd) -> None:
        chance = seeded(self.options.seed, "pauses")
        while not stop.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(chance.uniform(8, 45)):
                    await stop.wait()
            if not stop.is_set():
                await crowd.pause_for_a_while(chance.uniform(3, 6))

    async def _look(self) -> None:
        found = await self._ask("SELECT count(*) FROM ledger.operations")
        if found is not None:
            self.operations = found
            self.progress = found / self.options.operations

    async def _ask(self, query: str) -> int | None:
        """One number of the ledger; None while Postgres is away."""
        try:
            if self._watching is None:
                self._watching = await asyncpg.connect(self.postgres.auditor_dsn)
            number: int = await self._watching.fetchval(query, timeout=10)
        except (*AWAY, TimeoutError):
            self._watching = None
            return None
        return number

    # ---- When the faults have ended

    async def _settle(self, crowd: Crowd) -> dict[str, int]:
        """Wait until nothing is left to be done; what is left when patience ends."""
        self.market.faults.clear()
        self.workspace.faults.clear()
        self.balancer.habits = Habits()
        for cutter in self.cutters:
            cutter.armed = None
        ends_at = time.monotonic() + self.options.settle_s
        await asyncio.wait_for(self.balancer.settle(), self.options.settle_s)
        quiet_since: float | None = None
        left: dict[str, int] = {}
        while time.monotonic() < ends_at:
            left = await self._left()
            if "pauses" in left:
                await crowd.resume()
            now = time.monotonic()
            if left:
                quiet_since = None
            elif quiet_since is None:
                quiet_since = now
            elif now - quiet_since >= QUIET_S:
                return {}
            await asyncio.sleep(POLL_S)
        return left or {"never quiet for long": 1}

    async def _left(self) -> dict[str, int]:
        counted: dict[str, int] = {}
        for name, query in {
            "operations": "SELECT count(*) FROM ledger.operations WHERE ended_at IS NULL",
            "cards": "SELECT count(*) FROM ledger.cards WHERE stale",
            "posts": "SELECT count(*) FROM ledger.posts WHERE state = 'queued'",
            "pauses": "SELECT count(*) FROM ledger.switches WHERE paused_at IS NOT NULL",
        }.items():
            found = await self._ask(query)
            counted[name] = -1 if found is None else found
        return {name: number for name, number in counted.items() if number}

    # ---- What remains

    async def _write_evidence(self, ran: Ran, started_at: datetime) -> None:
        effects = await self.market.executed()
        ran.effects = len(effects)
        ran.doubled = sum(n > 1 for n in Counter(effect["key"] for effect in effects).values())
        conn = await asyncpg.connect(self.postgres.auditor_dsn)
        try:
            rows = await conn.fetch("SELECT state, count(*) FROM ledger.operations GROUP BY state")
            brakes = await conn.fetch(
                """SELECT tag, at FROM ledger.audit_entries WHERE details ->> 'what' = 'all'
                      AND tag IN ('person:effects:paused', 'person:effects:resumed') ORDER BY seq"""
            )
        finally:
            await conn.close()
        ran.states = Counter({row["state"]: row["count"] for row in rows})
        pauses = _pauses_of([(row["tag"], row["at"].timestamp()) for row in brakes])
        ran.pauses = len(pauses)
        ran.begun_while_paused = sum(
            since + PAUSED_WITHIN_S < at < until
            for at in self.market.first_sent.values()
            for since, until in pauses
        )
        self._write_lines("effects.jsonl", effects)
        self._write_lines("clicks.jsonl", [sent.as_json() for sent in self.balancer.sent])
        self._write("slack.json", slack_json(self.workspace, self.calls))
        self._write(
            "run.json",
            {
                "seed": self.options.seed,
                "ledger_dsn": self.postgres.auditor_dsn,
                "market_dsn": self.market_dsn,
                "started_at": started_at.isoformat(),
                "ended_at": datetime.now(UTC).isoformat(),
                "settled": ran.settled,
                "kills": ran.kills,
                "cuts": ran.cuts.total(),
                "postgres_restarts": ran.restarts,
                "operations_wanted": self.options.operations,
                "people": people(),
                "policy": self.policy,
                "alert_channel": ALERTS,
                "planted": self.options.planted,
            },
        )

    def _write(self, name: str, content: object) -> None:
        text = json.dumps(content, ensure_ascii=False, default=str)
        # Half of a surrogate pair is no UTF-8, and people do paste it.
        (self.folder / name).write_text(text, encoding="utf-8", errors="surrogatepass")

    def _write_lines(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        lines = [json.dumps(row, ensure_ascii=False, default=str) for row in rows]
        (self.folder / name).write_text(
            "".join(f"{line}\n" for line in lines), encoding="utf-8", errors="surrogatepass"
        )


@asynccontextmanager
async def a_world(options: Options, folder: Path) -> AsyncIterator[World]:
    """Everything started but the bots; the databases live until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    seed = options.seed
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        shop = await enter(
            embedded_postgres(
                folder / DATABASES[0],
                settings={"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"},
            )
        )
        postgres = await enter(chaos_postgres(folder / DATABASES[1]))
        await take_guards_away(postgres.owner_dsn, options.planted)
        market_dsn = shop.dsn(MARKET_DATABASE, MARKET_OWNER)
        market = CountingMarketplace(market_dsn, seed=seed)
        market_url = await enter(serve_marketplace(market, "127.0.0.1", 0))
        ports = free_ports(BOTS)
        balancer = Balancer(bots=ports, chance=seeded(seed, "network"))
        workspace, calls = a_town(await enter(balancer.served()))
        slack_url = await enter(serve_workspace(workspace, "127.0.0.1", 0))
        policy = chaos_policy(options.operations)
        policy["caps"] += caps_for(options.planted)
        policy_file = folder / "policy.yml"
        policy_file.write_text(yaml.safe_dump(policy), encoding="utf-8")
        cutters = [
            await enter(a_cutter(postgres.socket, seeded(seed, "cutter", n))) for n in range(BOTS)
        ]
        common = {
            "SLACK_BOT_TOKEN": workspace.seed.bot_token,
            "SLACK_SIGNING_SECRET": workspace.seed.signing_secret,
            "SLACK_API_URL": f"{slack_url}/api/",
            "MARKET_DATABASE_URL": shop.dsn(MARKET_DATABASE, MARKET_READER),
            "MARKET_API_URL": market_url,
            "MARKET_API_TOKEN": TOKEN,
            "ALERT_CHANNEL": ALERTS,
            "DIGEST_CHANNEL": "C0DIGEST",
            "DETECTIONS_DIR": str(RULES),
            "POLICY_FILE": str(policy_file),
        }
        bots = [
            BotProcess(
                name=f"bot-{n}",
                settings=common | {"DATABASE_URL": postgres.dsn_through(cutter.port)},
                folder=folder,
                chance=seeded(seed, "bot", n),
                skews_s=_skews(options, n),
                planted=options.planted,
                port=port,
            )
            for n, (cutter, port) in enumerate(zip(cutters, ports, strict=True))
        ]
        try:
            yield World(
                options=options,
                folder=folder,
                postgres=postgres,
                market=market,
                market_dsn=market_dsn,
                workspace=workspace,
                calls=calls,
                balancer=balancer,
                cutters=cutters,
                bots=bots,
                policy=policy,
            )
        finally:
            for bot in bots:
                bot.kill()
            await asyncio.gather(*(bot.stop() for bot in bots))


def _pauses_of(brakes: Sequence[tuple[str, float]]) -> list[tuple[float, float]]:
    """From when to when everything was paused; a second pause of what is paused begins nothing."""
    found: list[tuple[float, float]] = []
    since: float | None = None
    for tag, at in brakes:
        if tag.endswith(":paused"):
            since = at if since is None else since
        elif since is not None:
            found.append((since, at))
            since = None
    return found


def _skews(options: Options, n: int) -> Sequence[float]:
    """One of the three may be so wrong that it lets nobody in; with two of them people could hardly work."""
    if not (options.faults and options.skewed):
        return (0.0,)
    return FAR_S if n == 0 else NEAR_S


def chaos_policy(operations: int) -> dict[str, Any]:
    """The policy that comes with the bot, with caps that so many operations do reach."""
    policy: dict[str, Any] = yaml.safe_load(DEFAULT_POLICY.read_text(encoding="utf-8"))
    policy["take_back_seconds"] = 1
    policy["cards_for"] = ["P1", "P2", "P3"]
    policy["caps"] = [
        {
            "per": "person",
            "window": "hour",
            "actions": ["refund"],
            "amount": {"JPY": 40000},
            "count": 8,
        },
        {"per": "account", "window": "day", "actions": ["refund"], "amount": {"JPY": 9000}},
        {
            "per": "action",
            "window": "day",
            "actions": ["refund"],
            "amount": {"JPY": 250000},
            "count": 60,
        },
        {
            "per": "person",
            "window": "hour",
            "actions": ["cancel", "suspend"],
            "count": max(80, operations // 3),
        },
    ]
    return policy


async def run_chaos(
    options: Options, folder: Path, audit: Callable[[Path], Sequence[Any]] | None = None
) -> tuple[Ran, Sequence[Any]]:
    """One whole run; the audit reads the evidence while the databases are still there."""
    async with a_world(options, folder) as world:
        ran = await world.run()
        results = await asyncio.to_thread(audit, folder) if audit is not None else []
    return ran, results
