"""Loading a market directory: all of it or nothing, and every refusal says where."""

from __future__ import annotations

import gzip
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from bot.domain.errors import SayableError
from bot.playground.market.load import load_directory
from tests.playground.market.directories import ACCOUNT, ORDER, SELLER, as_csv, write_directory


@pytest.fixture
async def market(market_dsn: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(market_dsn)
    yield connection
    await connection.close()


async def _count(market: Any) -> int:
    found: int = await market.fetchval(
        "SELECT (SELECT count(*) FROM market.accounts) + (SELECT count(*) FROM market.orders)"
    )
    return found


async def _refusal(path: Path, dsn: str, market: Any) -> str:
    """The sentence of a load that must be refused, and must leave nothing."""
    with pytest.raises(SayableError) as refused:
        await load_directory(path, dsn)
    assert await _count(market) == 0
    return str(refused.value)


# ---- what is loaded


async def test_every_relation_is_loaded_and_counted(
    tmp_path: Path, market_dsn: str, market: Any
) -> None:
    write_directory(
        tmp_path,
        order_items=[
            {"order_id": "o1", "line_no": "1", "listing_id": "l1", "title": "杯", "unit_price": "1000", "quantity": "1"}
        ],
    )  # fmt: skip

    report = await load_directory(tmp_path, market_dsn)

    assert report.rows == {"accounts": 2, "orders": 1, "order_items": 1}
    assert report.total == 4
    assert await market.fetchval("SELECT title FROM market.order_items") == "杯"


async def test_zipped_files_are_loaded_as_plain_ones(
    tmp_path: Path, market_dsn: str, market: Any
) -> None:
    await load_directory(write_directory(tmp_path, zipped=True), market_dsn)

    assert await _count(market) == 3


async def test_an_empty_field_is_null_or_the_default(
    tmp_path: Path, market_dsn: str, market: Any
) -> None:
    write_directory(tmp_path, orders=[{**ORDER, "currency": "", "discount_amount": "", "ip": ""}])

    await load_directory(tmp_path, market_dsn)

    row = await market.fetchrow("SELECT currency, discount_amount, ip FROM market.orders")
    assert tuple(row) == ("JPY", 0, None)


async def test_values_are_postgres_text_input(tmp_path: Path, market_dsn: str, market: Any) -> None:
    listing = {
        "listing_id": "l1",
        "seller_id": "s1",
        "title": 'Cup, "small"\nwith a handle',
        "price": "1200",
        "image_hashes": "{1,-2}",
        "status": "active",
        "created_at": "2024-04-01T09:00:00+09:00",
        "updated_at": "2024-04-01 00:00:00Z",
    }
    write_directory(tmp_path, listings=[listing])

    await load_directory(tmp_path, market_dsn)

    row = await market.fetchrow("SELECT * FROM market.listings")
    assert row["title"] == 'Cup, "small"\nwith a handle'
    assert row["image_hashes"] == [1, -2]
    assert row["created_at"] == row["updated_at"]


async def test_a_byte_order_mark_and_windows_line_ends_are_read(
    tmp_path: Path, market_dsn: str, market: Any
) -> None:
    text = "\ufeff" + as_csv([ACCOUNT, SELLER]).replace("\n", "\r\n")
    write_directory(tmp_path, accounts=text)

    await load_directory(tmp_path, market_dsn)

    assert await _count(market) == 3


async def test_labels_and_readme_are_left_alone(
    tmp_path: Path, market_dsn: str, market: Any
) -> None:
    write_directory(tmp_path, labels="subject_kind,subject_id,label,labelled_at\nnonsense\n")
    (tmp_path / "README.md").write_text("hello")
    (tmp_path / ".hidden").write_text("x")

    await load_directory(tmp_path, market_dsn)

    assert await _count(market) == 3


async def test_progress_ends_at_the_whole(tmp_path: Path, market_dsn: str) -> None:
    told: list[tuple[int, int]] = []
    accounts = [{**ACCOUNT, "account_id": f"a{n}"} for n in range(2500)]
    write_directory(tmp_path, accounts=accounts)

    await load_directory(tmp_path, market_dsn, progress=lambda *x: told.append(x))

    assert told == [(1000, 2501), (2000, 2501), (2501, 2501)]


# ---- which directory


async def test_a_missing_directory_is_named(tmp_path: Path, market_dsn: str, market: Any) -> None:
    assert "There is no directory" in await _refusal(tmp_path / "nowhere", market_dsn, market)


async def test_a_file_is_no_directory(tmp_path: Path, market_dsn: str, market: Any) -> None:
    file = write_directory(tmp_path) / "orders.csv"

    assert "is a file" in await _refusal(file, market_dsn, market)


@pytest.mark.parametrize("relation", ["accounts", "orders"])
async def test_accounts_and_orders_are_required(
    tmp_path: Path, market_dsn: str, market: Any, relation: str
) -> None:
    (write_directory(tmp_path) / f"{relation}.csv").unlink()

    assert f"has no {relation}.csv" in await _refusal(tmp_path, market_dsn, market)


@pytest.mark.parametrize("name", ["order.csv", "Orders.csv", "orders.tsv", "notes.csv.gz"])
async def test_an_unknown_file_is_named(
    tmp_path: Path, market_dsn: str, market: Any, name: str
) -> None:
    (write_directory(tmp_path) / name).write_text("x")

    said = await _refusal(tmp_path, market_dsn, market)

    assert name in said
    assert "is no relation of the market contract" in said


async def test_a_relation_in_two_files_is_refused(
    tmp_path: Path, market_dsn: str, market: Any
) -> None:
    write_directory(tmp_path, zipped=True)
    write_directory(tmp_path)

    said = await _refusal(tmp_path, market_dsn, market)

    assert "holds both accounts.csv and accounts.csv.gz" in said


async def test_an_unreachable_database_is_said(tmp_path: Path) -> None:
    write_directory(tmp_path)

    with pytest.raises(SayableError, match="database cannot be reached"):
        await load_directory(tmp_path, "postgresql://nobody@127.0.0.1:1/market")


async def test_a_database_without_the_schema_is_said(tmp_path: Path, market_dsn: str) -> None:
    write_directory(tmp_path)

    with pytest.raises(SayableError, match=r"no table elsewhere\.accounts"):
        await load_directory(tmp_path, market_dsn, "elsewhere")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
async def test_a_file_that_may_not_be_read_is_named(
    tmp_path: Path, market_dsn: str, market: Any
) -> None:
    (write_directory(tmp_path) / "orders.csv").chmod(0)

    assert "orders.csv: it cannot be read" in await _refusal(tmp_path, market_dsn, market)


# ---- which file, line and column


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"total_amount": "ten"}, "orders.csv, line 3, column total_amount: 'ten' is not a whole number."),
        ({"total_amount": "99999999999999999999"}, "orders.csv, line 3, column total_amount: '99999999999999999999' is not a whole number (value"),
        ({"total_amount": "-1"}, "orders.csv, line 3, column total_amount: '-1' breaks the rule total_amount >= 0."),
        ({"total_amount": ""}, "orders.csv, line 3, column total_amount: the field is empty, and a value is required."),
        ({"status": "payed"}, "orders.csv, line 3, column status: 'payed' is none of pending, paid, shipped"),
        ({"ordered_at": "yesterday"}, "orders.csv, line 3, column ordered_at: 'yesterday' is not a time with a zone"),
        ({"ordered_at": "2024-04-01 10:00:00"}, "orders.csv, line 3, column ordered_at: '2024-04-01 10:00:00' is not a time with a zone"),
        ({"ordered_at": "2024-04-31 10:00:00Z"}, "orders.csv, line 3, column ordered_at: '2024-04-31 10:00:00Z' is not a time with a zone"),
        ({"paid_at": "infinity"}, "orders.csv, line 3, column paid_at: 'infinity' is not a time with a zone"),
        ({"ip": "300.1.1.1"}, "orders.csv, line 3, column ip: '300.1.1.1' is not an IP address."),
        ({"order_id": "o1"}, "orders.csv, line 3, column order_id: order_id 'o1' stands on line 2 already."),
        ({"order_id": "o" * 1001}, "orders.csv, line 3, column order_id: it is longer than 1,000 bytes."),
        ({"ship_name": "x" * 200_000}, "orders.csv, line 3: a field is longer than 131,072 characters"),
        ({"ship_name": "a\0b"}, "orders.csv, line 3: it holds a NUL character"),
    ],
)  # fmt: skip
async def test_a_bad_field_is_named_by_file_line_and_column(
    tmp_path: Path, market_dsn: str, market: Any, change: dict[str, str], said: str
) -> None:
    write_directory(tmp_path, orders=[ORDER, {**ORDER, "order_id": "o2", **change}])

    assert said in await _refusal(tmp_path, market_dsn, market)


