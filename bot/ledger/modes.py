"""Named queries about detections: their modes, their runs, what is wrong with them, and how right they were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.findings import Finding, Mode
from bot.domain.modes import Cause, ModeRow, Results, Run, Trouble
from bot.domain.subjects import Subject, SubjectKind
from bot.ledger.findings import Key

RUNS_KEPT = 500
"""Of each detection."""
# A finding that no case has is right or wrong as what people decided of its subject elsewhere.
_VERDICT = """coalesce(f.verdict, (SELECT m.verdict FROM ledger.case_members m
                                   WHERE m.subject_kind = f.subject_kind AND m.subject_id = f.subject_id
                                     AND m.verdict IS NOT NULL ORDER BY m.joined_at DESC LIMIT 1))"""


async def lock_modes(conn: AsyncConnection, detection: str) -> None:
    """Let one transaction after the other change the mode of a detection."""
    await conn.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended('ledger.modes:' || :detection, 1))"),
        {"detection": detection},
    )


async def read_modes(
    conn: AsyncConnection, detections: Sequence[str] | None = None
) -> dict[str, ModeRow]:
    """The mode of each detection that was ever given one; None: of all."""
    rows = await conn.execute(
        text(
            """SELECT DISTINCT ON (detection) * FROM ledger.detection_modes
                WHERE cast(:names AS text[]) IS NULL OR detection = ANY(cast(:names AS text[]))
                ORDER BY detection, mode_id DESC"""
        ),
        {"names": None if detections is None else list(detections)},
    )
    return {
        row.detection: ModeRow(
            mode=Mode(row.mode),
            file_hash=row.file_hash,
            cause=Cause(row.cause),
            proposed_by=row.proposed_by,
            approved_by=row.approved_by,
            since=row.since,
            market_at=row.market_at,
        )
        for row in rows
    }


async def insert_mode(
    conn: AsyncConnection,
    detection: str,
    mode: Mode,
    *,
    file_hash: str,
    cause: Cause,
    market_at: datetime,
    proposed_by: str,
    approved_by: str | None = None,
    proposal_id: str | None = None,
) -> int:
    """Give a detection another mode; returns the row's id."""
    found: int = (
        await conn.execute(
            text(
                """INSERT INTO ledger.detection_modes
                     (detection, mode, file_hash, cause, market_at, proposed_by, approved_by, proposal_id)
                   VALUES (:detection, :mode, :file_hash, :cause, :market_at, :proposed_by, :approved_by,
                           :proposal_id)
                   RETURNING mode_id"""
            ),
            {
                "detection": detection,
                "mode": mode.value,
                "file_hash": file_hash,
                "cause": cause.value,
                "market_at": market_at,
                "proposed_by": proposed_by,
                "approved_by": approved_by,
                "proposal_id": proposal_id,
            },
        )
    ).scalar_one()
    return found


