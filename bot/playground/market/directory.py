"""A market directory on disk: which relations it holds, and their records with true line numbers."""

from __future__ import annotations

import csv
import gzip
import hashlib
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeAlias

from bot.domain.errors import SayableError

RELATIONS = (
    "accounts",
    "orders",
    "order_items",
    "payment_attempts",
    "listings",
    "follow_events",
    "posts",
    "chargebacks",
    "refunds",
    "fraud_warnings",
    "account_events",
    "user_reports",
    "inquiries",
)
"""The relations of contract/market.sql, in its order."""
REQUIRED = ("accounts", "orders")
SUFFIXES = (".csv", ".csv.gz")
LONGEST_LINE = 4 * 1024 * 1024
"""Bytes; a longer line is no table, and must not fill the memory."""
BinaryStream: TypeAlias = "IO[bytes] | gzip.GzipFile"
_READ_AT_ONCE = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class RelationFile:
    """The file of one relation."""

    relation: str
    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    def refuse(self, line: int | None, reason: str, column: str | None = None) -> SayableError:
        """The error that names the place by file, line and column."""
        place = [self.name]
        if line is not None:
            place.append(f"line {line}")
        if column is not None:
            place.append(f"column {column}")
        return SayableError(f"{', '.join(place)}: {reason}")


def find_relation_files(directory: Path) -> tuple[RelationFile, ...]:
    """The relations that a market directory holds, in the contract's order.

    Raises:
        SayableError: it is no market directory.
    """
    found: dict[str, RelationFile] = {}
    for path in _entries(directory):
        relation = _relation_of(path)
        if relation is None or relation == "labels":
            continue
        if relation not in RELATIONS:
            raise SayableError(
                f"{path.name} is no relation of the market contract; a market directory holds "
                f"{', '.join(RELATIONS)}, each as .csv or .csv.gz, and labels.csv."
            )
        if relation in found:
            raise SayableError(
                f"{directory} holds both {found[relation].name} and {path.name}; keep one of them."
            )
        found[relation] = RelationFile(relation=relation, path=path)
    for relation in REQUIRED:
        if relation not in found:
            raise SayableError(
                f"{directory} has no {relation}.csv or {relation}.csv.gz; a market directory needs "
                "at least accounts and orders."
            )
    return tuple(found[relation] for relation in RELATIONS if relation in found)


def _entries(directory: Path) -> list[Path]:
    try:
        return sorted(path for path in directory.iterdir() if path.is_file())
    except FileNotFoundError:
        raise SayableError(f"There is no directory {directory}.") from None
    except NotADirectoryError:
        raise SayableError(
            f"{directory} is a file; give the directory that holds accounts.csv and orders.csv."
        ) from None
    except OSError as error:
        raise SayableError(f"{directory} cannot be read: {error.strerror}.") from None


def _relation_of(path: Path) -> str | None:
    """The relation that a file name claims to be; None where it claims nothing."""
    name = path.name
    if name.startswith(".") or name.upper().startswith(("README", "LICENSE", "NOTICE")):
        return None
    for suffix in SUFFIXES:
        if name.endswith(suffix):
            return name.removesuffix(suffix)
    return name


def fingerprint(directory: Path) -> str:
    """Tells one directory's content from another's, wherever it lies."""
    digest = hashlib.sha256()
    for file in find_relation_files(directory):
        digest.update(file.name.encode())
        with _opened(file, raw=True) as stream:
            while block := _read(file, stream, None, _READ_AT_ONCE):
                digest.update(block)
    return digest.hexdigest()[:16]


def count_lines(file: RelationFile) -> int:
    """How many lines a file has: the measure of progress."""
    lines = 0
    with _opened(file) as stream:
        while block := _read(file, stream, None, _READ_AT_ONCE):
            lines += block.count(b"\n")
    return lines


def read_records(file: RelationFile) -> Iterator[tuple[int, list[str]]]:
    """Every record with the line on which it begins, the header first; blank lines are passed over.

    Raises:
        SayableError: the file is not readable as CSV in UTF-8.
    """
    reader = csv.reader(_read_lines(file), strict=True)
    line = 1
    while True:
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise file.refuse(line, _csv_sentence(str(error))) from None
        if record:
            yield line, record
        line = reader.line_num + 1


def _csv_sentence(fault: str) -> str:
    if "unexpected end of data" in fault:
        return "a quotation mark is opened here and never closed."
    if "field larger" in fault:
        return (
            f"a field is longer than {csv.field_size_limit():,} characters; "
            "is a quotation mark left open?"
        )
    if "expected after" in fault:
        return "text follows a closing quotation mark; a quotation mark inside a field is doubled."
    return f"this is not CSV: {fault}."


def _read_lines(file: RelationFile) -> Iterator[str]:
    with _opened(file) as stream:
        line = 0
        while raw := _read(file, stream, line + 1, LONGEST_LINE, whole_line=True):
            line += 1
            if len(raw) >= LONGEST_LINE:
                raise file.refuse(line, f"the line is longer than {LONGEST_LINE:,} bytes.")
            if line == 1 and raw.startswith(b"\x1f\x8b"):
                raise file.refuse(None, "it is compressed; name it .csv.gz.")
            if b"\0" in raw:
                raise file.refuse(line, "it holds a NUL character, which no text may hold.")
            try:
                yield raw.decode("utf-8-sig" if line == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise file.refuse(
                    line, f"byte {error.start + 1} is not UTF-8; save the file as UTF-8."
                ) from None


@contextmanager
def _opened(file: RelationFile, *, raw: bool = False) -> Iterator[BinaryStream]:
    """The file's bytes, unpacked unless `raw`."""
    with ExitStack() as stack:
        try:
            stream = stack.enter_context(file.path.open("rb"))
        except OSError as error:
            raise file.refuse(None, f"it cannot be read: {error.strerror}.") from None
        if raw or not file.name.endswith(".gz"):
            yield stream
        else:
            yield stack.enter_context(gzip.GzipFile(fileobj=stream))


def _read(
    file: RelationFile,
    stream: BinaryStream,
    line: int | None,
    size: int,
    *,
    whole_line: bool = False,
) -> bytes:
    try:
        return stream.readline(size) if whole_line else stream.read(size)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise file.refuse(line, f"it cannot be unpacked as gzip ({error}).") from None
    except OSError as error:
        raise file.refuse(line, f"it cannot be read: {error.strerror}.") from None


def shown(value: str) -> str:
    """A value as an error message quotes it: escaped, and cut to length."""
    return repr(value if len(value) <= 60 else f"{value[:59]}…")
