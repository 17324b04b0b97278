from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from bot.cards.digest_card import TEXT_ROOM, DigestMessage, digest_card, percent
from bot.domain import digests as d
from bot.domain.digests import CaseRow, Digest, Figure, Part, Value, ValueKind, n, t
from bot.domain.findings import Severity
from bot.locale import Messages
from bot.playground.workspace.blocks import validate_message_blocks
from tests.builders import evolve
from tests.cards.reading import EN, JA, TOKYO, objects

HOSTILE = [
    "<!channel>",
    "<@U0TANAKA>",
    "<#C0ALERTS>",
    "<https://evil.example|minne.com>",
    "*bold* _italic_ ~strike~ `code`",
    "\u202egnp.exe\u202c in\u200bvis\u200dible",
    "lone \ud800 surrogate",
    "Z" + "\u0301" * 500,
    "山" * 10_000,
    "{name} {0} {seller.__class__}",
    "line\nbreak\r\nand\x00null",
    "",
]
LOCALES = pytest.mark.parametrize("messages", [JA, EN], ids=["ja", "en"])
DAY = date(2026, 11, 22)
NOW = datetime(2026, 11, 23, 0, 0, tzinfo=UTC)
"""09:00 in Tokyo on the day after."""
HEAD, KEPT = "0123456789abcdef" * 4, "f" * 64
RATE = "the early forced-cancel rate was {rate} (week before: {week})."
STOPPED = (
    "{when} {count} fraudulent order ({money}) was stopped in time; " + RATE,
    "{when} {count} fraudulent orders ({money}) were stopped in time; " + RATE,
)


def a_row(case_id: int = 2041, **changes: Any) -> CaseRow:
    return evolve(
        CaseRow(
            case_id=case_id,
            version=3,
            severity=Severity.P1,
            told=t(
                "{title} ({money}): {state} for {span}, looked after by nobody yet",
                title=d.title("自作自演による不正注文の疑い", "Suspected self-dealing"),
                money=d.money({"JPY": 148_600}),
                state=d.words("open"),
                span=d.span(2 * 86_400 + 3 * 3600),
            ),
            channel="C0ALERTS",
            message_ts="1.000001",
        ),
        **changes,
    )


def a_digest(*parts: Part, **changes: Any) -> Digest:
    usual = (
        Part(
            name="early_cancel",
            title=t("Cancelled before shipment and payout"),
            headline=n(
                *STOPPED,
                34,
                when=d.when(DAY),
                money=d.money({"JPY": 412_300}),
                rate=Value(kind=ValueKind.SHARE, number=34, whole=35),
                week=Value(kind=ValueKind.SHARE, number=92, whole=100),
            ),
            figures=(
                Figure(
                    name="cases_opened",
                    label=t("Cases opened"),
                    value=d.count(12),
                    before=d.count(15),
                    week=d.count(73, over=7),
                ),
                Figure(
                    name="money_held_jpy",
                    label=t("Money held"),
                    value=d.money({"JPY": 98_000}),
                    before=d.money({"JPY": 91_500}),
                    week=d.money({"JPY": 700_001}, over=7),
                ),
                Figure(
                    name="early_forced_cancel_rate",
                    label=t("Early forced-cancel rate"),
                    value=d.share(34, 35),
                    before=d.share(9, 10),
                ),
            ),
        ),
        Part(name="overdue", title=t("Cases past their time"), rows=(a_row(),), more=3),
        Part(
            name="audit_head",
            foot=(
                t("Audit log, entry {seq}: {hash}", seq=d.count(1234), hash=d.text(HEAD)),
                t(
                    "Digest of {day}, entry {seq}: {hash}",
                    day=d.on_day(DAY - timedelta(days=1)),
                    seq=d.count(1100),
                    hash=d.text(KEPT),
                ),
            ),
        ),
    )
    return evolve(
        Digest(
            day=DAY,
            now=NOW,
            so_far=False,
            audit_seq=1234,
            audit_hash=HEAD,
            parts=parts or usual,
        ),
        **changes,
    )


def drawn(digest: Digest, messages: Messages = JA, **changes: Any) -> DigestMessage:
    return digest_card(digest, tz=TOKYO, messages=messages, **changes)


def words_of(blocks: Sequence[dict[str, Any]]) -> list[str]:
    """Every text that stands in the blocks."""
    return [
        one["text"]
        for block in blocks
        for one in objects(block)
        if isinstance(one.get("text"), str)
    ]


def table_of(message: DigestMessage) -> list[list[str]]:
    (block,) = [block for block in message.blocks if block["type"] == "table"]
    return [[cell["text"] for cell in row] for row in block["rows"]]


