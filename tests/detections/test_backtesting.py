"""A backtest sees what had come by each step and no more, and counts what was flagged against what became of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from bot.cli import cli
from bot.cli.rules_backtest import backtest_json, measure, tell_backtest
from bot.detections.backtesting import Backtest, Score
from bot.detections.detection import Detection
from bot.detections.loading import load_detection
from bot.domain.errors import SayableError
from bot.domain.subjects import SubjectKind
from bot.playground.postgres import Server
from tests.conftest import run
from tests.detections.heads import write_detection

ORDERS = (
    "order_id,buyer_id,seller_id,status,total_amount,currency,payment_method,ordered_at,paid_at,shipped_at,"
    "delivered_at,canceled_at,updated_at"
)
QUERY = """SELECT order_id AS subject_id, ordered_at AS occurred_at,
       total_amount AS amount, currency, payment_method AS method
  FROM orders
 WHERE updated_at >= :changed_since AND ordered_at >= :window_start
   AND total_amount >= :least
"""
DEAR = "2026-01-01 10:05:00+00"
END = "2026-03-01 00:00:00+00"


def order(id_: str, amount: int, at: str, *, status: str = "paid", **more: str) -> dict[str, str]:
    return {
        "order_id": id_,
        "buyer_id": "B1",
        "seller_id": "S1",
        "status": status,
        "total_amount": str(amount),
        "currency": "JPY",
        "payment_method": "card",
        "ordered_at": at,
        "paid_at": at,
        "updated_at": END,
        **more,
    }


def write(folder: Path, relation: str, rows: Sequence[dict[str, str]]) -> None:
    header = list(dict.fromkeys(name for row in rows for name in row))
    lines = [",".join(header), *(",".join(row.get(name, "") for name in header) for row in rows)]
    (folder / f"{relation}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


class Shop:
    """A market directory and the detections of this test."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.folder = folder / "market"
        self.folder.mkdir()
        self._rules = folder / "rules"
        self._rules.mkdir()
        self._server = server
        self.accounts("B1", "S1")

    def accounts(self, *ids: str, **more: str) -> None:
        write(
            self.folder,
            "accounts",
            [
                {"account_id": id_, "display_name": id_, "status": "active", "updated_at": END}
                | more
                for id_ in ids
            ],
        )

    def orders(self, *rows: dict[str, str]) -> None:
        # An order a long time after the others lets those become good.
        write(self.folder, "orders", [*rows, order("LAST", 1, END)])

    def detection(
        self,
        query: str = QUERY,
        *,
        name: str = "large_order",
        severity: str = "P2",
        subject: str = "order",
    ) -> Detection:
        path = write_detection(
            self._rules,
            (QUERY, query),
            ("name: large_order", f"name: {name}"),
            ("severity: P2", f"severity: {severity}"),
            ("subject: order", f"subject: {subject}"),
            name=f"{name}.sql",
        )
        detection = load_detection(path)
        assert isinstance(detection, Detection), detection
        return detection

    def measure(
        self,
        *detections: Detection,
        labels: Path | None = None,
        kind: SubjectKind = SubjectKind.ORDER,
        step: timedelta = timedelta(minutes=10),
    ) -> Backtest:
        return run(
            measure(
                self._server,
                self.folder,
                labels_file=labels,
                kind=kind,
                step=step,
                detections=detections or (self.detection(),),
            )
        )


@pytest.fixture
def shop(tmp_path: Path, database_server: Server) -> Shop:
    return Shop(tmp_path, database_server)


def chargeback(id_: str, order_id: str, at: str, reason: str = "fraud") -> dict[str, str]:
    return {
        "chargeback_id": id_,
        "order_id": order_id,
        "amount": "1",
        "currency": "JPY",
        "reason": reason,
        "received_at": at,
    }


def counts(score: Score) -> tuple[int, int]:
    return score.flagged, score.late


