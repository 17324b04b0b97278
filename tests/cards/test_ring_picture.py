"""The picture of a ring shows who shares what, in a process of its own, and no more than the card does."""

from __future__ import annotations

import io
import json
from dataclasses import asdict, replace

import pytest
from PIL import Image

from bot.cards.ring_drawing import Drawing
from bot.cards.ring_lines import ring_line, tied_line
from bot.cards.ring_picture import MOST_ACCOUNTS, NotDrawn, draw_apart, drawing_of
from bot.domain.cases import CaseView
from bot.domain.rings import LinkKind, Ring, RingEdge
from bot.domain.subjects import Subject, SubjectKind
from tests.builders import a_case
from tests.cards.reading import EN, JA


def edges(accounts: int, *kinds: LinkKind) -> tuple[RingEdge, ...]:
    return tuple(
        RingEdge(
            account_id=f"A{n:03}",
            kind=kind,
            value=f"{kind.value:0>32}"[:32],
            subject=Subject(SubjectKind.ACCOUNT, f"A{n:03}"),
        )
        for n in range(accounts)
        for kind in kinds
    )


def a_ring(accounts: int, *kinds: LinkKind) -> CaseView:
    return replace(a_case(), ring=Ring(revision=1, edges=edges(accounts, *kinds)))


async def test_a_ring_of_forty_is_a_picture() -> None:
    drawing = drawing_of(a_ring(40, LinkKind.CARD, LinkKind.DEVICE), JA)
    assert drawing is not None
    assert (len(drawing.accounts), len(drawing.hubs), len(drawing.lines)) == (40, 2, 80)
    png = await draw_apart(drawing)
    with Image.open(io.BytesIO(png)) as image:
        assert image.format == "PNG"
        assert image.width > 900
        colours = image.convert("RGB").getcolors(1 << 20) or []
    assert len(colours) > 3


def test_what_is_drawn_names_kinds_and_ids_and_no_values() -> None:
    drawing = drawing_of(a_ring(3, LinkKind.ADDRESS), JA)
    assert drawing is not None
    assert drawing.hubs == [("住所 1", "address 1", 2)]
    assert drawing.title[1] == "Ring: 3 accounts, joined by address"
    assert "0000" not in json.dumps(asdict(drawing))


def test_a_larger_ring_is_drawn_in_part_and_says_so() -> None:
    drawing = drawing_of(a_ring(MOST_ACCOUNTS + 7, LinkKind.CARD), EN)
    assert drawing is not None
    assert len(drawing.accounts) == MOST_ACCOUNTS
    assert "and 7 more" in drawing.note[0]


def test_where_nobody_is_joined_there_is_no_picture() -> None:
    assert drawing_of(a_case(), EN) is None
    assert drawing_of(a_ring(1, LinkKind.CARD), EN) is None


async def test_a_drawing_that_fails_says_why() -> None:
    broken = Drawing(
        title=("", ""), note=("", ""), accounts=[("A", False)], hubs=[], lines=[(0, 5)]
    )
    with pytest.raises(NotDrawn, match="IndexError"):
        await draw_apart(broken)


def test_the_card_tells_the_ring_in_words() -> None:
    view = a_ring(3, LinkKind.CARD, LinkKind.IP)
    assert ring_line(view, EN) == "Ring: 3 accounts, joined by card, IP address"
    assert ring_line(view, JA) == "つながり: 3アカウント(カード、IPアドレスが一致)"
    assert ring_line(a_ring(1, LinkKind.CARD), EN) == ""
    assert view.ring is not None
    tied = replace(view, ring=replace(view.ring, tied=(2041,)))
    assert tied_line(tied, EN) == "The same ring: C-2041, decided separately"