@pytest.mark.parametrize(
    ("relation", "change", "said"),
    [
        ("accounts", {"is_seller": "perhaps"}, "line 2, column is_seller: 'perhaps' is not a boolean"),
        ("posts", {"urls": "{a"}, "line 2, column urls: '{a' is not an array"),
    ],
)  # fmt: skip
async def test_bad_booleans_and_arrays_are_named(
    tmp_path: Path,
    market_dsn: str,
    market: Any,
    relation: str,
    change: dict[str, str],
    said: str,
) -> None:
    post = {
        "post_id": "p1",
        "account_id": "a1",
        "kind": "comment",
        "body": "hi",
        "created_at": "2024-04-01 10:00:00Z",
        "updated_at": "2024-04-01 10:00:00Z",
    }
    if relation == "posts":
        write_directory(tmp_path, posts=[{**post, **change}])
    else:
        write_directory(tmp_path, accounts=[{**ACCOUNT, **change}])

    assert said in await _refusal(tmp_path, market_dsn, market)


async def test_lines_are_counted_through_quoted_line_breaks(
    tmp_path: Path, market_dsn: str, market: Any
) -> None:
    address = "one\ntwo\r\nthree"
    rows = [
        {**ACCOUNT, "account_id": f"a{n}", "address": address, "is_seller": seller}
        for n, seller in enumerate(["t", "f", "neither"])
    ]
    write_directory(tmp_path, accounts=rows)

    said = await _refusal(tmp_path, market_dsn, market)

    assert said.startswith("accounts.csv, line 8, column is_seller: 'neither'")


