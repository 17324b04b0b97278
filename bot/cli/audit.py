"""The audit log: verify, export, erase, report, pack."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click
from sqlalchemy.pool import NullPool

from bot.cards.security_report import pack_markdown, report_markdown
from bot.cli.kit import (
    WRONG,
    cli,
    ledger_connection,
    run_async,
    with_ledger,
)
from bot.domain import audit_chain
from bot.domain.audit import AuditEntry, AuditTag
from bot.domain.cases import CaseView
from bot.domain.errors import SayableError
from bot.domain.subjects import Subject, SubjectKind
from bot.domain.text import cell_text
from bot.ledger import audit
from bot.ledger.cases import read_names, read_view
from bot.ledger.engine import create_engine
from bot.ledger.erasing import Erased, erase_subject
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
from bot.settings import Settings, read_settings


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
        found = (
            run_async(_verify(kept)) if export is None else _verify_export(export, kept, part=part)
        )
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
    async with ledger_connection() as conn:
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
    run_async(_export(output, kind, since, until))


async def _export(output: Any, kind: str, since: datetime | None, until: datetime | None) -> None:
    async with ledger_connection() as conn:
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
    erased = run_async(_erase(read_settings(), Subject(SubjectKind(kind), subject_id)))
    click.echo(f"Erased: {erased.rows} rows of {erased.cases} cases. The audit log is whole.")


async def _erase(settings: Settings, subject: Subject) -> Erased:
    async with with_ledger(settings) as known:
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
    report, names = run_async(_report(first, after))
    if as_json:
        click.echo(json.dumps(asdict(report), ensure_ascii=False, default=str))
        return
    messages = messages_for(lang or settings.locale)
    click.echo(report_markdown(report, names, messages=messages, tz=settings.zone), nl=False)


async def _report(first: datetime, after: datetime) -> tuple[SecurityReport, dict[str, str]]:
    async with ledger_connection() as conn:
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
    found = run_async(_evidence(int(digits), _kept_heads(settings.anchor_dir)))
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
    async with ledger_connection() as conn:
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