# Three dear orders, of which one is fraud; five cheap ones, of which one is.
def busy(shop: Shop) -> None:
    shop.orders(
        order("D1", 300_000, DEAR),
        order("D2", 200_000, "2026-01-02 10:05:00+00", shipped_at="2026-01-03 00:00:00+00"),
        order("D3", 150_000, "2026-01-02 11:05:00+00", currency="USD"),
        *(order(f"C{n}", 1_000, f"2026-01-0{n} 12:00:00+00") for n in range(1, 6)),
    )
    write(
        shop.folder,
        "chargebacks",
        [
            chargeback("X1", "D1", "2026-02-20 00:00:00+00"),
            chargeback("X2", "C1", "2026-02-20 00:00:00+00"),
            chargeback("X3", "D2", "2026-02-20 00:00:00+00", reason="not_received"),
        ],
    )


def test_every_figure_follows_from_the_orders(shop: Shop) -> None:
    busy(shop)
    result = shop.measure()
    (one,) = result.detections
    # LAST is younger than 30 days at the end, and nobody labelled it.
    assert (result.fraud, result.good, result.undecided) == (2, 6, 1)
    assert counts(one.score) == (3, 0)
    assert one.score.precision == pytest.approx(1 / 3, abs=1e-4)
    assert one.score.recall == 0.5
    assert one.score.false_positive_rate == pytest.approx(2 / 6, abs=1e-4)
    assert one.score.buckets == {"disputed": 1, "refunded": 0, "canceled": 0, "other": 2}
    assert [example["id"] for example in one.counter_examples] == ["D2", "D3"]
    assert result.union == one.score
    # Half of the shipped orders would be one of two; only D2 was shipped.
    assert result.union.shipped_flagged_rate == 1.0


def test_years_of_sign_ups_before_the_first_order_are_no_steps(shop: Shop) -> None:
    busy(shop)
    before = shop.measure()
    years = [f"202{n}-05-05 12:00:00+00" for n in range(6)]
    write(
        shop.folder,
        "accounts",
        [
            {"account_id": id_, "display_name": id_, "status": "active"}
            | {"created_at": at, "updated_at": at}
            for id_, at in zip(("B1", "S1", "B2", "B3", "B4", "B5"), years, strict=True)
        ],
    )

    after = shop.measure()

    assert (after.steps, after.union, after.p1) == (before.steps, before.union, before.p1)
    assert shop.measure(kind=SubjectKind.ACCOUNT).steps == before.steps + len(years)


def test_money_of_two_currencies_is_told_apart(shop: Shop) -> None:
    busy(shop)
    score = shop.measure().union
    assert score.caught == {"JPY": 300_000}
    assert score.good_touched == {"JPY": 200_000, "USD": 150_000}


def test_p1_counts_the_p1_detections_alone_and_a_subject_counts_once(shop: Shop) -> None:
    busy(shop)
    dearest = QUERY.replace(":least", ":least * 2")
    result = shop.measure(shop.detection(), shop.detection(dearest, name="dearest", severity="P1"))
    assert [counts(one.score) for one in result.detections] == [(3, 0), (2, 0)]
    assert counts(result.union) == (3, 0)
    assert counts(result.p1) == (2, 0)
    assert result.p1.caught == {"JPY": 300_000}


def test_nothing_to_divide_by_is_null_and_not_zero(shop: Shop) -> None:
    shop.orders()
    score = shop.measure().union
    assert (score.precision, score.recall, score.false_positive_rate) == (None, None, None)
    assert score.time_to_detect_p50_s is None
    assert score.caught == {}


def test_the_time_to_detect_is_from_the_order_to_the_end_of_its_step(shop: Shop) -> None:
    shop.orders(order("D1", 300_000, "2026-01-01 10:04:00+00"))
    assert shop.measure().union.time_to_detect_p50_s == 360
    assert shop.measure(step=timedelta(hours=1)).union.time_to_detect_p50_s == 3360


