from __future__ import annotations

import re
from datetime import timedelta

import pytest

from bot.playground.market.faults import Fault
from bot.playground.market.flavours import HARBOUR
from tests.playground.market.conftest import Shop
from tests.playground.market.stage import NOW, add_account, add_order
from tests.playground.market.test_server import get, post


async def read(shop: Shop, path: str, **headers: str) -> tuple[int, str]:
    async with shop.session.get(shop.url + path, headers=headers) as answer:
        return answer.status, await answer.text()


async def by_hand(shop: Shop, path: str, verb: str, **headers: str) -> int:
    async with shop.session.post(
        f"{shop.url}{path}/by-hand", data={"verb": verb}, headers=headers, allow_redirects=False
    ) as answer:
        return answer.status


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/", ["O-1", "O-konbini", "O-shipped", "O-unpaid"]),
        ("/?show=held", ["O-1"]),
        ("/?show=canceled", ["O-konbini"]),
        ("/?show=nonsense&q=O-S", ["O-shipped"]),
        ("/?q=%25", []),
        ("/accounts", ["b-1", "closed-1", "s-1"]),
        ("/accounts?show=suspended", ["s-1"]),
    ],
)
async def test_orders_and_accounts_are_listed_by_their_state(
    shop: Shop, path: str, shown: list[str]
) -> None:
    for verb, subject in (("hold", "O-1"), ("cancel", "O-konbini"), ("suspend", "s-1")):
        await post(shop, verb, subject)
    status, text = await read(shop, path)
    rows = re.findall(r'<tr><td><a href="/(?:orders|accounts)/([^"?]+)', text)
    assert status == 200
    assert sorted(rows) == shown


async def test_the_newest_orders_come_first_and_older_ones_page_by_page(shop: Shop) -> None:
    for n in range(60):
        await add_order(shop.market.pool, f"O-n{n:02}", ordered_at=NOW + timedelta(minutes=n))
    _, first = await read(shop, "/?lang=en&q=O-n")
    _, second = await read(shop, "/?lang=en&q=O-n&page=2")
    rows = re.findall(r'<tr><td><a href="/orders/([^"?]+)', first + second)
    assert rows == [f"O-n{n:02}" for n in reversed(range(60))]
    assert "q=O-n&amp;page=2&amp;lang=en" in first
    assert "q=O-n&amp;page=1&amp;lang=en" in second


async def test_text_from_users_is_escaped_wherever_it_stands(shop: Shop) -> None:
    evil = "\"><script>alert(1)</script>'"
    await add_account(shop.market.pool, evil, display_name=evil)
    await add_order(shop.market.pool, f"O-{evil}", buyer_id=evil, ship_name=evil)
    await post(shop, "hold", "O-1", {"reason": evil, "actor": evil})
    address = "%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E%27"
    for path in (
        "/",
        "/accounts",
        f"/?q={address}&show={address}&page={address}&lang={address}",
        f"/accounts/{address}",
        f"/orders/O-{address}",
        f"/orders/nowhere-{address}",
        "/orders/O-1",
    ):
        status, text = await read(shop, path)
        assert status in {200, 404}
        assert "<script" not in text
        assert "alert(1)" in text


async def test_the_chosen_language_stays_from_page_to_page(shop: Shop) -> None:
    for lang in ("ja", "en"):
        for path in ("/", "/accounts", "/orders/O-1", "/accounts/b-1"):
            _, text = await read(shop, f"{path}?lang={lang}")
            assert f'<html lang="{lang}">' in text
            other = "en" if lang == "ja" else "ja"
            links = re.findall(r'<a href="([^"]+)"(?! lang=)', text)
            assert links
            assert all(f"lang={lang}" in link for link in links)
            assert f'lang={other}" lang="{other}">' in text


async def test_a_page_loads_nothing_from_elsewhere(shop: Shop) -> None:
    async with shop.session.get(shop.url) as answer:
        text = await answer.text()
        policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert not re.search(r'(src|href|action)="(https?:)?//', text)
    assert (await read(shop, "/static/page.css"))[0] == 200
    assert (await read(shop, "/static/..%2fserver.py"))[0] in {403, 404}


