"""Reads a YAML file of an operator into a model, and says in a sentence with its line what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from bot.domain.errors import SayableError

Model = TypeVar("Model", bound=BaseModel)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class YamlFile:
    """One file of an operator's, and how it is spoken of."""

    path: Path
    what: str
    """Such as `verb map`."""
    setting: str
    top: str
    """What must stand at its top."""
    explained_in: str

    def read(self, model: type[Model]) -> tuple[Model, Any]:
        """The file as the model has it, and its nodes, for `told`.

        Raises:
            SayableError: what is wrong, where and what to do, in one sentence.
        """
        path = self.path
        try:
            loader = _Loader(path.read_text(encoding="utf-8"))
            node = loader.get_single_node()
            content = None if node is None else loader.construct_document(node)
        except OSError as error:
            raise SayableError(
                f"The {self.what} {path} cannot be read ({error.strerror}): set {self.setting} to one that can."
            ) from error
        except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
            raise SayableError(
                f"The {self.what} {path} is not YAML: {_one_line(error)}."
            ) from error
        if not isinstance(content, dict):
            raise SayableError(f"The {self.what} {path} must have `{self.top}` at its top.")
        for line, key in _written_twice(node):
            raise SayableError(
                f"The {self.what} {path}, line {line}: `{key}` stands there twice; keep one of them."
            )
        try:
            return model.model_validate(content), node
        except ValidationError as error:
            first = error.errors()[0]
            words = self._words(first["type"], str(first["msg"]))
            more = error.error_count() - 1
            rest = f" ({more} more after it.)" if more else ""
            raise SayableError(self.told(node, first["loc"], words) + rest) from error

    def told(self, node: Any, loc: tuple[int | str, ...], words: str) -> str:
        """A sentence about one place of the file."""
        where, line = _place(node, loc)
        return (
            f"The {self.what} {self.path}, line {line}: {f'`{where}`' if where else 'it'} {words}."
        )

    def _words(self, kind: str, message: str) -> str:
        if kind == "missing":
            return "is missing"
        if kind == "extra_forbidden":
            return f"is no field of a {self.what}: see {self.explained_in}"
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