@pytest.mark.parametrize(
    ("condition", "found_after"),
    [
        ("status = 'pending'", "2026-01-01 10:10"),
        ("paid_at IS NOT NULL AND status = 'paid'", "2026-01-01 11:10"),
        ("shipped_at IS NOT NULL AND status = 'shipped'", "2026-01-02 10:10"),
        ("delivered_at IS NOT NULL AND status = 'delivered'", "2026-01-03 10:10"),
        ("canceled_at IS NOT NULL AND status = 'canceled'", "2026-01-04 10:10"),
    ],
)
def test_a_state_is_seen_in_the_step_in_which_it_came_about(
    shop: Shop, condition: str, found_after: str
) -> None:
    shop.orders(
        order(
            "D1",
            300_000,
            DEAR,
            status="canceled",
            paid_at="2026-01-01 11:05:00+00",
            shipped_at="2026-01-02 10:05:00+00",
            delivered_at="2026-01-03 10:05:00+00",
            canceled_at="2026-01-04 10:05:00+00",
        ),
        # A step is made where something comes.
        order("T1", 1_000, "2026-01-01 11:05:00+00"),
        order("T2", 1_000, "2026-01-02 10:05:00+00"),
        order("T3", 1_000, "2026-01-03 10:05:00+00"),
        order("T4", 1_000, "2026-01-04 10:05:00+00"),
    )
    # It speaks only if the order changed at this very look, and the window forgets nothing.
    query = QUERY.replace("AND ordered_at >= :window_start", f"AND {condition}")
    result = shop.measure(shop.detection(query))
    assert counts(result.union) == ((1, 0) if found_after == "2026-01-01 10:10" else (0, 1))
    assert result.union.time_to_detect_p50_s == _seconds(found_after)


def _seconds(found_after: str) -> float:
    from datetime import datetime

    return (
        datetime.fromisoformat(f"{found_after}:00+00:00") - datetime.fromisoformat(DEAR)
    ).total_seconds()


def test_what_changes_counts_as_changed_when_it_did_and_never_later(shop: Shop) -> None:
    shop.orders(
        order("D1", 300_000, DEAR, shipped_at="2026-01-02 10:05:00+00", status="shipped"),
        order("C1", 1_000, "2026-01-02 10:06:00+00"),
    )
    lying = QUERY.replace("AND ordered_at >= :window_start", "AND updated_at > :now")
    assert counts(shop.measure(shop.detection(lying)).union) == (0, 0)
    moved = QUERY.replace(
        "AND ordered_at >= :window_start", "AND updated_at = shipped_at AND updated_at > ordered_at"
    )
    assert counts(shop.measure(shop.detection(moved, name="moved")).union) == (0, 1)


def test_an_order_that_comes_later_is_not_there_yet(shop: Shop) -> None:
    shop.orders(
        order("D1", 300_000, DEAR),
        order("D2", 300_000, "2026-01-01 10:15:00+00"),
    )
    query = QUERY.replace(
        ":least\n", ":least AND (SELECT count(*) FROM orders WHERE total_amount > 1) >= 2\n"
    )
    result = shop.measure(shop.detection(query))
    # D1 was alone when it came; beside D2 it is found again within the overlap, and that is late.
    assert counts(result.union) == (1, 1)


def test_a_row_at_the_very_end_of_a_step_belongs_to_the_next(shop: Shop) -> None:
    shop.orders(order("D1", 300_000, "2026-01-01 10:10:00+00"))
    assert shop.measure().union.time_to_detect_p50_s == 600


def test_orders_that_a_finding_names_beside_its_subject_are_flagged_with_it(shop: Shop) -> None:
    shop.orders(
        order("C1", 1_000, "2026-01-01 09:00:00+00"),
        order("C2", 1_000, "2026-01-01 10:01:00+00"),
        order("D1", 300_000, DEAR),
    )
    query = QUERY.replace(
        "SELECT order_id",
        "SELECT ARRAY(SELECT e.order_id FROM orders e WHERE e.buyer_id = orders.buyer_id) AS order_ids, order_id",
    )
    # C2 came in the step of the finding, C1 an hour before it.
    assert counts(shop.measure(shop.detection(query)).union) == (2, 1)


def test_a_chargeback_is_seen_from_the_day_on_which_it_came(shop: Shop) -> None:
    shop.orders(order("D1", 300_000, DEAR))
    write(shop.folder, "chargebacks", [chargeback("X1", "D1", "2026-02-10 00:00:00+00")])
    query = (
        "SELECT o.order_id AS subject_id, o.ordered_at AS occurred_at, o.total_amount AS amount, o.currency,"
        " o.payment_method AS method FROM orders o JOIN chargebacks c USING (order_id)"
        " WHERE c.received_at >= :changed_since AND o.total_amount >= :least\n"
    )
    result = shop.measure(shop.detection(query))
    assert counts(result.union) == (0, 1)
    assert (result.fraud, result.union.recall) == (1, 0.0)
    # Forty days, less the time of day.
    assert (
        result.union.time_to_detect_p50_s == timedelta(days=39, hours=14, minutes=5).total_seconds()
    )


