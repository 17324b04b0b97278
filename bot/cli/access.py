"""Who could do what, at any moment."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import click

from bot.actions import registry
from bot.cases.access import Access, access_at
from bot.cases.policy import DEFAULT_POLICY, read_policy
from bot.cli.kit import (
    cli,
    ledger_connection,
    run_async,
)
from bot.settings import Settings, read_settings


@cli.command("access")
@click.option(
    "--at",
    "at",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M"]),
    help="A day (its end) or a moment, in TIMEZONE; not given: now.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def access_command(*, at: datetime | None, as_json: bool) -> None:
    """Who could ask for and approve what, at a moment: the roles of then by the policy of then."""
    settings = read_settings()
    moment = datetime.now(settings.zone)
    if at is not None:
        # A day without a time stands for all of it, so its end is what counts.
        whole_day = at.time() == datetime.min.time()
        moment = min(moment, at.replace(tzinfo=settings.zone) + timedelta(days=int(whole_day)))
    found = run_async(_access(settings, moment))
    if as_json:
        click.echo(json.dumps(found.as_json(), ensure_ascii=False, default=str))
        return
    since = found.policy_since
    if since is None:
        click.echo(
            "No policy was stored at that time: what follows is by the policy file of now.",
            err=True,
        )
    else:
        click.echo(
            f"By the policy in force since {since.astimezone(settings.zone):%Y-%m-%d %H:%M}."
        )
    if not found.people:
        click.echo("Nobody had a role then, as far as the ledger knows.")
    for person in found.people:
        roles = ", ".join([*person.roles, *(f"{role} (not yet)" for role in person.not_yet)])
        click.echo(f"{person.user_id} {person.name}: {roles}")
        click.echo(f"    may ask for: {', '.join(person.may_request) or 'nothing'}")
        click.echo(f"    may approve: {', '.join(person.may_approve) or 'nothing'}")


async def _access(settings: Settings, at: datetime) -> Access:
    present = read_policy(settings.policy_file or DEFAULT_POLICY, registry())
    async with ledger_connection() as conn:
        return await access_at(conn, at, present)
