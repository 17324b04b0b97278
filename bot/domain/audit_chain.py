"""Check an exported audit log against its own chain and against heads that were kept elsewhere.

Needs nothing but the standard library, an export and anchors, so that an auditor can read it in five minutes and
run it on a machine of their own: `python audit_chain.py EXPORT --anchor FILE …`.

An export is one JSON object a line: `seq`, `canonical` (the very text that was hashed), `previous_hash`, `hash`.
Each hash is SHA-256 over "mimawari.audit.v1", the previous hash and the canonical text, a line each. Whoever can
rewrite the database can also recompute the whole chain; that shows only against an anchor: a head that was
written where they cannot reach, as one JSON object a line (`seq`, `hash`, `previous`), or as it stands in a digest
("… entry 1,204: 64 digits").
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DOMAIN = "mimawari.audit.v1"
GENESIS = "0" * 64
WHOLE, BROKEN, UNCHECKED = 0, 1, 2
"""Exit codes."""
_TOLD = re.compile(r"([0-9][0-9,]*)[^0-9a-f\n]{1,60}([0-9a-f]{64})\b")
_HASH = re.compile(r"[0-9a-f]{64}")


class CannotCheck(Exception):
    """The export or an anchor cannot be read; says which, where and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """The head of the log as it was kept outside: after entry `seq` the hash was `hash`."""

    seq: int
    hash: str
    source: str
    previous: tuple[int, str] | None = None
    """The head that was kept before it, where it names one."""
    row: str | None = None
    """The folder or file whose anchors follow each other, each naming the one before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What checking found: `problem` is None for a whole log, else `bad_seq` is the first bad entry."""

    first: int
    entries: int
    head: str
    anchors: int
    """How many anchors the export was compared with."""
    bad_seq: int | None = None
    problem: str | None = None

    @property
    def ok(self) -> bool:
        return self.problem is None


class ChainCheck:
    """Follows a chain entry by entry; `first` and `head` other than the beginning are those of a partial export."""

    def __init__(self, first: int = 1, head: str = GENESIS) -> None:
        self.entries = first - 1
        self.head = head

    def problem_with(
        self, *, seq: int, canonical: str, previous_hash: str, entry_hash: str
    ) -> str | None:
        """What is wrong with the next entry; None, and it becomes the head, where nothing is."""
        if seq != self.entries + 1:
            return f"entry {self.entries + 1} is missing: {seq} follows {self.entries}"
        if previous_hash != self.head:
            return f"entry {seq} does not follow the entry before it"
        expected = hashlib.sha256(f"{DOMAIN}\n{previous_hash}\n{canonical}".encode()).hexdigest()
        if entry_hash != expected:
            return f"entry {seq} was changed: its hash does not fit its text"
        try:
            told = json.loads(canonical).get("seq")
        except (ValueError, AttributeError):
            told = None
        if told != seq:
            return f"entry {seq} was changed: its text is of entry {told}"
        self.entries, self.head = seq, entry_hash
        return None


def check(
    lines: Iterable[str],
    anchors: Sequence[Anchor] = (),
    *,
    name: str = "export",
    part: bool = False,
) -> Report:
    """Check an export, line by line in constant memory.

    Args:
        part: the export is meant to be of some days alone, so that it need not begin with entry 1;
            without it, that needs an anchor of the entry before.

    Raises:
        CannotCheck: a line or an anchor cannot be read, or nothing is there to be checked.
    """
    by_seq, contradiction = heads_of(anchors)
    chain: ChainCheck | None = None
    first, compared, good = 1, 0, 0
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        entry = _entry(line, f"line {number} of {name}")
        if chain is None:
            first = entry["seq"]
            chain = ChainCheck(first, GENESIS if first == 1 else entry["previous_hash"])
            before = by_seq.get(first - 1)
            if first > 1 and before is None and not part:
                missing = f"{name} begins with entry {first}: what was before it is missing"
                return _report(chain, first, compared, 1, missing)
            if before is not None:
                compared += 1
                if before.hash != chain.head:
                    return _report(chain, first, compared, first, _moved(before, good))
        problem = chain.problem_with(
            seq=entry["seq"],
            canonical=entry["canonical"],
            previous_hash=entry["previous_hash"],
            entry_hash=entry["hash"],
        )
        if problem is not None:
            return _report(chain, first, compared, chain.entries + 1, problem)
        anchor = by_seq.get(chain.entries)
        if anchor is not None:
            compared += 1
            if anchor.hash != chain.head:
                return _report(chain, first, compared, good + 1, _moved(anchor, good))
            good = chain.entries
    if chain is None:
        if max(by_seq, default=0) > 0:
            beyond = by_seq[max(by_seq)]
            return Report(
                first=1,
                entries=0,
                head=GENESIS,
                anchors=1,
                bad_seq=1,
                problem=f"{name} is empty, but {beyond.source} knows entry {beyond.seq}",
            )
        raise CannotCheck(f"{name} is empty: there is nothing to check.")
    last = max(by_seq, default=0)
    if last > chain.entries:
        return _report(
            chain,
            first,
            compared,
            chain.entries + 1,
            f"{name} ends at entry {chain.entries}, but {by_seq[last].source} knows entry {last}:"
            " the tail was cut, or the export is older than the anchor",
        )
    if contradiction is not None:
        return _report(chain, first, compared, None, contradiction)
    return Report(first=first, entries=chain.entries, head=chain.head, anchors=compared)


def _report(
    chain: ChainCheck, first: int, compared: int, bad_seq: int | None, problem: str
) -> Report:
    return Report(
        first=first,
        entries=chain.entries,
        head=chain.head,
        anchors=compared,
        bad_seq=bad_seq,
        problem=problem,
    )


