"""Answers to the slash command, for the one who asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any, Protocol

from bot.cards.blocks import (
    Block,
    actions,
    button,
    message_text,
    section,
    sections_of,
)
from bot.cards.wording import (
    action_name,
    case_name,
    list_name,
    market_reason,
    mode_name,
    person_name,
    scope_name,
    severity_tag,
    status_name,
    verb_name,
)
from bot.domain.audit import AuditTag
from bot.domain.cases import CaseState, QueueEntry
from bot.domain.findings import Mask
from bot.domain.lists import Hidden, ListEntry, ListKind, Snooze
from bot.domain.masks import mask
from bot.domain.modes import Standing, Trouble
from bot.domain.proposals import Pause, Proposal, ProposalKind, ProposalState
from bot.domain.roles import Delegation
from bot.domain.subjects import Subject
from bot.domain.text import escape, user_text
from bot.domain.verbs import Verb
from bot.locale import N_, Messages

_TITLE = 60
_SECTIONS = 12

_STATES = {
    CaseState.OPEN: N_("open"),
    CaseState.AWAITING_APPROVAL: N_("waiting for approval"),
    CaseState.EXECUTING: N_("under way"),
    CaseState.PARTLY_DONE: N_("not complete"),
    CaseState.DONE: N_("done"),
    CaseState.DISMISSED: N_("not fraud"),
}

_TAGS = {
    AuditTag.CASE_OPENED: N_("case opened by a detection"),
    AuditTag.CASE_OPENED_BY_HAND: N_("case opened by hand"),
    AuditTag.FINDING_JOINED: N_("another finding joined"),
    AuditTag.RING_JOINED: N_("members joined by what they share"),
    AuditTag.RING_TIED: N_("tied to another case of the same ring"),
    AuditTag.FINDING_SUPPRESSED: N_("repeated finding set aside"),
    AuditTag.MEMBER_CHANGED: N_("changed in the marketplace"),
    AuditTag.DECISION_REQUESTED: N_("requested"),
    AuditTag.DECISION_APPROVED: N_("approved"),
    AuditTag.DECISION_REJECTED: N_("rejected"),
    AuditTag.DECISION_EXPIRED: N_("request ran out"),
    AuditTag.CASE_DISMISSED: N_("judged not fraud"),
    AuditTag.DECISION_OVERTURNED: N_("decision overturned"),
    AuditTag.CASE_CLAIMED: N_("case taken or given back"),
    AuditTag.CASE_NOTED: N_("note written"),
    AuditTag.DENIED: N_("refused"),
    AuditTag.OPERATION_SENT: N_("sent to the marketplace"),
    AuditTag.OPERATION_UNKNOWN: N_("result not known yet"),
    AuditTag.OPERATION_ENDED: N_("result recorded"),
    AuditTag.DRIFT_FOUND: N_("ledger and marketplace disagree"),
    AuditTag.OPERATIONS_STOPPED: N_("the rest stopped"),
    AuditTag.OPERATION_BY_HAND: N_("done by hand"),
    AuditTag.DECISION_TAKEN_BACK: N_("decision taken back"),
    AuditTag.CASE_ASKED: N_("customer asked"),
    AuditTag.CASE_ESCALATED: N_("case escalated"),
    AuditTag.CASE_WAIT_OVER: N_("no answer in time"),
    AuditTag.CASE_SETTLED: N_("case settled"),
    AuditTag.DIGEST_POSTED: N_("digest posted"),
    AuditTag.EFFECTS_PAUSED: N_("operations paused"),
    AuditTag.EFFECTS_RESUMED: N_("operations resumed"),
    AuditTag.PROPOSAL_MADE: N_("proposed to others"),
    AuditTag.PROPOSAL_APPROVED: N_("proposal approved"),
    AuditTag.PROPOSAL_REJECTED: N_("proposal rejected"),
    AuditTag.PROPOSAL_EXPIRED: N_("proposal ran out"),
    AuditTag.POLICY_ADOPTED: N_("policy in force"),
    AuditTag.DETECTION_FILES: N_("detections changed"),
    AuditTag.GLASS_BROKEN: N_("let through alone in an emergency"),
    AuditTag.GLASS_REVIEWED: N_("emergency reviewed"),
    AuditTag.DELEGATED: N_("a stand-in named"),
    AuditTag.DELEGATION_ENDED: N_("stand-in ended"),
    AuditTag.LIST_ADDED: N_("put on a list"),
    AuditTag.LIST_REMOVED: N_("taken off a list"),
    AuditTag.DETECTION_SNOOZED: N_("detection snoozed"),
    AuditTag.REQUEST_REMINDED: N_("approvers reminded"),
    AuditTag.REQUEST_ESCALATED: N_("others called in"),
    AuditTag.HOLD_WARNED: N_("reminded of the end of the hold"),
    AuditTag.HOLD_EXTENDED: N_("hold extended"),
    AuditTag.HOLD_ENDED: N_("hold ran out"),
    AuditTag.NIGHT_HELD: N_("held outside staffed hours"),
    AuditTag.NIGHT_NOT_HELD: N_("left unheld outside staffed hours"),
    AuditTag.SHIFT_TOLD: N_("shift summary posted"),
    AuditTag.MODE_SET: N_("mode of a detection changed"),
    AuditTag.MODE_LOWERED: N_("detection trusted less"),
    AuditTag.BASELINE_TAKEN: N_("baseline of a detection stored"),
    AuditTag.TROUBLE_BEGAN: N_("trouble with a detection"),
    AuditTag.TROUBLE_ENDED: N_("detection recovered"),
    AuditTag.AUTOMATIC_HELD: N_("held automatically"),
    AuditTag.AUTOMATIC_LEFT: N_("not held automatically"),
    AuditTag.AUTOMATIC_DECIDED: N_("final step taken automatically"),
    AuditTag.AUTOMATIC_KEPT: N_("automatic final step stopped"),
    AuditTag.STEP_UP_ASKED: N_("asked to sign in"),
    AuditTag.STEP_UP_SIGNED_IN: N_("signed in to approve"),
    AuditTag.STEP_UP_REFUSED: N_("sign-in not accepted"),
    AuditTag.ROLES_CHANGED: N_("roles changed"),
    AuditTag.SUBJECT_ERASED: N_("personal data erased"),
    AuditTag.EVIDENCE_PACKED: N_("evidence of the case exported"),
    AuditTag.AUDIT_EXPORTED: N_("audit log exported"),
    AuditTag.LEDGER_STARTED: N_("process started"),
}


_RULES = 12
_TROUBLES = {
    Trouble.FAILING: N_("fails"),
    Trouble.SLOW: N_("slow"),
    Trouble.SILENT: N_("silent"),
}


class TrailLine(Protocol):
    """One line of the audit log."""

    @property
    def seq(self) -> int: ...
    @property
    def at(self) -> datetime: ...
    @property
    def actor(self) -> str: ...
    @property
    def tag(self) -> str: ...
    @property
    def case_id(self) -> int | None: ...
    @property
    def subject_id(self) -> str | None: ...
    @property
    def details(self) -> Mapping[str, Any]: ...
    @property
    def private(self) -> Mapping[str, str]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one person is answered."""

    text: str
    blocks: Sequence[Block] = ()


