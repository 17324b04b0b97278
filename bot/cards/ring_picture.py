"""The picture of a ring: accounts around what they share. It shows ids and kinds of evidence, and nothing that the
card does not show.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from dataclasses import asdict

from bot.cards.ring_drawing import Drawing
from bot.cards.ring_lines import account_mark, link_words, ring_line
from bot.domain.cases import CaseView
from bot.domain.rings import LinkKind, RingEdge, Value
from bot.domain.text import user_text
from bot.locale import Messages, messages_for

MOST_ACCOUNTS = 60
MOST_HUBS = 24
DRAW_S = 45.0


class NotDrawn(Exception):
    """No picture came of it; its message says why."""


def drawing_of(view: CaseView, messages: Messages) -> Drawing | None:
    """The ring of a case as it is drawn; None where nothing joins two accounts."""
    if view.ring is None:
        return None
    shared: dict[Value, set[str]] = {}
    for edge in view.ring.edges:
        shared.setdefault(_value(edge), set()).add(edge.account_id)
    hubs = sorted(
        (value for value, accounts in shared.items() if len(accounts) > 1),
        key=lambda value: (-len(shared[value]), value),
    )[:MOST_HUBS]
    degree = Counter(account for value in hubs for account in shared[value])
    kept = [account for account, _ in sorted(degree.items(), key=lambda e: (-e[1], e[0]))]
    kept = kept[:MOST_ACCOUNTS]
    if len(kept) < 2:
        return None
    # Who shares the same stands side by side.
    first = {
        account: min(n for n, v in enumerate(hubs) if account in shared[v]) for account in kept
    }
    accounts = sorted(kept, key=lambda account: (first[account], account))
    plain = messages_for("en")
    numbers: Counter[LinkKind] = Counter()
    labels: list[tuple[str, str, int]] = []
    for kind, _ in hubs:
        numbers[kind] += 1
        words = [f"{link_words([kind], m)} {numbers[kind]}" for m in (messages, plain)]
        labels.append((words[0], words[1], list(LinkKind).index(kind)))
    left = len(view.ring.accounts) - len(accounts)
    return Drawing(
        title=(ring_line(view, messages), ring_line(view, plain)),
        note=(_note(left, messages), _note(left, plain)),
        accounts=[(user_text(account, 60), account_mark(view, account)) for account in accounts],
        hubs=labels,
        lines=[
            (place, n)
            for place, account in enumerate(accounts)
            for n, value in enumerate(hubs)
            if account in shared[value]
        ],
    )


def _note(left: int, messages: Messages) -> str:
    told = messages.t(
        "Square: {seller}; circle: {buyer}",
        seller=messages.glossary["seller"],
        buyer=messages.glossary["buyer"],
    )
    more = messages.n("and {count} more", "and {count} more", left) if left > 0 else ""
    return messages.dots([told, more]) if more else told


def _value(edge: RingEdge) -> Value:
    return (edge.kind, edge.value)


async def draw_apart(drawing: Drawing) -> bytes:
    """The PNG, drawn by a process that gives its memory back.

    Raises:
        NotDrawn: it could not, or not in time.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bot.cards.ring_drawing",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(DRAW_S):
            png, said = await process.communicate(json.dumps(asdict(drawing)).encode())
    except TimeoutError:
        raise NotDrawn("it took too long") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0 or not png:
        last = said.decode(errors="replace").strip().splitlines()
        raise NotDrawn(last[-1] if last else f"the drawing ended with {process.returncode}")
    return png
