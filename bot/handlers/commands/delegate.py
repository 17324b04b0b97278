"""/cre delegate: let somebody approve in one's place while one is away."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

from bot.cards import answers
from bot.cards.answers import Answer
from bot.cases.delegating import Wish, delegate, delegations_now, end_delegation, find_by_name
from bot.domain.refusals import Refusal, RefusalCode
from bot.handlers.commands._kit import Command
from bot.handlers.desk import Desk
from bot.handlers.payloads import CommandCall
from bot.locale import N_

# A mention, a name after an @ with the spaces that are in it, or a bare id.
_PEOPLE = re.compile(r"<@[^>]*>|@[^@<]+|[^\s@<]+")
NOT_UNDERSTOOD = Refusal(code=RefusalCode.BAD_DELEGATION, detail="dates")


async def run(desk: Desk, call: CommandCall, argument: str) -> Answer | Refusal:
    messages = await desk.messages_of(call.user_id)
    words = argument.split()
    if words == ["end"]:
        ended = await end_delegation(desk.room, call.user_id)
        if isinstance(ended, Refusal):
            return ended
        return answers.delegation_ended(len(ended), messages=messages)
    if not words:
        found = await delegations_now(desk.room, call.user_id)
        if isinstance(found, Refusal):
            return found
        return answers.delegations(*found, messages=messages, tz=desk.tz)
    wish = await _wish(desk, call, words)
    if isinstance(wish, Refusal):
        return wish
    made = await delegate(desk.room, call.user_id, wish)
    if isinstance(made, Refusal):
        return made
    names = await delegations_now(desk.room, call.user_id)
    if isinstance(names, Refusal):
        return names
    return answers.delegations([made], names[1], messages=messages, tz=desk.tz)


async def _wish(desk: Desk, call: CommandCall, words: list[str]) -> Wish | Refusal:
    """`@to UNTIL`, `@to FROM UNTIL`, and before either an administrator's `@from`."""
    days = [day for day in map(_day, words[1:]) if day is not None]
    told = " ".join(words[: len(words) - len(days)])
    people = [name.strip() for name in _PEOPLE.findall(told)]
    if len(people) not in {1, 2} or len(days) not in {1, 2}:
        return NOT_UNDERSTOOD
    found = [await find_by_name(desk.room, name) for name in people]
    known = [user_id for user_id in found if user_id is not None]
    if len(known) < len(people):
        return Refusal(code=RefusalCode.BAD_DELEGATION, detail="person")
    today = datetime.now(UTC).astimezone(desk.room.zone).date()
    return Wish(
        from_user=known[0] if len(known) == 2 else call.user_id,
        to_user=known[-1],
        first=days[0] if len(days) == 2 else today,
        last=days[-1],
    )


def _day(told: str) -> date | None:
    try:
        return date.fromisoformat(told)
    except ValueError:
        return None


COMMAND = Command(
    name="delegate",
    argument="[@NAME FROM UNTIL]",
    description=N_(
        "Let somebody approve in your place while you are away; `end` when you are back"
    ),
    run=run,
)
