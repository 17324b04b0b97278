"""What happens when somebody presses a button of a card."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import aiohttp
from slack_bolt.async_app import AsyncAck
from slack_sdk.errors import SlackApiError

from bot.actions import registry
from bot.cards import answers, modals
from bot.cards.answers import Answer
from bot.cards.case_card import case_card
from bot.cards.modal_refund import parse_amount
from bot.cases.deciding import Decided, decide, stop_rest
from bot.cases.freezing import Choice
from bot.cases.gate import EXTEND_HOLD, KEEP, OVERTURN, may_open_modal
from bot.cases.holding import extended_until
from bot.cases.objecting import keep
from bot.cases.opening import claim_case
from bot.cases.overturning import decision_of
from bot.cases.planning import prepare, read_case
from bot.cases.queueing import take_next
from bot.cases.room import Press
from bot.cases.selecting import BELOW, STEPS, main_currency, turn
from bot.cases.taking_back import take_back
from bot.cases.undoing import refuse_if_changed
from bot.detections.detection import Text
from bot.domain.cases import CaseView
from bot.domain.clock import WallClock
from bot.domain.refusals import Refusal, RefusalCode
from bot.domain.subjects import Subject
from bot.handlers.desk import Desk, slack_code
from bot.handlers.payloads import Click
from bot.handlers.proposals import on_proposal
from bot.locale import Messages

logger = logging.getLogger(__name__)

RETRY = "retry"
OPEN_ADMIN = "open_admin"
NEXT = "next"
Said = Callable[[Messages], str]
"""A sentence in whatever language the person reads."""
MODALS = frozenset(
    {
        "approve",
        "reject",
        "dismiss",
        "details",
        "consult",
        "by_hand",
        "break_glass",
        EXTEND_HOLD,
        OVERTURN,
    }
)
"""Steps of a case that ask something before they do anything."""


async def on_click(desk: Desk, click: Click, ack: AsyncAck) -> None:
    """Decide, or open a modal, then acknowledge; every press gets exactly one answer."""
    if click.name == NEXT:
        await _next(desk, click, ack)
        return
    if click.name in STEPS:
        await _turn_page(desk, click, ack)
        return
    if click.proposal_id is not None:
        await on_proposal(desk, click, click.proposal_id, ack)
        return
    if click.name == OPEN_ADMIN:
        # A link: the browser has followed it already.
        await ack()
        return
    if click.press is None:
        await ack()
        await desk.refuse(
            Refusal(code=RefusalCode.UNKNOWN_BUTTON),
            user_id=click.user_id,
            channel=click.channel,
            response_url=click.response_url,
        )
        return
    decided: Decided | None = None
    told: Said | None = None
    answer: Decided | Refusal | None
    name = click.name
    if name == RETRY:
        name = await _last_action(desk, click.press)
    if name == "claim":
        refusal, told = await _claim(desk, click.press)
    elif name == "stop_rest":
        refusal, told = await _stop(desk, click.press)
    elif name == "take_back":
        answer = await take_back(desk.room, click.press)
        refusal, decided = _split(answer)
    elif name == KEEP:
        refusal, decided = _split(await keep(desk.room, click.press))
    elif name in registry() and not registry()[name].dangerous:
        refusal, decided = _split(await _decide_at_once(desk, click.press, name))
    elif name in registry() or name in MODALS:
        refusal = await _open_modal(desk, click, name)
    else:
        # A button of a version of ours that is gone.
        refusal = Refusal(code=RefusalCode.UNKNOWN_BUTTON, case_id=click.press.case_id)
    await ack()
    if refusal is not None:
        await desk.refuse(
            refusal,
            user_id=click.user_id,
            channel=click.channel,
            response_url=click.response_url,
        )
    elif decided is not None:
        await desk.told(
            decided,
            name=name,
            user_id=click.user_id,
            channel=click.channel,
            response_url=click.response_url,
        )
    elif told is not None:
        desk.tell(
            user_id=click.user_id,
            channel=click.channel,
            response_url=click.response_url,
            text=told(await desk.messages_of(click.user_id)),
        )


async def _turn_page(desk: Desk, click: Click, ack: AsyncAck) -> None:
    """Keep what is ticked on a page of many members, and draw the page that the button asks for."""
    if (
        click.press is None
        or click.picking is None
        or click.view_id is None
        or click.picking.action not in registry()
    ):
        await ack()
        await desk.refuse(
            Refusal(code=RefusalCode.UNKNOWN_BUTTON),
            user_id=click.user_id,
            channel=click.channel,
            response_url=click.response_url,
        )
        return
    picking = click.picking
    messages = await desk.messages_of(click.user_id)
    least, said = None, None
    if click.name == BELOW:
        view = await read_case(desk.room, click.press.case_id)
        currency = main_currency(view, [m.subject for m in view.members]) if view else None
        least = parse_amount(picking.amount, currency) if currency else None
        if least is None:
            said = messages.t(
                "Please type an amount in digits, such as 5000. Nothing was unticked."
            )
    turned = await turn(desk.room, click.press, picking, click.name, least=least)
    await ack()
    if isinstance(turned, Refusal):
        sentence = await desk.sentence(click.user_id, turned)
        shown = modals.message_modal(sentence, messages=messages)
        desk.mend(turned)
    else:
        shown = modals.selection_modal(
            registry()[picking.action], turned, messages=messages, said=said
        )
    desk.errands.start(desk.update_view(click.view_id, shown))


async def _next(desk: Desk, click: Click, ack: AsyncAck) -> None:
    """Hand out the next case: claimed and committed first, then acknowledged, then shown."""
    taken = await next_case(desk, click.user_id)
    await ack()
    if isinstance(taken, Refusal):
        await desk.refuse(
            taken, user_id=click.user_id, channel=click.channel, response_url=click.response_url
        )
        return
    desk.tell(
        user_id=click.user_id,
        channel=click.channel,
        response_url=click.response_url,
        text=taken.text,
        blocks=taken.blocks,
    )


async def next_case(desk: Desk, user_id: str) -> Answer | Refusal:
    """The most urgent and dearest free case, this person's from now on, with its buttons."""
    view = await take_next(desk.room, user_id)
    if isinstance(view, Refusal):
        return view
    messages = await desk.messages_of(user_id)
    card = case_card(
        view, now=desk.room.clock.now(), wall=WallClock().now(), tz=desk.tz, messages=messages
    )
    return answers.next_case(view.case_id, card.text, card.blocks, messages=messages)


