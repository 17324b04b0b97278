"""The command line: `mimawari` with its subcommands, one file of this folder a group of them."""

from __future__ import annotations

import sys

import click

from bot.cases.trouble import is_away
from bot.cli.kit import cli
from bot.domain.errors import SayableError
from bot.domain.tracing import traced

__all__ = ["cli", "main"]


def main() -> None:
    """Run the command line; a sayable error, or a database that is away, is one sentence on stderr and exit code 2."""
    try:
        # Outside its standalone mode click gives back the code of an Exit instead of leaving with it.
        code = cli.main(standalone_mode=False)
    except click.Abort:
        click.echo("Stopped.", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except SayableError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(2)
    except Exception as error:
        if not is_away(error):
            raise
        click.echo(
            f"Error: a database stopped answering ({traced(error)}). What was committed is kept: see that Postgres "
            "is running, then start this again.",
            err=True,
        )
        sys.exit(2)
    sys.exit(code if isinstance(code, int) else 0)
