"""Bots that try card numbers on something cheap of an honest maker."""

from __future__ import annotations

from datetime import timedelta

from bot.playground.market.campaigns.parameters import CardTesting
from bot.playground.market.campaigns.wave import Wave


def write(wave: Wave) -> None:
    """Attempt after attempt is declined; the last ones of some accounts pass, and leave a small order."""
    level, rng = wave.tactics(CardTesting), wave.rng
    if wave.is_first:
        wave.open_accounts()
    listing = wave.pick_listing(level.yen)
    passes = level.passes.count(rng)
    begin = wave.start
    for n, account in enumerate(wave.round.accounts):
        at = begin
        for _ in range(level.attempts.count(rng)):
            card = wave.round.make_stolen_card(rng)
            wave.try_card(wave.honest_purchase(account, listing, at, card), card, at)
            at += timedelta(seconds=level.seconds.draw(rng))
        left = passes if n == len(wave.round.accounts) - 1 else min(passes, 1)
        passes -= left
        for _ in range(left):
            card = wave.round.make_stolen_card(rng)
            wave.place_on_stolen_card(wave.honest_purchase(account, listing, at, card))
            at += timedelta(seconds=level.seconds.draw(rng))
        begin += timedelta(minutes=level.minutes_between_accounts.draw(rng))
