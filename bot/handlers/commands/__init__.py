"""The subcommands of /cre, one file each, found by folder."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from types import MappingProxyType

from slack_bolt.async_app import AsyncAck

from bot.cards import answers
from bot.domain.refusals import Refusal
from bot.handlers.commands._kit import Command
from bot.handlers.desk import Desk
from bot.handlers.payloads import CommandCall


@cache
def commands() -> Mapping[str, Command]:
    """Every subcommand by name.

    Raises:
        TypeError: a module of this folder has no `COMMAND`, or one whose name is not the module's.
    """
    found: dict[str, Command] = {}
    for info in sorted(pkgutil.iter_modules(__path__), key=lambda info: info.name):
        if info.name.startswith("_"):
            continue
        command = getattr(importlib.import_module(f"{__name__}.{info.name}"), "COMMAND", None)
        if not isinstance(command, Command) or command.name.replace("-", "_") != info.name:
            raise TypeError(
                f"bot/handlers/commands/{info.name}.py must define COMMAND = Command(name={info.name!r}, …)"
            )
        found[command.name] = command
    return MappingProxyType(found)


async def on_command(desk: Desk, call: CommandCall, ack: AsyncAck) -> None:
    """Run a subcommand and answer the caller alone, in the acknowledgement itself."""
    name, _, rest = call.text.partition(" ")
    messages = await desk.messages_of(call.user_id)
    command = commands().get(name.lower() or "help")
    if command is None:
        near = get_close_matches(name.lower(), commands(), 1)
        await ack(text=answers.unknown_command(name, near[0] if near else None, messages=messages))
        return
    argument = rest.strip()
    if command.needs_argument and not argument:
        await ack(text=answers.missing_argument(command.name, command.argument, messages=messages))
        return
    answer = await command.run(desk, call, argument)
    if isinstance(answer, Refusal):
        await ack(text=await desk.sentence(call.user_id, answer))
    else:
        # Not `list(…)`: that name is the subcommand list.py here, once it is imported.
        await ack(text=answer.text, blocks=[*answer.blocks] or None)
