"""Pausing and resuming from a shell, which proves no person."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import click

from bot import app
from bot.cards.refusals import refusal_sentence
from bot.cases.pausing import pause_unmanned, propose_resume_unmanned, scopes_of
from bot.cases.room import Room
from bot.cli.kit import (
    cli,
    run_async,
    with_ledger,
)
from bot.domain.errors import SayableError
from bot.domain.proposals import ALL
from bot.domain.refusals import Refusal
from bot.locale import messages_for
from bot.settings import read_settings

_ACTION = click.argument("action", default=ALL)

T = TypeVar("T")


@cli.command()
@_ACTION
@click.option("--reason", required=True, help="Why: the cards and every refused press say it.")
def pause(action: str, *, reason: str) -> None:
    """Pause all effects on the marketplace at once, or those of one ACTION such as `refund`.

    Resuming needs two people, in Slack.
    """
    scopes_of(action)
    paused = run_async(_in_room(lambda room: pause_unmanned(room, action, by="cli", reason=reason)))
    if isinstance(paused, Refusal):
        raise SayableError(_english(paused))
    click.echo(f"Paused: {action}. Resuming needs two people in Slack: /cre resume")


@cli.command()
@_ACTION
def resume(action: str) -> None:
    """Ask in Slack that what is paused goes on; two people must approve it there.

    A shell proves no person, so it can only ask.
    """
    asked = run_async(_in_room(lambda room: propose_resume_unmanned(room, action, by="cli")))
    if isinstance(asked, Refusal):
        raise SayableError(_english(asked))
    click.echo(f"Asked in Slack. {asked.missing} people must approve it there.")


async def _in_room(work: Callable[[Room], Coroutine[Any, Any, T]]) -> T:
    """Do something in the ledger's room as the application would."""
    async with with_ledger(read_settings()) as settings, app.room_of(settings) as room:
        return await work(room)


def _english(refusal: Refusal) -> str:
    return refusal_sentence(refusal, messages_for("en"), read_settings().zone)
