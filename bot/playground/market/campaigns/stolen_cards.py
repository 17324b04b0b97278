"""Buys from honest makers with stolen cards; the goods go to somebody who sends them on."""

from __future__ import annotations

from datetime import timedelta

from bot.playground.market.campaigns.parameters import StolenCards
from bot.playground.market.campaigns.wave import Wave


def write(wave: Wave) -> None:
    """Account by account in turn, so that one card shows on all of them early."""
    level, rng = wave.tactics(StolenCards), wave.rng
    if wave.is_first:
        wave.open_accounts()
    one_card = wave.round.make_stolen_card(rng)
    at = wave.start
    for _ in range(level.orders.count(rng)):
        for account in wave.round.accounts:
            card = one_card if level.one_card else wave.round.make_stolen_card(rng)
            purchase = wave.honest_purchase(account, wave.pick_listing(level.yen), at, card)
            wave.decline_before(purchase, level.declines.count(rng))
            wave.place_on_stolen_card(purchase)
            at += timedelta(minutes=level.minutes.draw(rng))