def help_answer(entries: Sequence[tuple[str, str, str]], *, messages: Messages) -> Answer:
    """Every subcommand with one line: name, argument, description (a catalogue key)."""
    lines = [
        f"/cre {name}{' ' + argument if argument else ''} — {messages.t(description)}"
        for name, argument, description in entries
    ]
    return _answer(messages.t("What you can ask for:"), lines)


def paused(pause: Pause, *, messages: Messages, tz: tzinfo) -> Answer:
    """Somebody pulled a brake."""
    line = messages.t(
        "Paused: {what}, since {when}. Nothing of it is carried out until two people resume it (`/cre resume`).",
        what=scope_name(pause.name, messages),
        when=messages.clock_time(pause.at, tz),
    )
    return Answer(text=escape(line))


def proposal_answered(proposal: Proposal, missing: int, *, messages: Messages) -> str:
    """What one's own answer to a proposal led to."""
    if proposal.state is ProposalState.REJECTED and proposal.kind is not ProposalKind.REVIEW:
        return messages.t("Turned down. Nothing changes.")
    if missing:
        return messages.n(
            "Recorded. {count} more person must approve it, with the button of the message.",
            "Recorded. {count} more people must approve it, with the button of the message.",
            missing,
        )
    if proposal.kind is ProposalKind.RESUME:
        return messages.t("Resumed. What waited is carried out now.")
    return messages.t("Recorded. Thank you.")


