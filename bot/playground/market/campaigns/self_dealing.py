"""One person behind seller and buyers: copied listings, bought with stolen cards, for the payout."""

from __future__ import annotations

from datetime import timedelta

from bot.playground.market.campaigns.parameters import SelfDealing, Trait
from bot.playground.market.campaigns.wave import Wave


def write(wave: Wave) -> None:
    """New buyers in each wave; the first of them has all in common that the level shares."""
    level, rng = wave.tactics(SelfDealing), wave.rng
    if wave.is_first:
        wave.open_shop()
    at = wave.start
    for n in range(level.accounts.count(rng)):
        buyer = wave.sign_up(level.shares if n == 0 else _some_of(wave, level))
        for _ in range(level.orders.count(rng)):
            card = wave.round.make_stolen_card(rng)
            purchase = wave.own_purchase(buyer, rng.choice(wave.round.shop), at, card)
            wave.decline_before(purchase, level.declines.count(rng))
            wave.place_on_stolen_card(purchase)
            at += timedelta(minutes=level.minutes.draw(rng))
    if rng.random() < level.fooled:
        wave.fool(rng.choice(wave.round.shop))


def _some_of(wave: Wave, level: SelfDealing) -> list[Trait]:
    """At least one: without any it would be somebody else."""
    all_of_them = sorted(level.shares, key=lambda trait: trait.value)
    some = [trait for trait in all_of_them if wave.rng.random() < level.share_of_traits]
    return some or [wave.rng.choice(all_of_them)]
