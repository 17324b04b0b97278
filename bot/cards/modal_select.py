"""The modal in which people choose among many members, page by page, before they see what will happen."""

from __future__ import annotations

from bot.cards.blocks import Block, actions, button, context, line_input, option, section, select
from bot.cards.modal_action import member_checkboxes
from bot.cards.modal_frames import case_line, meta_of, modal
from bot.cases.selecting import (
    ACCOUNT,
    ALL,
    BACK,
    BELOW,
    NEXT,
    NONE,
    PAGE,
    Picked,
    accounts_of,
    choosable,
    main_currency,
    sums_of,
)
from bot.domain.actions import Action
from bot.domain.text import user_text
from bot.locale import Messages

SELECT = "select"
"""What the modal is called when it comes back."""
_ACCOUNTS = 100


def selection_modal(
    action: Action,
    picked: Picked,
    *,
    messages: Messages,
    said: str | None = None,
    changed: bool = False,
) -> Block:
    """One page of members with ticks, and buttons that tick or untick many at once.

    Args:
        said: what was wrong with what somebody typed.
        changed: the plans are others than those that were shown before; nothing was done under those.
    """
    view, selection, page = picked.view, picked.selection, picked.page
    subjects = choosable(picked.plans)
    pages = -(-len(subjects) // PAGE)
    value = f"{view.case_id}|{view.version}"
    blocks = []
    if changed:
        blocks.append(
            section(
                messages.t(
                    "⚠️ The situation changed while this was open. Nothing was done. Please look again."
                )
            )
        )
    if said is not None:
        blocks.append(section(f"⚠️ {said}"))

    def press(words: str, name: str) -> Block:
        return button(words, action_id=f"act:{name}", value=value)

    every = [press(messages.t("Tick all"), ALL), press(messages.t("Untick all"), NONE)]
    blocks += [
        section(_chosen_words(picked, len(subjects), messages)),
        actions(every, block_id="every"),
    ]
    currency = main_currency(view, subjects)
    if currency is not None:
        field = line_input(
            messages.t("Untick orders below this amount ({currency})", currency=currency),
            block_id="amount",
        )
        blocks += [
            {**field, "optional": True},
            actions([press(messages.t("Untick those below"), BELOW)], block_id="below"),
        ]
    accounts = [pair for pair in accounts_of(view, subjects) if len(pair[0]) <= 150][:_ACCOUNTS]
    if len(accounts) > 1:
        options = [
            option(
                messages.n("{account}: {count} order", "{account}: {count} orders", n, account=a),
                raw,
            )
            for raw, a, n in ((raw, user_text(raw, 40), n) for raw, n in accounts)
        ]
        chooser = select(
            messages.t("Untick all of one account"),
            block_id="account",
            options=options,
            placeholder=messages.t("Choose an account"),
        )
        blocks += [
            {**chooser, "optional": True},
            actions([press(messages.t("Untick this account"), ACCOUNT)], block_id="of_account"),
        ]
    blocks += [
        context(
            [
                messages.t(
                    "Page {page} of {pages}. Ticks are kept when you turn the page.",
                    page=messages.number(page + 1),
                    pages=messages.number(pages),
                )
            ]
        ),
        *member_checkboxes(
            view,
            subjects[page * PAGE : (page + 1) * PAGE],
            selection.chosen,
            messages,
            name=f"targets_{selection.revision}_{page}",
        ),
    ]
    turns = []
    if page > 0:
        turns.append(press(messages.t("← Previous page"), BACK))
    if page + 1 < pages:
        turns.append(press(messages.t("Next page →"), NEXT))
    if turns:
        blocks.append(actions(turns, block_id="turn"))
    blocks.append(case_line(view, messages))
    return {
        **modal(
            action.name,
            blocks,
            messages=messages,
            submit=messages.t("Continue"),
            meta={
                **meta_of(view, plan_set_id=selection.plan_set_id),
                "action": action.name,
                "page": page,
                **({"redrawn": True} if changed else {}),
            },
        ),
        "callback_id": f"act:{SELECT}",
    }


def _chosen_words(picked: Picked, count: int, messages: Messages) -> str:
    chosen = picked.selection.chosen
    words = messages.t(
        "{chosen} of {count} are ticked",
        chosen=messages.number(len(chosen)),
        count=messages.number(count),
    )
    money = sums_of(picked.view, chosen)
    return messages.dots([words, messages.monies(money)]) if money else words
