"""Who belongs together: whatever order the facts come in, and not by what a crowd shares."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.rings import MOST, WEAK, LinkKind, Touch, damped, join_accounts, normal_address
from bot.domain.subjects import Subject, SubjectKind


def touch(account: str, kind: LinkKind, value: str) -> Touch:
    return Touch(account, kind, value, Subject(SubjectKind.ACCOUNT, account))


def crowd(kind: LinkKind, count: int) -> list[Touch]:
    return [touch(f"A{n:04}", kind, "shared") for n in range(count)]


touches = st.lists(
    st.builds(
        touch,
        st.sampled_from([f"A{n}" for n in range(6)]),
        st.sampled_from([LinkKind.CARD, LinkKind.DEVICE, LinkKind.IP, LinkKind.FOLLOW]),
        st.sampled_from(["u", "v"]),
    ),
    min_size=4,
    max_size=24,
)


@given(touches, st.randoms(use_true_random=False))
def test_the_order_in_which_facts_come_changes_nothing(
    found: list[Touch], rng: random.Random
) -> None:
    shuffled = [*found, *found[:5]]
    rng.shuffle(shuffled)
    assert join_accounts(shuffled) == join_accounts(found)


@given(touches)
def test_rings_are_apart_and_each_has_what_joins_it(found: list[Touch]) -> None:
    rings = join_accounts(found)
    members = [account for ring in rings for account in ring.accounts]
    assert len(members) == len(set(members))
    for ring in rings:
        assert len(ring.accounts) > 1
        assert {edge.account_id for edge in ring.edges} == ring.accounts
        for value in ring.values:
            assert len({e.account_id for e in ring.edges if e.evidence == value}) > 1


@given(touches)
def test_who_shares_something_strong_is_in_one_ring(found: list[Touch]) -> None:
    ring_of = {account: ring for ring in join_accounts(found) for account in ring.accounts}
    for one in found:
        for other in found:
            if (
                one.account_id != other.account_id
                and one.evidence == other.evidence
                and one.kind not in WEAK
                and one.evidence not in damped(found)
            ):
                assert ring_of[one.account_id] is ring_of[other.account_id]


def test_a_ring_is_joined_through_accounts_that_share_nothing_with_each_other() -> None:
    (ring,) = join_accounts(
        [
            touch("seller", LinkKind.DEVICE, "d"),
            touch("buyer", LinkKind.DEVICE, "d"),
            touch("buyer", LinkKind.CARD, "c"),
            touch("other", LinkKind.CARD, "c"),
            touch("other", LinkKind.PAYOUT, "of nobody else"),
        ]
    )
    assert ring.accounts == {"seller", "buyer", "other"}
    assert ring.values == {(LinkKind.DEVICE, "d"), (LinkKind.CARD, "c")}


@pytest.mark.parametrize("kind", list(LinkKind))
def test_what_too_many_share_joins_nobody(kind: LinkKind) -> None:
    beside = [
        touch(f"A{n:04}", other, "beside")
        for n in range(2)
        for other in WEAK - {kind}
        if kind in WEAK
    ]
    (ring,) = join_accounts([*crowd(kind, MOST[kind]), *beside])
    assert (kind, "shared") in ring.values
    for more in join_accounts([*crowd(kind, MOST[kind] + 1), *beside]):
        assert (kind, "shared") not in more.values


def test_a_value_that_is_known_to_be_crowded_joins_nobody() -> None:
    found = crowd(LinkKind.DEVICE, 2)
    assert join_accounts(found)
    assert join_accounts(found, [(LinkKind.DEVICE, "shared")]) == ()


@pytest.mark.parametrize("kind", sorted(WEAK))
def test_something_weak_joins_only_beside_another_weak_kind(kind: LinkKind) -> None:
    alone = [touch(a, kind, v) for a in "AB" for v in ("one", "two", "three")]
    assert join_accounts(alone) == ()
    other = next(iter(sorted(WEAK - {kind})))
    (ring,) = join_accounts([*alone, touch("A", other, "z"), touch("B", other, "z")])
    assert ring.accounts == {"A", "B"}


def test_two_weak_kinds_that_are_shared_with_two_different_accounts_join_none() -> None:
    assert (
        join_accounts(
            [
                touch("A", LinkKind.IP, "i"),
                touch("B", LinkKind.IP, "i"),
                touch("A", LinkKind.FOLLOW, "f"),
                touch("C", LinkKind.FOLLOW, "f"),
            ]
        )
        == ()
    )


@pytest.mark.parametrize(
    "written",
    [
        "東京都渋谷区神南一丁目2番3号 みなとハイツ101",
        "東京都渋谷区神南1-2-3 みなとハイツ 101",
        "東京都渋谷区神南１丁目２−３　みなとハイツ１０１号室",
        "東京都 渋谷区 神南 1-2-3 みなとハイツ101",
    ],
)
def test_one_address_is_one_however_it_is_written(written: str) -> None:
    plain = normal_address("150-0041", "東京都渋谷区神南1-2-3みなとハイツ101")
    assert normal_address("1500041", written) == plain


def test_two_flats_of_one_house_are_two_addresses() -> None:
    one, other = (normal_address("150-0041", f"神南1-2-3 ハイツ{n}") for n in (101, 102))
    assert one != other
    assert normal_address("150-0041", "神南1-23") != normal_address("150-0041", "神南12-3")
