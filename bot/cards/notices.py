"""Notices as a channel shows them: a first line that says it, the facts, and whom it asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import tzinfo

from bot.cards.blocks import (
    Block,
    actions,
    context,
    header,
    message_text,
    mrkdwn_section,
    sections_of,
)
from bot.cards.case_card import CardMessage
from bot.cards.wording import action_name, address, mention_groups
from bot.domain.notices import Notice, NoticeKind
from bot.domain.text import user_text
from bot.locale import Messages

_SECTIONS = 4
_WORDS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """What a kind of notice says; all of it is shown as plain text, but for the mentions."""

    head: str
    lines: tuple[str, ...] = ()
    small: tuple[str, ...] = ()
    mentions: str = ""
    """Live mentions of those who must act, and why in the same line."""
    buttons: tuple[Block, ...] = ()


Draw = Callable[[Notice, Messages, tzinfo], Drawn]


def notice_card(notice: Notice, *, post_id: str, messages: Messages, tz: tzinfo) -> CardMessage:
    """The notice in the channel's language."""
    drawn = DRAWERS[notice.kind](notice, messages, tz)
    blocks: list[Block] = [header(drawn.head), *sections_of(drawn.lines, _SECTIONS)]
    if drawn.mentions:
        blocks.append(mrkdwn_section(drawn.mentions))
    if drawn.small:
        blocks.append(context(drawn.small))
    if drawn.buttons:
        blocks.append(actions(drawn.buttons, block_id=f"notice:{post_id[:40]}"))
    return CardMessage(
        text=message_text([drawn.head, *drawn.lines, *drawn.small]),
        blocks=blocks,
        metadata={"event_type": "mimawari_post", "event_payload": {"post_id": post_id}},
    )


def _paused(notice: Notice, messages: Messages, tz: tzinfo) -> Drawn:
    return Drawn(
        head=messages.t("🛑 Paused: {what}", what=scope_of(notice.action, messages)),
        lines=(
            messages.t(
                "{name} paused it at {when}. Reason: {reason}",
                name=person(notice.by_name or notice.by, messages),
                when=messages.moment(notice.at, tz) if notice.at else "—",
                reason=words(notice.reason),
            ),
            messages.t(
                "Nothing of it is carried out until two people resume it: `/cre resume`."
                " What was under way finishes."
            ),
        ),
    )


def _resumed(notice: Notice, messages: Messages, tz: tzinfo) -> Drawn:  # noqa: ARG001
    return Drawn(
        head=messages.t("▶️ Resumed: {what}", what=scope_of(notice.action, messages)),
        lines=(
            messages.t(
                "Proposed by {name}, approved by {other}.",
                name=person(notice.by_name or notice.by, messages),
                other=person(notice.person_name or notice.person, messages),
            ),
        ),
    )


def scope_of(action: str | None, messages: Messages) -> str:
    """What a pause stops: everything, or one action."""
    return messages.t("all operations") if action == "all" else action_name(action, messages)


def person(name: str | None, messages: Messages) -> str:
    return address(name, messages)


def words(text: str | None) -> str:
    """What somebody wrote, on one line."""
    return user_text(text or "—", _WORDS)


def mentions_of(notice: Notice, sentence: str) -> str:
    """The groups that must act, and what; nothing where there are none."""
    groups = mention_groups(notice.groups)
    return f"{groups} {sentence}" if groups else ""


DRAWERS: Mapping[NoticeKind, Draw] = {
    NoticeKind.PAUSED: _paused,
    NoticeKind.RESUMED: _resumed,
}
"""One drawing function a kind; a test looks that none is missing."""
