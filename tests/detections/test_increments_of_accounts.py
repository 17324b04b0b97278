"""A tick misses nothing of what a look at everything would find: log-ins, sign-ups, refunds and reports."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import count
from typing import Any

import pytest

from bot.detections.detection import BUILT_IN, Detection
from bot.detections.engine import run
from bot.detections.loading import load_detection
from bot.domain.findings import Finding
from bot.market.reader import MarketReader
from tests.detections.test_increments import ACCOUNT_SIDE, START, Written, insert, market

__all__ = ["market"]

DAYS = 3
# Thresholds that a small random shop reaches now and then.
SMALL: dict[str, dict[str, Any]] = {
    "ato_change_then_act": {"times": 2},
    "bulk_signup": {"accounts": 3, "accounts_alike": 2, "usual_times": 0},
    "credential_stuffing": {
        "accounts_minute": 2,
        "accounts_hour": 3,
        "failed_share": 0,
        "addresses_minute": 2,
        "addresses_hour": 3,
    },
    "payout_risk": {"amount": 9000},
    "refund_conflict": {},
    "refund_payee_reuse": {
        "buyers": 2,
        "crowd": 1000,
        "asked_back": 2,
        "orders": 2,
        "share": 1,
    },
    "user_reports": {"reporters": 2},
}


def subject(finding: Finding) -> set[str]:
    return {finding.subject.id}


def everybody(finding: Finding) -> set[str]:
    """Where one stands for several it may be another one once somebody older has joined."""
    return {finding.subject.id, *finding.account_ids}


def place(finding: Finding) -> set[str]:
    """Of an attack only its latest minute is told, under the name of where it came from."""
    return {finding.window_key}


SAYS: dict[str, Callable[[Finding], set[str]]] = {
    "bulk_signup": everybody,
    "credential_stuffing": place,
    "payout_risk": everybody,
    "refund_payee_reuse": everybody,
}


class Shop:
    """Random members of few devices, networks, doors and payout accounts."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)  # noqa: S311
        self.ids = count(1)

    def history(self) -> list[Written]:
        written = [*self._members()]
        for _ in range(25):
            written += self._signups()
            written += self._list_of_passwords()
            written += self._takeover()
        for _ in range(60):
            written += self._refund()
            written += self._report()
        for member in range(30):
            written += self._payee(member)
        return sorted(written, key=lambda row: row.visible_at)

    def _moment(self) -> Any:
        return START + timedelta(hours=self.rng.uniform(4, DAYS * 24))

    def _commits(self, at: Any) -> Any:
        return at + timedelta(seconds=self.rng.choice((0, 1, 30, 280)))

    def _members(self) -> Iterator[Written]:
        for n in range(60):
            yield insert(
                "accounts",
                START,
                account_id=f"M{n}",
                display_name=f"M{n}",
                status="suspended" if n >= 56 else "active",
                signup_device_id=f"home{n}",
                full_name_kana=self.rng.choice(("ヤマダ タロウ", "スズキ ハナコ")),
                payout_name_kana=self.rng.choice((None, "ﾔﾏﾀﾞ ﾀﾛｳ")),
                created_at=START - timedelta(days=self.rng.uniform(3, 300)),
                updated_at=START,
            )

    def _signups(self) -> Iterator[Written]:
        at, wave = self._moment(), next(self.ids)
        device = self.rng.choice((None, f"d{wave}"))
        for n in range(self.rng.randrange(1, 6)):
            at += timedelta(minutes=self.rng.uniform(0, 40))
            yield insert(
                "accounts",
                self._commits(at),
                account_id=f"N{wave}-{n}",
                display_name="new",
                status="active",
                signup_device_id=device,
                signup_ip=f"198.51.{wave % 200}.{n}",
                email=f"{self.rng.choice(('taro', 'hanako', 'jiro', 'saburo'))}{n}@example.com",
                created_at=at,
                updated_at=at,
            )

    def _event(self, member: str, kind: str, at: Any, device: str | None, ip: str) -> Written:
        return insert(
            "account_events",
            self._commits(at),
            event_id=f"E{next(self.ids):06}",
            account_id=member,
            kind=kind,
            device_id=device,
            ip=ip,
            occurred_at=at,
        )

    def _list_of_passwords(self) -> Iterator[Written]:
        at, wave, is_spread = self._moment(), next(self.ids), self.rng.random() < 0.4
        for n in range(self.rng.randrange(1, 7)):
            at += timedelta(seconds=self.rng.uniform(0, 1500))
            kind = "login" if self.rng.random() < 0.3 else "login_failed"
            member = "M50" if is_spread else f"M{40 + n}"
            ip = f"203.0.113.{wave % 40 + n if is_spread else wave % 40}"
            yield self._event(member, kind, at, None, ip)

    def _takeover(self) -> Iterator[Written]:
        member, at = f"M{self.rng.randrange(20)}", self._moment()
        device = self.rng.choice((f"home{member[1:]}", f"thief{next(self.ids)}"))
        yield self._order(member, at - timedelta(days=1), device_id=f"home{member[1:]}")
        yield self._event(member, "login", at, device, "192.0.2.1")
        then = at + timedelta(hours=self.rng.uniform(0.2, 30))
        kind = self.rng.choice(("password_changed", "payout_changed"))
        yield self._event(member, kind, then, device, "192.0.2.1")
        yield self._order(
            member, then + timedelta(hours=self.rng.uniform(0.2, 30)), device_id=device
        )

    def _order(self, buyer: str, at: Any, **row: Any) -> Written:
        number = f"O{next(self.ids):06}"
        values = {
            "order_id": number,
            "buyer_id": buyer,
            "seller_id": f"M{self.rng.randrange(30)}",
            "status": "delivered",
            "total_amount": self.rng.choice((1000, 1500, 8000)),
            "payment_method": self.rng.choice(("card", "card", "konbini")),
            "ordered_at": at,
            "paid_at": at,
            "shipped_at": at,
            "payout_at": at + timedelta(days=self.rng.uniform(0, 6)),
            "updated_at": at,
        }
        return insert("orders", self._commits(at), **(values | row))

    def _refund(self) -> Iterator[Written]:
        buyer, at = f"M{self.rng.randrange(30, 56)}", self._moment()
        order = self._order(
            buyer,
            at,
            device_id=f"d{self.rng.randrange(60)}",
            ship_postal_code=f"{self.rng.randrange(30)}",
            ship_address="1-2-3",
        )
        yield order
        number = str(order.values[0])
        then = at + timedelta(hours=self.rng.uniform(1, 40))
        if self.rng.random() < 0.4:
            wish = self.rng.choice(("", "銀行口座に振り込んでください"))
            yield insert(
                "inquiries",
                self._commits(then),
                inquiry_id=f"Q{number}",
                account_id=buyer,
                category="refund",
                body=f"届きません({number})。{wish}",
                created_at=then,
            )
        if self.rng.random() < 0.4:
            for n in range(self.rng.randrange(1, 3)):
                paid = then + timedelta(hours=self.rng.uniform(1, 9))
                yield insert(
                    "refunds",
                    self._commits(paid),
                    refund_id=f"R{number}-{n}",
                    order_id=number,
                    amount=self.rng.choice((500, 1000)),
                    route=self.rng.choice(("original", "external")),
                    state="succeeded",
                    created_at=paid,
                    updated_at=paid,
                )
        if self.rng.random() < 0.2:
            warned = then + timedelta(hours=self.rng.uniform(1, 9))
            yield insert(
                "fraud_warnings",
                self._commits(warned),
                warning_id=f"W{number}",
                order_id=number,
                kind="dispute",
                received_at=warned,
            )

    def _report(self) -> Iterator[Written]:
        at, id_ = self._moment(), next(self.ids)
        kind = self.rng.choice(("account", "listing"))
        whom = f"M{self.rng.randrange(20)}"
        if kind == "listing":
            yield insert(
                "listings",
                START,
                listing_id=f"L{id_}",
                seller_id=whom,
                title="L",
                price=1000,
                status="active",
                created_at=START,
                updated_at=START,
            )
        yield insert(
            "user_reports",
            self._commits(at),
            report_id=f"R{id_}",
            reporter_id=self.rng.choice((None, f"M{self.rng.randrange(60)}")),
            subject_kind=kind,
            subject_id=whom if kind == "account" else f"L{id_}",
            reason="counterfeit",
            created_at=at,
        )

    def _payee(self, member: int) -> Iterator[Written]:
        at = self._moment()
        yield Written(
            visible_at=self._commits(at),
            sql="UPDATE market.accounts SET payout_account_hash = $1, payout_changed_at = $2, updated_at = $2"
            " WHERE account_id = $3",
            values=(f"h{self.rng.randrange(60)}", at, f"M{member}"),
        )


