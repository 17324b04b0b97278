"""The security officer's monthly report, and the summary of a case's evidence, as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from typing import Protocol

from bot.cards.answers import tag_words
from bot.cards.progress import operations_of
from bot.cards.wording import (
    action_name,
    actor_name,
    case_name,
    case_title,
    evidence_line,
    finding_title,
    named,
    reason_words,
    status_name,
    subject_id,
    verb_name,
)
from bot.domain.cases import CaseView, OperationState
from bot.domain.text import user_text
from bot.locale import N_, Messages

_ROWS = 40
_REFUSED = {
    "no_role": N_("the role is missing"),
    "own_request": N_("own request"),
    "already_approved": N_("approved already"),
    "cap_reached": N_("over a cap"),
    "over_limit": N_("over the limit of the role"),
    "guest": N_("guest or outsider"),
    "unknown_person": N_("not known"),
    "roles_too_old": N_("roles could not be checked"),
    "not_yet": N_("the role is too new"),
}
_OTHER = N_("another reason")
_UNDER_WAY = N_("under way")
_STATES = {
    OperationState.SUCCEEDED: N_("done"),
    OperationState.FAILED: N_("not done"),
    OperationState.STOPPED: N_("stopped"),
    OperationState.NEEDS_HUMAN: N_("a person must look"),
    OperationState.UNKNOWN: N_("outcome unknown"),
}


class _Counted(Protocol):
    @property
    def who(self) -> str: ...
    @property
    def what(self) -> str: ...
    @property
    def count(self) -> int: ...


class _Pair(Protocol):
    @property
    def requester(self) -> str: ...
    @property
    def approver(self) -> str: ...
    @property
    def count(self) -> int: ...
    @property
    def of(self) -> int: ...
    @property
    def is_fixed(self) -> bool: ...


class _Emergency(Protocol):
    @property
    def case_id(self) -> int: ...
    @property
    def action(self) -> str: ...
    @property
    def by(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def reviewed(self) -> bool: ...


class _Times(Protocol):
    @property
    def count(self) -> int: ...
    @property
    def p50_s(self) -> float | None: ...
    @property
    def quick(self) -> int: ...


class Report(Protocol):
    """What the report is drawn from; the ledger's own value fits."""

    @property
    def since(self) -> datetime: ...
    @property
    def until(self) -> datetime: ...
    @property
    def decisions(self) -> int: ...
    @property
    def alone(self) -> int: ...
    @property
    def approvals(self) -> _Times: ...
    @property
    def pairs(self) -> Sequence[_Pair]: ...
    @property
    def denials(self) -> Sequence[_Counted]: ...
    @property
    def emergencies(self) -> Sequence[_Emergency]: ...
    @property
    def acts(self) -> Sequence[_Counted]: ...
    @property
    def unknown(self) -> int: ...
    @property
    def drifts(self) -> int: ...
    @property
    def entries(self) -> int: ...
    @property
    def head(self) -> tuple[int, str]: ...


def report_markdown(
    report: Report, names: Mapping[str, str], *, messages: Messages, tz: tzinfo
) -> str:
    """The whole report, its sentence first."""
    return "\n".join(_report(report, names, messages, tz)) + "\n"