def test_the_first_line_is_a_sentence_in_japanese() -> None:
    message = drawn(a_digest())
    sentence = "昨日は不正注文 34件(¥412,300)を未然に防ぎ、早期強制キャンセル率は 97%(前週平均 92%)でした。"
    assert message.text.splitlines()[0] == sentence
    assert words_of(message.blocks)[0] == sentence


def test_the_first_line_is_a_sentence_in_english() -> None:
    assert drawn(a_digest(), EN).lines[0] == (
        "Yesterday 34 fraudulent orders (¥412,300) were stopped in time; "
        "the early forced-cancel rate was 97% (week before: 92%)."
    )


def test_one_order_is_told_in_the_singular() -> None:
    part = Part(
        headline=n(
            *STOPPED,
            1,
            when=d.when(DAY),
            money=d.money({"JPY": 9_200}),
            rate=Value(kind=ValueKind.SHARE, number=1, whole=1),
            week=Value(kind=ValueKind.SHARE, number=1, whole=2),
        )
    )
    assert (
        drawn(a_digest(part), EN).lines[0].startswith("Yesterday 1 fraudulent order (¥9,200) was")
    )


@pytest.mark.parametrize(
    ("now", "ja", "en"),
    [
        (NOW, "昨日は", "Yesterday"),
        (NOW - timedelta(hours=12), "本日はこれまでに", "So far today"),
        (NOW + timedelta(days=1), "11月22日(日)は", "On Sun, Nov 22"),
    ],
)
def test_a_day_is_named_as_of_when_the_digest_was_made(now: datetime, ja: str, en: str) -> None:
    part = Part(headline=t("{when} no order was force-cancelled.", when=d.when(DAY)))
    digest = a_digest(part, now=now)
    assert drawn(digest).lines[0].startswith(ja)
    assert drawn(digest, EN).lines[0].startswith(en)


def test_figures_stand_beside_their_change_and_the_week_before() -> None:
    assert table_of(drawn(a_digest())) == [
        ["項目", "11月22日(日)", "前日比", "前週平均(1日)"],
        ["新規ケース", "12", "-3", "10.4"],
        ["保留した金額", "¥98,000", "+¥6,500", "¥100,000"],
        ["早期強制キャンセル率", "97%(34/35件)", "+7ポイント", "—"],
    ]


def test_a_day_that_is_not_over_is_not_compared_with_a_whole_one() -> None:
    heads = table_of(drawn(a_digest(so_far=True), EN))[0]
    assert heads == ["Figure", "Sun, Nov 22", "Week before, a day"]


def test_a_figure_that_is_not_known_is_a_dash_and_never_a_nought() -> None:
    part = Part(
        figures=(
            Figure(
                name="early_forced_cancel_rate",
                label=t("Early forced-cancel rate"),
                value=None,
                before=d.share(1, 2),
            ),
            Figure(name="money_held", label=t("Money held"), value=d.money({})),
        )
    )
    assert table_of(drawn(a_digest(part), EN))[1:] == [
        ["Early forced-cancel rate", "—"],
        ["Money held", "none"],
    ]


@pytest.mark.parametrize(
    ("part", "whole", "shown"),
    [(0, 3, 0), (3, 3, 100), (199, 200, 99), (1, 300, 1), (34, 35, 97), (1, 2, 50)],
)
def test_a_share_is_all_or_nothing_only_where_it_is(part: int, whole: int, shown: int) -> None:
    assert percent(Value(kind=ValueKind.SHARE, number=part, whole=whole)) == shown


def test_of_nothing_there_is_no_share() -> None:
    assert d.share(0, 0) is None


def test_money_in_two_currencies_is_never_added() -> None:
    part = Part(
        lines=(
            t(
                "{title} ({money}): {state} for {span}, looked after by nobody yet",
                title=d.title("疑い", "Suspicion"),
                money=d.money({"JPY": 1_000, "EUR": 12_345}),
                state=d.words("open"),
                span=d.span(60),
            ),
        )
    )
    assert "€123.45 + ¥1,000" in drawn(a_digest(part), EN).text


def test_a_case_s_number_leads_to_its_card_and_its_button_to_the_details() -> None:
    link = "https://minato.slack.com/archives/C0ALERTS/p1000001"
    message = drawn(a_digest(), links={2041: link})
    (row,) = [block for block in message.blocks if "accessory" in block]
    assert f"<{link}|C-2041>" in row["text"]["text"]
    assert row["accessory"]["action_id"] == "act:details"
    assert row["accessory"]["value"] == "2041|3"
    assert "https" not in message.text
    (row,) = [block for block in drawn(a_digest()).blocks if "accessory" in block]
    assert " C-2041 " in row["text"]["text"]


