"""What a shell says about Redash: the doctor, and a query made a detection file, over real HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from click.testing import CliRunner, Result
from pydantic import SecretStr

from bot.app import redash_desk_of
from bot.cases.policy import DEFAULT_POLICY
from bot.cli import cli
from bot.doctor import Diagnosis, examine
from bot.domain.errors import SayableError
from bot.market.reader import MarketReader
from bot.playground.redash import Redash, serve_redash
from bot.settings import Settings
from tests.redash_stage import USER_KEY, WEBHOOK_SECRET, a_row, write_map


@pytest.fixture
async def redash(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Redash]:
    """A Redash with query 318, and the settings of a shell that know it."""
    redash = Redash(user_key=USER_KEY)
    redash.add_query(
        318,
        [a_row("O-1")],
        name="Self-dealing orders",
        text="SELECT order_id FROM orders WHERE total_amount > {{ least }};",
    )
    redash.add_alert(42, 318, column="cnt")
    monkeypatch.chdir(tmp_path)
    async with serve_redash(redash) as url:
        monkeypatch.setenv("REDASH_URL", url)
        monkeypatch.setenv("REDASH_API_KEY", USER_KEY)
        yield redash


async def shell(*words: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, cli, list(words))


async def diagnosis(**changes: Any) -> Diagnosis:
    settings = Settings(**changes)
    found = [one async for one in examine(settings) if one.what == "redash"]
    assert len(found) == 1
    return found[0]


async def test_the_doctor_says_that_all_is_well(redash: Redash, tmp_path: Path) -> None:
    await redash.refresh(318)
    found = await diagnosis(
        redash_map=write_map(tmp_path),
        redash_webhook_user="u",
        redash_webhook_password=SecretStr("p"),
        redash_webhook_secret=SecretStr(WEBHOOK_SECRET),
        public_url="https://bot.example.com",
    )
    assert found.problem is None
    assert "1 queries are detections; webhooks come in at https://bot.example.com" in found.told
    assert WEBHOOK_SECRET not in found.told


async def test_the_doctor_says_what_no_webhook_means(redash: Redash, tmp_path: Path) -> None:
    found = await diagnosis(redash_map=write_map(tmp_path))
    assert found.problem is None
    assert "only polls find" in found.told


async def test_the_doctor_finds_what_would_find_nothing(redash: Redash, tmp_path: Path) -> None:
    path = write_map(tmp_path)
    redash.queries[318].interval_s = None
    assert "has no schedule in Redash" in str((await diagnosis(redash_map=path)).problem)
    redash.queries[318].interval_s = 60
    redash.queries[318].parameters = ("least",)
    assert "has parameters: name them" in str((await diagnosis(redash_map=path)).problem)
    redash.queries[318].parameters = ()
    redash.queries[318].run = lambda _: [a_row("O-1", total="canary")]
    await redash.refresh(318)
    problem = str((await diagnosis(redash_map=path)).problem)
    assert "the column total does not fit the map (no_money) in 1 rows" in problem
    assert "canary" not in problem
    del redash.queries[318], redash.alerts[42]
    assert "is not in Redash" in str((await diagnosis(redash_map=path)).problem)


async def test_the_doctor_says_that_a_key_is_refused_and_not_which(
    redash: Redash, tmp_path: Path
) -> None:
    found = await diagnosis(redash_map=write_map(tmp_path), redash_api_key=SecretStr("canary-key"))
    assert "does not accept the key" in str(found.problem)
    assert "canary" not in str(found.problem)
    found = await diagnosis(redash_map=write_map(tmp_path), redash_url="http://127.0.0.1:9")
    assert "does not answer" in str(found.problem)


async def test_half_of_a_set_up_is_said(redash: Redash, tmp_path: Path) -> None:
    assert "Set REDASH_MAP" in str((await diagnosis()).problem)
    path = write_map(tmp_path)
    found = await diagnosis(redash_map=path, redash_webhook_secret=SecretStr(WEBHOOK_SECRET))
    assert "Set REDASH_WEBHOOK_USER" in str(found.problem)
    assert "REDASH_WEBHOOK_PASSWORD" in str(found.problem)
    found = await diagnosis(redash_map=path, redash_api_key=None)
    assert "Set REDASH_API_KEY" in str(found.problem)


def test_a_secret_that_can_be_guessed_is_refused() -> None:
    for secret in ("short", "a" * 19, "with/slash-and-more-letters", "a" * 201):
        with pytest.raises(ValueError, match="must be 20 to 200"):
            Settings(redash_webhook_secret=SecretStr(secret))


async def test_the_doctor_knows_a_mapped_query_that_may_hold_at_night(
    redash: Redash, tmp_path: Path
) -> None:
    policy = yaml.safe_load(DEFAULT_POLICY.read_text(encoding="utf-8"))
    names = ["redash_self_dealing", "no_such_detection"]
    off_hours = {"detections": names, "caps": {"JPY": 1}, "count": 1}
    path = tmp_path / "policy.yml"
    calendar = {"hours": {"mon": "09:00-18:00"}}
    changes = {"off_hours": off_hours, "calendar": calendar}
    path.write_text(yaml.safe_dump(policy | changes), encoding="utf-8")
    settings = Settings(redash_map=write_map(tmp_path), policy_file=path)
    told = [str(one.problem) async for one in examine(settings) if one.what == "policy"]
    assert any("no_such_detection, which there is not" in one for one in told), told
    assert not any("redash_self_dealing" in one for one in told), told


async def test_a_file_of_the_same_name_runs_in_place_of_the_query(
    redash: Redash, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(redash_map=write_map(tmp_path))
    reader = MarketReader("postgresql://nobody@127.0.0.1:9/none")
    async with aiohttp.ClientSession() as session:
        alone = redash_desk_of(settings, reader, session)
        beside = redash_desk_of(settings, reader, session, taken={"redash_self_dealing"})
    assert alone is not None
    assert set(alone.queries) == {318}
    assert beside is None
    assert "take that out of REDASH_MAP" in caplog.text


async def test_a_query_is_made_a_file_and_nothing_is_written_over(
    redash: Redash, tmp_path: Path
) -> None:
    made = await shell("rules", "import-redash", "318", "--out", str(tmp_path))
    assert made.exit_code == 0, made.output
    sql = tmp_path / "self_dealing_orders.sql"
    assert "total_amount > :least" in sql.read_text(encoding="utf-8")
    assert (tmp_path / "self_dealing_orders.test.yml").is_file()
    assert "▶ let it return `subject_id`" in made.output
    assert "Until it is corrected it does not run:" in made.output
    sql.write_text("mine", encoding="utf-8")
    again = await shell("rules", "import-redash", "318", "--out", str(tmp_path))
    assert isinstance(again.exception, SayableError)
    assert "is not written over" in str(again.exception)
    assert sql.read_text(encoding="utf-8") == "mine"


async def test_a_mapped_query_is_made_a_file_that_passes_the_check(
    redash: Redash, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    redash.queries[318].text = (
        "SELECT order_id, ordered_at, total_amount AS total, buyer_id AS buyer, seller_id AS seller,"
        " status AS buyer_name, 1 AS cnt FROM orders"
    )
    monkeypatch.setenv("REDASH_MAP", str(write_map(tmp_path)))
    monkeypatch.setenv("DETECTIONS_DIR", str(tmp_path))
    made = await shell("rules", "import-redash", "318")
    assert made.exit_code == 0, made.output
    assert "Until it is corrected" not in made.output
    checked = await shell("rules", "check", str(tmp_path / "redash_self_dealing.sql"))
    assert checked.exit_code == 0, checked.output


async def test_what_cannot_be_imported_is_said(
    redash: Redash, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for words, said in (
        (("7", "--out", str(tmp_path)), "Query 7 cannot be read"),
        (("318", "--out", str(tmp_path / "none")), "is no folder"),
        (("318",), "set DETECTIONS_DIR, or name a folder with --out"),
    ):
        result = await shell("rules", "import-redash", *words)
        assert said in str(result.exception), words
    monkeypatch.setenv("REDASH_API_KEY", "canary-key")
    result = await shell("rules", "import-redash", "318", "--out", str(tmp_path))
    assert "does not accept the key" in str(result.exception)
    assert "canary" not in str(result.exception)
