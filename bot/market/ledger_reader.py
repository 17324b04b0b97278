"""Reads the views of our own ledger, for detections with `source: ledger`."""

from __future__ import annotations

from bot.ledger.views import SCHEMA, VIEWS
from bot.market.read_only import ReadOnly


class LedgerReader(ReadOnly):
    """The ledger's views, as a role sees them that can read nothing else."""

    of = "the ledger"
    setting = "DATABASE_READER_URL"
    whole = VIEWS
    required = tuple(VIEWS)
    make_it = "run `mimawari migrate` with DATABASE_READER_URL set, so that it may."

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn, SCHEMA)
