"""`mimawari rules new`: the files of a new detection, which can be checked and tested at once."""

from __future__ import annotations

from pathlib import Path

import click

from bot import parts
from bot.actions import registry
from bot.cli.rules import rules
from bot.detections.loading import load_detections
from bot.detections.starting import KINDS, write_start
from bot.domain.errors import SayableError
from bot.domain.subjects import SubjectKind
from bot.settings import read_settings


@rules.command("new")
@click.argument("name")
@click.option(
    "--subject",
    type=click.Choice(KINDS),
    default="order",
    show_default=True,
    help="What it finds.",
)
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path),
    help="Where to write it; not given: DETECTIONS_DIR.",
)
def rules_new(name: str, *, subject: str, folder: Path | None) -> None:
    """Write NAME.sql and NAME.test.yml: a sound detection in shadow, to be made yours."""
    settings = read_settings()
    folder = folder or settings.detections_dir
    if folder is None:
        raise SayableError(
            "Set DETECTIONS_DIR to the folder of your own detections, or name one with --dir."
        )
    if not folder.is_dir():
        raise SayableError(f"{folder} is no folder: make it first.")
    loaded = load_detections(parts.detection_folders(settings), actions=registry())
    if any(one.name == name for one in loaded.detections):
        raise SayableError(f"There is a detection {name} already: choose another name.")
    sql, test = write_start(folder, name, SubjectKind(subject))
    click.echo(f"Written: {sql}\n         {test}")
    click.echo(
        "Next:\n"
        "  1. edit what is marked with ▶ in both (docs/writing-detections.md)\n"
        f"  2. mimawari rules check {sql}\n"
        f"  3. mimawari rules test {sql}\n"
        f"  4. mimawari rules try {sql} --days 7     the cards that it would have posted\n"
        "It runs in shadow as soon as the file is in DETECTIONS_DIR: recorded, not posted."
    )
