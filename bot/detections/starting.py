"""The first version of a new detection: sound, with its examples, and saying what is its author's to write."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from bot.domain.errors import SayableError
from bot.domain.subjects import SubjectKind

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")

_HEAD = """/*
# A new detection. What is marked with ▶ is yours to write; docs/writing-detections.md explains each line.
name: {name}
title:                              # ▶ what people read on the card
  ja: {title_ja}
  en: {title_en}
source: market
subject: {subject}
severity: P2                        # ▶ P1: act within 15 minutes, P2: today, P3: digest only
owner: cre                          # ▶ who is asked when it is wrong
schedule: {{every: 60s}}
window: 24h
overlap: 5m                         # rows that arrive so late are found too
mode: shadow                        # stored and not posted until people trust it
parameters:                         # ▶ thresholds, each used in the SQL as :name
{parameters}
actions: [{actions}]
evidence:                           # ▶ what the SQL returns beside the fixed columns, and people read
{evidence}
runbook:                            # ▶ two or three steps
  ja: [証拠の列を確認します, 正当な理由がなければ対応します]
  en: [Look at the evidence, Act if there is no good reason]
false_positives:                    # ▶ what looks the same and is harmless
  ja: [{harmless_ja}]
  en: [{harmless_en}]
daily_cap: 50                       # more findings than this in a day are a flood
*/
"""

_ORDER_SQL = """-- ▶ The query: one SELECT over the relations of contract/market.sql, written without a schema.
-- A run looks only at what moved (:changed_since); :window_start bounds how far back it counts.
SELECT o.order_id      AS subject_id,
       o.ordered_at    AS occurred_at,
       o.total_amount  AS amount,
       o.currency      AS currency,
       ARRAY[o.buyer_id] AS account_ids,
       date_trunc('second', o.ordered_at - a.created_at)::text AS account_age
  FROM orders o
  JOIN accounts a ON a.account_id = o.buyer_id
 WHERE o.updated_at >= :changed_since
   AND o.ordered_at >= :window_start
   AND o.status IN ('pending', 'paid')
   AND o.total_amount >= :least_amount
   AND a.created_at >= o.ordered_at - :newest::interval
"""

_ORDER_TEST = """# ▶ At least one that must be found and one that is nearly so. What a row does not say is filled in.
- title: A dear order of an account of yesterday is found
  rows:
    accounts:
      - {account_id: NEW, created_at: 20h ago}
    orders:
      - {order_id: O1, buyer_id: NEW, total_amount: 60000, ordered_at: 10m ago}
  finds: [O1]

- title: A cheaper one, and one of an old account, are not
  rows:
    accounts:
      - {account_id: NEW, created_at: 20h ago}
      - {account_id: OLD, created_at: 90d ago}
    orders:
      - {order_id: O1, buyer_id: NEW, total_amount: 49999, ordered_at: 10m ago}
      - {order_id: O2, buyer_id: OLD, total_amount: 60000, ordered_at: 10m ago}
  finds: []
"""

_ACCOUNT_SQL = """-- ▶ The query: one SELECT over the relations of contract/market.sql, written without a schema.
-- `moved` are the accounts of which something is new (:changed_since); only for these the window is counted.
WITH moved AS (
    SELECT DISTINCT buyer_id FROM orders WHERE updated_at >= :changed_since
)
SELECT o.buyer_id           AS subject_id,
       max(o.ordered_at)    AS occurred_at,
       sum(o.total_amount)  AS amount,
       o.currency           AS currency,
       array_agg(o.order_id ORDER BY o.ordered_at DESC) AS order_ids,
       count(*)             AS orders_placed
  FROM moved m
  JOIN orders o ON o.buyer_id = m.buyer_id AND o.ordered_at >= :window_start
 GROUP BY o.buyer_id, o.currency
HAVING count(*) >= :least_orders
"""

_ACCOUNT_TEST = """# ▶ At least one that must be found and one that is nearly so. What a row does not say is filled in.
- title: An account with ten orders in a day is found
  rows:
    orders:
      - {buyer_id: BUSY, ordered_at: 5h ago, repeat: 10, every: 1m}
  finds: [BUSY]
  evidence:
    BUSY: {orders_placed: 10}

- title: Nine orders are not enough
  rows:
    orders:
      - {buyer_id: CALM, ordered_at: 5h ago, repeat: 9, every: 1m}
  finds: []
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Start:
    sql: str
    test: str
    parameters: str
    evidence: str
    actions: str
    harmless: tuple[str, str]


_STARTS = {
    SubjectKind.ORDER: _Start(
        sql=_ORDER_SQL,
        test=_ORDER_TEST,
        parameters=(
            "  least_amount: {default: 50000, ja: この金額以上の注文, en: Orders of at least this amount}\n"
            "  newest: {default: 48h, ja: 登録からこの時間以内の会員, en: Accounts that are younger than this}"
        ),
        evidence="  account_age: {ja: 登録からの時間, en: Age of the account, type: text}",
        actions="hold, cancel",
        harmless=(
            "大きな買い物のために登録した会員",
            "Somebody who signed up for one large purchase",
        ),
    ),
    SubjectKind.ACCOUNT: _Start(
        sql=_ACCOUNT_SQL,
        test=_ACCOUNT_TEST,
        parameters="  least_orders: {default: 10, ja: この件数以上の注文, en: At least so many orders}",
        evidence="  orders_placed: {ja: 注文数, en: Orders placed, type: count}",
        actions="hold, suspend",
        harmless=("催しの準備でまとめ買いをする会員", "Somebody who buys in bulk for an event"),
    ),
}
KINDS = tuple(kind.value for kind in _STARTS)


def write_start(folder: Path, name: str, kind: SubjectKind) -> tuple[Path, Path]:
    """The SQL file and its examples, written into the folder.

    Raises:
        SayableError: the name cannot be one, or a file is in the way.
    """
    if not _NAME.fullmatch(name):
        raise SayableError(
            f"{name!r} cannot be a name: write small letters, digits and _, such as many_gift_cards."
        )
    start = _STARTS[kind]
    words = name.replace("_", " ")
    head = _HEAD.format(
        name=name,
        title_ja=f"{words} の疑い",
        title_en=f"Suspected {words}",
        subject=kind.value,
        parameters=start.parameters,
        actions=start.actions,
        evidence=start.evidence,
        harmless_ja=start.harmless[0],
        harmless_en=start.harmless[1],
    )
    sql, test = folder / f"{name}.sql", folder / f"{name}.test.yml"
    for path in (sql, test):
        if path.exists():
            raise SayableError(f"{path} is there already: choose another name, or edit that file.")
    try:
        # The examples first: a running bot takes up the .sql file as soon as it is there.
        test.write_text(start.test, encoding="utf-8")
        sql.write_text(head + start.sql, encoding="utf-8")
    except OSError as error:
        raise SayableError(f"{folder} cannot be written to ({error.strerror}).") from error
    return sql, test
