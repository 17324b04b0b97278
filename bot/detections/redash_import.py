"""Makes a detection file of a query in Redash: its SQL as it stands, and in comments what only a person can translate."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from bot.detections.parameters import CLOCK_PARAMETERS, LISTS, find_parameters
from bot.detections.redash_map import ID_LISTS, MappedQuery
from bot.domain.subjects import SubjectKind
from bot.market.redash import QueryInfo

_PARAMETER = re.compile(r"(?P<quote>['\"]?)\{\{\s*(?P<name>[^{}]*?)\s*\}\}(?P=quote)")
_MUSTACHE = re.compile(r"\{\{[#^/&!>]")
_LONGEST = 60
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """The two files of a detection that a query became."""

    name: str
    sql: str
    test: str
    notes: tuple[str, ...]
    """What a person must still do."""


def draft_detection(info: QueryInfo, mapped: MappedQuery | None = None) -> Draft:
    """The files; of a mapped query the map says what its columns mean, and the SQL is wrapped so."""
    name = mapped.detection.name if mapped else name_of(info)
    notes: list[str] = []
    sql, renamed = _translate(info.sql, notes)
    defaults = {str(one.get("name")): one.get("value") for one in info.parameters}
    parameters = {ours: defaults.get(theirs) for ours, theirs in renamed.items()}
    if mapped is not None:
        sql = _wrapped(sql, mapped, notes)
        parameters = {
            ours: mapped.parameters.get(theirs, parameters[ours])
            for ours, theirs in renamed.items()
        }
    else:
        notes.append(
            "let it return `subject_id` and `occurred_at` (… AS subject_id), and `amount`, `currency`, `account_ids`,"
            " `order_ids` where it knows them; whatever else it returns is declared under `evidence`"
        )
    notes.append(
        "name relations and columns as contract/market.sql does, without a schema, in Postgres's SQL"
    )
    notes.append(
        "let a run look only at what moved (`updated_at >= :changed_since`) within :window_start"
    )
    head = _head(name, info, mapped, parameters)
    told = "".join(f"-- ▶ {number}. {_one_line(note)}.\n" for number, note in enumerate(notes, 1))
    opening = f"-- Query {info.query_id} of Redash as it stood there. Still yours to do:\n"
    kind = mapped.detection.subject if mapped else SubjectKind.ORDER
    return Draft(
        name=name, sql=head + opening + told + sql + "\n", test=_test(kind), notes=tuple(notes)
    )


def name_of(info: QueryInfo) -> str:
    """A detection's name of the query's; of one without Latin letters its number."""
    words = re.sub(r"[^a-z0-9]+", "_", info.name.lower()).strip("_")
    words = re.sub(r"^[0-9_]+", "", words)[:_LONGEST].rstrip("_")
    return words if len(words) > 2 else f"redash_{info.query_id}"


def _translate(text: str, notes: list[str]) -> tuple[str, dict[str, str]]:
    """The SQL with our parameters, and what each was called; what has no counterpart is noted."""
    sql = text.strip().rstrip(";").rstrip().replace("\r\n", "\n")
    if _MUSTACHE.search(sql):
        notes.append("write out the {{#…}} sections: only {{ name }} has a counterpart here")
    colons = sorted({use.name for use in find_parameters(_PARAMETER.sub("x", sql))[0]})
    if colons:
        notes.append(
            f"put a space after the colon of {', '.join(':' + one for one in colons)}: it is read as a parameter here"
        )
    renamed: dict[str, str] = {}

    def put(found: re.Match[str]) -> str:
        theirs = found["name"]
        if not theirs or theirs[0] in "#^/&!>":
            return found[0]
        ours = re.sub(r"[^a-z0-9]+", "_", theirs.lower()).strip("_")
        if not re.match(r"[a-z]", ours):
            ours = f"p_{ours}".rstrip("_")
        if ours in CLOCK_PARAMETERS or ours in LISTS:
            ours += "_of_query"
        ours = ours[:_LONGEST]
        renamed[ours] = theirs
        if found["quote"] == '"':
            notes.append(
                f"write the name that {{{{ {theirs} }}}} stood for: a parameter is a value"
            )
        if theirs.endswith((".start", ".end")):
            notes.append(f"use :window_start and :now in place of :{ours}, a bound of a date range")
        return f":{ours}"

    return _PARAMETER.sub(put, sql), renamed


def _wrapped(sql: str, mapped: MappedQuery, notes: list[str]) -> str:
    """The map's columns over the query as it stands."""

    def of(column: str) -> str:
        return 'q."' + column.replace('"', '""') + '"'

    lines: list[str] = []
    for name in ("subject_id", "occurred_at", "amount", "currency", "window_key"):
        columns = mapped.columns.get(name)
        if columns is not None:
            cast = "" if name in {"occurred_at", "amount"} else "::text"
            lines.append(f"{of(columns[0])}{cast} AS {name}")
        elif name == "occurred_at":
            lines.append(":now AS occurred_at")
            notes.append("let it say when each row happened: without a column of it, that is now")
        elif name == "currency" and mapped.currency is not None:
            lines.append(f"'{mapped.currency}' AS currency")
    if mapped.decimals:
        notes.append("return `amount` in the smallest unit of its currency")
    for name in ID_LISTS:
        columns = mapped.columns.get(name, ())
        if columns:
            ids = ", ".join(f"{of(column)}::text" for column in columns)
            lines.append(f"array_remove(ARRAY[{ids}], NULL) AS {name}")
    lines += [
        f"{of(mapped.columns[column.name][0])} AS {_evidence_name(column.name)}"
        for column in mapped.detection.evidence
    ]
    inner = "\n".join(f"    {line}" for line in sql.splitlines())
    chosen = ",\n       ".join(lines)
    # Into a file that a person reads, and that runs as a role which can only SELECT.
    return f"SELECT {chosen}\n  FROM (\n{inner}\n  ) AS q"  # noqa: S608


