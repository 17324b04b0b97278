"""A broken detection file is refused with its line and what to do; the others go on."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.actions import registry
from bot.detections.detection import BUILT_IN, Detection
from bot.detections.head import Head, parse_head
from bot.detections.loading import load_detection, load_detections
from bot.domain.findings import Mode, Severity
from tests.detections.heads import SOUND, write_detection

ACTIONS = frozenset({"hold", "cancel", "suspend"})


def test_a_sound_file_is_a_detection(tmp_path: Path) -> None:
    path = write_detection(tmp_path)
    loaded = load_detections([tmp_path], actions=ACTIONS)
    assert loaded.problems == ()
    (detection,) = loaded.detections
    assert detection.name == "large_order"
    assert detection.title.ja == "高額注文の疑い"
    assert detection.severity is Severity.P2
    assert detection.mode is Mode.REVIEW
    assert detection.every == timedelta(seconds=30)
    assert detection.hash == hashlib.sha256(path.read_bytes()).hexdigest()
    assert [text.en for text in detection.runbook] == ["Look", "Decide"]
    assert detection.needs == {
        "orders": frozenset(
            {
                "order_id",
                "ordered_at",
                "updated_at",
                "total_amount",
                "currency",
                "payment_method",
            }
        )
    }
    assert detection.statement.names == ("changed_since", "window_start", "least")


def test_the_built_in_detections_are_sound() -> None:
    loaded = load_detections([BUILT_IN], actions=registry().keys())
    assert [problem.sentence for problem in loaded.problems] == []
    assert [detection.name for detection in loaded.detections] == sorted(
        path.stem for path in BUILT_IN.glob("*.sql")
    )
    for detection in loaded.detections:
        # What ends a case; about goods that have arrived only the buyer is left to be stopped.
        closing = {
            "order": {"cancel", "suspend"},
            "account": {"suspend"},
            "listing": {"takedown"},
            # Nobody is found by what looks after the detections themselves.
            "detection": set(),
        }[detection.subject]
        assert not closing or closing & set(detection.actions), detection.name
        # What can be taken back at once comes first, wherever orders are at stake.
        assert "hold" not in detection.actions[1:], detection.name


BROKEN = [
    # What is replaced, by what, on which line, and the sentence.
    ("/*\n", "", 1, "it must open with a comment"),
    ("name: large_order", "name: huge_order", 2, "its file large_order.sql; make them equal"),
    ("name: large_order", "name: Large Order", 2, "name: string should match pattern"),
    ("name: large_order", "name: [", 4, "the head is not YAML"),
    ("owner: fraud", "owner: fraud\nowner: me", 10, "`owner` stands here twice; remove one."),
    ("owner: fraud\n", "", 2, "the head lacks `owner`; add it."),
    ("  en: Suspected large order\n", "", 3, "title lacks `en`; add it."),
    ("owner: fraud", "ownr: fraud", 9, "there is no such key; did you mean `owner`?"),
    ("owner: fraud", "zzz: 1\nowner: fraud", 9, "there is no such key; remove it."),
    ("{every: 30s}", "{evry: 30s}", 10, "there is no such key; did you mean `every`?"),
    ("type: text", "typ: text", 17, "there is no such key; did you mean `type`?"),
    ("severity: P2", "severity: P9", 8, "severity: input should be 'P1', 'P2' or 'P3'"),
    (
        "subject: order",
        "subject: card",
        7,
        "input should be 'order', 'account', 'listing', 'post' or 'detection'",
    ),
    ("source: market", "source: redash", 6, "source: input should be 'market'"),
    ("window: 24h", "window: 24 hours", 11, "write a duration such as 30s, 5m, 24h or 7d"),
    ("window: 24h", "window: 0s", 11, "greater than"),
    ("overlap: 5m", "overlap: 2d", 12, "the overlap is longer than the window; shorten it."),
    ("type: text", "type: picture", 17, "evidence.method.type: input should be 'text', 'money'"),
    ("type: text", "type: text, mask: blur", 17, "evidence.method.mask: input should be 'none'"),
    (
        "[確認します, 判断します]\n  en: [Look, Decide]",
        "[確認します]\n  en: [Look]",
        18,
        "write two or three steps",
    ),
    ("[Look, Decide]", "[Look]", 20, "write as many lines in English as in Japanese"),
    ("daily_cap: 50", "daily_cap: 0", 24, "daily_cap: input should be greater than 0"),
    ("daily_cap: 50", "daily_cap: lots", 24, "daily_cap: input should be a valid integer"),
    ("least:", "now:", 13, "now is given to every detection; name this one otherwise"),
    ("default: 100000", "default: .nan", 14, "parameters.least.default: write a finite number"),
    ("  least: {", "  unused: {default: 1, ja: あ, en: a}\n  least: {", 14, "never uses :unused"),
    ("[hold, cancel]", "[hold, refund]", 15, "no action refund; there are cancel, hold, suspend."),
    ("  method: {", "  subject_id: {", 17, "subject_id is a fixed column"),
    ("  method: {", "  way: {", 17, "the result has no column way; add `… AS way`."),
    ("AS method", "AS way", 17, "the result has no column method"),
    (", payment_method AS method", ", payment_method AS method, ip", 26, "what the column ip is"),
    (":least", ":most", 30, ":most is not declared; add most under `parameters`"),
    (":least", "$1", 30, "write named parameters such as :now instead of $1."),
    ("FROM orders", "FROM market.orders", 28, "write orders without its schema market"),
    ("FROM orders", "FROM order", 28, "no relation order; did you mean orders?"),
    ("FROM orders", "FROM ordres", 28, "no relation ordres; did you mean orders?"),
    ("FROM orders", "FROM pg_authid", 28, "no relation pg_authid; its relations are accounts"),
    (
        "updated_at >=",
        "updatedat >=",
        29,
        "orders has no column updatedat; did you mean updated_at?",
    ),
    ("SELECT order_id AS", "SELECT o.x, order_id AS", 26, "x"),
    ("order_id AS subject_id, ", "", 26, "the result lacks the column subject_id"),
    ("total_amount AS amount, currency,", "total_amount AS amount,", 26, "amount and currency go"),
    ("total_amount AS amount", "total_amount AS currency", 26, "currency"),
    (
        "SELECT order_id",
        "SELECT *, order_id",
        26,
        "name the result's columns instead of writing *.",
    ),
    ("SELECT order_id", "SELEC order_id", 26, "the SQL cannot be read near"),
    ("total_amount >= :least", "total_amount >= :least)", 30, "the SQL cannot be read"),
    ("total_amount >= :least", "total_amount >= :least FOR UPDATE", 30, "FOR UPDATE and other"),
    ("total_amount >= :least", "total_amount >= :least; COMMIT", 26, "there are 2 statements"),
    ("FROM orders", "INTO stolen FROM orders", 28, "INTO cannot stand in it"),
    (
        "SELECT order_id",
        "WITH gone AS (DELETE FROM orders RETURNING *)\nSELECT order_id",
        26,
        "a detection only reads: DELETE cannot stand in it",
    ),
    (
        "SELECT order_id",
        "WITH orders AS (SELECT * FROM orders)\nSELECT order_id",
        26,
        "WITH orders hides the contract's relation",
    ),
    (
        "total_amount >= :least",
        "total_amount >= :least AND pg_sleep(1) IS NULL",
        30,
        "the function pg_sleep reaches beyond",
    ),
    (
        "total_amount >= :least",
        "total_amount >= :least\n AND pg_catalog.set_config('a.b', '', false) = ''",
        31,
        "the function set_config reaches beyond",
    ),
    (
        "total_amount >= :least",
        'total_amount >= :least AND "pg_terminate_backend"(1)',
        30,
        "the function pg_terminate_backend reaches beyond",
    ),
]


@pytest.mark.parametrize(("old", "new", "line", "said"), BROKEN)
def test_a_broken_file_says_where_and_what_to_do(
    tmp_path: Path, old: str, new: str, line: int, said: str
) -> None:
    path = write_detection(tmp_path, (old, new))
    problems = load_detection(path, actions=ACTIONS)
    assert not isinstance(problems, Detection)
    sentences = [problem.sentence for problem in problems]
    assert any(said in sentence for sentence in sentences), sentences
    assert any(problem.line == line for problem in problems if said in problem.message), sentences
    assert all("\n" not in sentence and sentence.endswith((".", "?")) for sentence in sentences)


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.sql").write_bytes(SOUND.encode().replace(b"Look", b"L\xf6\xf6k"))
    (tmp_path / "nul.sql").write_bytes(SOUND.encode() + b"\0")
    (tmp_path / "empty.sql").write_bytes(b"")
    (tmp_path / "folder.sql").mkdir()
    problems = {p.path.name: p for p in load_detections([tmp_path]).problems}
    assert problems["latin.sql"].message == "it is not UTF-8; save it as UTF-8."
    assert problems["latin.sql"].line == 20
    assert "NUL bytes" in problems["nul.sql"].message
    assert "must open with a comment" in problems["empty.sql"].message
    assert "cannot be read" in problems["folder.sql"].message


def test_the_others_go_on_beside_a_broken_file(tmp_path: Path) -> None:
    write_detection(tmp_path)
    write_detection(tmp_path, ("severity: P2", "severity: P9"), name="broken.sql")
    loaded = load_detections([tmp_path])
    assert [detection.name for detection in loaded.detections] == ["large_order"]
    assert {problem.path.name for problem in loaded.problems} == {"broken.sql"}


def test_of_two_detections_of_one_name_the_second_is_refused(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir()
    theirs.mkdir()
    write_detection(ours)
    second = write_detection(theirs, ("severity: P2", "severity: P1"))
    loaded = load_detections([ours, theirs])
    assert [detection.severity for detection in loaded.detections] == [Severity.P2]
    (problem,) = loaded.problems
    assert problem.path == second
    assert "already is the detection large_order; rename this file" in problem.message


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    (problem,) = load_detections([tmp_path / "nowhere"]).problems
    assert "no such folder; create it, or correct DETECTIONS_DIR." in problem.message


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_damage_to_a_file_is_a_problem_or_a_detection_never_a_crash(
    tmp_path: Path, data: st.DataObject
) -> None:
    text = SOUND
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 40)))
        junk = data.draw(st.text(alphabet="ab:'\"{}[]()*/-;$\n ,&!|>%@`\\0あ", max_size=5))
        text = text[:start] + junk + text[end:]
    path = tmp_path / "large_order.sql"
    path.write_text(text, encoding="utf-8")
    loaded = load_detections([tmp_path])
    assert bool(loaded.detections) != bool(loaded.problems)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- a\n- b",
        "just text",
        "a: &a [*a]",
        "? [1]\n: 2",
        "{" * 500,
        "!!python/object:os.system {}",
    ],
)
def test_a_head_that_is_no_mapping_is_a_problem(text: str) -> None:
    problems = parse_head(text)
    assert not isinstance(problems, Head)
    assert problems
