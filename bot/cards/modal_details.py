"""The details of a case: findings with their evidence, every member, what was decided and done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, tzinfo

from bot.cards.blocks import Block, divider, header, section, sections_of
from bot.cards.modal_frames import case_line, modal
from bot.cards.plan_words import step_words
from bot.cards.ring_lines import linked_by, ring_line, tied_line
from bot.cards.wording import (
    account_kind,
    action_name,
    approver_name,
    count_of,
    evidence_value,
    failed_line,
    finding_title,
    members_of,
    named,
    person_name,
    post_words,
    ranked_findings,
    reason_words,
    severity_tag,
    status_words,
    subject_id,
    verb_name,
)
from bot.domain.cases import CaseView, Decision, DecisionState, Member, Operation, OperationState
from bot.domain.findings import Finding
from bot.domain.subjects import SubjectKind
from bot.domain.text import user_text
from bot.locale import N_, Messages

_FINDINGS = 12
_IDS = 8
_MEMBER_SECTIONS = 14
_HISTORY_SECTIONS = 12

_OPERATION_STATES = {
    OperationState.QUEUED: N_("waiting"),
    OperationState.EXECUTING: N_("under way"),
    OperationState.PENDING: N_("accepted, outcome to come"),
    OperationState.UNKNOWN: N_("being checked"),
    OperationState.SUCCEEDED: N_("done"),
    OperationState.FAILED: N_("failed"),
    OperationState.NEEDS_HUMAN: N_("to be checked by hand"),
    OperationState.STOPPED: N_("stopped"),
}

_DECISION_STATES = {
    DecisionState.AWAITING_APPROVAL: N_("waiting for approval"),
    DecisionState.APPROVED: N_("decided"),
    DecisionState.REJECTED: N_("rejected"),
    DecisionState.EXPIRED: N_("not approved in time"),
    DecisionState.SUPERSEDED: N_("superseded"),
    DecisionState.TAKEN_BACK: N_("taken back"),
}


def details_modal(
    view: CaseView,
    *,
    now: datetime,
    messages: Messages,
    tz: tzinfo,
    runbook: Sequence[str] = (),
    false_positives: Sequence[str] = (),
) -> Block:
    """One case, whole; what does not fit Slack's limits is counted.

    Args:
        runbook: the steps to take, from the detections, in the reader's language.
        false_positives: what looks the same and is harmless, likewise.
    """
    findings = _alike(ranked_findings(view))
    blocks: list[Block] = [
        case_line(view, messages),
        *(section("\n".join(_findings_of(same, messages, tz))) for same in findings[:_FINDINGS]),
    ]
    if len(findings) > _FINDINGS:
        left = sum(len(same) for same in findings[_FINDINGS:])
        blocks.append(section(messages.n("and {count} more", "and {count} more", left)))
    for head, steps in (
        (messages.t("What to do"), runbook),
        (messages.t("What looks the same and is harmless"), false_positives),
    ):
        if steps:
            lines = [f"{n}. {user_text(step, 500)}" for n, step in enumerate(steps, 1)]
            blocks += [header(head), *sections_of(lines, 2)]
    joined = [line for line in (ring_line(view, messages), tied_line(view, messages)) if line]
    if joined:
        blocks.append(section("\n".join(joined)))
    for kind in SubjectKind:
        members = members_of(view, kind)
        if members:
            lines = [_member(view, member, messages, tz, now) for member in members]
            blocks += [header(count_of(kind, len(members), messages)), *_fitting(lines, messages)]
    history = list(_history(view, messages, tz))
    if history:
        blocks += [
            divider(),
            header(messages.t("What was decided and done")),
            *sections_of(history, _HISTORY_SECTIONS),
        ]
    if view.notes:
        blocks += [header(messages.t("Notes")), *sections_of(list(_notes(view, messages, tz)), 4)]
    return modal("details", blocks, messages=messages)


def _notes(view: CaseView, messages: Messages, tz: tzinfo) -> Iterator[str]:
    """The newest of what people wrote in the thread."""
    older = view.note_count - len(view.notes)
    if older > 0:
        yield messages.n(
            "{count} older note in the thread", "{count} older notes in the thread", older
        )
    for note in view.notes:
        yield messages.dots(
            [
                messages.moment(note.at, tz),
                named(note.author, view.names, messages),
                user_text(note.body, 500),
            ]
        )


def _fitting(lines: list[str], messages: Messages) -> list[Block]:
    """As many lines as the sections hold, and how many are left."""
    for keep in range(len(lines), 0, -10):
        made = sections_of(lines[:keep], _MEMBER_SECTIONS + 1)
        if len(made) <= _MEMBER_SECTIONS:
            left = len(lines) - keep
            rest = (
                [section(messages.n("and {count} more", "and {count} more", left))] if left else []
            )
            return [*made, *rest]
    return []


def _alike(findings: Sequence[Finding]) -> list[list[Finding]]:
    """The findings of one detection with the same evidence, together."""
    groups: dict[tuple[object, ...], list[Finding]] = {}
    for finding in findings:
        key = (finding.detection, finding.severity, *finding.evidence)
        groups.setdefault(key, []).append(finding)
    return list(groups.values())


def _findings_of(same: Sequence[Finding], messages: Messages, tz: tzinfo) -> Iterator[str]:
    finding = same[0]
    mark, tag = severity_tag(finding.severity, messages)
    when = messages.moment(finding.occurred_at, tz)
    ids = [subject_id(one.subject) for one in same[:_IDS]]
    if len(same) > _IDS:
        ids.append(messages.n("and {count} more", "and {count} more", len(same) - _IDS))
    title = f"{finding_title(finding, messages)} — {messages.series(ids)}"
    told = messages.dots([title, when])
    yield f"{mark}{tag}{told}" if messages.locale == "ja" else f"{mark} {tag} {told}"
    for item in finding.evidence[:12]:
        label = user_text(messages.pick(item.label_ja, item.label_en), 40)
        yield f"・{label}: {evidence_value(item, messages, tz)}"


def _member(view: CaseView, member: Member, messages: Messages, tz: tzinfo, now: datetime) -> str:
    facts = member.facts
    parts = [subject_id(member.subject)]
    if member.subject.kind is SubjectKind.POST:
        parts.append(post_words(facts, messages))
    elif facts.name_masked:
        parts.append(user_text(facts.name_masked, 30))
    if member.subject.kind is not SubjectKind.ACCOUNT and facts.amount is not None:
        parts.append(messages.money(facts.amount, facts.currency))
    kind = account_kind(facts, messages) if member.subject.kind is SubjectKind.ACCOUNT else ""
    parts += [part for part in (kind, status_words(facts, messages)) if part]
    if facts.ship_due_at is not None and facts.shipped_at is None and facts.canceled_at is None:
        when = messages.moment(facts.ship_due_at, tz, now)
        parts.append(messages.t("ship by {when}", when=when))
    links = linked_by(view, member.subject, messages)
    if links:
        parts.append(messages.t("in common: {kinds}", kinds=links))
    elif not member.is_subject:
        parts.append(messages.t("linked"))
    return messages.dots(parts)


def _history(view: CaseView, messages: Messages, tz: tzinfo) -> Iterator[str]:
    for decision in view.decisions:
        yield _decided(view, decision, messages, tz)
        for operation in view.operations:
            if operation.decision_id == decision.decision_id:
                yield f"・{_operation(operation, messages)}"


def _decided(view: CaseView, decision: Decision, messages: Messages, tz: tzinfo) -> str:
    parts = [
        messages.moment(decision.requested_at, tz),
        named(decision.requested_by, view.names, messages),
        action_name(decision.action, messages),
        messages.t(_DECISION_STATES[decision.state]),
    ]
    if decision.approvals:
        who = messages.all_of(approver_name(a, view.names, messages) for a in decision.approvals)
        parts.append(messages.t("approved by {name}", name=who))
    if decision.taken_back_by is not None:
        who = person_name(decision.taken_back_by, view.names, messages)
        parts.append(messages.t("taken back by {name}", name=who))
    if decision.rejected_by is not None:
        who = person_name(decision.rejected_by, view.names, messages)
        parts.append(messages.t("rejected by {name}", name=who))
    reason = reason_words(decision.rejected_reason or decision.reason, decision.note, messages)
    if reason:
        parts.append(messages.t("Reason: {reason}", reason=reason))
    return messages.dots(parts)


def _operation(operation: Operation, messages: Messages) -> str:
    if operation.state in {
        OperationState.FAILED,
        OperationState.NEEDS_HUMAN,
        OperationState.STOPPED,
    }:
        line = failed_line(operation, messages)
    else:
        line = messages.t(
            "{id}: {verb}, {state}",
            id=subject_id(operation.subject),
            verb=verb_name(operation.verb, messages),
            state=messages.t(_OPERATION_STATES[operation.state]),
        )
    steps = step_words(operation.steps, messages, operation.currency)
    return messages.t("{what} ({more})", what=line, more=steps) if steps else line