def _evidence_name(name: str) -> str:
    words = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    return words if re.match(r"[a-z]", words) else "shown_" + (words or str(sum(name.encode())))


def _head(
    name: str, info: QueryInfo, mapped: MappedQuery | None, parameters: Mapping[str, Any]
) -> str:
    title = _one_line(info.name)[:200] or f"Redash {info.query_id}"
    every = int(max(info.every or 5 * _MINUTE, _MINUTE).total_seconds())
    lines = [
        "/*",
        f"# Made of query {info.query_id} of Redash. What is marked with ▶ is yours to write.",
        f"name: {name}",
    ]
    if mapped is None:
        lines += [
            f"title: {{ja: {_quoted(title)}, en: {_quoted(title)}}}   # ▶ in both languages",
            "source: market",
            "subject: order                      # ▶ order, account, listing or post",
            "severity: P2                        # ▶ P1: act within 15 minutes, P2: today, P3: digest only",
            "owner: cre                          # ▶",
        ]
    else:
        detection = mapped.detection
        lines += [
            f"title: {{ja: {_quoted(detection.title.ja)}, en: {_quoted(detection.title.en)}}}",
            "source: market",
            f"subject: {detection.subject}",
            f"severity: {detection.severity}",
            f"owner: {_quoted(detection.owner)}",
        ]
    lines += [
        f"schedule: {{every: {every}s}}",
        f"window: {int(mapped.detection.window.total_seconds()) if mapped else 86400}s",
        "overlap: 5m",
        "mode: shadow                        # stored and not posted until people trust it",
    ]
    if parameters:
        lines.append("parameters:                         # ▶ their defaults")
        lines += [
            f"  {one}: {{default: {_default(value)}, ja: {_quoted(one)}, en: {_quoted(one)}}}"
            for one, value in parameters.items()
        ]
    if mapped is None:
        lines += [
            "actions: [hold]                     # ▶",
            "evidence: {}                        # ▶ NAME: {ja: …, en: …, type: text | money | count | time, mask: none}",
            "runbook:                            # ▶ two or three steps",
            "  ja: [証拠の列を確認します, 正当な理由がなければ対応します]",
            "  en: [Look at the evidence, Act if there is no good reason]",
            "false_positives:                    # ▶ what looks the same and is harmless",
            "  ja: [Redash では区別していなかったもの]",
            "  en: [What the query in Redash did not tell apart]",
            "daily_cap: 50",
        ]
    else:
        detection = mapped.detection
        lines.append(f"actions: [{', '.join(detection.actions)}]")
        lines.append("evidence:" if detection.evidence else "evidence: {}")
        for column in detection.evidence:
            label = f"ja: {_quoted(column.label.ja)}, en: {_quoted(column.label.en)}"
            lines.append(
                f"  {_evidence_name(column.name)}: {{{label}, type: {column.type}, mask: {column.mask}}}"
            )
        harmless = detection.false_positives
        lines += [
            "runbook:",
            *_both([one.ja for one in detection.runbook], [one.en for one in detection.runbook]),
            "false_positives:" + ("" if harmless else "                    # ▶"),
            *(
                _both([one.ja for one in harmless], [one.en for one in harmless])
                if harmless
                else _both(
                    ["Redash では区別していなかったもの"],
                    ["What the query in Redash did not tell apart"],
                )
            ),
            f"daily_cap: {detection.daily_cap}",
        ]
    return "\n".join([*lines, "*/", ""])


def _both(ja: list[str], en: list[str]) -> list[str]:
    return [
        f"  ja: [{', '.join(_quoted(one) for one in ja)}]",
        f"  en: [{', '.join(_quoted(one) for one in en)}]",
    ]


def _default(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_quoted(str(one)) for one in value) + "]"
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    text = "" if value is None or isinstance(value, dict) else str(value)
    return text if re.fullmatch(r"-?(0|[1-9]\d{0,14})(\.\d{1,9})?", text) else _quoted(text)


def _quoted(text: str) -> str:
    """A text that YAML reads as such, and that does not end the comment that it stands in."""
    return json.dumps(_one_line(text).replace("*/", "* /"), ensure_ascii=False)


def _one_line(text: str) -> str:
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())


def _test(kind: SubjectKind) -> str:
    rows = {
        SubjectKind.ACCOUNT: "accounts:\n      - {account_id: FAR, created_at: 90d ago}",
        SubjectKind.LISTING: "listings:\n      - {listing_id: FAR, created_at: 90d ago}",
        SubjectKind.POST: "posts:\n      - {post_id: FAR, created_at: 90d ago}",
    }.get(kind, "orders:\n      - {order_id: FAR, total_amount: 1000, ordered_at: 90d ago}")
    return (
        "# ▶ Add one that must be found and one that is nearly so. What a row does not say is filled in.\n"
        "- title: What happened long before the window is not found\n"
        f"  rows:\n    {rows}\n  finds: []\n"
    )
