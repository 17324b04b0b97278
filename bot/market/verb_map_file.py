"""Reads a verb map, and refuses with a sentence what is written wrong or would let something else run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from bot.domain.errors import SayableError
from bot.domain.verbs import Verb
from bot.market.verb_map import EFFECTS, MappedVerb, Preview, VerbMap

NEEDED: Mapping[Verb, tuple[str, ...]] = {
    Verb.CANCEL: ("refund_policy",),
    Verb.REFUND: ("amount", "currency"),
    Verb.WARN: ("template",),
    Verb.REMOVE_FOLLOWS: ("since",),
}
SETS_A_STATE = frozenset(
    {
        Verb.HOLD,
        Verb.RELEASE,
        Verb.CANCEL,
        Verb.SUSPEND,
        Verb.REINSTATE,
        Verb.TAKEDOWN,
        Verb.RESTORE,
        Verb.REMOVE_POST,
        Verb.RESTORE_POST,
    }
)
"""Verbs that are done when the subject is in a state; of a refund or a warning no state tells."""


class _Loader(yaml.SafeLoader):
    """YAML as people mean it: a field named `no` is not false, nor is 2026-01-01 anything but text."""


_Loader.yaml_implicit_resolvers = {}

for _tag, _pattern, _first in (
    ("bool", r"true|false", "tf"),
    ("null", r"null|~|", "n~\0"),
    ("int", r"-?(0|[1-9][0-9]*)", "-0123456789"),
    ("float", r"-?(0|[1-9][0-9]*)\.[0-9]+", "-0123456789"),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first
    )


def read_verb_map(path: Path) -> VerbMap:
    """Read and check a verb map.

    Raises:
        SayableError: what is wrong, where and what to do, in one sentence.
    """
    try:
        loader = _Loader(path.read_text(encoding="utf-8"))
        node = loader.get_single_node()
        content = None if node is None else loader.construct_document(node)
    except OSError as error:
        raise SayableError(
            f"The verb map {path} cannot be read ({error.strerror}): set VERB_MAP_FILE to one that can."
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise SayableError(f"The verb map {path} is not YAML: {_one_line(error)}.") from error
    if not isinstance(content, dict):
        raise SayableError(f"The verb map {path} must have `verbs` at its top.")
    for line, key in _written_twice(node):
        raise SayableError(
            f"The verb map {path}, line {line}: `{key}` stands there twice; keep one of them."
        )
    try:
        read = VerbMap.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        words = _words(first["type"], str(first["msg"]))
        more = error.error_count() - 1
        rest = f" ({more} more after it.)" if more else ""
        raise SayableError(_told(path, node, first["loc"], words) + rest) from error
    for verb, mapped in read.verbs.items():
        problem = _problem_of_effects(verb, mapped)
        if problem is not None:
            raise SayableError(_told(path, node, ("verbs", verb.value), problem))
    return read


def _told(path: Path, node: Any, loc: tuple[int | str, ...], words: str) -> str:
    where, line = _place(node, loc)
    return f"The verb map {path}, line {line}: {f'`{where}`' if where else 'it'} {words}."


def _problem_of_effects(verb: Verb, mapped: MappedVerb) -> str | None:
    """Why something else would run under this map than was decided; None: it would not."""
    if mapped.request is None:
        return None
    carries = set(mapped.request.carries)
    if "amount_decimal" in carries:
        carries = {*carries - {"amount_decimal"}, "amount"}
    effects = EFFECTS.get(verb, ())
    for name in (*mapped.fixed, *mapped.values):
        if name not in effects:
            return f"must fix or translate only what changes its effect: `{name}` does not"
    for name in NEEDED.get(verb, ()):
        if name not in carries and name not in mapped.fixed:
            return (
                f"must send {{{name}}}, or say under `fixed` which {name} its endpoint always uses"
            )
    strange = {name for names in EFFECTS.values() for name in names} - set(effects)
    if strange & carries:
        return f"must not send {{{min(strange & carries)}}}: that belongs to another verb"
    if verb is Verb.REFUND and "amount" in mapped.fixed:
        return "must send {amount} or {amount_decimal}: it cannot be fixed"
    if verb is Verb.REFUND and not _tells_what_is_left(mapped.plan):
        return (
            "must read `refund_amount`, `currency` and `refund_route` in a `plan`, so that never more"
            " is given back than is left, nor to a bank account unseen"
        )
    if mapped.lookup is not None and mapped.lookup.by == "state" and verb not in SETS_A_STATE:
        return "must be looked up by operation: no state tells whether *this* one was done"
    return None


def _tells_what_is_left(plan: Preview | None) -> bool:
    return plan is not None and None not in (plan.refund_amount, plan.currency, plan.refund_route)


def _words(kind: str, message: str) -> str:
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        return "is no field of a verb map: see docs/adoption.md"
    words = message.removeprefix("Value error, ").rstrip(".")
    if words.startswith(("must ", "names ", "has ")):
        return words
    return f"is wrong: {words[0].lower()}{words[1:]}"


def _place(node: Any, loc: tuple[int | str, ...]) -> tuple[str, int]:
    """The path in the file that an error names, as far as the file has it, and its line."""
    names: list[str] = []
    line = 1 if node is None else node.start_mark.line + 1
    for number, part in enumerate(loc):
        found = _child(node, part)
        if found is None:
            # A missing field is named, what pydantic calls its alternatives is not.
            if number == len(loc) - 1 and isinstance(part, str) and re.fullmatch(r"[a-z_]+", part):
                names.append(part)
            continue
        line, node = found
        names.append(str(part))
    return ".".join(names), line


def _child(node: Any, part: int | str) -> tuple[int, Any] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return key.start_mark.line + 1, value
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        child = node.value[part]
        return child.start_mark.line + 1, child
    return None


def _written_twice(node: Any) -> Iterator[tuple[int, str]]:
    """Keys that YAML would silently take the last of."""
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                yield key.start_mark.line + 1, str(key.value)
            seen.add(str(key.value))
            yield from _written_twice(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _written_twice(value)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300].rstrip(".")