def _split(answer: Decided | Refusal) -> tuple[Refusal | None, Decided | None]:
    return (answer, None) if isinstance(answer, Refusal) else (None, answer)


async def _decide_at_once(desk: Desk, press: Press, name: str) -> Decided | Refusal:
    changed = await refuse_if_changed(desk.room, desk.reader.facts, press, name)
    if changed is not None:
        return changed
    choice = Choice(action=name, targets=(), plans=(), reason="", everything=True)
    return await decide(desk.room, press, choice)


async def _claim(desk: Desk, press: Press) -> tuple[Refusal | None, Said | None]:
    answer = await claim_case(desk.room, user_id=press.user_id, case_id=press.case_id)
    if isinstance(answer, Refusal):
        return answer, None
    given_up = answer.assignee is None
    return None, lambda messages: answers.claimed(
        answer.case_id, given_up=given_up, messages=messages
    )


async def _stop(desk: Desk, press: Press) -> tuple[Refusal | None, Said | None]:
    answer = await stop_rest(desk.room, press)
    if isinstance(answer, Refusal):
        return answer, None
    return None, lambda messages: answers.rest_stopped(press.case_id, messages=messages)


async def _last_action(desk: Desk, press: Press) -> str:
    view = await read_case(desk.room, press.case_id)
    decision = view.decision if view else None
    return decision.action if decision else RETRY


