"""`mimawari rules try`: the cards that a detection would have posted."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from bot import parts
from bot.actions import registry
from bot.cards.case_card import CardMessage, case_card
from bot.cases.placing import subjects_of
from bot.cases.policy import DEFAULT_POLICY, read_policy
from bot.cases.previewing import preview_cases
from bot.cli.kit import run_async
from bot.cli.rules import rules
from bot.cli.rules_kit import needed_setting, reader_of, the_detection
from bot.detections.detection import Detection
from bot.detections.engine import DetectionFault
from bot.detections.trying import Tried, try_out
from bot.domain.cases import CaseView
from bot.domain.errors import SayableError
from bot.locale import messages_for
from bot.market.reader import MarketReader
from bot.settings import Settings, read_settings

_JOINER = "\u2060"  # keeps Slack from making links, and a terminal makes none


@rules.command("try")
@click.argument("file")
@click.option(
    "--days", type=click.IntRange(1, 366), default=7, show_default=True, help="How far back."
)
@click.option("--locale", type=click.Choice(["ja", "en"]), help="Language; not given: LOCALE.")
@click.option(
    "--most", type=click.IntRange(1), default=20, show_default=True, help="Cards printed at most."
)
def rules_try(file: str, *, days: int, locale: str | None, most: int) -> None:
    """Draw the cards that FILE (or a detection's name) would have posted in the last days; post none.

    Nothing is stored either. The marketplace is asked as it is today, so an order that was shipped or
    cancelled since is shown so; and cases that share only evidence (a card, a device) stay apart here.
    """
    settings = read_settings()
    detection = the_detection(settings, file)
    tried, views, now = run_async(_try(settings, detection, timedelta(days=days)))
    messages = messages_for(locale or settings.locale)
    click.echo(
        f"{detection.name}: {len(tried.findings)} findings in {len(views)} cases over {days} days"
        f" ({tried.runs} runs; {tried.repeated} more of the same would have told nothing new)"
    )
    for number, view in enumerate(views[:most], start=1):
        card = case_card(view, now=now, tz=settings.zone, messages=messages)
        where = "a card in the channel" if view.in_channel else "in the queue, without a card"
        click.echo(f"\n--- {number}: {where}")
        click.echo("\n".join(_text_of(card)))
    if len(views) > most:
        click.echo(f"\n… and {len(views) - most} more: --most {len(views)} prints all.")
    if len(tried.findings) > detection.daily_cap * days:
        click.echo(
            f"\nnote: that is more than its daily cap of {detection.daily_cap}; it would be taken for a flood"
            " and put back into shadow. Raise its thresholds."
        )


def _text_of(card: CardMessage) -> Iterator[str]:
    """The card as a terminal shows it, with the names of its buttons."""
    yield card.text.replace(_JOINER, "")
    buttons = [
        f"[{_words_of(element)}]"
        for block in card.blocks
        if block["type"] == "actions"
        for element in block["elements"]
        if _words_of(element)
    ]
    if buttons:
        yield " ".join(buttons)


def _words_of(element: dict[str, Any]) -> str:
    words = element.get("text", {}).get("text", "")
    return str(words)


async def _try(
    settings: Settings, detection: Detection, past: timedelta
) -> tuple[Tried, list[CaseView], datetime]:
    reader = reader_of(settings, detection)
    if reader is None:
        raise SayableError(f"Set {needed_setting(detection)}: it is asked what was there.")
    now = datetime.now(UTC)
    try:
        tried = await try_out(
            detection, reader, now=now, past=past, limits=parts.select_limits(settings)
        )
    except DetectionFault as fault:
        raise SayableError(str(fault)) from fault
    subjects = dict.fromkeys(s for finding in tried.findings for s in subjects_of(finding))
    facts = await reader.facts(list(subjects)) if isinstance(reader, MarketReader) else {}
    policy = read_policy(settings.policy_file or DEFAULT_POLICY, registry())
    in_channel = detection.severity in policy.file.cards_for
    return tried, preview_cases(tried.findings, facts, now, in_channel=in_channel), now