@pytest.mark.parametrize("link", ["javascript:alert(1)", "https://x|y>", "slack://open"])
def test_no_other_link_is_written(link: str) -> None:
    (row,) = [b for b in drawn(a_digest(), links={2041: link}).blocks if "accessory" in b]
    assert link not in row["text"]["text"]


def test_both_heads_of_the_log_stand_in_full_in_the_last_lines() -> None:
    message = drawn(a_digest())
    last = message.blocks[-1]
    assert last["type"] == "context"
    mine, kept = [element["text"] for element in last["elements"]]
    assert HEAD in mine
    assert KEPT in kept
    assert message.text.splitlines()[-2:] == [mine, kept]


@pytest.mark.parametrize(
    ("missed", "words"),
    [
        ((date(2026, 11, 19), date(2026, 11, 21)), "from Thu, Nov 19 to Sat, Nov 21"),
        ((date(2026, 11, 21), date(2026, 11, 21)), "for Sat, Nov 21"),
    ],
)
def test_days_that_were_not_posted_are_named(missed: tuple[date, date], words: str) -> None:
    assert words in drawn(a_digest(missed=missed), EN).lines[1]


@LOCALES
def test_whoever_hears_it_read_hears_all_that_is_shown(messages: Messages) -> None:
    message = drawn(a_digest(), messages, links={2041: "https://x.slack.com/archives/C/p1"})
    for block in message.blocks:
        match block["type"]:
            case "table":
                for row in block["rows"]:
                    for cell in row:
                        assert cell["text"] in message.text
            case "context":
                for element in block["elements"]:
                    assert element["text"] in message.text
            case "header":
                assert block["text"]["text"] in message.text
            case _:
                pass
    assert "C-2041" in message.text


def the_largest(text: str = "山" * 300) -> Digest:
    """Everything at its longest: every section full, all that comes from outside this text."""
    told = t(
        "{title} ({money}): {state} for {span}, looked after by {name}",
        title=d.title(text, text),
        money=d.money(dict.fromkeys(("JPY", "EUR", "USD", "GBP"), 10**12)),
        state=d.words("open"),
        span=d.span(10**7),
        name=d.text(text),
    )
    rows = tuple(a_row(10**9 + n, told=told, channel=text, message_ts=text) for n in range(5))
    line = t(
        "{name} failed at its last run, {span} ago: {reason}",
        name=d.text(text),
        span=d.span(99),
        reason=d.text(text),
    )
    figures = tuple(
        Figure(
            name=f"f{n}",
            label=t("Money cancelled"),
            value=d.money({"JPY": 10**14}),
            before=d.money({"JPY": 1}),
            week=d.money({"JPY": 10**14}, over=7),
        )
        for n in range(40)
    )
    usual = a_digest()
    return evolve(
        usual,
        parts=(
            Part(
                headline=n(
                    *STOPPED,
                    10**6,
                    when=d.when(DAY),
                    money=d.money(dict.fromkeys(("JPY", "EUR", "USD", "GBP", "CHF"), 10**15)),
                    rate=Value(kind=ValueKind.SHARE, number=1, whole=3),
                    week=Value(kind=ValueKind.SHARE, number=1, whole=3),
                ),
                figures=figures,
            ),
            *(
                Part(
                    name=f"s{n}", title=t("What is broken"), lines=(line,) * 25, rows=rows, more=999
                )
                for n in range(4)
            ),
            Part(lines=(line,) * 10, title=t("What is broken")),
            usual.parts[-1],
        ),
        missed=(date(2026, 1, 1), date(2026, 11, 21)),
    )


@LOCALES
def test_slack_takes_the_largest_digest_with_its_proof(messages: Messages) -> None:
    message = drawn(the_largest(), messages)
    assert validate_message_blocks(message.blocks) == []
    assert len(message.blocks) <= 50
    assert len(message.text) <= TEXT_ROOM
    # However long the rest is, the heads stay.
    assert HEAD in message.text
    assert KEPT in message.text


@LOCALES
@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_words_from_outside_are_data(messages: Messages, text: str) -> None:
    message = drawn(the_largest(text), messages)
    assert validate_message_blocks(message.blocks) == []
    live = "\n".join(
        block["text"]["text"]
        for block in message.blocks
        if block["type"] == "section" and block["text"]["type"] == "mrkdwn"
    )
    for told in (live, message.text):
        for alive in ("<!", "<@", "<#", "<http", "](", "*bold*", "`code`"):
            assert alive not in told


@LOCALES
def test_a_digest_of_nothing_is_drawn_too(messages: Messages) -> None:
    message = drawn(a_digest(Part(name="volumes")), messages)
    assert validate_message_blocks(message.blocks) == []
    assert "22" in message.text
