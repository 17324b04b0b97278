"""What happens when somebody answers a proposal: what was paused, a changed policy, the review of an emergency."""

from __future__ import annotations

import logging

import aiohttp
from slack_bolt.async_app import AsyncAck
from slack_sdk.errors import SlackApiError

from bot.cards import answers, modals
from bot.cases.agreeing import agree
from bot.cases.proposing import Answered, may_answer, reject
from bot.domain.refusals import Refusal, RefusalCode
from bot.handlers.desk import Desk, slack_code
from bot.handlers.payloads import Click, Submission

logger = logging.getLogger(__name__)

REVIEWS = frozenset({"review_justified", "review_not"})


async def on_proposal(desk: Desk, click: Click, proposal_id: str, ack: AsyncAck) -> None:
    """Decide, or ask for words, then acknowledge."""
    answer: Answered | Refusal | None
    match click.name:
        case name if name in REVIEWS:
            answer = await _ask_for_words(desk, click, proposal_id)
        case "proposal_approve":
            answer = await agree(desk.room, click.user_id, proposal_id)
        case "proposal_reject":
            answer = await reject(desk.room, click.user_id, proposal_id)
        case _:
            answer = Refusal(code=RefusalCode.PROPOSAL_ENDED)
    await ack()
    if isinstance(answer, Refusal):
        await desk.refuse(
            answer, user_id=click.user_id, channel=click.channel, response_url=click.response_url
        )
    elif answer is not None:
        desk.tell(
            user_id=click.user_id,
            channel=click.channel,
            response_url=click.response_url,
            text=answers.proposal_answered(
                answer.proposal, answer.missing, messages=await desk.messages_of(click.user_id)
            ),
        )


async def on_words(
    desk: Desk, submission: Submission, name: str, proposal_id: str, ack: AsyncAck
) -> None:
    """The review of an emergency, with the words that it needs."""
    answer = agree if name == "review_justified" else reject
    answered = await answer(
        desk.room, submission.user_id, proposal_id, words=submission.fields.get("words", "")
    )
    messages = await desk.messages_of(submission.user_id)
    if isinstance(answered, Refusal):
        sentence = await desk.sentence(submission.user_id, answered)
        if answered.code is RefusalCode.NO_REASON:
            await ack(response_action="errors", errors={"words": sentence})
        else:
            shown = modals.message_modal(sentence, messages=messages)
            await ack(response_action="update", view=shown)
        return
    await ack()
    desk.tell(
        user_id=submission.user_id,
        channel=desk.room.loud_channel,
        response_url=None,
        text=answers.proposal_answered(answered.proposal, answered.missing, messages=messages),
    )


async def _ask_for_words(desk: Desk, click: Click, proposal_id: str) -> Refusal | None:
    allowed = await may_answer(desk.room, click.user_id, proposal_id)
    if isinstance(allowed, Refusal):
        return allowed
    view = modals.review_modal(
        allowed,
        justified=click.name == "review_justified",
        messages=await desk.messages_of(click.user_id),
    )
    try:
        await desk.client.views_open(trigger_id=click.trigger_id, view=view)
    except (SlackApiError, aiohttp.ClientError, TimeoutError) as error:
        logger.warning("a modal could not be opened: %s", slack_code(error))
        return Refusal(code=RefusalCode.TRY_AGAIN)
    return None