async def _open_modal(desk: Desk, click: Click, name: str) -> Refusal | None:
    press = click.press
    if press is None:
        return None
    allowed = await may_open_modal(desk.room, press, name)
    if isinstance(allowed, Refusal):
        return allowed
    return await show_modal(desk, press, name, view=allowed, trigger_id=click.trigger_id)


async def show_modal(
    desk: Desk,
    press: Press,
    name: str,
    *,
    view: CaseView,
    trigger_id: str,
    only: Subject | None = None,
) -> Refusal | None:
    """Open a modal at once, since a trigger lives three seconds, and fill it in as an errand.

    Args:
        only: what somebody typed: others of its kind that the case has are left out.
    """
    messages = await desk.messages_of(press.user_id)
    try:
        opened = await desk.client.views_open(
            trigger_id=trigger_id, view=modals.loading_modal(name, messages=messages)
        )
    except (SlackApiError, aiohttp.ClientError, TimeoutError) as error:
        logger.warning("a modal could not be opened: %s", slack_code(error))
        return Refusal(code=RefusalCode.TRY_AGAIN)
    desk.errands.start(_fill_in(desk, press, name, view, str(opened["view"]["id"]), only))
    return None


async def _fill_in(
    desk: Desk, press: Press, name: str, view: CaseView, view_id: str, only: Subject | None
) -> None:
    messages = await desk.messages_of(press.user_id)
    now = desk.room.clock.now()
    match name:
        case "approve" | "reject" if view.decision is not None:
            draw = modals.approve_modal if name == "approve" else modals.reject_modal
            filled = draw(view, view.decision, messages=messages, tz=desk.tz)
        case "break_glass" if view.decision is not None:
            filled = modals.break_glass_modal(view, view.decision, messages=messages, tz=desk.tz)
        case "extend_hold" if view.hold is not None:
            until = extended_until(desk.room, view.hold, WallClock().now())
            filled = modals.extend_hold_modal(view, until=until, messages=messages, tz=desk.tz)
        case "overturn" if (decided := decision_of(view)) is not None:
            filled = modals.overturn_modal(view, decided, messages=messages)
        case "dismiss":
            filled = modals.dismiss_modal(view, messages=messages)
        case "consult":
            groups = sorted(desk.room.policy.handles)
            filled = modals.consult_modal(view, groups, messages=messages)
        case "by_hand":
            filled = modals.by_hand_modal(view, messages=messages)
        case "details":
            advising = [
                desk.detections[name]
                for name in dict.fromkeys(finding.detection for finding in view.findings)
                if name in desk.detections
            ]
            filled = modals.details_modal(
                view,
                now=now,
                messages=messages,
                tz=desk.tz,
                runbook=_picked(messages, [d.runbook for d in advising]),
                false_positives=_picked(messages, [d.false_positives for d in advising]),
            )
        case _:
            prepared = await refuse_if_changed(
                desk.room, desk.reader.facts, press, name
            ) or await prepare(desk.room, desk.api, press, name, only=only)
            if isinstance(prepared, Refusal):
                filled = modals.message_modal(
                    await desk.sentence(press.user_id, prepared), messages=messages
                )
            else:
                filled = modals.plan_modal(
                    registry()[name],
                    prepared.view,
                    prepared.plans,
                    plan_set_id=prepared.plan_set_id,
                    second_person=prepared.second_person,
                    messages=messages,
                    tz=desk.tz,
                    selection=prepared.selection,
                )
    await desk.update_view(view_id, filled)


def _picked(messages: Messages, lists: Sequence[Sequence[Text]]) -> list[str]:
    """What detections advise, in the reader's language, nothing twice."""
    said = (messages.pick(text.ja, text.en) for texts in lists for text in texts)
    return list(dict.fromkeys(said))
