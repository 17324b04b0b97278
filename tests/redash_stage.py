"""A Redash map for tests, and what stands in the queries that it names."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

USER_KEY = "user-key-" + "4f" * 16
WEBHOOK_USER, WEBHOOK_PASSWORD = "redash", "canary-password-7c1"
WEBHOOK_SECRET = "canary-secret-path-0123456789"

MAP = """\
# Which queries are detections.
timezone: Asia/Tokyo
queries:
  318:
    name: redash_self_dealing
    title: {ja: 自己取引の疑い（Redash）, en: Self-dealing orders (Redash)}
    subject: order
    severity: P1
    columns:
      subject_id: order_id
      occurred_at: ordered_at
      amount: total
      account_ids: [buyer, seller]
    fixed: {currency: JPY}
    evidence:
      buyer_name: {ja: 購入者, en: Buyer, type: text, mask: name}
      cnt: {ja: 回数, en: Times, type: count}
    actions: [hold, cancel]
    runbook:
      ja: [注文を保留する, 購入者と販売者を比べる]
      en: [Hold the order, Compare buyer and seller]
"""


def write_map(folder: Path, *changes: tuple[str, str], more: str = "") -> Path:
    """The map with these texts replaced; `more` stands after it."""
    text = MAP
    for before, after in changes:
        assert before in text, before
        text = text.replace(before, after)
    path = folder / "redash.yml"
    path.write_text(text + more, encoding="utf-8")
    return path


def a_row(order: str, **changes: Any) -> dict[str, Any]:
    """A row of query 318 as Redash tells it: times without a zone, names in the clear."""
    local = datetime.now(UTC) + timedelta(hours=9, minutes=-1)
    return {
        "order_id": order,
        "ordered_at": local.replace(tzinfo=None).isoformat(),
        "total": 12400,
        "buyer": f"buyer-{order}",
        "seller": f"seller-{order}",
        "buyer_name": "山田 花子",
        "cnt": 3,
        **changes,
    }