def _moved(anchor: Anchor, good: int) -> str:
    return (
        f"entry {anchor.seq} has another hash than {anchor.source} kept of it: something between entry"
        f" {good + 1} and {anchor.seq} was rewritten, with a chain that fits"
    )


def heads_of(anchors: Sequence[Anchor]) -> tuple[dict[int, Anchor], str | None]:
    """Every head that anchors tell, also as the one before; and where they contradict each other.

    Within a folder or file each must name one that is there too, but the first: those before it may have
    outlived their retention.
    """
    known: dict[int, Anchor] = {}
    problem: str | None = None
    for anchor in anchors:
        other = known.setdefault(anchor.seq, anchor)
        if other.hash != anchor.hash:
            told = f"{other.source} and {anchor.source} keep different hashes of entry {anchor.seq}"
            problem = problem or told
    rows = {(anchor.row, anchor.seq) for anchor in anchors}
    firsts: dict[str | None, int] = {}
    for row, seq in rows:
        firsts[row] = min(seq, firsts.get(row, seq))
    for anchor in anchors:
        if anchor.previous is None:
            continue
        seq, kept = anchor.previous
        if seq > anchor.seq or (seq in known and known[seq].hash != kept):
            told = f"{anchor.source} names another head of entry {seq} before it than was kept"
            problem = problem or told
        elif anchor.row and (anchor.row, seq) not in rows and anchor.seq > firsts[anchor.row]:
            told = f"{anchor.source} names the anchor of entry {seq} before it, which is missing"
            problem = problem or told
        known.setdefault(
            seq, Anchor(seq=seq, hash=kept, source=f"{anchor.source} (the one before)")
        )
    return known, problem


def _entry(line: str, where: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
        if (
            type(entry["seq"]) is int
            and isinstance(entry["canonical"], str)
            and _HASH.fullmatch(entry["previous_hash"])
            and _HASH.fullmatch(entry["hash"])
        ):
            found: dict[str, Any] = entry
            return found
    except (ValueError, KeyError, TypeError):
        pass
    raise CannotCheck(
        f"{where} is no entry of an export: it needs seq, canonical, previous_hash and hash, as"
        " `mimawari audit export --format jsonl` writes them."
    )


def read_anchors(paths: Iterable[Path]) -> list[Anchor]:
    """Anchors from files, or from every file of a folder, such as ANCHOR_DIR.

    Raises:
        CannotCheck: a file cannot be read, or holds no anchor.
    """
    found: list[Anchor] = []
    for path in paths:
        try:
            files = _whole_files(path) if path.is_dir() else [path]
            here = [anchor for file in files for anchor in _anchors_in(file, row=str(path))]
        except (OSError, UnicodeDecodeError) as error:
            raise CannotCheck(f"The anchors of {path} cannot be read: {error}.") from error
        if not here:
            raise CannotCheck(f"{path} holds no anchor: no line with a number and 64 digits.")
        found += here
    return found


def _whole_files(folder: Path) -> list[Path]:
    # Half of a file, as after a power cut, stays in a locked folder for ever; the next one names the head
    # that was kept before it, so that nothing is lost with it.
    files = sorted(path for path in folder.iterdir() if path.is_file())
    return [file for file in files if file.read_bytes().endswith(b"\n")]


def _anchors_in(file: Path, row: str) -> Iterator[Anchor]:
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        source = f"{file.name} line {number}"
        if line.lstrip().startswith("{"):
            yield _json_anchor(line, source, row)
        else:
            for seq, kept in _TOLD.findall(line):
                yield Anchor(seq=int(seq.replace(",", "")), hash=kept, source=source)


def _json_anchor(line: str, source: str, row: str) -> Anchor:
    try:
        told = json.loads(line)
        previous = told.get("previous")
        return Anchor(
            seq=int(told["seq"]),
            hash=_HASH.fullmatch(told["hash"])[0],  # type: ignore[index]  # None has no [0]: caught below
            source=source,
            previous=(int(previous["seq"]), str(previous["hash"])) if previous else None,
            row=row,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CannotCheck(
            f"{source} is no anchor: it needs seq and a hash of 64 digits."
        ) from error


def told(report: Report) -> str:
    """The report in a sentence."""
    if report.problem is not None:
        at = f" at entry {report.bad_seq}" if report.bad_seq is not None else ""
        return f"BROKEN{at}: {report.problem}."
    span = f"entries {report.first} to {report.entries}"
    against = (
        f"compared with {report.anchors} anchor{'s' if report.anchors != 1 else ''}"
        if report.anchors
        else "compared with no anchor: a chain that was recomputed as a whole would not be noticed"
    )
    return f"OK: {span}, head {report.head}, {against}."


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of this one file."""
    parser = argparse.ArgumentParser(description="Check an exported audit log.")
    parser.add_argument("export", type=Path)
    parser.add_argument("--anchor", type=Path, action="append", default=[], help="file or folder")
    parser.add_argument("--part", action="store_true", help="it is of some days alone")
    chosen = parser.parse_args(arguments)
    try:
        anchors = read_anchors(chosen.anchor)
        with chosen.export.open(encoding="utf-8") as lines:
            report = check(lines, anchors, name=chosen.export.name, part=chosen.part)
    except (CannotCheck, OSError, UnicodeDecodeError) as error:
        sys.stderr.write(f"Not checked: {error}\n")
        return UNCHECKED
    sys.stdout.write(told(report) + "\n")
    return WHOLE if report.ok else BROKEN


if __name__ == "__main__":
    sys.exit(main())
