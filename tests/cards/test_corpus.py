"""The corpus of hostile texts through every drawing function, in every field that people or shops can fill."""

from __future__ import annotations

import csv
import io
import re

import pytest

from bot.cards import answers, modals
from bot.cards.digest_card import TEXT_ROOM, digest_card
from bot.cards.notices import notice_card
from bot.cards.refusals import refusal_sentence
from bot.cards.roll_up import roll_up_card
from bot.cards.stories import story_text
from bot.domain import digests as d
from bot.domain.cases import CaseState
from bot.domain.digests import Figure, Part, Value, ValueKind, t
from bot.domain.notices import NoticeKind
from bot.domain.refusals import RefusalCode
from bot.domain.story import StoryKind
from bot.domain.text import cell_text, escape, user_text
from bot.locale import Messages
from tests.builders import NOW
from tests.cards.reading import EN, JA, TOKYO, the_card
from tests.cards.test_digest_card import a_digest, a_row
from tests.cards.test_limits import (
    a_case_of_strangers,
    a_hostile_plan,
    a_hostile_refusal,
    a_hostile_story,
    a_queue_entry,
    a_written_entry,
    all_modals,
)
from tests.cards.test_notices import a_notice
from tests.cards.test_working_day import a_roll_up
from tests.corpus import CORPUS, check_blocks, check_text, check_view, live_tokens

NAMES = pytest.mark.parametrize("name", list(CORPUS))
# One language an entry: what lives or is seen in a text does not hang on the words around it.
ENTRIES = pytest.mark.parametrize(
    ("name", "messages"),
    [(name, (JA, EN)[n % 2]) for n, name in enumerate(CORPUS)],
    ids=list(CORPUS),
)
LEADS = ("<!subteam^S0LEADS>", "<!subteam^U0SATO>")
"""Mentions of groups come by their ids; one entry of the corpus looks like one."""


@ENTRIES
def test_cards(name: str, messages: Messages) -> None:
    for state in CaseState:
        card = the_card(a_case_of_strangers(state, CORPUS[name], members=7), messages)
        check_blocks(card.blocks)
        check_text(card.text)


@ENTRIES
def test_modals(name: str, messages: Messages) -> None:
    text = CORPUS[name]
    plans = [a_hostile_plan(f"{text}0", text), a_hostile_plan(f"{text}1", text, allowed=False)]
    for state in (CaseState.PARTLY_DONE, CaseState.AWAITING_APPROVAL):
        view = a_case_of_strangers(state, text)
        drawn = [
            *all_modals(view, plans, messages),
            modals.consult_modal(view, ["cs-leads"], messages=messages),
            modals.by_hand_modal(view, messages=messages),
            modals.message_modal(escape(text) or "x", messages=messages),
        ]
        if view.decision is not None:
            drawn.append(modals.break_glass_modal(view, view.decision, messages=messages, tz=TOKYO))
        for made in drawn:
            check_view(made)


@ENTRIES
def test_threads_and_refusals(name: str, messages: Messages) -> None:
    for kind in StoryKind:
        told = story_text(a_hostile_story(kind, CORPUS[name]), messages=messages, tz=TOKYO)
        check_text(told, ours=LEADS)
    for code in RefusalCode:
        told = refusal_sentence(a_hostile_refusal(code, CORPUS[name]), messages, TOKYO)
        # Only our own commands stand in code.
        assert told.count("`") == 2 * (told.count("`/cre") + told.count("`mimawari "))
        check_text(re.sub(r"`(/cre|mimawari )[^`]*`", "", told), ours=LEADS)


@ENTRIES
def test_answers_roll_ups_and_notices(name: str, messages: Messages) -> None:
    text = CORPUS[name]
    entries = [a_queue_entry(title=text, assignee=text or None)] * 20
    trail = [a_written_entry(text)] * 20
    for answer in (
        answers.queue_answer(entries, now=NOW, messages=messages),
        answers.audit_answer(text, trail, messages=messages, tz=TOKYO, names={text: text}),
        answers.audit_answer(text, [], messages=messages, tz=TOKYO, names={}),
    ):
        check_text(answer.text)
        check_blocks(list(answer.blocks)) if answer.blocks else None
    typed = answers.unknown_command(text, None, messages=messages)
    check_text(typed.replace("`/cre help`", ""))
    hostile = tuple(a_queue_entry(title=text, assignee=text) for _ in range(5))
    card = roll_up_card(
        a_roll_up(first=hostile),
        post_id="post_1",
        now=NOW,
        messages=messages,
        tz=TOKYO,
        names={text: text},
    )
    check_blocks(card.blocks)
    check_text(card.text)
    for kind in NoticeKind:
        for detail, state in (("policy", "open"), ("resume", "adopted"), ("review", "open")):
            told = notice_card(
                a_notice(kind, text, detail=detail, state=state),
                post_id="post_" + "0" * 32,
                messages=messages,
                tz=TOKYO,
            )
            # A person who must act is mentioned by an id that Slack gave, never by a name.
            ours = (*LEADS, f"<@{text}>", "<@U0SATO>")
            check_blocks(told.blocks, ours=ours)
            check_text(told.text, ours=ours)


@ENTRIES
def test_digests(name: str, messages: Messages) -> None:
    text = CORPUS[name]
    told = t("{title} — {words}", title=d.title(text, text), words=d.text(text))
    part = Part(
        name="hostile",
        title=t("Cases past their time"),
        headline=told,
        lines=(told,) * 5,
        rows=tuple(a_row(2041 + n, told=told) for n in range(3)),
        foot=(told,),
        figures=(
            Figure(name="f", label=told, value=Value(kind=ValueKind.TEXT, text=text)),
            Figure(name="g", label=told, value=d.money({"JPY": 12_400})),
        ),
    )
    drawn = digest_card(a_digest(part), messages=messages, tz=TOKYO)
    check_blocks(drawn.blocks, ours=("*期限を過ぎたケース*", "*Cases past their time*"))
    check_text(drawn.text, limit=TEXT_ROOM)


@NAMES
def test_cells_of_a_table_are_no_formulas(name: str) -> None:
    text = CORPUS[name].encode("utf-8", "replace").decode()
    written = io.StringIO(newline="")
    csv.writer(written).writerow([cell_text(text), cell_text("after")])
    rows = list(csv.reader(io.StringIO(written.getvalue(), newline="")))
    assert len(rows) == 1
    cell, after = rows[0]
    assert after == "after"
    assert cell.strip()[:1] not in set("=+-@＝＋－＠")
    assert cell in {text, f"'{text}"}


@ENTRIES
def test_an_amount_beside_a_name_stays_where_it_is(name: str, messages: Messages) -> None:
    """What turns around is closed in before the amount begins."""
    line = f"{user_text(CORPUS[name], 60)} — {messages.money(12_400, 'JPY')}"
    before, _, after = line.partition(" — ")
    assert "12,400" in after
    assert before.count("\u2068") == before.count("\u2069")
    assert live_tokens(escape(line)) == []


def test_the_corpus_holds_what_it_must() -> None:
    together = "".join(CORPUS.values())
    for needed in ("<!channel>", "<@U1>", "<http://x|Approve>", "```", ":tada:", "\ud800", "\x00"):
        assert needed in together
    assert max(map(len, CORPUS.values())) >= 10_000
    assert len(CORPUS) >= 60
