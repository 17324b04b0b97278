"""Small market directories for tests."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

ACCOUNT = {
    "account_id": "a1",
    "display_name": "Ann",
    "status": "active",
    "updated_at": "2024-04-01 00:00:00+00",
}
ORDER = {
    "order_id": "o1",
    "buyer_id": "a1",
    "seller_id": "s1",
    "status": "paid",
    "total_amount": "1000",
    "payment_method": "card",
    "ordered_at": "2024-04-01 10:00:00+00",
    "paid_at": "2024-04-01 10:01:00+00",
    "updated_at": "2024-04-01 10:01:00+00",
}
SELLER = {**ACCOUNT, "account_id": "s1", "display_name": "Sue", "is_seller": "t"}

Rows = Sequence[Mapping[str, str]]


def as_csv(rows: Rows) -> str:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def write_directory(path: Path, *, zipped: bool = False, **relations: Rows | str) -> Path:
    """A directory with one account, one seller and one order, unless told otherwise."""
    path.mkdir(exist_ok=True)
    contents = {"accounts": [ACCOUNT, SELLER], "orders": [ORDER], **relations}
    for relation, rows in contents.items():
        text = rows if isinstance(rows, str) else as_csv(rows)
        if zipped:
            (path / f"{relation}.csv.gz").write_bytes(gzip.compress(text.encode()))
        else:
            (path / f"{relation}.csv").write_text(text, encoding="utf-8", newline="")
    return path
