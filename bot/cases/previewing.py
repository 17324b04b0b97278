"""The cases that findings would open, as values: nothing is stored."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from bot.cases.placing import Facts, is_subject, seat_findings, subjects_of
from bot.domain.cases import CaseState, CaseView, Member, MemberFacts
from bot.domain.findings import Finding
from bot.domain.subjects import Subject, SubjectKind


def preview_cases(
    findings: Sequence[Finding], facts: Facts, now: datetime, *, in_channel: bool
) -> list[CaseView]:
    """One open case for findings that share a subject, in the order in which they would open.

    What shares only evidence (a card, a device) is not joined here, as it is when cases are opened.
    """
    together: dict[int, list[Finding]] = {}
    for finding, seat in zip(findings, seat_findings(findings, ()), strict=True):
        together.setdefault(seat, []).append(finding)
    return [
        CaseView(
            case_id=number,
            state=CaseState.OPEN,
            severity=min(finding.severity for finding in own),
            version=1,
            revision=1,
            opened_at=own[0].occurred_at,
            opened_by=None,
            assignee=None,
            closed_at=None,
            closed_by=None,
            dismiss_reason=None,
            updated_by=None,
            updated_at=now,
            members=_members(own, facts),
            findings=tuple(own),
            in_channel=in_channel,
        )
        for number, own in enumerate(together.values(), start=1)
    ]


def _members(findings: Sequence[Finding], facts: Facts) -> tuple[Member, ...]:
    members: dict[Subject, Member] = {}
    for finding in findings:
        for subject in subjects_of(finding):
            if subject not in members:
                members[subject] = Member(
                    subject=subject,
                    is_subject=is_subject(finding, subject),
                    facts=facts.get(subject, MemberFacts()),
                    joined_at=finding.occurred_at,
                )
    # As a case is read: who is judged first, the dearest first.
    return tuple(
        sorted(
            members.values(),
            key=lambda member: (
                not member.is_subject,
                -(member.facts.amount or 0) if member.subject.kind is SubjectKind.ORDER else 0,
                member.subject,
            ),
        )
    )
