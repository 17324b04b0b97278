"""The hourly roll-up: what came to the queue beside the channel, and what is left there to take."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, tzinfo

from bot.cards.answers import next_button, queue_line
from bot.cards.blocks import Block, actions, message_text, section, sections_of
from bot.cards.case_card import CardMessage
from bot.cards.wording import severity_tag
from bot.domain.cases import RollUp
from bot.domain.findings import Severity
from bot.locale import Messages


def roll_up_card(
    roll_up: RollUp,
    *,
    post_id: str,
    now: datetime,
    messages: Messages,
    tz: tzinfo,
    names: Mapping[str, str],
) -> CardMessage:
    """One message: how many came, how many are free and how much money they hold, the first few by name."""
    lines = [
        messages.t(
            "New in the queue since {since}: {counts}.",
            since=messages.moment(roll_up.since, tz, roll_up.until),
            counts=_counts(roll_up.new, messages),
        ),
        messages.t(
            "Nobody has taken yet: {counts}.",
            counts=messages.dots([_counts(roll_up.left, messages), *_money(roll_up, tz, messages)]),
        ),
    ]
    first = [queue_line(entry, now, messages, names) for entry in roll_up.first]
    blocks: list[Block] = [
        section("\n".join(lines)),
        *sections_of(first, 2),
        actions([next_button(messages)], block_id=f"queue:{post_id[:40]}"),
    ]
    return CardMessage(
        text=message_text([*lines, *first]),
        blocks=blocks,
        metadata={"event_type": "mimawari_post", "event_payload": {"post_id": post_id}},
    )


def _counts(counts: tuple[tuple[Severity, int], ...], messages: Messages) -> str:
    parts = []
    for severity, count in counts:
        mark, tag = severity_tag(severity, messages)
        parts.append(
            messages.n(
                "{mark} {tag} {count} case",
                "{mark} {tag} {count} cases",
                count,
                mark=mark,
                tag=tag,
            )
        )
    return messages.dots(parts) or messages.t("none")


def _money(roll_up: RollUp, tz: tzinfo, messages: Messages) -> list[str]:
    told = []
    if roll_up.amounts:
        told.append(messages.monies(list(roll_up.amounts[:3])))
    if roll_up.oldest_at is not None:
        when = messages.moment(roll_up.oldest_at, tz, roll_up.until)
        told.append(messages.t("the oldest from {when}", when=when))
    return told
