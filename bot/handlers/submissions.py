"""What happens when somebody sends a modal."""

from __future__ import annotations

from typing import Any

from slack_bolt.async_app import AsyncAck

from bot.actions import registry
from bot.cards import modals
from bot.cards.modal_consult import CUSTOMER
from bot.cards.modal_refund import amount_error, chosen_plan, open_plans, parse_amount
from bot.cases.approving import approve, reject
from bot.cases.breaking_glass import break_glass
from bot.cases.consulting import consult
from bot.cases.deciding import Decided, decide, dismiss
from bot.cases.freezing import Choice
from bot.cases.holding import extend_hold
from bot.cases.overturning import overturn
from bot.cases.planning import RECHECK_TIMEOUT_S, prepare, shown_plans, still_as_shown
from bot.cases.selecting import Picking, chosen_of, turn
from bot.cases.targets import chosen
from bot.cases.undoing import refuse_if_changed
from bot.cases.working_by_hand import record_by_hand
from bot.domain.plans import Plan
from bot.domain.refusals import Refusal, RefusalCode
from bot.handlers.desk import Desk
from bot.handlers.payloads import Submission
from bot.handlers.proposals import on_words

# What is answered at the field that was filled in wrongly, with the modal left open.
_AT_FIELD = {RefusalCode.NO_REASON: "words", RefusalCode.WRONG_WORD: "confirm"}


async def on_submission(desk: Desk, submission: Submission, ack: AsyncAck) -> None:
    """Decide and commit, then acknowledge: by closing the modal, or by what it shows instead."""
    press = submission.press
    reason = submission.reason or ""
    answer: Decided | Refusal
    match submission.name:
        case "approve":
            answer = await approve(desk.room, press, submission.decision_id or "")
        case "reject":
            answer = await reject(
                desk.room,
                press,
                submission.decision_id or "",
                reason=reason,
                note=submission.note,
            )
        case "break_glass":
            answer = await break_glass(
                desk.room,
                press,
                submission.decision_id or "",
                reason=submission.fields.get("words", ""),
                word=submission.fields.get("confirm", ""),
            )
        case "extend_hold":
            words = submission.fields.get("words", "")
            answer = await extend_hold(desk.room, press, words=words)
        case "overturn":
            words = submission.fields.get("words", "")
            answer = await overturn(desk.room, press, words=words)
        case "dismiss":
            answer = await dismiss(desk.room, press, reason=reason, note=submission.note)
        case "consult":
            way = submission.fields.get("way", CUSTOMER)
            asks = way == CUSTOMER
            answer = await consult(
                desk.room,
                press,
                group=None if asks else way,
                words=(submission.fields.get("text") if asks else submission.note) or "",
            )
        case "by_hand":
            answer = await record_by_hand(
                desk.room,
                press,
                submission.done,
                shown=submission.shown,
                words=submission.fields.get("words", ""),
            )
        case modals.SELECT if submission.picking and submission.picking.action in registry():
            await _confirm(desk, submission, submission.picking, ack)
            return
        case name if submission.proposal_id is not None:
            await on_words(desk, submission, name, submission.proposal_id, ack)
            return
        case "refund":
            refunded = await _refund(desk, submission)
            if isinstance(refunded, dict):
                await ack(**refunded)
                return
            answer = refunded
        case name if name in registry():
            answer = await _decide(desk, submission)
        case _:
            answer = Refusal(code=RefusalCode.UNKNOWN_BUTTON, case_id=press.case_id)
    if isinstance(answer, Decided):
        # A confirmation stands above the pages in which its members were chosen: all of it closes.
        await ack(response_action=None if submission.picked is None else "clear")
        await desk.told(answer, name=submission.name, user_id=submission.user_id)
        return
    if answer.code in _AT_FIELD:
        errors = {_AT_FIELD[answer.code]: await desk.sentence(submission.user_id, answer)}
        await ack(response_action="errors", errors=errors)
        return
    if answer.code is RefusalCode.PLAN_CHANGED and submission.name in registry():
        shown = await _show_new_plan(desk, submission)
    else:
        shown = await _message(desk, submission, answer)
    await ack(response_action="update", view=shown)
    desk.mend(answer)


async def _decide(desk: Desk, submission: Submission) -> Decided | Refusal:
    plans = await shown_plans(desk.room, submission.press, submission.plan_set_id or "")
    if isinstance(plans, Refusal):
        return plans
    action = registry()[submission.name]
    subjects = submission.ticked
    if submission.picked is not None:
        selection = await chosen_of(desk.room, submission.plan_set_id or "")
        # What was shown in the confirmation, and nothing that was ticked since in another window.
        if selection is None or selection.revision != submission.picked:
            return Refusal(code=RefusalCode.PLAN_CHANGED, case_id=submission.press.case_id)
        subjects = selection.chosen
    # Unticked by default where the marketplace refuses; what it would refuse is never sent.
    targets = chosen(
        action,
        [(plan.verb, plan.subject) for plan in plans if plan.allowed],
        subjects=subjects,
        options=submission.options,
    )
    choice = Choice(
        action=action.name,
        targets=targets,
        plans=plans,
        reason=submission.reason or "",
        note=submission.note,
    )
    changed = await refuse_if_changed(desk.room, desk.reader.facts, submission.press, action.name)
    if changed is not None:
        return changed
    if not await still_as_shown(desk.api, choice):
        return Refusal(code=RefusalCode.PLAN_CHANGED, case_id=submission.press.case_id)
    return await decide(desk.room, submission.press, choice)


