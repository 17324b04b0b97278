"""The YAML head of a detection file: what it may say, and where it says something wrong."""

from __future__ import annotations

import difflib
import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
)

from bot.detections.parameters import CLOCK_PARAMETERS, LISTS
from bot.domain.findings import EvidenceType, Mask, Mode, Severity
from bot.domain.subjects import SubjectKind

_DURATION = re.compile(r"(\d+)(s|m|h|d)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_NAME = r"^[a-z][a-z0-9_]{0,62}$"


def parse_duration(value: object) -> timedelta:
    """`30s`, `5m`, `24h` or `7d`."""
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"write a duration such as 30s, 5m, 24h or 7d instead of {value!r}")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def _parse_default(value: object) -> object:
    if isinstance(value, str) and _DURATION.fullmatch(value):
        return parse_duration(value)
    return value


Duration = Annotated[timedelta, BeforeValidator(parse_duration), Field(gt=timedelta())]
NoOrDuration = Annotated[timedelta, BeforeValidator(parse_duration)]
Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300)]
Name = Annotated[str, StringConstraints(pattern=_NAME)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TextHead(_Strict):
    ja: Line
    en: Line


class ParameterHead(TextHead):
    """Its description stands beside the default, in both languages."""

    default: Annotated[
        bool | int | float | timedelta | str | tuple[str, ...], BeforeValidator(_parse_default)
    ] = Field(union_mode="smart")

    @field_validator("default")
    @classmethod
    def _is_a_number(cls, value: object) -> object:
        if isinstance(value, float) and value - value != 0:
            raise ValueError("write a finite number")
        return value


class EvidenceHead(TextHead):
    type: EvidenceType
    mask: Mask = Mask.NONE
    words: dict[str, TextHead] = Field(default_factory=dict)


class ScheduleHead(_Strict):
    every: Duration


class LimitsHead(_Strict):
    """What one run may cost; the settings are the ceiling."""

    seconds: float | None = Field(None, gt=0)
    rows: int | None = Field(None, gt=0)
    bytes: int | None = Field(None, gt=0)


class LinesHead(_Strict):
    ja: tuple[Line, ...]
    en: tuple[Line, ...]

    @field_validator("en")
    @classmethod
    def _says_the_same(cls, value: tuple[str, ...], info: Any) -> tuple[str, ...]:
        if "ja" in info.data and len(value) != len(info.data["ja"]):
            raise ValueError("write as many lines in English as in Japanese")
        return value


class Head(_Strict):
    """Everything that a detection declares about itself."""

    name: Name
    title: TextHead
    source: Literal["market", "ledger"]
    subject: SubjectKind
    severity: Severity
    owner: Line
    schedule: ScheduleHead
    window: Duration
    overlap: NoOrDuration = timedelta(minutes=5)
    mode: Literal[Mode.SHADOW, Mode.REVIEW] = Mode.REVIEW
    """Where it starts; every other mode, automatic too, is approved in Slack."""
    baseline: NoOrDuration = timedelta(hours=24)
    control_percent: int = Field(0, ge=0, le=50)
    parameters: dict[Name, ParameterHead] = Field(default_factory=dict)
    actions: tuple[Name, ...]
    evidence: dict[Name, EvidenceHead] = Field(default_factory=dict)
    runbook: LinesHead
    false_positives: LinesHead
    daily_cap: int = Field(gt=0)
    limits: LimitsHead = LimitsHead()

    @field_validator("parameters")
    @classmethod
    def _are_free(cls, value: Mapping[str, ParameterHead]) -> Mapping[str, ParameterHead]:
        for name in value:
            if name in CLOCK_PARAMETERS or name in LISTS:
                raise ValueError(f"{name} is given to every detection; name this one otherwise")
        return value

    @field_validator("runbook")
    @classmethod
    def _has_few_steps(cls, value: LinesHead) -> LinesHead:
        if not 2 <= len(value.ja) <= 3:
            raise ValueError("write two or three steps")
        return value

    @field_validator("false_positives")
    @classmethod
    def _has_some(cls, value: LinesHead) -> LinesHead:
        if not value.ja:
            raise ValueError("name at least one harmless explanation")
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadProblem:
    """What is wrong in a head; `line` counts from its own first line, which is 0."""

    line: int
    message: str


def parse_head(text: str) -> Head | list[HeadProblem]:
    """The head that the YAML text declares, or everything that is wrong with it."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        repeated = _repeated_keys(node)
        values = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        return [
            HeadProblem(
                line=mark.line if mark else 0,
                message=f"the head is not YAML: {error.problem or error.context}.",
            )
        ]
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        return [HeadProblem(line=0, message=f"the head is not YAML: {error}.")]
    if not isinstance(values, dict):
        return [HeadProblem(line=0, message="the head is no YAML mapping; write `name: …` in it.")]
    if repeated:
        return repeated
    try:
        return Head.model_validate(values)
    except ValidationError as error:
        found = [_problem(node, values, detail) for detail in error.errors()]
        return list(dict.fromkeys(found))


def _problem(node: yaml.Node | None, values: object, detail: Any) -> HeadProblem:
    # A union names its branches too; the path into the file is what of it the file has.
    path: list[Hashable] = []
    at = values
    for part in detail["loc"]:
        if (isinstance(at, dict) and part in at) or (
            isinstance(at, list) and isinstance(part, int)
        ):
            at = at[part]
            path.append(part)
    missing = detail["type"] == "missing"
    where = ".".join(str(part) for part in path) or "the head"
    if missing:
        key = detail["loc"][-1]
        message = f"{where} lacks `{key}`; add it."
    elif detail["type"] == "extra_forbidden":
        key = str(detail["loc"][-1])
        near = difflib.get_close_matches(key, _keys_beside(detail["loc"]), n=1)
        message = f"{where}: there is no such key; " + (
            f"did you mean `{near[0]}`?" if near else "remove it."
        )
    else:
        message = f"{where}: {_sentence(detail)}."
    return HeadProblem(line=_line(node, path), message=message)


def _sentence(detail: Any) -> str:
    said: str = detail["msg"].removeprefix("Value error, ")
    said = said[0].lower() + said[1:]
    if isinstance(detail["input"], str | int | float) and repr(detail["input"]) not in said:
        said += f", not {detail['input']!r}"
    return said


def _keys_beside(loc: tuple[int | str, ...]) -> list[str]:
    """The keys that the model of this place knows."""
    model: Any = Head
    for part in loc[:-1]:
        fields = getattr(model, "model_fields", None)
        if fields is None:
            continue
        annotation = fields[part].annotation if part in fields else None
        models = [a for a in (annotation, *get_args(annotation)) if hasattr(a, "model_fields")]
        model = models[0] if models else model
    return list(model.model_fields)


def _line(node: yaml.Node | None, path: list[Hashable]) -> int:
    """The line of the key at the end of the path."""
    line = node.start_mark.line if node else 0
    for part in path:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == str(part):
                    line, node = key.start_mark.line, value
                    break
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            node = node.value[part]
            line = node.start_mark.line
    return line


def _repeated_keys(node: yaml.Node | None) -> list[HeadProblem]:
    """YAML would silently let the last one win."""
    found: list[HeadProblem] = []
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            written = str(key.value)
            if written in seen:
                found.append(
                    HeadProblem(
                        line=key.start_mark.line,
                        message=f"`{written}` stands here twice; remove one.",
                    )
                )
            seen.add(written)
            found += _repeated_keys(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            found += _repeated_keys(value)
    return found
