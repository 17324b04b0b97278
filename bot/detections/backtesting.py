"""Measures detections on a marketplace's past: what they would have flagged, when, and how often they were right."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from bot.detections.detection import Detection
from bot.detections.engine import DetectionFault, run
from bot.detections.replaying import ARCHIVE, Replay, Selecting, Step
from bot.domain.findings import Severity
from bot.domain.subjects import SubjectKind

SUBJECTS = (SubjectKind.ORDER, SubjectKind.ACCOUNT)
SETTLED_AFTER = timedelta(days=30)
"""A subject that nobody labelled counts as good once it is this old."""
EXAMPLES = 5
_UNION, _P1 = "union", "p1"

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How a detection, or several together, did. Money is in minor units by currency; shares are None where
    nothing is there to divide by.
    """

    flagged: int
    """Subjects that a finding named in the step in which they came."""
    late: int
    """Subjects that were only named later."""
    precision: float | None
    recall: float | None
    false_positive_rate: float | None
    caught: Mapping[str, int]
    good_touched: Mapping[str, int]
    buckets: Mapping[str, int]
    """What became of the flagged: disputed as fraud or warned of, refunded, canceled or declined, other."""
    time_to_detect_p50_s: float | None
    """From the subject to the end of the step that first named it, late ones included."""
    shipped_flagged_rate: float | None = None
    """Of all orders that were shipped and not cancelled, the share that is flagged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One detection's score, and why it may have none."""

    name: str
    severity: Severity
    score: Score
    missing: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Columns that it reads and the directory does not have, by relation."""
    fault: str | None = None
    """What its first failing run said."""
    counter_examples: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtest:
    """What came out; `undecided` subjects are younger than 30 days at the end and have no label."""

    kind: SubjectKind
    fraud: int
    good: int
    undecided: int
    first: datetime | None
    last: datetime | None
    steps: int
    union: Score
    p1: Score
    detections: Sequence[Measured]
    baselines: Mapping[str, Score]


_RELATION = {SubjectKind.ORDER: "orders", SubjectKind.ACCOUNT: "accounts"}


async def play(
    played: Replay,
    detections: Sequence[Detection],
    *,
    kind: SubjectKind,
    progress: Progress | None = None,
) -> tuple[list[tuple[str, str, str, datetime]], dict[str, str], int]:
    """Let every detection look at every step from the first subject of `kind` on.

    Returns: who was named (detection, kind, id, end of the step that first named it), what the first failing
    run of a detection said, and how many steps there were.
    """
    named: dict[tuple[str, str, str], datetime] = {}
    faults: dict[str, str] = {}
    steps = await played.steps(_RELATION[kind])
    selects = played.selects
    before: datetime | None = None
    for count, step in enumerate(steps, start=1):
        await played.enter(step)

        async def look(
            select: Selecting,
            left: Iterator[Detection],
            step: Step = step,
            before: datetime | None = before,
        ) -> None:
            # Whoever is free takes the next.
            for detection in left:
                # What it reads is as it was.
                if detection.needs.keys().isdisjoint(step.relations):
                    continue
                since = None if before is None else _no_gap(detection, before, step.now)
                try:
                    found = await run(detection, select, now=step.now, changed_since=since)
                except DetectionFault as fault:
                    faults.setdefault(detection.name, str(fault))
                    continue
                for finding in found:
                    key = (detection.name, finding.subject.kind.value, finding.subject.id)
                    named.setdefault(key, step.now)
                    for order_id in finding.order_ids:
                        named.setdefault(
                            (detection.name, SubjectKind.ORDER.value, order_id), step.now
                        )

        left = iter(detections)
        await asyncio.gather(*(look(select, left) for select in selects))
        before = step.now
        if progress is not None and count % 100 == 0:
            progress(count, len(steps))
    if progress is not None:
        progress(len(steps), len(steps))
    return [(*key, at) for key, at in named.items()], faults, len(steps)


def _no_gap(detection: Detection, before: datetime, now: datetime) -> datetime:
    """The last look, as near as keeps the window as long as it is.

    Live, ticks go on while nothing comes; a run that took the quiet time for a gap would look further back.
    """
    return max(before, now - detection.window + detection.overlap)


# Subjects with what became of them. $1: end of the data. Labels of a file win over what a chargeback says.
_JUDGED = {
    SubjectKind.ORDER: f"""