async def known_keys(conn: AsyncConnection, found: Sequence[Finding]) -> set[Key]:
    """Which of these findings the ledger has already."""
    rows = await conn.execute(
        text(
            """SELECT f.detection, f.subject_kind, f.subject_id, f.window_key FROM ledger.findings f
                 JOIN unnest(cast(:detections AS text[]), cast(:kinds AS text[]), cast(:ids AS text[]),
                             cast(:window_keys AS text[])) AS n(detection, kind, id, window_key)
                   ON f.detection = n.detection AND f.subject_kind = n.kind AND f.subject_id = n.id
                  AND f.window_key = n.window_key"""
        ),
        {
            "detections": [finding.detection for finding in found],
            "kinds": [finding.subject.kind.value for finding in found],
            "ids": [finding.subject.id for finding in found],
            "window_keys": [finding.window_key for finding in found],
        },
    )
    return {
        (row.detection, Subject(SubjectKind(row.subject_kind), row.subject_id), row.window_key)
        for row in rows
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """How much a detection found, by the market's clock."""

    today: int
    """What people saw of the last 24 hours, or since its mode was given."""
    most: int
    """In any 24 hours of the two weeks before."""
    days: float
    """How long it has been finding things, up to 24 hours ago."""


async def read_past(
    conn: AsyncConnection, detection: str, now: datetime, *, since: datetime | None
) -> Past:
    """What the brakes compare with; what was there before the first run counts nowhere."""
    row = (
        await conn.execute(
            text(
                """WITH f AS (
                     SELECT found_at, mode, floor(extract(epoch FROM cast(:now AS timestamptz) - found_at) / 86400) AS ago
                       FROM ledger.findings
                      WHERE detection = :detection AND mode <> 'baseline' AND suppressed_by IS NULL
                        AND found_at > cast(:now AS timestamptz) - interval '15 days')
                   SELECT count(*) FILTER (WHERE ago <= 0 AND mode IN ('review', 'automatic')
                            AND found_at >= coalesce(cast(:since AS timestamptz), '-infinity')) AS today,
                          coalesce((SELECT max(n) FROM (SELECT count(*) AS n FROM f WHERE ago >= 1 GROUP BY ago) d), 0)
                            AS most,
                          coalesce(extract(epoch FROM cast(:now AS timestamptz) - min(found_at)) / 86400 - 1, 0)
                            AS days
                     FROM f"""
            ),
            {"detection": detection, "now": now, "since": since},
        )
    ).one()
    return Past(today=row.today, most=row.most, days=max(float(row.days), 0.0))


async def insert_run(
    conn: AsyncConnection, detection: str, run: Run, *, market_at: datetime
) -> int:
    """Remember a run, and forget those that are too old to be compared with; returns its id."""
    inserted = await conn.execute(
        text(
            """INSERT INTO ledger.detection_runs (detection, market_at, took_ms, rows, fresh, error)
               VALUES (:detection, :market_at, :took_ms, :rows, :fresh, :error) RETURNING run_id"""
        ),
        {
            "detection": detection,
            "market_at": market_at,
            "took_ms": run.took_ms,
            "rows": run.rows,
            "fresh": run.fresh,
            "error": run.error,
        },
    )
    await conn.execute(
        text(
            """DELETE FROM ledger.detection_runs WHERE detection = :detection AND run_id <=
                 (SELECT run_id FROM ledger.detection_runs WHERE detection = :detection
                   ORDER BY run_id DESC OFFSET :kept LIMIT 1)"""
        ),
        {"detection": detection, "kept": RUNS_KEPT},
    )
    run_id: int = inserted.scalar_one()
    return run_id


async def read_runs(conn: AsyncConnection, detection: str, limit: int) -> list[Run]:
    """The latest runs, the newest first."""
    rows = await conn.execute(
        text(
            """SELECT took_ms, rows, fresh, error FROM ledger.detection_runs
                WHERE detection = :detection ORDER BY run_id DESC LIMIT :limit"""
        ),
        {"detection": detection, "limit": limit},
    )
    return [
        Run(took_ms=row.took_ms, rows=row.rows, fresh=row.fresh, error=row.error) for row in rows
    ]


async def last_good_runs(conn: AsyncConnection) -> dict[str, tuple[datetime | None, str | None]]:
    """By detection: when it last ran well, and the error of its very last run if that failed."""
    rows = await conn.execute(
        text(
            """SELECT detection, max(at) FILTER (WHERE error IS NULL) AS good_at,
                      (array_agg(error ORDER BY run_id DESC))[1] AS error
                 FROM ledger.detection_runs GROUP BY detection"""
        )
    )
    return {row.detection: (row.good_at, row.error) for row in rows}


async def failing_since(conn: AsyncConnection, detection: str) -> float:
    """For how many seconds a detection has remembered nothing but failures."""
    seconds: float | None = await conn.scalar(
        text(
            """SELECT extract(epoch FROM clock_timestamp() - min(at)) FROM ledger.detection_runs
                WHERE detection = :detection AND error IS NOT NULL"""
        ),
        {"detection": detection},
    )
    return float(seconds or 0)


async def forget_runs(conn: AsyncConnection, detection: str) -> bool:
    """Forget every run; whether there was one."""
    deleted = await conn.execute(
        text("DELETE FROM ledger.detection_runs WHERE detection = :detection"),
        {"detection": detection},
    )
    return deleted.rowcount > 0


async def read_troubles(
    conn: AsyncConnection, detection: str | None = None
) -> dict[str, dict[Trouble, float | None]]:
    """What is wrong now, by detection, with what was usual before."""
    rows = await conn.execute(
        text(
            """SELECT detection, trouble, usual FROM ledger.detection_troubles
                WHERE cast(:detection AS text) IS NULL OR detection = :detection ORDER BY 1, 2"""
        ),
        {"detection": detection},
    )
    found: dict[str, dict[Trouble, float | None]] = {}
    for row in rows:
        found.setdefault(row.detection, {})[Trouble(row.trouble)] = row.usual
    return found


async def begin_trouble(
    conn: AsyncConnection, detection: str, trouble: Trouble, usual: float | None = None
) -> bool:
    """Whether this is news."""
    inserted = await conn.execute(
        text(
            """INSERT INTO ledger.detection_troubles (detection, trouble, usual)
               VALUES (:detection, :trouble, :usual) ON CONFLICT DO NOTHING"""
        ),
        {"detection": detection, "trouble": trouble.value, "usual": usual},
    )
    return inserted.rowcount == 1


async def end_trouble(conn: AsyncConnection, detection: str, trouble: Trouble) -> bool:
    """Whether there was such a trouble."""
    deleted = await conn.execute(
        text("DELETE FROM ledger.detection_troubles WHERE detection = :d AND trouble = :t"),
        {"d": detection, "t": trouble.value},
    )
    return deleted.rowcount == 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Quiet:
    """How long nothing was found, and how much was before that."""

    last_at: datetime | None
    before: int
    """Findings in the 7 days up to the last one."""


async def read_quiet(conn: AsyncConnection, detection: str) -> Quiet:
    row = (
        await conn.execute(
            text(
                """WITH latest AS (SELECT max(found_at) AS at FROM ledger.findings
                                    WHERE detection = :detection AND mode <> 'baseline')
                   SELECT latest.at, (SELECT count(*) FROM ledger.findings f
                                       WHERE f.detection = :detection AND f.mode <> 'baseline'
                                         AND f.found_at > latest.at - interval '7 days') AS before FROM latest"""
            ),
            {"detection": detection},
        )
    ).one()
    return Quiet(last_at=row.at, before=row.before)


async def read_results(conn: AsyncConnection, since: datetime, days: int) -> Mapping[str, Results]:
    """What each detection found since then, in whatever mode, and what people judged of that."""
    rows = await conn.execute(
        text(
            f"""SELECT detection, count(*) AS findings, count(*) FILTER (WHERE verdict = 'fraud') AS fraud,
                       count(*) FILTER (WHERE verdict = 'good') AS good
                  FROM (SELECT f.detection, {_VERDICT} AS verdict FROM ledger.findings f
                         WHERE f.found_at >= :since AND f.mode <> 'baseline') judged
                 GROUP BY detection"""  # noqa: S608  # our own constant
        ),
        {"since": since},
    )
    return {
        row.detection: Results(days=days, findings=row.findings, fraud=row.fraud, good=row.good)
        for row in rows
    }


async def read_automatic_results(
    conn: AsyncConnection, detection: str, since: datetime, days: int
) -> Results:
    """What became of the findings that a detection acted on by itself since then."""
    row = (
        await conn.execute(
            text(
                """SELECT count(*) AS findings, count(*) FILTER (WHERE verdict = 'fraud') AS fraud,
                          count(*) FILTER (WHERE verdict = 'good' OR kept) AS good
                     FROM (SELECT f.verdict, f.verdict IS NULL AND s.state IS NOT DISTINCT FROM 'kept' AS kept
                             FROM ledger.findings f
                             LEFT JOIN ledger.automatic_steps s ON s.case_id = f.case_id
                                  AND s.detection = f.detection
                            WHERE f.detection = :detection AND f.mode = 'automatic' AND f.case_id IS NOT NULL
                              AND f.found_at >= :since) judged"""
            ),
            {"detection": detection, "since": since},
        )
    ).one()
    return Results(days=days, findings=row.findings, fraud=row.fraud, good=row.good)
