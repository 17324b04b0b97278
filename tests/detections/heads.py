"""A sound detection file to break one thing of."""

from __future__ import annotations

from pathlib import Path

SOUND = """/*
name: large_order
title:
  ja: 高額注文の疑い
  en: Suspected large order
source: market
subject: order
severity: P2
owner: fraud
schedule: {every: 30s}
window: 24h
overlap: 5m
parameters:
  least: {default: 100000, ja: この金額以上, en: At least this much}
actions: [hold, cancel]
evidence:
  method: {ja: 支払方法, en: Paid by, type: text}
runbook:
  ja: [確認します, 判断します]
  en: [Look, Decide]
false_positives:
  ja: [贈り物]
  en: [A gift]
daily_cap: 50
*/
SELECT order_id AS subject_id, ordered_at AS occurred_at,
       total_amount AS amount, currency, payment_method AS method
  FROM orders
 WHERE updated_at >= :changed_since AND ordered_at >= :window_start
   AND total_amount >= :least
"""


def write_detection(folder: Path, *changes: tuple[str, str], name: str = "large_order.sql") -> Path:
    """The sound file in the folder, with parts of it replaced."""
    text = SOUND
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path
