"""/cre list: what is allowed, denied and watched; put something there for a time, or take it off."""

from __future__ import annotations

import re

from bot.cards import answers
from bot.cards.answers import Answer
from bot.cases.keeping_lists import Wish, add_entry, read_lists, remove_entry
from bot.domain.lists import ListKind, ListName
from bot.domain.refusals import Refusal, RefusalCode
from bot.handlers.commands._kit import Command
from bot.handlers.desk import Desk
from bot.handlers.payloads import CommandCall
from bot.locale import N_

_KINDS = {
    "account": ListKind.ACCOUNT,
    "card": ListKind.CARD,
    "address": ListKind.ADDRESS,
    "host": ListKind.HOST,
}
_ADD = re.compile(
    r"(?P<list>allow|deny|watch) (?P<kind>account|card|address|host) (?P<value>\S.{0,299}?)"
    r" (?P<days>\d{1,4})d (?P<reason>.+)"
)
_REMOVE = re.compile(r"remove (?P<kind>account|card|address|host) (?P<value>\S.{0,299})")
NOT_UNDERSTOOD = Refusal(code=RefusalCode.BAD_LIST, detail="words")


async def run(desk: Desk, call: CommandCall, argument: str) -> Answer | Refusal:
    messages = await desk.messages_of(call.user_id)
    said = " ".join(argument.split())
    if not said:
        found = await read_lists(desk.room, call.user_id)
        if isinstance(found, Refusal):
            return found
        return answers.lists_answer(*found, messages=messages, tz=desk.tz)
    if removal := _REMOVE.fullmatch(said):
        gone = await remove_entry(
            desk.room, call.user_id, _KINDS[removal["kind"]], removal["value"]
        )
        if isinstance(gone, Refusal):
            return gone
        return answers.list_entry_gone(gone, messages=messages)
    wanted = _ADD.fullmatch(said)
    if wanted is None:
        return NOT_UNDERSTOOD
    wish = Wish(
        list=ListName(wanted["list"]),
        kind=_KINDS[wanted["kind"]],
        value=wanted["value"],
        days=int(wanted["days"]),
        reason=wanted["reason"],
    )
    added = await add_entry(desk.room, call.user_id, wish)
    if isinstance(added, Refusal):
        return added
    return answers.list_entry_added(added, messages=messages, tz=desk.tz)


COMMAND = Command(
    name="list",
    argument="[LIST KIND VALUE DAYSd REASON]",
    description=N_("What is allowed, denied and watched; put something there for some days"),
    run=run,
)
