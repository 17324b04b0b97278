"""Fills a shop's own requests with what was decided, and points into its answers; no value ever becomes structure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from string import Formatter
from typing import TypeAlias
from urllib.parse import quote, unquote

from babel import numbers

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
Values: TypeAlias = Mapping[str, str | int | bool]
"""What a request may be filled with, by placeholder."""

OPTIONAL = frozenset({"note", "external_reference", "notify_buyer", "notify_seller", "plan_token"})
"""What an operation need not carry: a field of a body that holds nothing else is left out then."""
PLACEHOLDERS = OPTIONAL | {
    "subject_id",
    "operation_id",
    "reason",
    "actor",
    "amount",
    "amount_decimal",
    "currency",
    "refund_policy",
    "route",
    "template",
    "since",
}
IN_HEADERS = frozenset({"operation_id", "actor"})
"""Only what we made up or Slack did: a line break in a header would be a header of its own."""

_LEFT_OUT = object()
_DOTS = frozenset({".", ".."})


class TemplateError(ValueError):
    """A template that cannot be meant; its message is a clause that begins with `must` or a verb."""


class Unfillable(Exception):
    """A value that a request needs is not there, or cannot be part of an address."""


def placeholders(template: Json) -> frozenset[str]:
    """Every placeholder in it, however deep.

    Raises:
        TemplateError: a placeholder that is unknown or more than a name.
    """
    return frozenset(
        name for text in _texts(template) for _, name in _parts(text) if name is not None
    )


def fill_json(template: Json, values: Values) -> Json:
    """The template with every placeholder filled; one that stands alone keeps its value's type.

    Raises:
        Unfillable: a needed value is missing.
    """
    filled = _fill(template, values)
    return None if filled is _LEFT_OUT else filled  # type: ignore[return-value]  # else it is JSON


def fill_texts(templates: Mapping[str, str], values: Values) -> dict[str, str]:
    """Form fields, query parameters or headers; what is left out is left out whole.

    Raises:
        Unfillable: a needed value is missing.
    """
    filled = {name: _fill(template, values) for name, template in templates.items()}
    texts = {name: _as_text(value) for name, value in filled.items() if value is not _LEFT_OUT}
    for name, text in texts.items():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise Unfillable(name) from error
    return texts


def fill_path(template: str, values: Values) -> str:
    """An address's path in which every value stays inside its own segment.

    Raises:
        Unfillable: a value is missing, empty, or no address can hold it.
    """
    filled = ""
    for literal, name in _parts(template):
        filled += quote(literal, safe="/%:@!$&'()*+,;=~")
        if name is not None:
            value = _as_text(values.get(name, ""))
            if value == "":
                raise Unfillable(name)
            try:
                filled += quote(value, safe="")
            except UnicodeEncodeError as error:
                raise Unfillable(name) from error
    # Dots would climb to another path, whoever unquotes them.
    if any(unquote(segment) in _DOTS for segment in filled.split("/")):
        raise Unfillable("path")
    return filled


def fill_url(template: str, subject_id: str) -> str | None:
    """A page's address for people to open; None if no address can hold the id."""
    if subject_id in {"", *_DOTS}:
        return None
    try:
        return template.replace("{subject_id}", quote(subject_id, safe=""))
    except UnicodeEncodeError:
        return None


def check_path(template: str) -> None:
    """Raise a TemplateError unless it is a plain path below the base address."""
    literal = "".join(text for text, _ in _parts(template))
    if not template.startswith("/") or template.startswith("//"):
        raise TemplateError("must start with one slash: the address before it is `base_url`")
    if re.search(r"[?#\\\s]", literal):
        raise TemplateError("must be a path alone: put parameters under `query`")
    if any(unquote(segment) in _DOTS for segment in template.split("/")):
        raise TemplateError("must not climb with dots")


def at(document: object, pointer: str) -> object:
    """What a JSON pointer (RFC 6901) leads to.

    Raises:
        LookupError: it leads nowhere.
    """
    found = document
    for token in pointer.split("/")[1:]:
        key = token.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict):
            found = found[key]
        elif isinstance(found, list) and key.isascii() and key.isdigit() and len(key) < 7:
            found = found[int(key)]
        else:
            raise LookupError(pointer)
    return found


def same(one: object, other: object) -> bool:
    """Equal as JSON: true is not 1."""
    return type(one) is type(other) and one == other


def decimal_amount(amount: int, currency: str) -> str | None:
    """An amount in the smallest unit as shops write it with a point; None for an unknown currency."""
    digits = _digits(currency)
    return None if digits is None else f"{Decimal(amount).scaleb(-digits):.{digits}f}"


def smallest_unit(amount: object, currency: str) -> int | None:
    """An amount that a shop wrote with a point, in the smallest unit; None if it is not one."""
    digits = _digits(currency)
    # A float would have lost cents before we saw them; its text is what the shop wrote.
    if digits is None or isinstance(amount, bool) or not isinstance(amount, str | int | float):
        return None
    if not re.fullmatch(r"\d{1,15}(\.\d{1,6})?", str(amount)):
        return None
    scaled = Decimal(str(amount)).scaleb(digits)
    return int(scaled) if scaled == scaled.to_integral_value() else None


def _digits(currency: str) -> int | None:
    if currency not in numbers.list_currencies():
        return None
    return int(numbers.get_currency_precision(currency))


def _texts(template: Json) -> Iterator[str]:
    match template:
        case str():
            yield template
        case dict():
            for value in template.values():
                yield from _texts(value)
        case list():
            for value in template:
                yield from _texts(value)
        case _:
            return


def _parts(text: str) -> Iterator[tuple[str, str | None]]:
    """Literal text and the placeholder after it."""
    try:
        parsed = list(Formatter().parse(text))
    except ValueError as error:
        raise TemplateError(
            f"has a brace without its partner in {text!r}: write {{{{ for a brace"
        ) from error
    for literal, name, spec, conversion in parsed:
        if name is not None and (name not in PLACEHOLDERS or spec or conversion):
            raise TemplateError(
                f"names {{{name}}}, which is no placeholder: there are {', '.join(sorted(PLACEHOLDERS))}"
            )
        yield literal, name


def _fill(template: Json, values: Values) -> object:
    match template:
        case str():
            return _fill_text(template, values)
        case dict():
            fields = {name: _fill(value, values) for name, value in template.items()}
            return {name: value for name, value in fields.items() if value is not _LEFT_OUT}
        case list():
            return [one for one in (_fill(v, values) for v in template) if one is not _LEFT_OUT]
        case _:
            return template


def _fill_text(template: str, values: Values) -> object:
    parts = list(_parts(template))
    for _, name in parts:
        if name is not None and name not in values and name not in OPTIONAL:
            raise Unfillable(name)
    if len(parts) == 1 and parts[0][0] == "" and parts[0][1] is not None:
        return values.get(parts[0][1], _LEFT_OUT)
    return "".join(
        literal + ("" if name is None else _as_text(values.get(name, "")))
        for literal, name in parts
    )


def _as_text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
