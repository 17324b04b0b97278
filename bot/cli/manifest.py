"""`mimawari manifest`: the Slack app's manifest with an address in it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import click

from bot.cli.kit import cli
from bot.domain.errors import SayableError

MANIFEST = Path(__file__).parent.parent.parent / "app_manifest.yml"


@cli.command()
@click.option(
    "--url", required=True, help="Where Slack reaches this bot, such as https://bot.example.com."
)
def manifest(*, url: str) -> None:
    """Print the Slack app's manifest with your address in it: paste it at api.slack.com/apps."""
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.netloc:
        raise SayableError("--url must start with https://: Slack sends to nothing else.")
    address = f"https://{parts.netloc}{parts.path.rstrip('/')}/slack/events"
    try:
        content = MANIFEST.read_text(encoding="utf-8")
    except OSError as error:
        raise SayableError(
            f"{MANIFEST} is not there: run this from a clone of the repository."
        ) from error
    click.echo(content.replace("https://example.invalid/slack/events", address), nl=False)
