"""What `mimawari rules list` and `rules check` say, as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bot.detections.detection import MARKET, Detection, Loaded
from bot.detections.proving import examples_file
from bot.market.absent import Present, absent_columns


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One line of `rules list`; durations in seconds."""

    name: str
    title_ja: str
    title_en: str
    severity: str
    subject: str
    mode: str
    owner: str
    every_s: int
    window_s: int
    actions: tuple[str, ...]
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What `rules check` says of one file; `problems` refuse it, `warnings` do not."""

    path: str
    name: str | None
    problems: tuple[str, ...]
    warnings: tuple[str, ...]


def list_detections(loaded: Loaded) -> list[Listed]:
    """Every detection that can run."""
    return [
        Listed(
            name=detection.name,
            title_ja=detection.title.ja,
            title_en=detection.title.en,
            severity=detection.severity.value,
            subject=detection.subject.value,
            mode=detection.mode.value,
            owner=detection.owner,
            every_s=int(detection.every.total_seconds()),
            window_s=int(detection.window.total_seconds()),
            actions=detection.actions,
            path=str(detection.path),
        )
        for detection in loaded.detections
    ]


def check_detections(
    loaded: Loaded, present: Present | None, costs: Mapping[str, Sequence[str]] | None = None
) -> list[Checked]:
    """Every file, broken ones first.

    Args:
        present: what the marketplace has (`MarketReader.relations`); None where it cannot be asked.
        costs: what is dear in the runs of each detection, in sentences.
    """
    broken: dict[Path, list[str]] = {}
    for problem in loaded.problems:
        broken.setdefault(problem.path, []).append(problem.sentence)
    return [
        Checked(path=str(path), name=None, problems=tuple(sentences), warnings=())
        for path, sentences in broken.items()
    ] + [
        Checked(
            path=str(detection.path),
            name=detection.name,
            problems=(),
            warnings=(*_warnings(detection, present), *(costs or {}).get(detection.name, ())),
        )
        for detection in loaded.detections
    ]


def missing_columns(detection: Detection, present: Present) -> Mapping[str, Sequence[str]]:
    """What the detection reads and the marketplace does not have; it takes it as NULL."""
    if detection.source != MARKET:
        return {}
    missing = {
        relation: sorted(columns & absent_columns(present, relation))
        for relation, columns in sorted(detection.needs.items())
    }
    return {relation: columns for relation, columns in missing.items() if columns}


def _warnings(detection: Detection, present: Present | None) -> list[str]:
    warnings = []
    if not examples_file(detection).is_file():
        warnings.append(f"{examples_file(detection).name} is missing; write a hit and a near miss.")
    if present is None:
        return warnings
    for relation, columns in missing_columns(detection, present).items():
        said = (
            f"{relation}.{', '.join(columns)}"
            if relation in present
            else f"the relation {relation}"
        )
        warnings.append(f"the marketplace does not have {said}; what depends on it is never found.")
    return warnings