def test_a_quiet_stretch_widens_no_window(shop: Shop) -> None:
    shop.orders(
        order("D1", 300_000, DEAR),
        order("C1", 1_000, "2026-01-05 10:05:00+00"),
    )
    # Live, ticks in the quiet days would have moved the window on: D1 is out of it by then.
    query = QUERY.replace("updated_at >= :changed_since", "now() > :changed_since").replace(
        "AND total_amount >= :least",
        "AND :least > 0 AND EXISTS (SELECT FROM orders WHERE order_id = 'C1')",
    )
    result = shop.measure(shop.detection(query))
    assert counts(result.union) == (2, 0)


def test_labels_of_a_file_win_and_may_come_late(shop: Shop, tmp_path: Path) -> None:
    busy(shop)
    labels = tmp_path / "mine.csv"
    labels.write_text(
        "subject_kind,subject_id,label,labelled_at\n"
        "order,D1,good,2026-02-01 00:00:00+00\n"
        "order,D2,fraud,2026-06-01 00:00:00+00\n"
        "order,LAST,good,2026-03-02 00:00:00+00\n"
        "account,B1,fraud,2026-03-02 00:00:00+00\n",
        encoding="utf-8",
    )
    result = shop.measure(labels=labels)
    assert (result.fraud, result.good, result.undecided) == (2, 7, 0)
    assert result.union.caught == {"JPY": 200_000}
    assert result.union.good_touched == {"JPY": 300_000, "USD": 150_000}


def test_labels_beside_the_relations_are_read(shop: Shop) -> None:
    shop.orders(order("D1", 300_000, DEAR))
    write(shop.folder, "labels", [{"subject_kind": "order", "subject_id": "D1", "label": "fraud"}])
    assert shop.measure().union.precision == 1.0


def test_accounts_are_judged_by_themselves(shop: Shop) -> None:
    busy(shop)
    write(
        shop.folder, "labels", [{"subject_kind": "account", "subject_id": "B1", "label": "fraud"}]
    )
    query = QUERY.replace("order_id AS subject_id", "buyer_id AS subject_id")
    buyers = shop.detection(query, name="dear_buyers", subject="account")
    result = shop.measure(buyers, shop.detection(), kind=SubjectKind.ACCOUNT)
    assert (result.fraud, result.good) == (1, 1)
    assert [counts(one.score) for one in result.detections] == [(1, 0), (0, 0)]
    assert (result.union.precision, result.union.recall) == (1.0, 1.0)
    assert result.union.caught == {}


def test_an_account_is_suspended_only_from_then_on(shop: Shop) -> None:
    shop.accounts("B1", "S1", status="suspended", suspended_at="2026-01-02 00:00:00+00")
    shop.orders(
        order("D1", 300_000, DEAR),
        order("D2", 300_000, "2026-01-05 10:05:00+00"),
    )
    query = QUERY.replace(
        ":least\n",
        ":least AND EXISTS (SELECT FROM accounts a WHERE a.account_id = buyer_id"
        " AND a.status = 'suspended')\n",
    )
    result = shop.measure(shop.detection(query))
    assert counts(result.union) == (1, 0)
    assert [one["id"] for one in result.detections[0].counter_examples] == ["D2"]


def test_a_detection_says_which_columns_it_lacked_even_where_the_header_has_them(
    shop: Shop,
) -> None:
    shop.orders(order("D1", 300_000, DEAR, device_id=""))
    query = QUERY.replace(":least\n", ":least AND device_id IS NOT NULL\n")
    (one,) = shop.measure(shop.detection(query)).detections
    assert one.missing == {"orders": ["device_id"]}
    assert one.fault is None


def test_a_detection_that_fails_is_told_and_the_others_are_measured(shop: Shop) -> None:
    busy(shop)
    broken = QUERY.replace(":least\n", ":least AND 1 / (total_amount - total_amount) > 0\n")
    result = shop.measure(shop.detection(broken, name="broken"), shop.detection())
    first, second = result.detections
    assert first.fault is not None
    assert "division by zero" in first.fault
    assert counts(second.score) == (3, 0)


