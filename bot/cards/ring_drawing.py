"""Draws a ring: reads what to draw as JSON and writes a PNG. It imports nothing of ours, so that its process starts
in no time, and gives the memory that pictures take back when it ends.
"""

from __future__ import annotations

import io
import json
import math
import sys
from dataclasses import dataclass
from typing import Any

_ID = 14
# Found by name where the system has one; else the labels are those in plain Latin letters.
_FONTS = (
    "NotoSansCJK-Regular.ttc",
    "NotoSansCJKjp-Regular.otf",
    "NotoSansJP-Regular.ttf",
    "ipaexg.ttf",
    "ipag.ttf",
)
_INK, _PAPER, _FAINT = "#1d1c1d", "#ffffff", "#6b6b6b"
# Told apart by their words; the colours only help.
_COLOURS = ("#0b57d0", "#b3261e", "#146c2e", "#7b3fa0", "#8a5000", "#00696d", "#5b5f00")


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """What is drawn: every text twice, in the reader's language and in plain Latin letters."""

    title: tuple[str, str]
    note: tuple[str, str]
    accounts: list[tuple[str, bool]]
    """Ids, and whether it is a seller."""
    hubs: list[tuple[str, str, int]]
    """Labels, and the kind's colour."""
    lines: list[tuple[int, int]]
    """From an account to a hub, by their places."""


def draw(drawing: Drawing) -> bytes:
    """The PNG of a ring."""
    from PIL import Image, ImageDraw, ImageFont

    def font_of(size: int) -> tuple[Any, bool]:
        for name in _FONTS:
            try:
                return ImageFont.truetype(name, size), True
            except OSError:
                continue
        return ImageFont.load_default(size), False

    many = len(drawing.accounts)
    outer = max(230.0, many * 13.0)
    width, height = int(2 * outer + 340), int(2 * outer + 210)
    middle = (width / 2, height / 2 + 20)
    image = Image.new("RGB", (width, height), _PAPER)
    canvas = ImageDraw.Draw(image)
    (font, is_local), (large, _) = font_of(17), font_of(22)
    mine = 0 if is_local else 1

    def said(text: str) -> str:
        # What a font lacks would stand there as a box.
        return text if is_local else text.encode("ascii", "replace").decode()

    seats = [_on_circle(middle, outer, n, many) for n in range(many)]
    hubs = _hub_places(drawing, seats, middle, outer)
    for place, hub in drawing.lines:
        canvas.line([seats[place], hubs[hub]], fill=_COLOURS[drawing.hubs[hub][2]], width=2)
    for (x, y), (local, plain, colour) in zip(hubs, drawing.hubs, strict=True):
        label = said((local, plain)[mine])
        half = canvas.textlength(label, font=font) / 2 + 10
        box = [x - half, y - 16, x + half, y + 16]
        canvas.rounded_rectangle(box, 8, fill=_PAPER, outline=_COLOURS[colour], width=3)
        canvas.text((x, y), label, fill=_COLOURS[colour], font=font, anchor="mm")
    for (x, y), (account, is_seller) in zip(seats, drawing.accounts, strict=True):
        dot = [x - 9, y - 9, x + 9, y + 9]
        if is_seller:
            canvas.rectangle(dot, fill=_INK)
        else:
            canvas.ellipse(dot, fill=_PAPER, outline=_INK, width=3)
        name = account if len(account) <= _ID else account[: _ID - 1] + "…"
        right = x >= middle[0] - 1
        canvas.text(
            (x + (16 if right else -16), y),
            said(name),
            fill=_INK,
            font=font,
            anchor="lm" if right else "rm",
        )
    canvas.text((20, 16), said(drawing.title[mine]), fill=_INK, font=large)
    canvas.text((20, height - 34), said(drawing.note[mine]), fill=_FAINT, font=font)
    out = io.BytesIO()
    image.save(out, format="PNG", optimize=True)
    return out.getvalue()


def _on_circle(
    middle: tuple[float, float], radius: float, n: float, many: int
) -> tuple[float, float]:
    angle = 2 * math.pi * n / many - math.pi / 2
    return (middle[0] + radius * math.cos(angle), middle[1] + radius * math.sin(angle))


def _hub_places(
    drawing: Drawing,
    seats: list[tuple[float, float]],
    middle: tuple[float, float],
    outer: float,
) -> list[tuple[float, float]]:
    """Each hub near those who share it, and none upon another."""
    if len(drawing.hubs) == 1:
        return [middle]
    wanted = []
    for hub in range(len(drawing.hubs)):
        own = [seats[place] for place, other in drawing.lines if other == hub]
        x = sum(seat[0] for seat in own) / len(own) - middle[0]
        y = sum(seat[1] for seat in own) / len(own) - middle[1]
        wanted.append((math.atan2(y, x), hub))
    places = [middle] * len(drawing.hubs)
    for n, (_, hub) in enumerate(sorted(wanted)):
        # Two circles, since labels are wide.
        radius = outer * (0.62 if n % 2 else 0.34) if len(wanted) > 4 else outer * 0.45
        places[hub] = _on_circle(middle, radius, n + 0.35, len(wanted))
    return places


def main() -> None:
    """Draw what stdin says."""
    told = json.load(sys.stdin)
    drawing = Drawing(
        title=tuple(told["title"]),
        note=tuple(told["note"]),
        accounts=[(id_, is_seller) for id_, is_seller in told["accounts"]],
        hubs=[(local, plain, colour) for local, plain, colour in told["hubs"]],
        lines=[(place, hub) for place, hub in told["lines"]],
    )
    try:
        png = draw(drawing)
    except ModuleNotFoundError as error:
        sys.exit(f"{error.name} is not installed: add the extra `pictures`")
    sys.stdout.buffer.write(png)


if __name__ == "__main__":
    main()
