"""The modal of a refund: one order, the amount, and what the marketplace says that it would do."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from babel.numbers import get_currency_precision

from bot.cards.blocks import Block, context, line_input, option, section, select
from bot.cards.modal_frames import case_line, meta_of, modal, note, reason_select
from bot.cards.plan_words import (
    by_hand_sentences,
    foretold_sentences,
    message_texts,
    methods_of,
    money_sentences,
    refused_lines,
    undo_sentences,
)
from bot.cards.wording import subject_id
from bot.domain.actions import Action
from bot.domain.cases import CaseView
from bot.domain.plans import Plan
from bot.domain.subjects import Subject
from bot.locale import Messages

_NUMBER = re.compile(r"(?P<whole>\d{1,3}(?:,\d{3})+|\d+)(?:[.,](?P<rest>\d{1,3}))?")
_ORDERS = 100
_MOST = 10**15
"""Beyond every order, and far below what a column of the ledger holds."""


def refund_modal(
    action: Action,
    view: CaseView,
    plans: Sequence[Plan],
    *,
    plan_set_id: str,
    second_person: bool,
    messages: Messages,
    changed: bool = False,
    typed: bool = False,
) -> Block:
    """One order is chosen, one amount typed; what goes back and by which way stands above.

    Args:
        changed: the plan is another than the one that was shown before; nothing was done under that.
        typed: the plan is that of an amount that was typed, to be looked at once more.
    """
    open_ = open_plans(plans)
    by_bank = [plan for plan in plans if plan.allowed and plan.refund_route == "bank_transfer"]
    blocks: list[Block] = []
    if changed:
        blocks.append(
            section(
                messages.t(
                    "⚠️ The situation changed while this was open. Nothing was done. Please look again."
                )
            )
        )
    if typed:
        blocks.append(section(messages.t("Please check the amount once more and send it again.")))
    refused = refused_lines(plans, messages)
    if by_bank:
        ids = messages.series([subject_id(plan.subject) for plan in by_bank[:5]])
        refused.append(
            messages.t("{ids}: only a bank transfer can give it back, not from here yet", ids=ids)
        )
    one = len(open_) == 1
    if open_:
        separator = "" if messages.locale == "ja" else " "
        # Of several orders nobody knows yet which one is meant: what happens to it is shown once it is chosen.
        known = open_ if one else []
        last = (
            messages.t("One other person must approve before it is carried out.")
            if second_person
            else messages.t(
                "It is carried out once you have sent this; until it starts, it can be taken back on the card."
            )
        )
        sentences = [
            *money_sentences(known, methods_of(view), messages),
            *undo_sentences(open_, messages),
            *foretold_sentences(open_, messages),
            *by_hand_sentences(open_, view.by_hand, messages),
            last if one else messages.t("What is given back, and how, is shown before it is sent."),
        ]
        blocks.append(section(separator.join(sentences)))
        blocks += [context([text]) for text in message_texts(known, messages)]
    else:
        blocks.append(section(messages.t("There is nothing left that this could do.")))
    if refused:
        lines = "\n".join(f"・{line}" for line in refused)
        blocks.append(section(f"{messages.t('Not possible:')}\n{lines}"))
    if not open_:
        return modal(action.name, [*blocks, case_line(view, messages)], messages=messages)
    if not one:
        options = [
            option(messages.dots([subject_id(p.subject), _left(p, messages)]), p.subject.id)
            for p in open_[:_ORDERS]
            if len(p.subject.id) <= 75
        ]
        blocks.append(select(messages.t("Order"), block_id="order", options=options))
    first = open_[0]
    blocks += [
        line_input(
            messages.t("Amount ({currency})", currency=first.currency or "?"),
            block_id="amount",
            initial=plain_amount(first) if one else None,
            # The plan of a typed amount does not tell how much there is in all.
            hint=_left(first, messages) if one and not typed else None,
        ),
        reason_select(action.reasons, messages),
        note(messages),
        case_line(view, messages),
    ]
    return modal(
        action.name,
        blocks,
        messages=messages,
        submit=_submit(messages, second_person=second_person) if one else messages.t("Continue"),
        meta=meta_of(view, plan_set_id=plan_set_id),
    )


def open_plans(plans: Sequence[Plan]) -> list[Plan]:
    """The orders of which something can be given back from here."""
    return [plan for plan in plans if plan.allowed and plan.refund_route != "bank_transfer"]


def chosen_plan(plans: Sequence[Plan], order_id: str | None) -> Plan | None:
    """The plan of the order that was chosen; without a choice the only one there is."""
    open_ = open_plans(plans)
    if order_id is None:
        return open_[0] if len(open_) == 1 else None
    return next((plan for plan in open_ if plan.subject.id == order_id), None)


def plain_amount(plan: Plan) -> str:
    """An amount as a person would type it: 12,400 or 42.50."""
    digits = get_currency_precision(plan.currency or "JPY")
    return f"{plan.refund_amount / 10**digits:,.{digits}f}"


def parse_amount(typed: str, currency: str) -> int | None:
    """What a person typed, in the currency's smallest unit; None where it is no amount of it.

    Full-width digits, separators, the currency's sign and 円 are understood; 42.5 is €42.50, and yen
    have nothing behind the point.
    """
    text = unicodedata.normalize("NFKC", typed).upper().replace(currency, "")
    text = re.sub(r"[\s¥€$£円]", "", text)
    found = _NUMBER.fullmatch(text)
    if found is None:
        return None
    digits = get_currency_precision(currency)
    rest = found["rest"] or ""
    if len(rest) > digits:
        return None
    amount = int(found["whole"].replace(",", "")) * 10**digits
    amount += int((rest + "0" * digits)[:digits] or 0)
    return amount if 0 < amount <= _MOST else None


def amount_error(messages: Messages, plan: Plan, *, subject: Subject | None = None) -> str:
    """What is wrong with a typed amount, and what would be right."""
    return messages.t(
        "Please type an amount between {least} and {most}, such as {example}.",
        least=messages.money(1, plan.currency),
        most=messages.money(plan.refund_amount, plan.currency),
        example=plain_amount(plan),
    ) + (f" ({subject_id(subject)})" if subject else "")


def _submit(messages: Messages, *, second_person: bool) -> str:
    return messages.t("Request approval") if second_person else messages.t("Carry out")


def _left(plan: Plan, messages: Messages) -> str:
    return messages.t(
        "{money} can be given back", money=messages.money(plan.refund_amount, plan.currency)
    )
