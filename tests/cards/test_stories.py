"""The thread tells the story of a case in short sentences."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bot.cards.stories import story_text
from bot.domain.story import Story, StoryKind
from bot.ledger.values import from_json, to_json
from tests.builders import NOW, a_finding
from tests.cards.reading import EN, JA, TOKYO

K = StoryKind
WALL_EXPIRY = NOW + timedelta(hours=20)
EVIDENCE = a_finding().evidence


@pytest.mark.parametrize(
    ("story", "ja"),
    [
        (
            Story(
                kind=K.OPENED,
                title_ja="自作自演による不正注文の疑い",
                title_en="Suspected self-dealing",
                evidence=EVIDENCE,
            ),
            "ケースを作成しました: 自作自演による不正注文の疑い\n一致した項目: カード・端末",
        ),
        (
            Story(kind=K.OPENED, by="U0SATO", by_name="佐藤"),
            "佐藤さんが手動でケースを作成しました。",
        ),
        (
            Story(kind=K.FINDING_JOINED, title_ja="注文の集中", orders=3, accounts=1),
            "新たな検知が加わりました: 注文の集中。このケースに追加: 注文3件・1アカウント。",
        ),
        (
            Story(kind=K.MARKET_CHANGED, subject_ids=("O-1",), count=1, detail="shipped"),
            "マーケット側で変更がありました: O-1 は「発送済み」です。",
        ),
        (
            Story(kind=K.MARKET_CHANGED, subject_ids=("O-1", "O-2"), count=12, detail="shipped"),
            "マーケット側で変更がありました: O-1, O-2, ほか10件",
        ),
        (
            Story(
                kind=K.REQUESTED,
                by_name="佐藤",
                action="cancel",
                reason="Stolen card",
                note="電話で確認",
                expires_at=WALL_EXPIRY,
                approver_groups=("S0LEADS",),
            ),
            (
                "佐藤さんが強制キャンセルと利用停止を申請しました。\n"
                "<!subteam^S0LEADS> 4月16日 10:02 までに承認または却下をお願いします。\n"
                "理由: 盗難カードの使用 — 電話で確認"
            ),
        ),
        (
            Story(kind=K.APPROVED, by_name="田中", action="cancel"),
            "田中さんが強制キャンセルと利用停止を承認しました。",
        ),
        (
            Story(
                kind=K.REJECTED,
                by_name="田中",
                action="cancel",
                reason="The evidence is not enough",
            ),
            "田中さんが強制キャンセルと利用停止の申請を却下しました。\n理由: 根拠が不足している",
        ),
        (
            Story(kind=K.EXPIRED, action="cancel"),
            "申請(強制キャンセルと利用停止)は承認されないまま期限が切れました。",
        ),
        (
            Story(kind=K.DECIDED, by_name="佐藤", action="hold"),
            "佐藤さんが注文の保留を決定しました。",
        ),
        (
            Story(
                kind=K.OPERATION_FAILED, subject_ids=("O-1",), verb="cancel", code="already_shipped"
            ),
            "O-1: 強制キャンセルは実行されませんでした。すでに発送されています(already_shipped)",
        ),
        (
            Story(kind=K.OPERATION_UNKNOWN, subject_ids=("O-1",), verb="cancel"),
            "O-1: 強制キャンセルの処理結果を確認中です。二重処理を防ぐため、管理画面から操作しないでください。",
        ),
        (
            Story(kind=K.STOPPED, by_name="佐藤", count=3),
            "佐藤さんが未送信の操作3件を中止しました。",
        ),
        (
            Story(kind=K.COMPLETED, action="cancel", orders=40, accounts=4),
            "完了しました: 注文40件を強制キャンセル・4アカウントを利用停止\n強制キャンセルは元に戻せません。",
        ),
        (
            Story(kind=K.COMPLETED, action="hold", orders=11, count=1),
            "一部未完了です。1件は実行されませんでした。完了した内容: 注文11件を保留",
        ),
        # What can be undone is not said to be final, nor is what only a dry run did.
        (
            Story(kind=K.COMPLETED, action="hold", orders=2),
            "完了しました: 注文2件を保留",
        ),
        (
            Story(kind=K.COMPLETED, action="cancel", orders=2, detail="dry_run"),
            "🧪 試行モード: 完了しました: 注文2件を強制キャンセル",
        ),
        (
            Story(kind=K.COMPLETED, action="cancel", orders=2),
            "完了しました: 注文2件を強制キャンセル\n強制キャンセルは元に戻せません。",
        ),
        (
            Story(kind=K.DISMISSED, by_name="鈴木", reason="Gift or bulk purchase", orders=2),
            "鈴木さんが問題なし(誤検知)と判定しました。\n理由: 贈り物・まとめ買い\n注文2件の保留を解除しています。",
        ),
        (Story(kind=K.CLAIMED, by_name="佐藤"), "佐藤さんが担当になりました。"),
        (
            Story(kind=K.NOTED, by_name="佐藤", note="本人と電話済み"),
            "佐藤さんのメモ: 本人と電話済み",
        ),
    ],
    ids=lambda value: value.kind.value if isinstance(value, Story) else "",
)
def test_an_event_reads_like_this(story: Story, ja: str) -> None:
    assert story_text(story, messages=JA, tz=TOKYO) == ja


@pytest.mark.parametrize("kind", list(StoryKind))
def test_every_kind_of_event_reads_in_both_languages_even_when_bare(kind: StoryKind) -> None:
    japanese, english = (story_text(Story(kind=kind), messages=m, tz=TOKYO) for m in (JA, EN))
    assert japanese
    assert japanese != english
    assert "None" not in japanese + english


def test_a_story_survives_the_ledger() -> None:
    story = Story(
        kind=K.REQUESTED,
        by="U0SATO",
        expires_at=WALL_EXPIRY,
        evidence=EVIDENCE,
        subject_ids=("O-1",),
    )
    assert from_json(to_json(story, Story), Story) == story