def unknown_command(name: str, near: str | None, *, messages: Messages) -> str:
    """Somebody mistyped a subcommand."""
    asked = escape(name, 40)
    if near is not None:
        return messages.t(
            "There is no “{name}”. Did you mean `/cre {near}`?", name=asked, near=escape(near, 40)
        )
    return messages.t("There is no “{name}”. `/cre help` shows what there is.", name=asked)


def missing_argument(name: str, argument: str, *, messages: Messages) -> str:
    """Somebody left out what a subcommand is about."""
    return messages.t(
        "Please say which one: `/cre {name} {argument}`", name=name, argument=argument
    )


def no_such_day(asked: str, *, messages: Messages) -> Answer:
    """Somebody asked for the digest of something that is no day, or none yet."""
    told = messages.t(
        "“{day}” is no past day. Please write it like 2026-11-22.", day=escape(asked, 40)
    )
    return Answer(text=told)


def case_opened(case_id: int, *, messages: Messages, permalink: str | None = None) -> Answer:
    """The case that a command found or opened, with a link to its card where one stands."""
    if permalink is not None and permalink.startswith("https://") and "|" not in permalink:
        card = f"<{escape_url(permalink)}|{case_name(case_id)}>"
    else:
        card = case_name(case_id)
    return Answer(text=messages.t("This is case {case}.", case=card))


def claimed(case_id: int, *, given_up: bool, messages: Messages) -> str:
    """What a claim led to."""
    if given_up:
        return messages.t("You do not look after case {case} any more.", case=case_name(case_id))
    return messages.t("You look after case {case} now.", case=case_name(case_id))


def rest_stopped(case_id: int, *, messages: Messages) -> str:
    return messages.t(
        "{case}: what was not sent yet is stopped; what is under way finishes.",
        case=case_name(case_id),
    )


def next_case(
    case_id: int, card_text: str, blocks: Sequence[Block], *, messages: Messages
) -> Answer:
    """The next case, with its own buttons, for the one who took it."""
    head = messages.t("You look after case {case} now.", case=case_name(case_id))
    return Answer(text=message_text([head]) + "\n" + card_text, blocks=[section(head), *blocks])


def pressed(
    name: str,
    case_id: int,
    *,
    waits: bool,
    starts_at: datetime | None,
    messages: Messages,
    tz: tzinfo,
) -> Answer:
    """What a press led to, and the way to the next case.

    Args:
        waits: another person must approve.
        starts_at: until then it can be taken back.
    """
    action = action_name(name, messages)
    case = case_name(case_id)
    if waits:
        told = messages.t(
            "{case}: {action} waits for another person now.", case=case, action=action
        )
    elif starts_at is not None:
        when = messages.clock_time(starts_at, tz)
        told = messages.t(
            "{case}: {action} starts at {when}; until then it can be taken back on the card.",
            case=case,
            action=action,
            when=when,
        )
    else:
        told = messages.t("{case}: {action} is recorded.", case=case, action=action)
    return Answer(
        text=message_text([told]),
        blocks=[section(told), actions([next_button(messages)], block_id="queue:next")],
    )


