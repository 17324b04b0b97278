"""Plants a fault or an ear in place of a function of ours, where no real part could be made to fail or tell."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def planted(holder: Any, **parts: object) -> Iterator[None]:
    """Put these in place of the holder's attributes of the same names, and take them out again at the end."""
    before = {name: getattr(holder, name) for name in parts}
    try:
        for name, part in parts.items():
            setattr(holder, name, part)
        yield
    finally:
        for name, part in before.items():
            setattr(holder, name, part)