def test_the_single_rules_stand_beside(shop: Shop) -> None:
    shop.orders(
        order("O1", 1_000, "2026-01-01 10:00:00+00", card_fingerprint="K1"),
        order("O2", 1_000, "2026-01-01 11:00:00+00", card_fingerprint="K1"),
        order("O3", 1_000, "2026-01-01 12:00:00+00", card_fingerprint="K2"),
        order("O4", 1_000, "2026-01-09 12:00:00+00", card_fingerprint="K2"),
    )
    baselines = shop.measure().baselines
    assert {name: score.flagged for name, score in baselines.items()} == {
        # O3 and O4; LAST, of the same buyer, has no card of its own, but its buyer had two before.
        "buyer with 2 or more cards so far": 3,
        "2 or more earlier orders of the buyer within 24 hours": 1,
    }


def test_nothing_is_left_on_the_server(shop: Shop, database_server: Server) -> None:
    shop.orders(order("D1", 300_000, DEAR))
    shop.measure()
    (shop.folder / "orders.csv").write_text("order_id\nO1\n", encoding="utf-8")
    with pytest.raises(SayableError):
        shop.measure()

    async def left() -> list[str]:
        async with database_server.superuser() as conn:
            rows = await conn.fetch(
                "SELECT datname FROM pg_database WHERE datname LIKE 'backtest\\_%'"
            )
            return [row["datname"] for row in rows]

    assert run(left()) == []


def test_the_json_has_the_agreed_keys(shop: Shop) -> None:
    busy(shop)
    said = json.loads(json.dumps(backtest_json(shop.measure())))
    assert said["subjects"] == {"fraud": 2, "good": 6}
    keys = {
        "name",
        "severity",
        "flagged",
        "late",
        "precision",
        "recall",
        "false_positive_rate",
        "caught",
        "good_touched",
        "buckets",
        "time_to_detect_p50_s",
    }
    assert keys <= set(said["union"])
    assert keys <= set(said["p1"])
    assert keys | {"missing", "counter_examples"} <= set(said["detections"][0])
    assert said["p1"]["precision"] is None


def test_the_table_says_what_an_engineer_asks(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    busy(shop)
    blind = QUERY.replace(":least\n", ":least AND device_id IS NOT NULL\n")
    tell_backtest(shop.measure(shop.detection(), shop.detection(blind, name="blind")))
    told = capsys.readouterr().out
    assert "orders: 2 fraud, 6 good, 1 undecided" in told
    assert "large_order: good, but flagged: D2, D3" in told
    assert "blind: could not fire: nothing is in orders (device_id)" in told
    assert "good touched: 200,000 JPY (minor units), 150,000 USD (minor units)" in told
    assert "baseline: buyer with 2 or more cards" in told


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        ("subject_kind,label\norder,good\n", "the header lacks subject_id"),
        ("subject_kind,subject_id,label\norder,O1,bad\n", "line 2: the label 'bad' is neither"),
        ("subject_kind,subject_id,label\nuser,O1,good\n", "the subject kind 'user' is none of"),
        ("subject_kind,subject_id,label\norder,O1\n", "line 2: it has 2 fields"),
        (
            "subject_kind,subject_id,label\norder,O1,good\norder,O1,fraud\n",
            "line 3: order O1 is labelled both fraud and good",
        ),
    ],
)
def test_broken_labels_get_one_sentence(shop: Shop, labels: str, sentence: str) -> None:
    shop.orders(order("D1", 300_000, DEAR))
    (shop.folder / "labels.csv").write_text(labels, encoding="utf-8")
    with pytest.raises(SayableError, match=sentence):
        shop.measure()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--market", "nowhere"), "nowhere"),
        (("--market", ".", "--step", "soon"), "--step:"),
        (("--market", ".", "--step", "2d"), "--step: write at most 1d"),
        (("--market", ".", "--only", "no_such"), "There is no detection no_such"),
        (("--market", ".", "--labels", "no.csv"), "market directory"),
    ],
)
def test_a_wrong_call_gets_one_sentence(
    words: tuple[str, ...], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SayableError, match=sentence):
        CliRunner(env={"DETECTIONS_DIR": ""}).invoke(
            cli, ["rules", "backtest", *words], catch_exceptions=False
        )