def next_button(messages: Messages) -> Block:
    """Takes the most urgent and dearest free case; carries nothing, since the ledger knows which."""
    return button(messages.t("Next case"), action_id="act:next", value="-")


def escape_url(url: str) -> str:
    """An address inside of <…>."""
    return url.replace("&", "&amp;").replace("<", "%3C").replace(">", "%3E")


def queue_answer(
    entries: Sequence[QueueEntry],
    *,
    now: datetime,
    messages: Messages,
    names: Mapping[str, str] | None = None,
) -> Answer:
    """Open cases in the order that the ledger gives: the most urgent and dearest first."""
    if not entries:
        return Answer(text=messages.t("No case is open."))
    head = messages.n(
        "{count} open case, the most urgent first:",
        "{count} open cases, the most urgent first:",
        len(entries),
    )
    return _answer(head, [queue_line(entry, now, messages, names or {}) for entry in entries])


def queue_line(
    entry: QueueEntry, now: datetime, messages: Messages, names: Mapping[str, str]
) -> str:
    """One open case in one line."""
    mark, tag = severity_tag(entry.severity, messages)
    title = user_text(messages.pick(entry.title_ja, entry.title_en), _TITLE)
    parts = [
        f"{mark} {tag} {case_name(entry.case_id)} {title or messages.t('Case opened by hand')}"
    ]
    if entry.amounts:
        parts.append(messages.monies([(amount, code) for amount, code in entry.amounts][:2]))
    if entry.probability is not None:
        percent = messages.number(round(100 * entry.probability))
        parts.append(messages.t("{percent} % likely fraud", percent=percent))
    if entry.deadline is not None:
        left = entry.deadline - now
        parts.append(
            messages.t("ships in {span}", span=messages.span(left))
            if left > timedelta(0)
            else messages.t("shipping deadline has passed")
        )
    if entry.waits:
        parts.append(messages.t("waits for an answer"))
    if entry.state is not CaseState.OPEN:
        parts.append(messages.t(_STATES[entry.state]))
    parts.append(
        messages.t("looked after by: {name}", name=person_name(entry.assignee, names, messages))
        if entry.assignee
        else messages.t("looked after by: {name}", name=messages.t("nobody yet"))
    )
    return messages.dots(parts)


def tag_words(tag: str, messages: Messages) -> str:
    """What a tag of the log stands for; one that is no more stands as it is."""
    known = _TAGS.get(AuditTag(tag)) if tag in set(AuditTag) else None
    return messages.t(known) if known else tag


def audit_answer(
    name: str,
    trail: Sequence[TrailLine],
    *,
    messages: Messages,
    tz: tzinfo,
    names: Mapping[str, str] | None = None,
) -> Answer:
    """What the log says about a case or a subject, the newest first."""
    about = user_text(name, 60)
    if not trail:
        text = messages.t("The log has nothing about {id}.", id=about)
        return Answer(text=message_text([text]), blocks=[section(text)])
    head = messages.t("What happened with {id}, the newest first:", id=about)
    return _answer(head, [_trail_line(line, messages, tz, names or {}) for line in trail])


def _trail_line(line: TrailLine, messages: Messages, tz: tzinfo, names: Mapping[str, str]) -> str:
    try:
        what = messages.t(_TAGS[AuditTag(line.tag)])
    except ValueError:
        what = user_text(line.tag, 60)
    parts = [messages.moment(line.at, tz), _actor(line.actor, messages, names), what]
    parts += _details(line.details, line.private, messages)
    if line.subject_id:
        parts.append(user_text(line.subject_id, 60))
    if line.case_id is not None:
        parts.append(case_name(line.case_id))
    return messages.dots(parts)


def _actor(actor: str, messages: Messages, names: Mapping[str, str]) -> str:
    if actor == "system":
        return messages.t("automatically")
    if actor.startswith("detection:"):
        return user_text(actor.removeprefix("detection:"), 60)
    return person_name(actor, names, messages)


