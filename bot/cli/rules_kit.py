"""What the commands about single detections share: finding one by name or file, and its reader."""

from __future__ import annotations

from pathlib import Path

from bot import parts
from bot.actions import registry
from bot.detections.detection import LEDGER, Detection
from bot.detections.loading import load_detection, load_detections
from bot.domain.errors import SayableError
from bot.market.ledger_reader import LedgerReader
from bot.market.reader import MarketReader
from bot.settings import Settings


def the_detection(settings: Settings, name: str) -> Detection:
    """The detection of that name, or of that file.

    Raises:
        SayableError: there is none, or its file is refused.
    """
    if name.endswith(".sql"):
        found = load_detection(Path(name), actions=registry())
        if isinstance(found, Detection):
            return found
        raise SayableError("\n".join(problem.sentence for problem in found))
    loaded = load_detections(parts.detection_folders(settings), actions=registry())
    for detection in loaded.detections:
        if detection.name == name:
            return detection
    for problem in loaded.problems:
        if problem.path.stem == name:
            raise SayableError(problem.sentence)
    raise SayableError(f"There is no detection {name}: see `mimawari rules list`.")


def reader_of(settings: Settings, detection: Detection) -> MarketReader | LedgerReader | None:
    """What the detection reads through; None where no setting says it."""
    if detection.source == LEDGER:
        return parts.ledger_reader_of(settings)
    url = settings.market_database_url
    return MarketReader(url.get_secret_value(), settings.market_schema) if url else None


def needed_setting(detection: Detection) -> str:
    """The setting without which the detection cannot be asked anything."""
    return "DATABASE_READER_URL" if detection.source == LEDGER else "MARKET_DATABASE_URL"
