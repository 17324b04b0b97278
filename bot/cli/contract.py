"""Proving what a marketplace declares of itself."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import aiohttp
import click

from bot import parts
from bot.cli.kit import (
    WRONG,
    cli,
    run_async,
)
from bot.domain.errors import SayableError
from bot.domain.subjects import SubjectKind
from bot.market.contract_test import CheckResult, Given, Standing
from bot.market.contract_test_api import ContractTest
from bot.market.contract_test_map import MapTest
from bot.market.verb_map import Auth, check_base_url
from bot.market.verb_map_file import read_verb_map
from bot.settings import read_secret


@cli.group()
def contract() -> None:
    """The market contract: prove that a marketplace keeps it."""


_SUBJECTS = {kind.value: kind for kind in SubjectKind if kind is not SubjectKind.DETECTION}


def _subject_options(command: Callable[..., None]) -> Callable[..., None]:
    for name in reversed(_SUBJECTS):
        help_ = f"A sacrificial {name}, by id; may be given again."
        command = click.option(f"--{name}", multiple=True, metavar="ID", help=help_)(command)
    return command


@contract.command("test")
@click.option(
    "--url", help="The admin API of a staging shop; with --verb-map, in place of its base_url."
)
@click.option(
    "--token-env",
    metavar="NAME",
    help="Environment variable with the secret; else MARKET_API_TOKEN, or what the verb map names.",
)
@click.option(
    "--verb-map",
    "verb_map_file",
    type=click.Path(path_type=Path),
    help="Test the endpoints of this verb map (step 2) instead of the whole contract (step 3).",
)
@_subject_options
@click.option("--write", is_flag=True, help="Change the given subjects too, some of them for good.")
@click.option(
    "--patience",
    type=click.FloatRange(min=1),
    default=60,
    show_default=True,
    help="How many seconds a check may wait for a lost or pending operation.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the checks as JSON.")
def contract_test(
    *,
    url: str | None,
    token_env: str | None,
    verb_map_file: Path | None,
    write: bool,
    patience: float,
    as_json: bool,
    **subjects: tuple[str, ...],
) -> None:
    """Try a staging shop the way the bot will use it, check by check (exit code 1 if one fails).

    Without --write nothing is changed. With it, the given subjects are held, suspended, refunded and
    cancelled: never name one that matters, and never a shop that is not for testing.
    """
    given = Given(
        subjects={_SUBJECTS[name]: ids for name, ids in subjects.items() if ids},
        write=write,
        patience_s=patience,
    )
    results = run_async(
        _test_contract(url, token_env, verb_map_file, given, tell=None if as_json else _tell_check)
    )
    count = Counter(result.standing for result in results)
    if as_json:
        checks = [asdict(result) for result in results]
        click.echo(
            json.dumps({"ok": not count[Standing.FAILED], "checks": checks}, ensure_ascii=False)
        )
    else:
        click.echo(
            f"{count[Standing.PASSED]} passed, {count[Standing.FAILED]} failed,"
            f" {count[Standing.SKIPPED]} skipped"
        )
    if count[Standing.FAILED]:
        raise click.exceptions.Exit(WRONG)


def _tell_check(result: CheckResult) -> None:
    mark = {Standing.PASSED: "pass", Standing.FAILED: "FAIL", Standing.SKIPPED: "skip"}
    click.echo(f"{mark[result.standing]}  {result.check:44}  {result.told}".rstrip())


async def _test_contract(
    url: str | None,
    token_env: str | None,
    verb_map_file: Path | None,
    given: Given,
    *,
    tell: Callable[[CheckResult], None] | None,
) -> list[CheckResult]:
    results = []
    async with aiohttp.ClientSession(timeout=parts.HTTP_TIMEOUT) as session:
        async for result in _test_of(session, url, token_env, verb_map_file, given).run():
            results.append(result)
            if tell is not None:
                tell(result)
    return results


def _test_of(
    session: aiohttp.ClientSession,
    url: str | None,
    token_env: str | None,
    verb_map_file: Path | None,
    given: Given,
) -> ContractTest | MapTest:
    try:
        if url is not None:
            check_base_url(url)
    except ValueError as error:
        raise SayableError(f"--url is wrong: it {error}.") from error
    if verb_map_file is None:
        if url is None:
            raise SayableError("Give --url, or --verb-map with a file that has a base_url.")
        return ContractTest(session, url, read_secret(token_env or "MARKET_API_TOKEN"), given)
    verb_map = read_verb_map(verb_map_file)
    if url is not None:
        verb_map = verb_map.model_copy(update={"base_url": url})
    elif given.write:
        # The map's own base_url is the shop that is lived in.
        raise SayableError("With --write, say with --url which staging shop may be changed.")
    if verb_map.base_url is None:
        raise SayableError(
            f"The verb map {verb_map_file} sends nothing anywhere, so there is nothing to test."
        )
    name = token_env or (verb_map.auth.token_env if isinstance(verb_map.auth, Auth) else None)
    return MapTest(session, verb_map, read_secret(name) if name else None, given)