def _details(
    details: Mapping[str, Any], private: Mapping[str, str], messages: Messages
) -> list[str]:
    """Of what an entry holds, that which a person asks for; the export has everything."""
    told = []
    if action := details.get("action"):
        told.append(action_name(str(action), messages))
    if verb := details.get("verb"):
        known = verb in set(Verb)
        told.append(verb_name(Verb(verb), messages) if known else user_text(str(verb), 40))
    if reason := details.get("reason"):
        told.append(
            messages.t("Reason: {reason}", reason=user_text(messages.word(str(reason)), 150))
        )
    for name, written in private.items():
        words = user_text(written, 150)
        told.append(messages.t("Reason: {reason}", reason=words) if name == "reason" else words)
    if status := details.get("status"):
        told.append(status_name(str(status), messages))
    if (code := details.get("code")) and "verb" in details:
        told.append(market_reason(str(code), None, messages))
    return told


def _answer(head: str, lines: Sequence[str]) -> Answer:
    return Answer(
        text=message_text([head, *lines]),
        blocks=[section(head), *sections_of(lines, _SECTIONS)],
    )


def rules_answer(found: Sequence[Standing], *, page: int, messages: Messages, tz: tzinfo) -> Answer:
    """The detections, those with trouble first, a page at a time."""
    if not found:
        return Answer(text=messages.t("There is no detection."))
    pages = -(-len(found) // _RULES)
    page = min(max(page, 1), pages)
    head = messages.n("{count} detection", "{count} detections", len(found))
    if pages > 1:
        where = messages.t("page {page} of {pages}", page=page, pages=pages)
        head = messages.dots([head, where])
    shown = found[(page - 1) * _RULES : page * _RULES]
    lines = [_rule_line(one, messages, tz) for one in shown]
    if page < pages:
        lines.append(messages.t("More: `/cre rules {page}`", page=page + 1))
    return _answer(head, lines)


def _rule_line(one: Standing, messages: Messages, tz: tzinfo) -> str:
    title = user_text(messages.pick(one.title_ja, one.title_en) or one.name, _TITLE)
    parts = [
        messages.t("{title} ({name})", title=title, name=user_text(one.name, 64)),
        one.severity,
        messages.t(
            "{mode} since {when}",
            mode=mode_name(one.mode, messages),
            when=messages.day(one.row.since, tz),
        )
        if one.row is not None
        else mode_name(one.mode, messages),
        messages.n("{count} found in 7 days", "{count} found in 7 days", one.week.findings),
    ]
    if one.precise.precision is not None:
        parts.append(
            messages.t(
                "right in {percent} % of {count} decided in {days} days",
                percent=messages.number(round(100 * one.precise.precision)),
                count=messages.number(one.precise.decided),
                days=messages.number(one.precise.days),
            )
        )
    else:
        parts.append(messages.t("nothing decided yet"))
    if one.overturned:
        parts.append(
            messages.n(
                "{count} decision overturned", "{count} decisions overturned", one.overturned
            )
        )
    if one.chargebacks or one.warned:
        parts.append(
            messages.t(
                "warned of {warned} of {count} chargebacks before they came",
                warned=messages.number(one.warned),
                count=messages.number(one.chargebacks or one.warned),
            )
            if one.chargebacks
            else messages.n(
                "warned of {count} chargeback before it came",
                "warned of {count} chargebacks before they came",
                one.warned,
            )
        )
    parts.append(
        messages.t("last good run {when}", when=messages.moment(one.last_good_at, tz))
        if one.last_good_at is not None
        else messages.t("no good run yet")
    )
    parts += [messages.t(_TROUBLES[trouble]) for trouble in one.troubles]
    if one.last_error:
        parts.append(messages.t("last error: {error}", error=user_text(one.last_error, 160)))
    return messages.dots(parts)


def mode_usage(name: str, *, messages: Messages) -> Answer:
    """Somebody left out the mode of a detection, or wrote one that there is not."""
    told = messages.t(
        "Please say which mode, and why: `/cre rules {name} shadow`, `review` or `automatic`, then the reason.",
        name=escape(name, 64),
    )
    return Answer(text=told)


def delegations(
    found: Sequence[Delegation], names: Mapping[str, str], *, messages: Messages, tz: tzinfo
) -> Answer:
    """Who stands in for whom, and until when."""
    if not found:
        return Answer(text=messages.t("Nobody stands in for anybody now."))
    lines = [
        messages.t(
            "{person} stands in for {other}: {days}",
            person=escape(names.get(one.to_user, one.to_user)),
            other=escape(names.get(one.from_user, one.from_user)),
            days=" – ".join(
                dict.fromkeys(
                    messages.day(when, tz)
                    for when in (one.starts_at, one.ends_at - timedelta(minutes=1))
                )
            ),
        )
        for one in found
    ]
    return Answer(text="\n".join(lines))


def lists_answer(
    total: int, found: Sequence[ListEntry], *, messages: Messages, tz: tzinfo
) -> Answer:
    """What is on the lists, what ends first on top."""
    if not found:
        return Answer(text=messages.t("The lists are empty."))
    head = messages.n("{count} entry", "{count} entries", total)
    if total > len(found):
        first = messages.t("the {count} that end first", count=messages.number(len(found)))
        head = messages.dots([head, first])
    return _answer(head, [_entry_line(entry, messages, tz) for entry in found])


def list_entry_added(entry: ListEntry, *, messages: Messages, tz: tzinfo) -> Answer:
    """What stands where now, and until when."""
    return Answer(text=messages.t("Listed: {entry}", entry=_entry_line(entry, messages, tz)))


def list_entry_gone(entry: ListEntry, *, messages: Messages) -> Answer:
    """What stands on no list any more."""
    told = messages.t(
        "Taken off: {value} ({list})",
        value=user_text(entry.value, 120),
        list=list_name(entry.list, messages),
    )
    return Answer(text=told)


def _entry_line(entry: ListEntry, messages: Messages, tz: tzinfo) -> str:
    # An address is somebody's home: who needs it whole finds it in the marketplace.
    value = mask(entry.value, Mask.ADDRESS) if entry.kind is ListKind.ADDRESS else entry.value
    return messages.dots(
        [
            list_name(entry.list, messages),
            user_text(value, 120),
            messages.t("until {when}", when=messages.day(entry.expires_at, tz)),
            user_text(entry.reason, 120),
            user_text(entry.owner_name or entry.owner, 60),
        ]
    )


def snooze_preview(
    detection: str, subject: Subject, days: int, hidden: Hidden, *, messages: Messages
) -> Answer:
    """What a snooze would have hidden, before anybody makes it."""
    told = messages.t(
        "In the last {days} days this would have hidden: findings {findings}, cases {cases}, of them called"
        " fraud {fraud}. To snooze: `/cre snooze {detection} {subject} {days}d reason`",
        days=days,
        findings=messages.number(hidden.findings),
        cases=messages.number(hidden.cases),
        fraud=messages.number(hidden.fraud),
        detection=escape(detection, 64),
        subject=escape(f"{subject.kind}:{subject.id}", 220),
    )
    return Answer(text=told)


def snoozed(made: Snooze, *, messages: Messages, tz: tzinfo) -> Answer:
    """Until when a detection is quiet about whom."""
    told = messages.t(
        "{detection} is quiet about {subject} until {when}. What it finds is stored.",
        detection=escape(made.detection, 64),
        subject=escape(made.subject.id, 200),
        when=messages.day(made.until, tz),
    )
    return Answer(text=told)


def delegation_ended(count: int, *, messages: Messages) -> Answer:
    return Answer(
        text=messages.n(
            "You are back: {count} delegation has ended.",
            "You are back: {count} delegations have ended.",
            count,
        )
    )
