"""The grammar that Block Kit's rules are written in: checks that report problems in Slack's words."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class Report:
    """Gathers what Slack would put into `response_metadata.messages`."""

    problems: list[str] = field(default_factory=list)

    def add(self, path: str, message: str) -> None:
        self.problems.append(f"[ERROR] {message} [json-pointer:{path}]")


Check = Callable[[object, str, Report], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The fields that an object must and may have; every other field is refused."""

    required: Mapping[str, Check] = field(default_factory=dict)
    optional: Mapping[str, Check] = field(default_factory=dict)
    rule: Callable[[Mapping[str, object], str, Report], None] | None = None
    """What holds between its fields; asked only where each field is right by itself."""


def shaped(shape: Shape) -> Check:
    """An object of one shape."""

    def check(value: object, path: str, report: Report) -> None:
        if not isinstance(value, dict):
            report.add(path, "must provide an object")
            return
        before = len(report.problems)
        for name, inner in shape.required.items():
            if value.get(name) is None:
                report.add(path, f"missing required field: {name}")
            else:
                inner(value[name], f"{path}/{name}", report)
        for name, inner in shape.optional.items():
            # The SDK leaves None out, and Slack reads null as absent.
            if value.get(name) is not None:
                inner(value[name], f"{path}/{name}", report)
        for name in value:
            if name not in shape.required and name not in shape.optional:
                report.add(path, f"invalid additional property: {name}")
        if shape.rule is not None and len(report.problems) == before:
            shape.rule(value, path, report)

    return check


def typed(shapes: Mapping[str, Shape]) -> Check:
    """An object whose `type` names its shape; any other type is refused."""
    checks = {
        name: shaped(
            Shape(
                required={"type": one_of(name), **shape.required},
                optional=shape.optional,
                rule=shape.rule,
            )
        )
        for name, shape in shapes.items()
    }

    def check(value: object, path: str, report: Report) -> None:
        if not isinstance(value, dict):
            report.add(path, "must provide an object")
            return
        kind = value.get("type")
        if kind is None:
            report.add(path, "missing required field: type")
        elif not isinstance(kind, str) or kind not in checks:
            report.add(f"{path}/type", f"unsupported type: {kind}")
        else:
            checks[kind](value, path, report)

    return check


def string(low: int = 0, high: int | None = None, *, pattern: str | None = None) -> Check:
    """A string of `low` to `high` characters."""
    compiled = re.compile(pattern) if pattern is not None else None

    def check(value: object, path: str, report: Report) -> None:
        if not isinstance(value, str):
            report.add(path, "must be a string")
        elif len(value) < low:
            report.add(path, f"must be more than {low - 1} characters")
        elif high is not None and len(value) > high:
            report.add(path, f"must be less than {high + 1} characters")
        elif compiled is not None and not compiled.fullmatch(value):
            report.add(path, f"must match regexp [{compiled.pattern}]")

    return check


def one_of(*allowed: str) -> Check:
    """One word of a list."""

    def check(value: object, path: str, report: Report) -> None:
        if value not in allowed:
            report.add(path, f"must be one of [{', '.join(allowed)}]")

    return check


def boolean(value: object, path: str, report: Report) -> None:
    """True or false, and nothing that merely looks so."""
    if not isinstance(value, bool):
        report.add(path, "must be a boolean")


def integer(low: int, high: int | None = None) -> Check:
    """A whole number of `low` to `high`."""

    def check(value: object, path: str, report: Report) -> None:
        if not isinstance(value, int) or isinstance(value, bool):
            report.add(path, "must be an integer")
        elif value < low:
            report.add(path, f"must be greater than or equal to {low}")
        elif high is not None and value > high:
            report.add(path, f"must be less than or equal to {high}")

    return check


def items(check_item: Check, low: int, high: int | None) -> Check:
    """A list of `low` to `high` things."""

    def check(value: object, path: str, report: Report) -> None:
        if not isinstance(value, list):
            report.add(path, "must be an array")
            return
        if len(value) < low:
            report.add(path, f"no less than {low} items allowed")
        if high is not None and len(value) > high:
            report.add(path, f"no more than {high} items allowed")
        for index, item in enumerate(value):
            check_item(item, f"{path}/{index}", report)

    return check


def nullable(inner: Check) -> Check:
    """Null, or what `inner` allows."""

    def check(value: object, path: str, report: Report) -> None:
        if value is not None:
            inner(value, path, report)

    return check
