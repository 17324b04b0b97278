"""Every modal, for whoever opens one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo

from bot.cards.blocks import Block
from bot.cards.modal_action import action_modal
from bot.cards.modal_by_hand import by_hand_modal
from bot.cards.modal_consult import consult_modal
from bot.cards.modal_decision import approve_modal, reject_modal
from bot.cards.modal_details import details_modal
from bot.cards.modal_emergency import break_glass_modal, review_modal
from bot.cards.modal_frames import dismiss_modal, loading_modal, message_modal
from bot.cards.modal_hold import extend_hold_modal
from bot.cards.modal_overturn import overturn_modal
from bot.cards.modal_refund import refund_modal
from bot.cards.modal_select import SELECT, selection_modal
from bot.cases.selecting import Picked
from bot.domain.actions import Action
from bot.domain.cases import CaseView
from bot.domain.plans import Plan, Selection
from bot.locale import Messages

__all__ = [
    "SELECT",
    "action_modal",
    "approve_modal",
    "break_glass_modal",
    "by_hand_modal",
    "consult_modal",
    "details_modal",
    "dismiss_modal",
    "extend_hold_modal",
    "loading_modal",
    "message_modal",
    "overturn_modal",
    "plan_modal",
    "refund_modal",
    "reject_modal",
    "review_modal",
    "selection_modal",
]


def plan_modal(
    action: Action,
    view: CaseView,
    plans: Sequence[Plan],
    *,
    plan_set_id: str,
    second_person: bool,
    messages: Messages,
    tz: tzinfo,
    changed: bool = False,
    selection: Selection | None = None,
) -> Block:
    """The modal of an action over its plans; a refund asks for an amount, all others whom it is for.

    Args:
        selection: of too many for one modal, who is ticked: they are chosen first.
    """
    if selection is not None:
        picked = Picked(view=view, plans=tuple(plans), selection=selection, page=0)
        return selection_modal(action, picked, messages=messages, changed=changed)
    if action.name == "refund":
        return refund_modal(
            action,
            view,
            plans,
            plan_set_id=plan_set_id,
            second_person=second_person,
            messages=messages,
            changed=changed,
        )
    return action_modal(
        action,
        view,
        plans,
        plan_set_id=plan_set_id,
        second_person=second_person,
        messages=messages,
        tz=tz,
        changed=changed,
    )