async def _confirm(desk: Desk, submission: Submission, picking: Picking, ack: AsyncAck) -> None:
    """Show what will happen to those who were chosen; the sum and the reason are the last look before it."""
    messages = await desk.messages_of(submission.user_id)
    picked = await turn(desk.room, submission.press, picking, None)
    if isinstance(picked, Refusal):
        await ack(response_action="update", view=await _message(desk, submission, picked))
        desk.mend(picked)
        return
    action = registry()[picking.action]
    needed = {use.verb for use in action.uses if not use.optional}
    chosen = picked.selection.chosen
    if not any(p.allowed and p.verb in needed and p.subject in chosen for p in picked.plans):
        shown = modals.selection_modal(
            action,
            picked,
            messages=messages,
            said=messages.t(
                "Nothing is ticked that this could be done to. Please tick at least one."
            ),
        )
        await ack(response_action="update", view=shown)
        return
    shown = modals.action_modal(
        action,
        picked.view,
        picked.plans,
        plan_set_id=picking.plan_set_id,
        second_person=picked.second_person,
        messages=messages,
        tz=desk.tz,
        picked=picked.selection,
    )
    # Slack stacks three modals at the most.
    await ack(response_action="update" if picking.redrawn else "push", view=shown)


async def _refund(desk: Desk, submission: Submission) -> Decided | Refusal | dict[str, Any]:
    """Decide on the plan that was shown for this very amount; another amount is planned and shown first."""
    press = submission.press
    plans = await shown_plans(desk.room, press, submission.plan_set_id or "")
    if isinstance(plans, Refusal):
        return plans
    messages = await desk.messages_of(submission.user_id)
    plan = chosen_plan(plans, submission.fields.get("order"))
    if plan is None:
        return Refusal(code=RefusalCode.PLAN_CHANGED, case_id=press.case_id)
    amount = parse_amount(submission.fields.get("amount", ""), plan.currency or "")
    if amount is None:
        return await _amount_refused(desk, submission, plan)
    # Of several orders none was shown with its way of paying and its messages: that comes first.
    if amount == plan.refund_amount and len(open_plans(plans)) == 1:
        choice = Choice(
            action="refund",
            targets=((plan.verb, plan.subject),),
            plans=(plan,),
            reason=submission.reason or "",
            note=submission.note,
        )
        if not await still_as_shown(desk.api, choice):
            return Refusal(code=RefusalCode.PLAN_CHANGED, case_id=press.case_id)
        return await decide(desk.room, press, choice)
    prepared = await prepare(
        desk.room,
        desk.api,
        press,
        "refund",
        only=plan.subject,
        amount=amount,
        timeout_s=RECHECK_TIMEOUT_S,
    )
    if isinstance(prepared, Refusal):
        return prepared
    if any(other.refusal_code == "amount_exceeds_paid" for other in prepared.plans):
        return await _amount_refused(desk, submission, plan)
    view = modals.refund_modal(
        registry()["refund"],
        prepared.view,
        prepared.plans,
        plan_set_id=prepared.plan_set_id,
        second_person=prepared.second_person,
        messages=messages,
        typed=bool(open_plans(prepared.plans)),
    )
    return {"response_action": "update", "view": view}


async def _amount_refused(desk: Desk, submission: Submission, plan: Plan) -> dict[str, Any]:
    """Say between what the amount must be; asked anew, since the plan shown may be that of a smaller one."""
    whole = await prepare(
        desk.room,
        desk.api,
        submission.press,
        "refund",
        only=plan.subject,
        timeout_s=RECHECK_TIMEOUT_S,
    )
    most = plan
    if not isinstance(whole, Refusal):
        most = next(iter(open_plans(whole.plans)), plan)
    messages = await desk.messages_of(submission.user_id)
    subject = plan.subject if "order" in submission.fields else None
    errors = {"amount": amount_error(messages, most, subject=subject)}
    return {"response_action": "errors", "errors": errors}


async def _show_new_plan(desk: Desk, submission: Submission) -> dict[str, Any]:
    """The same modal over the plan of this moment; nothing was done under the old one."""
    before = await shown_plans(desk.room, submission.press, submission.plan_set_id or "")
    selection = None
    if submission.picked is not None:
        selection = await chosen_of(desk.room, submission.plan_set_id or "")
    # What was asked for one of its kind alone is not widened to the whole case.
    action = registry()[submission.name]
    needed = {use.verb for use in action.uses if not use.optional}
    subjects = (
        {plan.subject for plan in before if plan.verb in needed}
        if not isinstance(before, Refusal)
        else set()
    )
    prepared = await prepare(
        desk.room,
        desk.api,
        submission.press,
        submission.name,
        only=next(iter(subjects)) if len(subjects) == 1 else None,
        kept=selection.chosen if selection is not None else None,
        timeout_s=RECHECK_TIMEOUT_S,
    )
    if isinstance(prepared, Refusal):
        return await _message(desk, submission, prepared)
    return modals.plan_modal(
        registry()[submission.name],
        prepared.view,
        prepared.plans,
        plan_set_id=prepared.plan_set_id,
        second_person=prepared.second_person,
        messages=await desk.messages_of(submission.user_id),
        tz=desk.tz,
        changed=True,
        selection=prepared.selection,
    )


async def _message(desk: Desk, submission: Submission, refusal: Refusal) -> dict[str, Any]:
    return modals.message_modal(
        await desk.sentence(submission.user_id, refusal),
        messages=await desk.messages_of(submission.user_id),
    )
