"""Loads detection files from folders; a broken one is refused and the others go on."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from bot.detections.checking import FIXED_COLUMNS, Judged, judge_sql
from bot.detections.detection import (
    LEDGER,
    RELATIONS,
    Detection,
    EvidenceColumn,
    Loaded,
    OwnLimits,
    Parameter,
    Problem,
    Statement,
    Text,
)
from bot.detections.head import Head, LinesHead, TextHead, parse_head
from bot.detections.parameters import (
    find_parameters,
    given_types,
    make_constant,
    make_positional,
    postgres_type,
)
from bot.domain.errors import SayableError
from bot.domain.subjects import SubjectKind

_OPENING = re.compile(r"\s*/\*(.*?)\*/\s*", re.DOTALL)
# A detection that a person can still read; far above any of ours.
_LARGEST_FILE = 200_000


def load_detections(folders: Sequence[Path], *, actions: Collection[str] | None = None) -> Loaded:
    """Every detection of the folders, in the order of their names.

    Args:
        actions: the names that may be proposed; None leaves them unchecked.
    """
    detections: dict[str, Detection] = {}
    problems: list[Problem] = []
    for folder in folders:
        if not folder.is_dir():
            message = "there is no such folder; create it, or correct DETECTIONS_DIR."
            problems.append(Problem(path=folder, line=1, message=message))
            continue
        for path in sorted(folder.glob("*.sql")):
            loaded = load_detection(path, actions=actions)
            if not isinstance(loaded, Detection):
                problems += loaded
            elif loaded.name in detections:
                first = detections[loaded.name].path
                problems.append(
                    Problem(
                        path=path,
                        line=1,
                        message=f"{first} already is the detection {loaded.name}; rename this file"
                        " and its `name`.",
                    )
                )
            else:
                detections[loaded.name] = loaded
    ordered = tuple(detections[name] for name in sorted(detections))
    return Loaded(detections=ordered, problems=tuple(problems))


def load_detection(
    path: Path, *, actions: Collection[str] | None = None
) -> Detection | list[Problem]:
    """The detection of one file, or everything that is wrong with it."""
    try:
        file = _open(path)
    except _RefusedError as refused:
        return refused.problems
    known = None if actions is None else frozenset(actions)
    judged = _judged(file, known)
    return judged if isinstance(judged, Detection) else list(judged)


# A folder is looked through every few seconds, and a file that did not change means what it meant.
@lru_cache(maxsize=512)
def _judged(file: _File, actions: frozenset[str] | None) -> Detection | tuple[Problem, ...]:
    try:
        head = _read_head(file, actions)
        types = given_types() | {
            name: postgres_type(parameter.default) for name, parameter in head.parameters.items()
        }
        _check_parameters(file, head, types)
        judged = _judge(file, head, types)
    except _RefusedError as refused:
        return tuple(refused.problems)
    return _detection(file, head, make_positional(file.sql, types), judged)


def read_sql(detection: Detection) -> str:
    """The SQL of a detection as its file has it, with its parameters by name.

    Raises:
        SayableError: the file is not what it was when it was loaded.
    """
    try:
        file = _open(detection.path)
    except _RefusedError as refused:
        raise SayableError(refused.problems[0].sentence) from refused
    if file.hash != detection.hash:
        raise SayableError(f"{detection.path} has just changed; try again.")
    return file.sql.strip().rstrip(";").rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """A detection file in its two parts, which know on which line they begin."""

    path: Path
    hash: str
    head: str
    head_line: int
    sql: str
    sql_line: int

    def key_problem(self, key: str, message: str) -> Problem:
        match = re.search(rf"^\s*{re.escape(key)}\s*:", self.head, flags=re.MULTILINE)
        line = self.head.count("\n", 0, match.end()) if match else 0
        return Problem(path=self.path, line=self.head_line + line, message=message)

    def sql_problem(self, at: int, message: str) -> Problem:
        line = self.sql_line + self.sql.count("\n", 0, at)
        return Problem(path=self.path, line=line, message=message)


class _RefusedError(Exception):
    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(*problems)
        self.problems = list(problems)


def _open(path: Path) -> _File:
    def refuse(message: str, line: int = 1) -> _RefusedError:
        return _RefusedError([Problem(path=path, line=line, message=message)])

    try:
        raw = path.read_bytes()
    except OSError as error:
        raise refuse(
            f"it cannot be read ({error.strerror}); make it a file that this user may read."
        ) from error
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise refuse(
            "it is not UTF-8; save it as UTF-8.", raw.count(b"\n", 0, error.start) + 1
        ) from error
    if len(raw) > _LARGEST_FILE or "\0" in text:
        raise refuse("this is no detection: it is too large or holds NUL bytes; remove it.")
    opening = _OPENING.match(text)
    if opening is None:
        raise refuse("it must open with a comment /* … */ that holds its head in YAML.")
    return _File(
        path=path,
        hash=hashlib.sha256(raw).hexdigest(),
        head=opening[1],
        head_line=text.count("\n", 0, opening.start(1)) + 1,
        sql=text[opening.end() :],
        sql_line=text.count("\n", 0, opening.end()) + 1,
    )


def _read_head(file: _File, actions: Collection[str] | None) -> Head:
    head = parse_head(file.head)
    if not isinstance(head, Head):
        raise _RefusedError(
            [
                Problem(path=file.path, line=file.head_line + problem.line, message=problem.message)
                for problem in head
            ]
        )
    if misfits := list(_misfits(head, file.path, actions)):
        raise _RefusedError([file.key_problem(key, message) for key, message in misfits])
    return head


def _check_parameters(file: _File, head: Head, types: Mapping[str, str]) -> None:
    uses, positional = find_parameters(file.sql)
    problems: list[Problem] = []
    if positional is not None:
        problems.append(
            file.sql_problem(positional, "write named parameters such as :now instead of $1.")
        )
    problems += [
        file.sql_problem(
            use.start,
            f":{use.name} is not declared; add {use.name} under `parameters`,"
            " or put a space after the colon if it is none.",
        )
        for use in uses
        if use.name not in types
    ]
    unused = head.parameters.keys() - {use.name for use in uses}
    problems += [
        file.key_problem(name, f"the SQL never uses :{name}; remove it from `parameters`.")
        for name in sorted(unused)
        if not problems
    ]
    if problems:
        raise _RefusedError(problems)


def _judge(file: _File, head: Head, types: Mapping[str, str]) -> Judged:
    judged = judge_sql(make_constant(file.sql, types), RELATIONS[head.source])
    if not isinstance(judged, Judged):
        raise _RefusedError(
            [
                Problem(path=file.path, line=file.sql_line + problem.line, message=problem.message)
                for problem in judged
            ]
        )
    returned = set(judged.columns)
    problems = [
        file.key_problem(name, f"the result has no column {name}; add `… AS {name}`.")
        for name in head.evidence
        if name not in returned
    ] + [
        file.sql_problem(0, f"nothing says what the column {name} is; declare it under `evidence`.")
        for name in sorted(returned - set(FIXED_COLUMNS) - head.evidence.keys())
    ]
    if problems:
        raise _RefusedError(problems)
    return judged


def _misfits(head: Head, path: Path, actions: Collection[str] | None) -> Iterator[tuple[str, str]]:
    """What a head alone cannot know to be wrong: key and sentence."""
    if head.name != path.stem:
        yield "name", f"it is called {head.name}, but its file {path.name}; make them equal."
    for name in head.actions:
        if actions is not None and name not in actions:
            yield "actions", f"there is no action {name}; there are {', '.join(sorted(actions))}."
    if head.subject is SubjectKind.DETECTION and head.source != LEDGER:
        yield (
            "subject",
            "only a detection over our own ledger (source: ledger) is about a detection.",
        )
    for name in head.evidence:
        if name in FIXED_COLUMNS:
            yield name, f"{name} is a fixed column; evidence needs a name of its own."
    if head.overlap > head.window:
        yield "overlap", "the overlap is longer than the window; shorten it."


def _detection(file: _File, head: Head, statement: Statement, judged: Judged) -> Detection:
    return Detection(
        name=head.name,
        path=file.path,
        hash=file.hash,
        title=_text(head.title),
        source=head.source,
        subject=head.subject,
        severity=head.severity,
        owner=head.owner,
        every=head.schedule.every,
        window=head.window,
        overlap=head.overlap,
        mode=head.mode,
        baseline=head.baseline,
        control_percent=head.control_percent,
        parameters=tuple(
            Parameter(name=name, default=parameter.default, description=_text(parameter))
            for name, parameter in head.parameters.items()
        ),
        actions=head.actions,
        evidence=tuple(
            EvidenceColumn(
                name=name,
                label=_text(column),
                type=column.type,
                mask=column.mask,
                words={code: _text(word) for code, word in column.words.items()},
            )
            for name, column in head.evidence.items()
        ),
        runbook=_lines(head.runbook),
        false_positives=_lines(head.false_positives),
        daily_cap=head.daily_cap,
        limits=OwnLimits(
            seconds=head.limits.seconds, rows=head.limits.rows, bytes=head.limits.bytes
        ),
        statement=statement,
        needs=judged.needs,
    )


def _text(head: TextHead) -> Text:
    return Text(ja=head.ja, en=head.en)


def _lines(head: LinesHead) -> tuple[Text, ...]:
    return tuple(Text(ja=ja, en=en) for ja, en in zip(head.ja, head.en, strict=True))
