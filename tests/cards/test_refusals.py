"""A refused press gets a sentence that says why and what to do next."""

from __future__ import annotations

import pytest

from bot.cards.refusals import refusal_sentence
from bot.domain.refusals import Refusal, RefusalCode
from tests.builders import NOW
from tests.cards.reading import EN, JA, TOKYO, WALL

C = RefusalCode


@pytest.mark.parametrize(
    ("refusal", "ja"),
    [
        (
            Refusal(code=C.STALE, by="田中", at=WALL),
            "14:07 に田中さんがこのケースを更新しました。最新の内容をご確認のうえ、もう一度操作してください。",
        ),
        (
            Refusal(code=C.STALE, at=WALL),
            "このケースは 14:07 に更新されました。最新の内容をご確認のうえ、もう一度操作してください。",
        ),
        (
            Refusal(code=C.STALE),
            "このケースは更新されています。最新の内容をご確認のうえ、もう一度操作してください。",
        ),
        (
            Refusal(code=C.NO_ROLE, action="approve", roles=("approver",), groups=("S0LEADS",)),
            "承認には「承認者」権限が必要です。<!subteam^S0LEADS> に依頼してください。",
        ),
        (
            Refusal(code=C.NO_ROLE, action="cancel", roles=("agent", "approver"), groups=()),
            "強制キャンセルと利用停止には「サポート担当」または「承認者」権限が必要です。管理者にご相談ください。",
        ),
        (
            Refusal(code=C.NO_ROLE, action="audit"),
            "この操作(操作履歴の閲覧)を行える権限が、ポリシーに設定されていません。",
        ),
        (
            Refusal(code=C.OWN_REQUEST),
            "ご自身が申請または作成した操作は承認できません。別の承認者に依頼してください。",
        ),
        (
            Refusal(code=C.ALREADY_APPROVED),
            "この申請はすでに承認いただいています。あとは別の方の承認が必要です。",
        ),
        (
            Refusal(code=C.PAUSED, by="鈴木", at=NOW, reason="決済障害"),
            "14:02 に鈴木さんがすべての操作を一時停止しました(理由: 決済障害)。再開されるまで実行できません。",
        ),
        (
            Refusal(code=C.EXPIRED, at=NOW),
            "この申請は 14:02 に期限が切れました。必要であれば、もう一度申請してください。",
        ),
        (
            Refusal(code=C.PLAN_REFUSED, detail="already_shipped"),
            "現在、マーケット側で実行できません。すでに発送されています(already_shipped)",
        ),
        (
            Refusal(code=C.CASE_NOT_FOUND, detail="C-99999"),
            "ケース C-99999 は見つかりません。対応中のケースは `/cre queue` で確認できます。",
        ),
        (
            Refusal(code=C.SUBJECT_NOT_FOUND, detail="O-1"),
            "ID O-1 はマーケットに見つかりません。IDをご確認ください。",
        ),
    ],
)
def test_a_refusal_reads_like_this(refusal: Refusal, ja: str) -> None:
    assert refusal_sentence(refusal, JA, TOKYO, now=NOW) == ja


@pytest.mark.parametrize("code", list(RefusalCode))
def test_every_refusal_has_its_own_sentence_in_both_languages(code: RefusalCode) -> None:
    bare, full = Refusal(code=code), Refusal(code=code, by="田中", at=NOW, case_id=7, action="hold")
    for refusal in (bare, full):
        japanese, english = (refusal_sentence(refusal, m, TOKYO) for m in (JA, EN))
        assert japanese != english
        assert "!" not in japanese + english
        assert "None" not in japanese + english
        assert "{" not in japanese + english


def test_no_two_refusals_say_the_same() -> None:
    sentences = [refusal_sentence(Refusal(code=code), EN, TOKYO) for code in RefusalCode]
    assert len(set(sentences)) == len(sentences)


def test_without_a_now_the_day_is_told() -> None:
    sentence = refusal_sentence(Refusal(code=C.EXPIRED, at=NOW), JA, TOKYO)
    assert "4月15日 14:02" in sentence


def test_a_role_that_we_do_not_know_is_not_shown_as_a_code() -> None:
    sentence = refusal_sentence(
        Refusal(code=C.NO_ROLE, action="cancel", roles=("super_admin",)), EN, TOKYO
    )
    assert "super_admin" not in sentence


def test_only_real_group_ids_become_mentions() -> None:
    refusal = Refusal(
        code=C.NO_ROLE, action="approve", roles=("approver",), groups=("S0LEADS", "x> <!channel")
    )
    sentence = refusal_sentence(refusal, EN, TOKYO)
    assert "<!subteam^S0LEADS>" in sentence
    assert "<!channel" not in sentence