CREATE TABLE {ARCHIVE}.judged AS
SELECT o.order_id AS id, o.ordered_at AS came, date_bin($2, o.ordered_at, '2000-01-01Z'::timestamptz) AS bin,
       o.total_amount - o.discount_amount - o.points_amount AS amount, o.currency,
       CASE WHEN l.label IS NOT NULL THEN l.label
            WHEN disputed.is_so THEN 'fraud'
            WHEN o.ordered_at < $1 - $3 THEN 'good' END AS label,
       CASE WHEN disputed.is_so OR warned.is_so THEN 'disputed'
            WHEN EXISTS (SELECT FROM {ARCHIVE}.refunds r
                          WHERE r.order_id = o.order_id AND r.state = 'succeeded') THEN 'refunded'
            WHEN o.status = 'canceled' OR o.canceled_at IS NOT NULL OR o.status = 'pending' AND EXISTS (
                 SELECT FROM {ARCHIVE}.payment_attempts p
                  WHERE p.order_id = o.order_id AND p.result = 'declined') THEN 'canceled'
            ELSE 'other' END AS bucket,
       o.shipped_at IS NOT NULL AND o.canceled_at IS NULL AND o.status <> 'canceled' AS shipped
  FROM {ARCHIVE}.orders o
  LEFT JOIN {ARCHIVE}.labels l ON l.subject_kind = 'order' AND l.subject_id = o.order_id
 CROSS JOIN LATERAL (SELECT EXISTS (SELECT FROM {ARCHIVE}.chargebacks c
                                     WHERE c.order_id = o.order_id AND c.reason = 'fraud') AS is_so) AS disputed
 CROSS JOIN LATERAL (SELECT EXISTS (SELECT FROM {ARCHIVE}.fraud_warnings w
                                     WHERE w.order_id = o.order_id AND w.kind <> 'issuer_inquiry') AS is_so) AS warned
""",  # noqa: S608 - our own names
    SubjectKind.ACCOUNT: f"""
CREATE TABLE {ARCHIVE}.judged AS
SELECT a.account_id AS id, moment.came, date_bin($2, moment.came, '2000-01-01Z'::timestamptz) AS bin,
       NULL::bigint AS amount, NULL::text AS currency,
       CASE WHEN l.label IS NOT NULL THEN l.label
            WHEN moment.came < $1 - $3 THEN 'good' END AS label,
       CASE WHEN a.status = 'suspended' THEN 'suspended' WHEN a.status = 'closed' THEN 'closed'
            ELSE 'other' END AS bucket,
       false AS shipped
  FROM {ARCHIVE}.accounts a
  LEFT JOIN {ARCHIVE}.first_seen s ON s.account_id = a.account_id
  LEFT JOIN {ARCHIVE}.labels l ON l.subject_kind = 'account' AND l.subject_id = a.account_id
 CROSS JOIN LATERAL (SELECT coalesce(least(a.created_at, s.at), $1) AS came) AS moment
