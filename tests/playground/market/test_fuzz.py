from __future__ import annotations

import json
import random
from typing import Any

import pytest
from yarl import URL

from tests.playground.market.conftest import Shop
from tests.playground.market.test_server import PATHS, matches

NASTY: list[Any] = [
    "",
    "\x00",
    "x" * 3000,
    "\ud800",
    "'; DROP TABLE market.orders; --",
    0,
    -1,
    2**63,
    10**400,
    1.5,
    float("inf"),
    float("nan"),
    True,
    None,
    [],
    {},
    [[]],
    {"a": {}},
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
    "2026-11-23",
    "card",
    "withhold",
]
IDS = [
    "O-1",
    "%00",
    "%FF",
    "%ED%A0%80",
    "..%2F..",
    "%2E%2E",
    "a" * 3000,
    "%E3%81%82",
    "%",
    "%0A",
    "'",
]


async def call(
    shop: Shop, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, str, str]:
    async with shop.session.request(
        method,
        URL(shop.url + path, encoded=True),
        data=body,
        headers={
            "Authorization": "Bearer right-token",
            "Content-Type": "application/json",
            "Idempotency-Key": "a-fuzzed-key",
            **headers,
        },
        allow_redirects=False,
    ) as answer:
        return answer.status, await answer.text(), answer.content_type


@pytest.mark.parametrize("identifier", IDS)
async def test_no_id_in_an_address_breaks_the_api(shop: Shop, identifier: str) -> None:
    body = json.dumps({"reason": "r", "actor": "a"}).encode()
    for method, path in (
        ("GET", f"/v1/orders/{identifier}"),
        ("GET", f"/v1/posts/{identifier}/plan?kind=remove_post"),
        ("GET", f"/v1/operations/{identifier}"),
        ("POST", f"/v1/operations/{identifier}/retry"),
        ("POST", f"/v1/accounts/{identifier}/suspend"),
        ("GET", f"/v1/orders/O-1/plan?kind={identifier}"),
        ("GET", f"/v1/orders/O-1/plan?kind=refund&amount={identifier}"),
        ("GET", f"/v1/operations?cursor={identifier}"),
        ("GET", f"/v1/operations?since={identifier}"),
        ("GET", f"/v1/{identifier}/O-1"),
    ):
        status, text, kind = await call(shop, method, path, body if method == "POST" else None)
        assert status < 500, (method, path, text)
        if status >= 400 and kind == "application/json":
            matches("Problem", json.loads(text))


@pytest.mark.parametrize("since", ["0001-01-01T00:00:00%2B23:59", "9999-12-31T23:59:59-23:59", "x"])
async def test_no_time_breaks_the_list_of_operations(shop: Shop, since: str) -> None:
    assert (await call(shop, "GET", f"/v1/operations?since={since}"))[0] == 422


@pytest.mark.parametrize(
    "key", ["\x80" * 10, "tab\there-too", "x" * 129, "short", "あいうえおかきく"]
)
async def test_a_key_is_plain_text_of_a_decent_length(shop: Shop, key: str) -> None:
    body = json.dumps({"reason": "r", "actor": "a"}).encode()
    status, text, _ = await call(
        shop, "POST", "/v1/orders/O-1/hold", body, **{"Idempotency-Key": key}
    )
    assert (status, json.loads(text)["code"]) == (400, "invalid_idempotency_key")


async def test_garbage_in_bodies_is_refused_and_never_breaks_anything(shop: Shop) -> None:
    dice = random.Random(20261123)  # noqa: S311 - a repeatable fuzz
    fields = [
        "reason", "actor", "note", "plan_token", "refund_policy", "notify_buyer", "amount",
        "currency", "route", "external_reference", "template", "since", "extra",
    ]  # fmt: skip
    subjects = {"orders": "O-1", "accounts": "b-1", "listings": "L-1", "posts": "P-1"}
    for n in range(600):
        path = PATHS[dice.choice(list(PATHS))]
        content = {
            "reason": "r",
            "actor": "a",
            **{dice.choice(fields): dice.choice(NASTY) for _ in range(dice.randint(1, 4))},
        }
        raw = json.dumps(content).encode()
        if dice.random() < 0.3:
            cut = dice.randrange(len(raw))
            raw = raw[:cut] + dice.randbytes(dice.randint(0, 4)) + raw[cut + 1 :]
        address = "/v1/" + path.format(subjects[path.split("/")[0]])
        status, text, _ = await call(
            shop, "POST", address, raw, **{"Idempotency-Key": f"fuzzed-{n:04}"}
        )
        assert status in {200, 400, 404, 409, 422}, (address, raw, text)
        matches("Operation" if status == 200 else "Problem", json.loads(text))


@pytest.mark.parametrize("content_type", ["text/plain", "application/json; charset=nonsense", ""])
async def test_a_body_of_another_kind_is_refused_or_read_as_json(
    shop: Shop, content_type: str
) -> None:
    body = json.dumps({"reason": "r", "actor": "a"}).encode()
    status, _, _ = await call(
        shop, "POST", "/v1/orders/O-1/hold", body, **{"Content-Type": content_type}
    )
    assert status == (200 if "json" in content_type else 400)


@pytest.mark.parametrize(
    "path",
    [
        *(f"/orders/{one}" for one in IDS),
        *(f"/accounts/{one}" for one in IDS),
        *(f"/?q={one}" for one in [*IDS, "%5C", "%25"]),
        *(f"/?{name}=%ED%A0%80" for name in ("show", "lang", "page")),
        "/?page=99999",
        "/?page=-1",
        "/?page=0",
    ],
)
async def test_no_address_breaks_a_page(shop: Shop, path: str) -> None:
    status, text, _ = await call(shop, "GET", path)
    assert status in {200, 404}, text


@pytest.mark.parametrize("host", ["[", "]", "127.0.0.1@evil.example", "evil.example:8900", "%00"])
async def test_a_strange_host_is_a_stranger(shop: Shop, host: str) -> None:
    assert (await call(shop, "GET", "/", Host=host))[0] in {400, 403}


@pytest.mark.parametrize("origin", ["http://[", "null", "http://127.0.0.1:1", "", "evil"])
async def test_a_strange_origin_may_change_nothing(shop: Shop, origin: str) -> None:
    status, _, _ = await call(
        shop,
        "POST",
        "/orders/O-1/by-hand",
        b"verb=hold",
        Origin=origin,
        **{"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert status == 403
    assert await shop.market.effects() == []