def sensitive(name: str) -> Detection:
    detection = load_detection(BUILT_IN / f"{name}.sql")
    assert isinstance(detection, Detection)
    return replace(
        detection,
        parameters=tuple(
            replace(p, default=SMALL[name].get(p.name, p.default)) for p in detection.parameters
        ),
    )


def test_every_detection_of_the_side_of_accounts_is_watched() -> None:
    assert set(SMALL) == set(ACCOUNT_SIDE)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", sorted(SMALL))
async def test_ticks_find_what_a_look_at_everything_finds(
    name: str, seed: int, market: Any, market_reader_dsn: str
) -> None:
    detection, reader = sensitive(name), MarketReader(market_reader_dsn)
    rng = random.Random(seed)  # noqa: S311
    history = Shop(seed).history()
    end = history[-1].visible_at
    says = SAYS.get(name, subject)
    found: set[str] = set()
    last, now = START, START
    for turn in count(1):
        last, now = now, now + timedelta(minutes=rng.choice((1, 10, 60, 300)))
        async with market.transaction():
            while history and history[0].visible_at <= now:
                row = history.pop(0)
                await market.execute(row.sql, *row.values)
        for finding in await run(detection, reader, now=now, changed_since=last):
            found |= says(finding)
        if turn % 8 == 0 or now > end:
            everything: set[str] = set()
            for finding in await run(detection, reader, now=now, changed_since=START):
                everything |= says(finding)
            assert found == everything
        if now > end:
            break
    assert len(found) >= 3  # else it proved nothing