def _report(
    report: Report, names: Mapping[str, str], messages: Messages, tz: tzinfo
) -> Iterator[str]:
    t, number = messages.t, messages.number

    def who(user_id: str) -> str:
        return cell(actor_name(names.get(user_id, user_id), messages))

    last = report.until - timedelta(minutes=1)
    span = f"{messages.day(report.since, tz)} – {messages.day(last, tz)}"
    yield t("# Security report {span}", span=span)
    yield ""
    yield t(
        "{decisions} decisions, {alone} of them by one person alone; {approvals} approvals.",
        decisions=number(report.decisions),
        alone=number(report.alone),
        approvals=number(report.approvals.count),
    )
    times = report.approvals
    if times.p50_s is not None:
        yield t(
            "From the request to its approval: half within {span}; {quick} sooner than 5 s, which is too"
            " soon to have read it.",
            span=messages.span(timedelta(seconds=times.p50_s), seconds=True),
            quick=number(times.quick),
        )
    yield ""
    yield t("## Fixed pairs")
    fixed = [pair for pair in report.pairs if pair.is_fixed]
    if not fixed:
        yield t("None: nobody's requests are mostly approved by the same person.")
    for pair in fixed[:_ROWS]:
        yield "- " + t(
            "{requester} → {approver}: {count} of {total}",
            requester=who(pair.requester),
            approver=who(pair.approver),
            count=number(pair.count),
            total=number(pair.of),
        )
    yield ""
    yield t("## Refused")
    yield from _table(
        [t("Who"), t("Why"), t("How often")],
        [
            [who(one.who), t(_REFUSED.get(one.what, _OTHER)), number(one.count)]
            for one in report.denials[:_ROWS]
        ],
        messages,
    )
    yield ""
    yield t("## Emergencies let through by one person")
    if not report.emergencies:
        yield t("None.")
    for emergency in report.emergencies[:_ROWS]:
        yield "- " + messages.dots(
            [
                case_name(emergency.case_id),
                action_name(emergency.action, messages),
                who(emergency.by),
                cell(emergency.reason),
                t("reviewed") if emergency.reviewed else t("**not reviewed yet**"),
            ]
        )
    yield ""
    yield t("## Changes of roles, policy and brakes, delegations, exports")
    yield from _table(
        [t("Who"), t("What"), t("How often")],
        [
            [who(one.who), tag_words(one.what, messages), number(one.count)]
            for one in report.acts[:_ROWS]
        ],
        messages,
    )
    yield ""
    yield t("## Operations")
    yield t(
        "{unknown} with an outcome that was unknown for a while; {drifts} on which ledger and marketplace"
        " disagreed.",
        unknown=number(report.unknown),
        drifts=number(report.drifts),
    )
    yield ""
    yield t(
        "{count} entries of the log; the last is {seq}: `{hash}`",
        count=number(report.entries),
        seq=number(report.head[0]),
        hash=report.head[1] or "—",
    )


def pack_markdown(view: CaseView, *, messages: Messages, tz: tzinfo) -> str:
    """The summary of one case: what was found, what was decided by whom, what was carried out."""
    return "\n".join(_pack(view, messages, tz)) + "\n"


def _pack(view: CaseView, messages: Messages, tz: tzinfo) -> Iterator[str]:
    t = messages.t
    yield t(
        "# Evidence of {case}: {title}",
        case=case_name(view.case_id),
        title=cell(case_title(view, messages)),
    )
    yield ""
    yield t("Opened {when}.", when=_full(view.opened_at, tz))
    yield ""
    yield t("## What was found")
    for finding in view.findings:
        line = evidence_line(finding.evidence, messages, tz, limit=20)
        yield f"- {cell(finding_title(finding, messages))} — {cell(line)}"
    yield ""
    yield t("## Whom and what it is about")
    for member in view.members:
        facts = member.facts
        parts = [subject_id(member.subject)]
        if facts.amount is not None:
            parts.append(messages.money(facts.amount, facts.currency))
        if facts.status:
            parts.append(status_name(facts.status, messages))
        if facts.name_masked:
            parts.append(cell(facts.name_masked))
        yield "- " + messages.dots(parts)
    yield ""
    yield t("## What was decided, and carried out")
    for decision in view.decisions:
        reason = reason_words(decision.reason, decision.note, messages)
        yield "- " + messages.dots(
            part
            for part in (
                _full(decision.requested_at, tz),
                cell(named(decision.requested_by, view.names, messages)),
                action_name(decision.action, messages),
                cell(reason) if reason else "",
            )
            if part
        )
        for approval in decision.approvals:
            yield "  - " + t(
                "approved by {name} at {when}",
                name=cell(named(approval.user_id, view.names, messages)),
                when=_full(approval.at, tz),
            )
        for operation in operations_of(view, decision):
            ended = _full(operation.ended_at, tz) if operation.ended_at else "—"
            yield "  - " + messages.dots(
                [
                    verb_name(operation.verb, messages),
                    subject_id(operation.subject),
                    t(_STATES.get(operation.state, _UNDER_WAY)),
                    ended,
                    f"`{operation.operation_id}`",
                ]
            )


def cell(text: str) -> str:
    """Text of people or of the shop within Markdown: one line, nothing of it alive."""
    clean = user_text(text, 300)
    return "".join(f"\\{sign}" if sign in "\\`*_[]<>|#!" else sign for sign in clean)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], messages: Messages) -> Iterator[str]:
    if not rows:
        yield messages.t("None.")
        return
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)


def _full(when: datetime, tz: tzinfo) -> str:
    return f"{when.astimezone(tz):%Y-%m-%d %H:%M:%S %Z}"