async def test_a_row_that_the_marketplace_has_already_is_named(
    tmp_path: Path, market_dsn: str, market: Any
) -> None:
    await load_directory(write_directory(tmp_path), market_dsn)

    with pytest.raises(SayableError, match=r"accounts\.csv, line 2, .*'a1' is in the marketplace"):
        await load_directory(tmp_path, market_dsn)
    assert await _count(market) == 3


@pytest.mark.parametrize(
    ("orders", "said"),
    [
        ("", "line 1: the header line with the names of the columns is missing"),
        ("order_id,colour\no1,red\n", "line 1: orders has no column 'colour'; it has order_id, buyer_id"),
        ("order_id,order_id\n", "line 1, column order_id: the header names this column twice"),
        ("order_id,\n", "line 1: orders has no column ''"),
        ("order_id\no1\n", "line 1, column buyer_id: the header lacks this column, which is required"),
        (as_csv([ORDER]) + "o2,a1\n", "line 3: it has 2 fields where the header has 9"),
        (as_csv([ORDER]) + '"o2\n', "line 3: a quotation mark is opened here and never closed"),
        (as_csv([ORDER]) + '"o2"x,a1\n', "line 3: text follows a closing quotation mark"),
    ],
)  # fmt: skip
async def test_a_broken_table_is_named_by_line(
    tmp_path: Path, market_dsn: str, market: Any, orders: str, said: str
) -> None:
    write_directory(tmp_path, orders=orders)

    assert f"orders.csv, {said}" in await _refusal(tmp_path, market_dsn, market)


async def test_bytes_that_are_not_utf8_are_named_by_line(
    tmp_path: Path, market_dsn: str, market: Any
) -> None:
    path = write_directory(tmp_path) / "accounts.csv"
    path.write_bytes(path.read_bytes() + "a9,青柳,active\n".encode("shift_jis"))

    said = await _refusal(tmp_path, market_dsn, market)

    assert said.startswith("accounts.csv, line 4: byte 4 is not UTF-8")


async def test_a_gzip_that_is_cut_off_is_refused(
    tmp_path: Path, market_dsn: str, market: Any
) -> None:
    path = write_directory(tmp_path, zipped=True) / "orders.csv.gz"
    path.write_bytes(path.read_bytes()[:-12])

    assert "orders.csv.gz: it cannot be unpacked" in await _refusal(tmp_path, market_dsn, market)


async def test_a_gzip_that_is_none_is_refused(tmp_path: Path, market_dsn: str, market: Any) -> None:
    (write_directory(tmp_path, zipped=True) / "orders.csv.gz").write_text(as_csv([ORDER]))

    assert "orders.csv.gz: it cannot be unpacked" in await _refusal(tmp_path, market_dsn, market)


async def test_a_gzip_that_is_called_csv_is_refused(
    tmp_path: Path, market_dsn: str, market: Any
) -> None:
    (write_directory(tmp_path) / "orders.csv").write_bytes(gzip.compress(as_csv([ORDER]).encode()))

    said = await _refusal(tmp_path, market_dsn, market)

    assert said == "orders.csv: it is compressed; name it .csv.gz."


async def test_a_line_without_an_end_is_refused(
    tmp_path: Path, market_dsn: str, market: Any
) -> None:
    bomb = as_csv([ORDER]) + "x" * (5 * 1024 * 1024)
    write_directory(tmp_path, zipped=True, orders=bomb)

    assert "line 3: the line is longer than" in await _refusal(tmp_path, market_dsn, market)
