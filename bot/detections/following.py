"""Follows the folders of detections: what is added, changed or removed counts without a restart."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bot.detections.detection import Detection, Loaded, Problem
from bot.detections.loading import load_detections

Signature = Mapping[Path, tuple[int, int, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderChange:
    """What became of the folders since the last look."""

    loaded: Loaded
    """What runs from now on: of a file that broke, its last good version."""
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    refused: tuple[Problem, ...] = ()
    """What is wrong now and was not at the last look."""
    kept: tuple[str, ...] = ()
    """The detections that go on in their last good version."""


class DetectionFolders:
    """The detections of some folders, as of the last look."""

    def __init__(
        self,
        folders: Sequence[Path],
        *,
        actions: Collection[str] | None = None,
        still: Collection[Path] = (),
    ) -> None:
        """Args:
        actions: the names that may be proposed; None leaves them unchecked.
        still: folders of these that are not watched, as they change with our own version only.
        """
        self._folders = tuple(folders)
        self._watched = tuple(folder for folder in folders if folder not in still)
        self._actions = actions
        self._signature = self._sign()
        self._seen = self._signature
        self.loaded = load_detections(self._folders, actions=actions)

    def look(self) -> FolderChange | None:
        """What changed; None while nothing has, or while somebody is still writing."""
        signature = self._sign()
        settled, self._seen = signature == self._seen, signature
        # A file that is being written, or a mount that is being swapped, looks different at the next look.
        if signature == self._signature or not settled:
            return None
        self._signature = signature
        before = self.loaded
        found = load_detections(self._folders, actions=self._actions)
        kept = self._last_good(found)
        self.loaded = Loaded(
            detections=tuple(
                sorted((*found.detections, *kept), key=lambda detection: detection.name)
            ),
            problems=found.problems,
        )
        old = {detection.name: detection.hash for detection in before.detections}
        new = {detection.name: detection.hash for detection in self.loaded.detections}
        return FolderChange(
            loaded=self.loaded,
            added=tuple(name for name in new if name not in old),
            changed=tuple(name for name in new if name in old and new[name] != old[name]),
            removed=tuple(name for name in old if name not in new),
            refused=tuple(p for p in found.problems if p not in before.problems),
            kept=tuple(detection.name for detection in kept),
        )

    def _last_good(self, found: Loaded) -> list[Detection]:
        """What ran before and is there still, broken; a folder that is away has broken files only."""
        names = {detection.name for detection in found.detections}
        broken = {problem.path for problem in found.problems}
        return [
            detection
            for detection in self.loaded.detections
            if detection.name not in names
            and (detection.path in broken or detection.path.parent in broken)
        ]

    def _sign(self) -> Signature:
        """What tells a file from its other versions without reading it: a link's target counts."""
        signature: dict[Path, tuple[int, int, int]] = {}
        for folder in self._watched:
            for path in folder.glob("*.sql") if folder.is_dir() else ():
                try:
                    stat = path.stat()
                except OSError:
                    signature[path] = (0, 0, 0)
                else:
                    signature[path] = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        return signature