""",  # noqa: S608 - our own names
}
_BUCKETS = {
    SubjectKind.ORDER: ("disputed", "refunded", "canceled", "other"),
    SubjectKind.ACCOUNT: ("suspended", "closed", "other"),
}

# An order is flagged if it was named in the step in which it came. An account shows by what it does, so whenever.
_SCORE = f"""
WITH hit AS (
    SELECT j.*, h.at, $2::text <> 'order' OR h.at <= j.bin + $3 AS in_time
      FROM (SELECT id, min(at) AS at FROM {ARCHIVE}.hits
             WHERE detection = ANY ($1) AND kind = $2 GROUP BY id) AS h
      JOIN {ARCHIVE}.judged j USING (id)
),
all_of AS (
    SELECT count(*) FILTER (WHERE label = 'fraud') AS fraud,
           count(*) FILTER (WHERE label = 'good') AS good,
           count(*) FILTER (WHERE shipped) AS shipped
      FROM {ARCHIVE}.judged
)
SELECT count(*) FILTER (WHERE in_time) AS flagged, count(*) FILTER (WHERE NOT in_time) AS late,
       count(*) FILTER (WHERE in_time AND label = 'fraud') AS right,
       count(*) FILTER (WHERE in_time AND label = 'good') AS wrong,
       count(*) FILTER (WHERE in_time AND shipped) AS shipped_flagged,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM at - came)) AS p50,
       (SELECT fraud FROM all_of) AS fraud, (SELECT good FROM all_of) AS good,
       (SELECT shipped FROM all_of) AS shipped
  FROM hit
"""  # noqa: S608 - our own names
_MONEY = f"""
SELECT label, currency, sum(amount)::bigint AS amount
  FROM (SELECT id, min(at) AS at FROM {ARCHIVE}.hits WHERE detection = ANY ($1) AND kind = $2 GROUP BY id) AS h
  JOIN {ARCHIVE}.judged j USING (id)
 WHERE h.at <= j.bin + $3 AND label IS NOT NULL AND currency IS NOT NULL
 GROUP BY label, currency ORDER BY currency
"""  # noqa: S608 - our own names
_BUCKETED = f"""
SELECT bucket, count(*) AS n
  FROM (SELECT id, min(at) AS at FROM {ARCHIVE}.hits WHERE detection = ANY ($1) AND kind = $2 GROUP BY id) AS h
  JOIN {ARCHIVE}.judged j USING (id)
 WHERE $2::text <> 'order' OR h.at <= j.bin + $3 GROUP BY bucket
"""  # noqa: S608 - our own names
# The dearest good ones: what a false alarm costs most.
_WRONG = f"""
SELECT j.id, j.came, j.amount, j.currency
  FROM {ARCHIVE}.hits h JOIN {ARCHIVE}.judged j USING (id)
 WHERE h.detection = $1 AND h.kind = $2 AND label = 'good' AND ($2::text <> 'order' OR h.at <= j.bin + $3)
 ORDER BY j.amount DESC NULLS LAST, j.id LIMIT {EXAMPLES}
