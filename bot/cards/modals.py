"""Every modal, for whoever opens one."""

from __future__ import annotations

from bot.cards.modal_action import action_modal
from bot.cards.modal_by_hand import by_hand_modal
from bot.cards.modal_consult import consult_modal
from bot.cards.modal_decision import approve_modal, reject_modal
from bot.cards.modal_details import details_modal
from bot.cards.modal_frames import dismiss_modal, loading_modal, message_modal

__all__ = [
    "action_modal",
    "approve_modal",
    "by_hand_modal",
    "consult_modal",
    "details_modal",
    "dismiss_modal",
    "loading_modal",
    "message_modal",
    "reject_modal",
]
