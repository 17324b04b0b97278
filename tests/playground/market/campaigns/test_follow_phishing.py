"""Follow and let go, for the link."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from difflib import SequenceMatcher

from bot.playground.market.campaigns.parameters import Kind
from bot.playground.market.flavours import MINATO
from tests.playground.market.campaigns.stories import Told, by, told_often


def counts(told: Told) -> Counter[str]:
    return Counter(row["kind"] for row in told.of("follow_events"))


def busiest_hour(told: Told) -> int:
    times: list[datetime] = sorted(
        row["occurred_at"] for row in told.of("follow_events") if row["kind"] == "follow"
    )
    return max(sum(one <= at < one + timedelta(hours=1) for at in times) for one in times)


def test_the_naive_follow_a_crowd_within_the_hour_and_let_most_of_it_go() -> None:
    for told in told_often(Kind.FOLLOW_PHISHING, "follow_churn"):
        assert busiest_hour(told) >= 100
        assert counts(told)["unfollow"] >= 60
        assert len(told.of("accounts")) == 1


def test_the_link_stands_in_the_profile_before_anybody_is_followed() -> None:
    for story in ("follow_churn", "message_spam", "slow_churn"):
        for told in told_often(Kind.FOLLOW_PHISHING, story):
            first = min(row["occurred_at"] for row in told.of("follow_events"))
            profiles = [row for row in told.of("posts") if row["kind"] == "profile"]

            assert len(profiles) == len(told.of("accounts"))
            assert all(row["created_at"] < first for row in profiles)
            assert all(row["urls"] and row["urls"][0] in row["body"] for row in profiles)


def test_message_spam_says_almost_the_same_to_many_with_a_link_each() -> None:
    for told in told_often(Kind.FOLLOW_PHISHING, "message_spam"):
        for sent in by(
            [row for row in told.of("posts") if row["kind"] == "message"], "account_id"
        ).values():
            bodies = [row["body"] for row in sent]

            assert len({row["recipient_id"] for row in sent}) == len(sent) >= 12
            assert len(set(bodies)) == len(bodies)
            assert SequenceMatcher(None, bodies[0], bodies[1]).ratio() > 0.6
            hosts = {row["urls"][0].split("/")[2] for row in sent}
            assert len(hosts) == 1
            assert all(row["urls"][0] in row["body"] for row in sent)
        assert busiest_hour(told) < 100


def test_the_slow_let_go_only_after_a_day_and_send_no_link() -> None:
    for told in told_often(Kind.FOLLOW_PHISHING, "slow_churn"):
        messages = [row for row in told.of("posts") if row["kind"] == "message"]
        followed = {
            (row["follower_id"], row["followee_id"]): row["occurred_at"]
            for row in told.of("follow_events")
            if row["kind"] == "follow"
        }
        waited = [
            row["occurred_at"] - followed[row["follower_id"], row["followee_id"]]
            for row in told.of("follow_events")
            if row["kind"] == "unfollow"
        ]

        assert busiest_hour(told) <= 32
        assert min(waited) > timedelta(hours=24)
        assert not [row for row in messages if row["urls"] or "http" in row["body"]]
        assert all(MINATO.see_profile in row["body"] for row in messages)


def test_every_text_of_a_spammer_is_in_the_truth() -> None:
    for told in told_often(Kind.FOLLOW_PHISHING, "message_spam", waves=2):
        assert {row["post_id"] for row in told.of("posts")} == told.fraud("post")