"""  # noqa: S608 - our own names

# The two single rules that anybody would write first, as plain queries over everything before the order.
BASELINES: Mapping[str, str] = {
    "buyer with 2 or more cards so far": f"""
        SELECT o.order_id FROM {ARCHIVE}.orders o
         WHERE (SELECT count(DISTINCT e.card_fingerprint) FROM {ARCHIVE}.orders e
                 WHERE e.buyer_id = o.buyer_id AND e.ordered_at <= o.ordered_at) >= 2""",  # noqa: S608 - our own names
    "2 or more earlier orders of the buyer within 24 hours": f"""
        SELECT o.order_id FROM {ARCHIVE}.orders o
         WHERE (SELECT count(*) FROM {ARCHIVE}.orders e
                 WHERE e.buyer_id = o.buyer_id AND e.order_id <> o.order_id AND e.ordered_at <= o.ordered_at
                   AND e.ordered_at > o.ordered_at - interval '24 hours') >= 2""",  # noqa: S608 - our own names
}


async def judge(
    conn: Any,
    detections: Sequence[Detection],
    named: Sequence[tuple[str, str, str, datetime]],
    faults: Mapping[str, str],
    *,
    kind: SubjectKind,
    step: timedelta,
    steps: int,
    missing: Callable[[Detection], Mapping[str, Sequence[str]]],
) -> Backtest:
    """Set what was named against what became of it; `labels` stand in the archive already."""
    await conn.execute(
        f"CREATE TABLE {ARCHIVE}.hits (detection text, kind text, id text, at timestamptz)"
    )
    await conn.copy_records_to_table("hits", schema_name=ARCHIVE, records=named)
    span = await conn.fetchrow(
        f"SELECT min(at) AS first, max(at) AS last FROM {ARCHIVE}.changes"  # noqa: S608
    )
    await conn.execute(f"DROP TABLE IF EXISTS {ARCHIVE}.judged")
    # A utility statement takes no parameters.
    await conn.execute(_filled(_JUDGED[kind], span["last"], step))
    await conn.execute(f"CREATE UNIQUE INDEX ON {ARCHIVE}.judged (id)")
    baselines = {}
    if kind is SubjectKind.ORDER:
        for name, sql in BASELINES.items():
            await conn.execute(
                f"INSERT INTO {ARCHIVE}.hits SELECT 'baseline: {name}', 'order', order_id, '-infinity'"  # noqa: S608
                f" FROM ({sql}) AS found"
            )
    await conn.execute(f"CREATE INDEX ON {ARCHIVE}.hits (detection)")
    await conn.execute(f"ANALYZE {ARCHIVE}.hits; ANALYZE {ARCHIVE}.judged")

    async def score(names: Sequence[str]) -> Score:
        return await _score(conn, names, kind, step)

    if kind is SubjectKind.ORDER:
        baselines = {name: await score([f"baseline: {name}"]) for name in BASELINES}
    measured = []
    for detection in detections:
        examples = await conn.fetch(_WRONG, detection.name, kind.value, step)
        measured.append(
            Measured(
                name=detection.name,
                severity=detection.severity,
                score=await score([detection.name]),
                missing=missing(detection),
                fault=faults.get(detection.name),
                counter_examples=[dict(row) for row in examples],
            )
        )
    counts = await conn.fetchrow(
        "SELECT count(*) FILTER (WHERE label = 'fraud') AS fraud,"  # noqa: S608 - our own names
        " count(*) FILTER (WHERE label = 'good') AS good, count(*) FILTER (WHERE label IS NULL) AS undecided"
        f" FROM {ARCHIVE}.judged"
    )
    return Backtest(
        kind=kind,
        fraud=counts["fraud"],
        good=counts["good"],
        undecided=counts["undecided"],
        first=span["first"],
        last=span["last"],
        steps=steps,
        union=await score([one.name for one in detections]),
        p1=await score([one.name for one in detections if one.severity is Severity.P1]),
        detections=measured,
        baselines=baselines,
    )


def _filled(sql: str, last: datetime | None, step: timedelta) -> str:
    end = f"'{last.isoformat()}'::timestamptz" if last else "now()"
    filled = sql.replace("$1", end).replace("$2", _interval(step))
    return filled.replace("$3", _interval(SETTLED_AFTER))


def _interval(length: timedelta) -> str:
    return f"interval '{int(length.total_seconds())} seconds'"


async def _score(conn: Any, names: Sequence[str], kind: SubjectKind, step: timedelta) -> Score:
    row = await conn.fetchrow(_SCORE, list(names), kind.value, step)
    money = await conn.fetch(_MONEY, list(names), kind.value, step)
    buckets = {
        row["bucket"]: row["n"]
        for row in await conn.fetch(_BUCKETED, list(names), kind.value, step)
    }
    return Score(
        flagged=row["flagged"],
        late=row["late"],
        precision=_share(row["right"], row["right"] + row["wrong"]),
        recall=_share(row["right"], row["fraud"]),
        false_positive_rate=_share(row["wrong"], row["good"]),
        caught={one["currency"]: one["amount"] for one in money if one["label"] == "fraud"},
        good_touched={one["currency"]: one["amount"] for one in money if one["label"] == "good"},
        buckets={bucket: buckets.get(bucket, 0) for bucket in _BUCKETS[kind]},
        time_to_detect_p50_s=max(0.0, row["p50"]) if row["p50"] is not None else None,
        shipped_flagged_rate=_share(row["shipped_flagged"], row["shipped"]),
    )


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
