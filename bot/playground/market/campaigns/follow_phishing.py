"""Follows crowds and lets go of them, so that they look at a profile whose link asks for their password."""

from __future__ import annotations

from datetime import datetime, timedelta

from bot.playground.market.campaigns.parameters import FollowPhishing
from bot.playground.market.campaigns.wave import Wave
from bot.playground.market.shoppers_people import Person
from bot.playground.market.shoppers_rows import follow_row

NAME_LENGTH = 16


def write(wave: Wave) -> None:
    """Each account has the link in its profile before it follows anybody."""
    if wave.is_first:
        wave.open_accounts()
        for account in wave.round.accounts:
            at = account.created_at + (wave.start - account.created_at) * 0.7
            wave.write(account, "profile", wave.round.lure, at, urls=(wave.round.url,))
    for account in wave.round.accounts:
        _follow(wave, account)


def _follow(wave: Wave, account: Person) -> None:
    level, rng = wave.tactics(FollowPhishing), wave.rng
    crowd = rng.sample(wave.world.population.everybody, level.follows.count(rng))
    at = wave.start + timedelta(seconds=rng.uniform(0, 30))
    for followee in crowd:
        wave.add(follow_row(rng, account, followee, at))
        if rng.random() < level.lets_go:
            later = at + timedelta(minutes=level.lets_go_after_minutes.draw(rng))
            # Not waited for: the look back may come before the last of them.
            wave.add(follow_row(rng, account, followee, later, "unfollow"), is_act=False)
        at += timedelta(seconds=level.seconds.draw(rng))
    count = min(level.messages.count(rng), len(crowd))
    for recipient in rng.sample(crowd, count):
        _send(wave, account, recipient, wave.start + (at - wave.start) * rng.uniform(0.1, 1))


def _send(wave: Wave, account: Person, recipient: Person, at: datetime) -> None:
    """The same words, or almost: a name before them, and each time another code in the link."""
    level, rng, flavour = wave.tactics(FollowPhishing), wave.rng, wave.flavour
    url, body = wave.round.url, wave.round.lure
    if not level.link_in_messages:
        body, url = body.replace(url, flavour.see_profile), ""
    elif level.varies:
        own = url[:-6] + f"{rng.getrandbits(24):06x}"
        body, url = body.replace(url, own), own
    if level.varies:
        body = f"{recipient.display_name[:NAME_LENGTH]} {body}"
    wave.write(account, "message", body, at, urls=(url,) if url else (), recipient=recipient)
