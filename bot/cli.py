"""The command line: `mimawari` with its subcommands."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import json
import logging
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aiohttp
import click
from pydantic import SecretStr
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from bot import app
from bot.actions import registry
from bot.cards.digest_card import digest_card
from bot.cards.refusals import refusal_sentence
from bot.cards.security_report import pack_markdown, report_markdown
from bot.cases.access import Access, access_at
from bot.cases.pausing import pause_unmanned, propose_resume_unmanned, scopes_of
from bot.cases.policy import DEFAULT_POLICY, read_policy
from bot.cases.room import Room
from bot.detections.detection import Detection, Loaded, Problem
from bot.detections.listing import check_detections, list_detections
from bot.detections.loading import load_detection, load_detections
from bot.detections.proving import TestResult, run_tests
from bot.doctor import Diagnosis, examine
from bot.domain import audit_chain
from bot.domain.audit import AuditEntry, AuditTag
from bot.domain.cases import CaseView
from bot.domain.clock import WallClock
from bot.domain.digests import Digest
from bot.domain.errors import SayableError
from bot.domain.proposals import ALL
from bot.domain.refusals import Refusal
from bot.domain.subjects import Subject, SubjectKind
from bot.domain.text import cell_text
from bot.jobs.digest import market_now, read_digest
from bot.ledger import audit
from bot.ledger.cases import read_names, read_view
from bot.ledger.engine import create_engine
from bot.ledger.erasing import Erased, erase_subject
from bot.ledger.migrate import migrate as migrate_ledger
from bot.ledger.reports import (
    SecurityReport,
    read_case_entries,
    read_case_private,
    read_links,
    read_security_report,
    read_told_heads,
)
from bot.ledger.values import to_json
from bot.locale import messages_for
from bot.market.contract_test import CheckResult, Given, Standing
from bot.market.contract_test_api import ContractTest
from bot.market.contract_test_map import MapTest
from bot.market.reader import MarketReader
from bot.market.verb_map import Auth, check_base_url
from bot.market.verb_map_file import read_verb_map
from bot.settings import DATA_DIR, Settings, read_secret, read_settings, require

T = TypeVar("T")

POSTGRES_DIR = DATA_DIR / "postgres"
MANIFEST = Path(__file__).parent.parent / "app_manifest.yml"
WRONG = 1
"""Exit code of a check that found something wrong; 2 is wrong usage or settings."""


class _Sayable(click.ClickException):
    exit_code = 2


def main() -> None:
    """Run the command line; a sayable error is one sentence on stderr and exit code 2."""
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
    sys.exit(code if isinstance(code, int) else 0)


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Start here:
  mimawari demo             everything on this machine, nothing to set up
  mimawari doctor           what is missing for a real Slack and a real marketplace
  mimawari rules list       what is detected
Settings come from the environment or .env: see .env.example.""",
)
@click.option("-v", "--verbose", is_flag=True, help="Log more.")
@click.version_option(package_name="mimawari")
def cli(*, verbose: bool) -> None:
    """Mimawari (見回り) watches a marketplace for fraud and spam, and carries out in Slack what people decide."""
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    # These log whole requests, tokens included, below WARNING.
    for name in ("slack_bolt", "slack_sdk", "bot.bolt", "aiohttp", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in ("alembic", "sqlalchemy"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # It warns whenever a poll takes longer than its interval, which is what a busy machine does.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)


# ---- run, demo, migrate


@cli.command()
def run() -> None:
    """Run the bot against the Slack and the marketplace of the settings.

    Without DATABASE_URL the ledger lives in an embedded Postgres below .data/, good for a trial.
    """
    _await(_run())


async def _run() -> None:
    async with _with_ledger(read_settings()) as settings:
        await app.run(settings)


@cli.command()
@click.option(
    "--market",
    "market_dir",
    type=click.Path(path_type=Path),
    help="Play this market directory in its own time order instead of the built-in shoppers.",
)
@click.option(
    "--speed",
    type=click.FloatRange(min=0.01),
    help="How many market seconds pass in one second of yours.",
)
@click.option(
    "--seed", type=int, default=1, show_default=True, help="Another seed, other shoppers."
)
@click.option(
    "--flavour",
    type=click.Choice(["minato", "harbour"]),
    default="minato",
    show_default=True,
    help="Whose shop: minato is Japanese and in yen, harbour English and in euros.",
)
@click.option("--fresh", is_flag=True, help="Forget the demo's past and start over.")
def demo(
    *, market_dir: Path | None, speed: float | None, seed: int, flavour: str, fresh: bool
) -> None:
    """Run everything on this machine: Postgres, a marketplace with fraud in it, a Slack-like page, the bot.

    Open the page that it prints and press a button. With SLACK_BOT_TOKEN set, the cards go to your real
    Slack instead. Ctrl-C stops it; what happened stays for the next time.
    """
    from bot.playground.demo import DemoOptions, run_demo
    from bot.playground.market.flavours import FLAVOURS

    options = DemoOptions(
        market_dir=market_dir,
        speed=speed,
        seed=seed,
        flavour=FLAVOURS[flavour],
        fresh=fresh,
    )
    _await(run_demo(read_settings(), options, data_dir=DATA_DIR))


@cli.command()
def migrate() -> None:
    """Bring the ledger's tables up to date, as DATABASE_OWNER_URL, and grant DATABASE_URL's role its rights."""
    settings = read_settings()
    if settings.database_url is None:
        _await(_migrate_embedded(settings))
    elif settings.database_owner_url is None:
        raise SayableError(
            "Set DATABASE_OWNER_URL to the ledger's owner: the application role must not own its tables."
        )
    else:
        _migrate(settings)
    click.echo("The ledger is up to date.")


async def _migrate_embedded(settings: Settings) -> None:
    async with _with_ledger(settings):
        pass


def _migrate(settings: Settings) -> None:
    app_url, owner_url = settings.database_url, settings.database_owner_url
    if app_url is None or owner_url is None:
        raise SayableError("Set DATABASE_URL and DATABASE_OWNER_URL.")
    role = urlsplit(app_url.get_secret_value()).username
    if not role:
        raise SayableError(
            "DATABASE_URL must name its user: postgresql://user:password@host/database."
        )
    try:
        migrate_ledger(owner_url.get_secret_value(), role, settings.database_verifier_role)
    except (SQLAlchemyError, OSError) as error:
        raise SayableError(
            f"The ledger could not be migrated ({type(error).__name__}): {_first_line(error)}"
        ) from error


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def doctor(*, as_json: bool) -> None:
    """Try everything that the settings name, and say what is wrong and what to do (exit code 1)."""
    found = _await(_examine())
    if as_json:
        click.echo(
            json.dumps(
                [
                    {"what": d.what, "ok": d.problem is None, "told": d.told, "problem": d.problem}
                    for d in found
                ],
                ensure_ascii=False,
            )
        )
    else:
        for d in found:
            mark = "ok   " if d.problem is None else "WRONG" if d.grave else "note "
            click.echo(f"{mark} {d.what:22} {d.problem or d.told}")
    if any(d.problem is not None and d.grave for d in found):
        raise click.exceptions.Exit(WRONG)


async def _examine() -> list[Diagnosis]:
    settings = read_settings()
    return [diagnosis async for diagnosis in examine(settings)]


# ---- pause, resume

_ACTION = click.argument("action", default=ALL)


@cli.command()
@_ACTION
@click.option("--reason", required=True, help="Why: the cards and every refused press say it.")
def pause(action: str, *, reason: str) -> None:
    """Pause all effects on the marketplace at once, or those of one ACTION such as `refund`.

    Resuming needs two people, in Slack.
    """
    scopes_of(action)
    paused = _await(_in_room(lambda room: pause_unmanned(room, action, by="cli", reason=reason)))
    if isinstance(paused, Refusal):
        raise SayableError(_english(paused))
    click.echo(f"Paused: {action}. Resuming needs two people in Slack: /cre resume")


@cli.command()
@_ACTION
def resume(action: str) -> None:
    """Ask in Slack that what is paused goes on; two people must approve it there.

    A shell proves no person, so it can only ask.
    """
    asked = _await(_in_room(lambda room: propose_resume_unmanned(room, action, by="cli")))
    if isinstance(asked, Refusal):
        raise SayableError(_english(asked))
    click.echo(f"Asked in Slack. {asked.missing} people must approve it there.")


async def _in_room(work: Callable[[Room], Coroutine[Any, Any, T]]) -> T:
    """Do something in the ledger's room as the application would."""
    async with _with_ledger(read_settings()) as settings, app.room_of(settings) as room:
        return await work(room)


def _english(refusal: Refusal) -> str:
    return refusal_sentence(refusal, messages_for("en"), read_settings().zone)


# ---- db, market


@cli.group()
def db() -> None:
    """The embedded Postgres."""


@db.command("start")
@click.option("--json", "as_json", is_flag=True, help="Print the addresses as JSON.")
def db_start(*, as_json: bool) -> None:
    """Keep the embedded Postgres running until Ctrl-C, for several processes; prints their settings."""
    from bot.playground.postgres import serve_database

    _await(serve_database(POSTGRES_DIR, as_json=as_json, write=click.echo))


@cli.group()
def market() -> None:
    """The demo marketplace's data."""


@market.command("load")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(
    "--dsn",
    help="Owner's address of an empty database; without it, the embedded demo marketplace.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the counts as JSON.")
def market_load(directory: Path, *, dsn: str | None, as_json: bool) -> None:
    """Load a market directory (one CSV or .csv.gz a relation) into the demo marketplace, all or nothing."""
    _await(_market_load(directory, dsn, as_json=as_json))


async def _market_load(directory: Path, dsn: str | None, *, as_json: bool) -> None:
    from bot.playground.demo import embedded_market
    from bot.playground.market.load import load_directory

    with click.progressbar(length=1, label="Loading", file=sys.stderr, width=40) as bar:

        def progress(done: int, total: int) -> None:
            bar.length = max(total, 1)
            bar.update(done - bar.pos)

        if dsn is not None:
            report = await load_directory(directory, dsn, progress=progress)
        else:
            async with embedded_market(POSTGRES_DIR) as market_dsn:
                report = await load_directory(directory, market_dsn, progress=progress)
    if as_json:
        click.echo(json.dumps({"rows": dict(report.rows)}))
    else:
        for relation, rows in report.rows.items():
            click.echo(f"{relation:20} {rows:>9,}")


# ---- rules


@cli.group()
def rules() -> None:
    """The detections: list, check and test them."""


_FILES = click.argument("files", nargs=-1, type=click.Path(path_type=Path))


@rules.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
def rules_list(*, as_json: bool) -> None:
    """List every detection, built in and your own (DETECTIONS_DIR)."""
    loaded = _load(read_settings(), ())
    listed = list_detections(loaded)
    if as_json:
        click.echo(json.dumps([asdict(one) for one in listed], ensure_ascii=False))
    else:
        for one in listed:
            click.echo(
                f"{one.name:28} {one.severity}  {one.subject:8} {one.mode:9} every {one.every_s:>4} s"
                f"  {one.title_en} / {one.title_ja}"
            )
    for problem in loaded.problems:
        click.echo(str(problem), err=True)
    if loaded.problems:
        raise click.exceptions.Exit(WRONG)


@rules.command("check")
@_FILES
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def rules_check(files: tuple[Path, ...], *, as_json: bool) -> None:
    """Check files (or every detection): head, SQL, parameters, and what the marketplace lacks.

    Exit code 1 if a file is refused. With MARKET_DATABASE_URL set, names missing columns as well.
    """
    settings = read_settings()
    checked = check_detections(_load(settings, files), _await(_present(settings)))
    if as_json:
        click.echo(json.dumps([asdict(one) for one in checked], ensure_ascii=False))
    else:
        for one in checked:
            click.echo(f"{'ok   ' if not one.problems else 'WRONG'} {one.name or one.path}")
            for problem in one.problems:
                click.echo(f"      {one.path}: {problem}")
            for warning in one.warnings:
                click.echo(f"      note: {warning}")
    if any(one.problems for one in checked):
        raise click.exceptions.Exit(WRONG)


async def _present(settings: Settings) -> Mapping[str, frozenset[str]] | None:
    url = settings.market_database_url
    if url is None:
        return None
    return await MarketReader(url.get_secret_value(), settings.market_schema).relations()


@rules.command("test")
@click.argument("names", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
def rules_test(names: tuple[str, ...], *, as_json: bool) -> None:
    """Run the examples beside each detection (or the named ones) in a scratch schema.

    Exit code 1 if one fails.
    """
    loaded = _load(read_settings(), ())
    chosen = [one for one in loaded.detections if not names or one.name in names]
    unknown = set(names) - {one.name for one in loaded.detections}
    if unknown:
        raise SayableError(
            f"There is no detection {', '.join(sorted(unknown))}: see `mimawari rules list`."
        )
    results = _await(_prove(chosen))
    if as_json:
        click.echo(json.dumps([asdict(one) for one in results], ensure_ascii=False))
    else:
        for one in results:
            click.echo(f"{'ok  ' if one.failure is None else 'FAIL'} {one.detection}: {one.title}")
            if one.failure is not None:
                click.echo(f"     {one.failure}")
        failed = sum(one.failure is not None for one in results)
        click.echo(f"{len(results) - failed} passed, {failed} failed")
    if any(one.failure is not None for one in results):
        raise click.exceptions.Exit(WRONG)


async def _prove(detections: list[Detection]) -> list[TestResult]:
    from bot.playground.postgres import MARKET_DATABASE, MARKET_OWNER, embedded_postgres

    async with embedded_postgres(POSTGRES_DIR) as server:
        return await run_tests(detections, server.dsn(MARKET_DATABASE, MARKET_OWNER))


def _load(settings: Settings, files: tuple[Path, ...]) -> Loaded:
    if not files:
        return load_detections(app.detection_folders(settings), actions=registry())
    detections: list[Detection] = []
    problems: list[Problem] = []
    for path in files:
        found = load_detection(path, actions=registry())
        if isinstance(found, Detection):
            detections.append(found)
        else:
            problems += found
    return Loaded(detections=tuple(detections), problems=tuple(problems))


# ---- access


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
    found = _await(_access(settings, moment))
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
    async with _ledger_connection() as conn:
        return await access_at(conn, at, present)


# ---- audit


@cli.group("audit")
def audit_group() -> None:
    """The audit log: verify it, export it."""


@audit_group.command("verify")
@click.argument("export", type=click.Path(path_type=Path), required=False)
@click.option(
    "--anchor",
    "anchors",
    type=click.Path(path_type=Path),
    multiple=True,
    help="A file or folder of heads that were kept elsewhere, such as ANCHOR_DIR or a copied digest.",
)
@click.option("--part", is_flag=True, help="The EXPORT is of some days alone.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def audit_verify(
    *, export: Path | None, anchors: tuple[Path, ...], part: bool, as_json: bool
) -> None:
    """Check the whole chain: OK, or the first entry that does not fit (exit code 1).

    With the EXPORT of `audit export --format jsonl` neither a database nor settings are needed.
    """
    try:
        kept = audit_chain.read_anchors(anchors)
        found = _await(_verify(kept)) if export is None else _verify_export(export, kept, part=part)
    except audit_chain.CannotCheck as error:
        raise SayableError(str(error)) from error
    if as_json:
        click.echo(
            json.dumps(
                {
                    "ok": found.ok,
                    "entries": found.entries,
                    "head": found.head,
                    "bad_seq": found.bad_seq,
                    "problem": found.problem,
                }
            )
        )
    elif found.ok:
        against = f", compared with {len(kept)} anchors" if kept else ""
        click.echo(f"OK: {found.entries} entries, head {found.head}{against}")
    else:
        at = f" at entry {found.bad_seq}" if found.bad_seq is not None else ""
        click.echo(f"BROKEN{at}: {found.problem}", err=True)
    if not found.ok:
        raise click.exceptions.Exit(WRONG)


async def _verify(anchors: Sequence[audit_chain.Anchor]) -> audit.Verification:
    async with _ledger_connection() as conn:
        return await audit.verify(conn, anchors)


def _verify_export(
    export: Path, anchors: Sequence[audit_chain.Anchor], *, part: bool
) -> audit_chain.Report:
    try:
        with export.open(encoding="utf-8") as lines:
            return audit_chain.check(lines, anchors, name=export.name, part=part)
    except (OSError, UnicodeDecodeError) as error:
        raise audit_chain.CannotCheck(f"The export {export} cannot be read: {error}.") from error


DAY = click.DateTime(formats=["%Y-%m-%d"])


@audit_group.command("export")
@click.option("--from", "first", type=DAY, help="The first day, in TIMEZONE; not given: all.")
@click.option("--to", "last", type=DAY, help="The last day.")
@click.option(
    "--format",
    "kind",
    type=click.Choice(["jsonl", "csv"]),
    default="jsonl",
    show_default=True,
    help="jsonl holds the text that was hashed, so that others can check it; csv is for reading.",
)
@click.option(
    "--output",
    type=click.File("w", encoding="utf-8", lazy=False),
    default="-",
    help="A file; - is stdout.",
)
def audit_export(*, first: datetime | None, last: datetime | None, kind: str, output: Any) -> None:
    """Write the entries of some days, or all; that it was exported is itself an entry."""
    zone = read_settings().zone
    since = first.replace(tzinfo=zone) if first is not None else None
    until = last.replace(tzinfo=zone) + timedelta(days=1) if last is not None else None
    if since is not None and until is not None and until <= since:
        raise SayableError("--to must not be before --from.")
    _await(_export(output, kind, since, until))


async def _export(output: Any, kind: str, since: datetime | None, until: datetime | None) -> None:
    async with _ledger_connection() as conn:
        details = {
            "format": kind,
            "from": since.isoformat() if since else None,
            "to": until.isoformat() if until else None,
        }
        entry = AuditEntry(actor="cli", tag=AuditTag.AUDIT_EXPORTED, details=details)
        # No log of it, no export.
        await audit.append(conn, [entry])
        await conn.commit()
        rows = audit.stream(conn, since=since, until=until)
        if kind == "csv":
            writer = csv.writer(output)
            writer.writerow(audit.EXPORT_COLUMNS)
            async for written in rows:
                writer.writerow([cell_text(cell) for cell in audit.export_row(written)])
            return
        async for written in rows:
            line = {
                "seq": written.seq,
                "canonical": written.canonical,
                "previous_hash": written.previous_hash,
                "hash": written.hash,
            }
            output.write(json.dumps(line, ensure_ascii=False) + "\n")


@audit_group.command("erase")
@click.argument("subject")
@click.option("--yes", is_flag=True, help="Do it; without, only what would be erased is told.")
def audit_erase(*, subject: str, yes: bool) -> None:
    """Erase what the ledger keeps of an account, order, listing or post (`account:A-1`), as its owner.

    Names, evidence, notes and messages go; the audit log holds none of them and stays whole.
    """
    kind, _, subject_id = subject.partition(":")
    if kind not in set(SubjectKind) or not subject_id:
        raise SayableError(f"{subject!r} is no subject: write it like account:A-1 or order:O-1.")
    if not yes:
        click.echo(
            f"This would empty names, evidence, notes and messages of every case of {subject}."
            " It cannot be undone: add --yes. What was posted in Slack stays there: delete it there."
        )
        return
    erased = _await(_erase(read_settings(), Subject(SubjectKind(kind), subject_id)))
    click.echo(f"Erased: {erased.rows} rows of {erased.cases} cases. The audit log is whole.")


async def _erase(settings: Settings, subject: Subject) -> Erased:
    async with _with_ledger(settings) as known:
        url = known.database_owner_url
        if url is None:
            raise SayableError("Set DATABASE_OWNER_URL: only the ledger's owner may erase.")
        engine = create_engine(url.get_secret_value(), poolclass=NullPool)
        try:
            async with engine.begin() as conn:
                erased = await erase_subject(conn, subject)
                found = await audit.verify(conn)
                if not found.ok:
                    raise SayableError(f"Nothing was erased: {found.problem}.")
        finally:
            await engine.dispose()
        return erased


@audit_group.command("report")
@click.option(
    "--month",
    type=click.DateTime(formats=["%Y-%m"]),
    help="Such as 2026-11, in TIMEZONE; not given: the present one so far.",
)
@click.option("--lang", type=click.Choice(["ja", "en"]), help="Not given: LOCALE.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def audit_report(*, month: datetime | None, lang: str | None, as_json: bool) -> None:
    """What the security officer looks at once a month, as Markdown."""
    settings = read_settings()
    first = (month or datetime.now(settings.zone)).replace(
        day=1, hour=0, minute=0, second=0, microsecond=0, tzinfo=settings.zone
    )
    after = (first + timedelta(days=32)).replace(day=1)
    report, names = _await(_report(first, after))
    if as_json:
        click.echo(json.dumps(asdict(report), ensure_ascii=False, default=str))
        return
    messages = messages_for(lang or settings.locale)
    click.echo(report_markdown(report, names, messages=messages, tz=settings.zone), nl=False)


async def _report(first: datetime, after: datetime) -> tuple[SecurityReport, dict[str, str]]:
    async with _ledger_connection() as conn:
        report = await read_security_report(conn, first, after)
        people = {one.who for one in (*report.denials, *report.acts)}
        people |= {one.by for one in report.emergencies}
        people |= {user for pair in report.pairs for user in (pair.requester, pair.approver)}
        return report, await read_names(conn, people)


@audit_group.command("pack")
@click.argument("case")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="A folder that is made; not given: evidence-CASE.",
)
@click.option("--lang", type=click.Choice(["ja", "en"]), help="Not given: LOCALE.")
def audit_pack(*, case: str, out: Path | None, lang: str | None) -> None:
    """The evidence of one case for the police or a card company, with proof that the log was not changed."""
    settings = read_settings()
    digits = case.upper().removeprefix("C-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 19):
        raise SayableError(f"{case!r} is no case: write it like C-2041.")
    folder = out or Path(f"evidence-C-{digits}")
    if folder.exists() and any(folder.iterdir()):
        raise SayableError(f"{folder} is there and not empty: name another folder with --out.")
    found = _await(_evidence(int(digits), _kept_heads(settings.anchor_dir)))
    view, entries = found.view, found.entries
    messages = messages_for(lang or settings.locale)
    files = {
        "summary.md": pack_markdown(view, messages=messages, tz=settings.zone),
        "case.json": to_json(view, CaseView) + "\n",
        "audit.jsonl": "".join(
            json.dumps(
                {
                    "seq": entry.seq,
                    "canonical": entry.canonical,
                    "previous_hash": entry.previous_hash,
                    "hash": entry.hash,
                },
                ensure_ascii=False,
            )
            + "\n"
            for entry in entries
        ),
        "chain.csv": "seq,previous_hash,hash\n"
        + "".join(f"{seq},{previous},{own}\n" for seq, previous, own in found.links),
        "anchors.jsonl": "".join(
            json.dumps({"seq": seq, "hash": head, "kept": where}, ensure_ascii=False) + "\n"
            for seq, head, where in found.heads
        ),
        "private.jsonl": "".join(
            json.dumps(
                {"commitment": commitment, "name": name, "salt": salt, "value": value},
                ensure_ascii=False,
            )
            + "\n"
            for commitment, name, salt, value in found.private
        ),
    }
    folder.mkdir(parents=True, exist_ok=True)
    manifest = []
    for name, content in files.items():
        raw = content.encode()
        (folder / name).write_bytes(raw)
        manifest.append(f"{hashlib.sha256(raw).hexdigest()}  {name}\n")
    (folder / "SHA256SUMS").write_text("".join(manifest), encoding="ascii")
    click.echo(f"{folder}: {len(entries)} entries of the log about C-{digits}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Evidence:
    view: CaseView
    entries: Sequence[audit.WrittenEntry]
    links: Sequence[tuple[int, str, str]]
    heads: Sequence[tuple[int, str, str]]
    """Number and hash of each head that was kept elsewhere, and where."""
    private: Sequence[tuple[str, str, str, str]]


def _kept_heads(folder: Path | None) -> Sequence[audit_chain.Anchor]:
    if folder is None or not folder.is_dir() or not any(folder.iterdir()):
        return ()
    try:
        return audit_chain.read_anchors([folder])
    except audit_chain.CannotCheck as error:
        raise SayableError(str(error)) from error


async def _evidence(case_id: int, kept: Sequence[audit_chain.Anchor]) -> _Evidence:
    async with _ledger_connection() as conn:
        view = await read_view(conn, case_id)
        if view is None:
            raise SayableError(f"There is no case C-{case_id}.")
        # No log of it, no evidence.
        told = AuditEntry(actor="cli", tag=AuditTag.EVIDENCE_PACKED, case_id=case_id)
        await audit.append(conn, [told])
        await conn.commit()
        entries = await read_case_entries(conn, case_id)
        first = entries[0].seq
        before = max((anchor.seq for anchor in kept if anchor.seq < first), default=0)
        heads = [
            *await read_told_heads(conn, first),
            *((one.seq, one.hash, one.source) for one in kept if one.seq >= before),
        ]
        nearest = max((seq for seq, _, _ in heads if seq < first), default=first)
        return _Evidence(
            view=view,
            entries=entries,
            links=await read_links(conn, nearest, entries[-1].seq),
            heads=sorted(heads),
            private=await read_case_private(conn, case_id),
        )


# ---- digest


@cli.command("digest")
@click.option(
    "--day",
    type=click.DateTime(formats=["%Y-%m-%d"]),
    help="A past day, such as 2026-11-22; without it, today so far.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def digest_command(*, day: datetime | None, as_json: bool) -> None:
    """Print the digest of a day as it was posted, or as it can be told now; changes and posts nothing."""
    settings = read_settings()
    made = _await(_digest(settings, day.date() if day is not None else None))
    if as_json:
        click.echo(to_json(made, Digest))
    else:
        drawn = digest_card(made, tz=settings.zone, messages=messages_for("en"))
        click.echo("\n".join(drawn.lines))


async def _digest(settings: Settings, day: date | None) -> Digest:
    require(settings, "database_url", "market_database_url")
    ledger, market_url = settings.database_url, settings.market_database_url
    engine = create_engine(ledger.get_secret_value() if ledger else "", poolclass=NullPool)
    try:
        reader = MarketReader(
            market_url.get_secret_value() if market_url else "", settings.market_schema
        )
        now = await market_now(engine, WallClock())
        if day is not None and day > now.astimezone(settings.zone).date():
            raise SayableError("--day must be a past day, or today.")
        return await read_digest(engine, reader, day, settings.zone, now=now)
    except (SQLAlchemyError, OSError) as error:
        raise SayableError(
            f"The ledger cannot be read ({type(error).__name__}): {_first_line(error)} "
            "Is it migrated (`mimawari migrate`)?"
        ) from error
    finally:
        await engine.dispose()


# ---- contract


@cli.group()
def contract() -> None:
    """The market contract: prove that a marketplace keeps it."""


_SUBJECTS = {kind.value: kind for kind in SubjectKind}


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
    results = _await(
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
    async with aiohttp.ClientSession(timeout=app.HTTP_TIMEOUT) as session:
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


# ---- manifest


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


# ---- What the commands share


def _await(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


@asynccontextmanager
async def _with_ledger(settings: Settings) -> AsyncIterator[Settings]:
    """Settings whose ledger exists: the one named, or the embedded one, migrated."""
    if settings.database_url is not None:
        yield settings
        return
    from bot.playground.postgres import (
        LEDGER_APP,
        LEDGER_DATABASE,
        LEDGER_OWNER,
        embedded_postgres,
    )

    async with embedded_postgres(POSTGRES_DIR) as server:
        owner = server.dsn(LEDGER_DATABASE, LEDGER_OWNER)
        await asyncio.to_thread(migrate_ledger, owner, LEDGER_APP)
        yield settings.model_copy(
            update={
                "database_url": SecretStr(server.dsn(LEDGER_DATABASE, LEDGER_APP)),
                "database_owner_url": SecretStr(owner),
            }
        )


@asynccontextmanager
async def _ledger_connection() -> AsyncIterator[Any]:
    async with _with_ledger(read_settings()) as settings:
        url = settings.database_url
        engine = create_engine(url.get_secret_value() if url else "", poolclass=NullPool)
        try:
            async with engine.connect() as conn:
                yield conn
        except (SQLAlchemyError, OSError) as error:
            raise SayableError(
                f"The ledger cannot be read ({type(error).__name__}): {_first_line(error)} "
                "Is it migrated (`mimawari migrate`)?"
            ) from error
        finally:
            await engine.dispose()


def _first_line(error: BaseException) -> str:
    cause = getattr(error, "orig", None) or error
    return str(cause).splitlines()[0] if str(cause) else type(cause).__name__
