"""Suspended before, and back with a new shop on the old device, telephone or bank account."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from bot.playground.market.campaigns.parameters import Returning
from bot.playground.market.campaigns.rounds import join
from bot.playground.market.campaigns.wave import Wave
from bot.playground.market.shoppers_people import make_person


def write(wave: Wave) -> None:
    """Buyers that have nothing in common with the shop: only the past gives it away."""
    level, rng = wave.tactics(Returning), wave.rng
    if wave.is_first:
        if wave.round.number == 1:
            _tell_of_before(wave)
        wave.open_shop()
    at = wave.start
    for _ in range(level.accounts.count(rng)):
        buyer = wave.sign_up(())
        for _ in range(level.orders.count(rng)):
            card = wave.round.make_stolen_card(rng)
            purchase = wave.own_purchase(buyer, rng.choice(wave.round.shop), at, card)
            wave.place_on_stolen_card(purchase)
            at += timedelta(minutes=level.minutes.draw(rng))


def _tell_of_before(wave: Wave) -> None:
    """The account that the shop had suspended by itself, before the new one was opened."""
    anchor = wave.round.anchor
    old = make_person(wave.rng, wave.flavour, wave.since, is_seller=True)
    suspended_at = wave.since + min((anchor.created_at - wave.since) / 2, timedelta(hours=2))
    old = join(old, anchor, wave.round.level.keeps)
    wave.open_account(replace(old, created_at=wave.since), suspended_at=suspended_at)