async def test_a_list_draws_itself_anew_but_not_while_somebody_searches(shop: Shop) -> None:
    assert "http-equiv=refresh" in (await read(shop, "/"))[1]
    assert "http-equiv=refresh" not in (await read(shop, "/?q=O"))[1]
    assert "http-equiv=refresh" not in (await read(shop, "/orders/O-1"))[1]


async def test_the_page_of_an_order_tells_what_was_done_to_it(shop: Shop) -> None:
    await post(shop, "hold", "O-1", {"reason": "Stolen card", "actor": "U0SATO"})
    await post(shop, "hold", "O-1")
    await post(shop, "hold", "O-konbini", {"reason": "x", "actor": "U0OTHER"})
    _, text = await read(shop, "/orders/O-1?lang=en")
    assert "U0SATO" in text
    assert "stop_shipment" in text
    assert "The order is held already." in text
    assert "U0OTHER" not in text


@pytest.mark.parametrize(
    ("path", "verb", "changed"),
    [
        ("/orders/O-1", "hold", 1),
        ("/orders/O-1", "cancel", 1),
        ("/accounts/s-1", "suspend", 1),
        ("/orders/O-shipped", "cancel", 0),
        ("/orders/O-nowhere", "cancel", 0),
    ],
)
async def test_a_colleague_changes_things_by_hand(
    shop: Shop, path: str, verb: str, changed: int
) -> None:
    shop.market.faults.switch_on(Fault.ERROR_BEFORE)
    assert await by_hand(shop, path, verb) == 303
    assert len(await shop.market.effects()) == changed


@pytest.mark.parametrize("verb", ["refund", "warn", "", "hold;"])
async def test_only_the_buttons_verbs_are_done_by_hand(shop: Shop, verb: str) -> None:
    assert await by_hand(shop, "/orders/O-1", verb) == 400
    assert await by_hand(shop, "/listings/L-1", "takedown") == 400
    assert await shop.market.effects() == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Host": "evil.example"},
        {"Host": "evil.example", "Origin": "http://evil.example"},
    ],
)
async def test_strangers_see_nothing_and_change_nothing(
    shop: Shop, headers: dict[str, str]
) -> None:
    assert await by_hand(shop, "/orders/O-1", "cancel", **headers) == 403
    assert await shop.market.effects() == []
    if "Host" in headers:
        assert (await read(shop, "/", Host=headers["Host"]))[0] == 403


async def test_the_back_office_of_another_shop_has_its_name_language_clock_and_money(
    shop: Shop,
) -> None:
    """Harbour Lane is an English shop on Berlin's clock, where a coin of the minor unit is a cent."""
    shop.market.flavour = HARBOUR
    await add_order(shop.market.pool, "O-eur", currency="EUR", total_amount=4250)
    await post(shop, "cancel", "O-eur")
    _, listed = await read(shop, "/", **{"Accept-Language": "pt"})
    _, one = await read(shop, "/orders/O-eur?lang=en")

    assert "<title>Harbour Lane: back office</title>" in listed
    assert "€42.50" in listed
    assert f"{NOW.astimezone(HARBOUR.zone):%Y-%m-%d %H:%M}" in listed
    assert "<dt>total_amount</dt><dd>€42.50</dd>" in one
    assert "void_payment €34.50" in one
    assert "restore_coupon €5.00" in one


async def test_what_the_shop_writes_to_its_people_is_in_its_own_language(shop: Shop) -> None:
    shop.market.flavour = HARBOUR
    texts = []
    for path, kind in (
        ("orders/O-1", "cancel"),
        ("orders/O-konbini", "cancel"),
        ("orders/O-1", "refund"),
        ("accounts/s-1", "suspend"),
        ("accounts/s-1", "reinstate"),
        ("accounts/s-1", "warn"),
        ("listings/L-1", "takedown"),
        ("listings/L-1", "restore"),
    ):
        _, plan = await get(shop, f"{path}/plan", kind=kind)
        assert plan["messages"], kind
        texts += [text for message in plan["messages"] for text in message.values()]
        texts += [one["summary"] for one in plan["affects"]]

    assert not [text for text in texts if any("぀" <= sign <= "鿿" for sign in text)]
    assert any("Your payment goes back the way it came." in text for text in texts)
