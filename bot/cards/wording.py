"""The words that cards, modals and threads share: counts, states, market answers, names."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime, tzinfo

from bot.actions import registry
from bot.domain.actions import Action
from bot.domain.cases import Approval, CaseView, Member, MemberFacts, Operation, OperationState
from bot.domain.findings import Evidence, EvidenceType, Finding, Severity
from bot.domain.proposals import ALL
from bot.domain.subjects import Subject, SubjectKind
from bot.domain.text import user_text
from bot.domain.verbs import VERB_SUBJECT, Verb
from bot.locale import N_, Messages

_GROUP = re.compile(r"[A-Z0-9]{2,30}")
ID = 60
NAME = 40
TITLE = 80

_SEVERITIES = {
    Severity.P1: ("🔴", N_("[Urgent]")),
    Severity.P2: ("🟡", N_("[Today]")),
    Severity.P3: ("⚪", N_("[For information]")),
}

ROLES = {
    "viewer": N_("viewer"),
    "agent": N_("support agent"),
    "approver": N_("approver"),
    "engineer": N_("engineer"),
    "accountant": N_("accountant"),
    "admin": N_("administrator"),
    "break_glass": N_("emergency"),
}

_NO_PERSON: Mapping[str | None, str] = {
    "cli": N_("the command line"),
    "env": N_("a setting at the start"),
    "file": N_("the policy's file"),
    "system": N_("the bot itself"),
}

_DETECTION = N_("a detection by itself")

STEPS = {
    "pause": N_("Pausing"),
    "resume": N_("Resuming"),
    "policy": N_("Changing the policy"),
    "review": N_("Reviewing an emergency"),
    "break_glass": N_("Letting it through alone"),
    "approve": N_("Approving"),
    "reject": N_("Rejecting"),
    "dismiss": N_("Marking as not fraud"),
    "claim": N_("Taking a case"),
    "details": N_("Seeing cases"),
    "queue": N_("Seeing the queue"),
    "audit": N_("Seeing the audit log"),
    "stop_rest": N_("Stopping operations"),
    "take_back": N_("Taking a decision back"),
    "consult": N_("Asking the customer or escalating"),
    "by_hand": N_("Recording what was done by hand"),
    "delegate": N_("Letting somebody stand in"),
    "extend_hold": N_("Extending a hold"),
    "mode": N_("Changing the mode of a detection"),
    "keep": N_("Stopping an automatic final step"),
    "rules": N_("Seeing the detections"),
    "overturn": N_("Overturning a decision"),
}

MODES = {
    "shadow": N_("shadow"),
    "review": N_("review"),
    "automatic": N_("automatic"),
}
"""How far a detection is trusted."""

_STATUSES = {
    "pending": N_("awaiting payment"),
    "paid": N_("paid"),
    "shipped": N_("shipped"),
    "delivered": N_("delivered"),
    "completed": N_("completed"),
    "canceled": N_("cancelled"),
    "active": N_("active"),
    "suspended": N_("suspended"),
    "closed": N_("closed"),
    "sold": N_("sold"),
    "hidden": N_("hidden"),
    "removed": N_("removed"),
}

_POSTS = {
    "profile": N_("profile"),
    "comment": N_("comment"),
    "message": N_("message"),
    "review": N_("review"),
}

_VERB_DONE = {
    Verb.HOLD: N_("{what} held"),
    Verb.RELEASE: N_("{what} released"),
    Verb.CANCEL: N_("{what} force-cancelled"),
    Verb.REFUND: N_("{what} refunded"),
    Verb.SUSPEND: N_("{what} suspended"),
    Verb.REINSTATE: N_("{what} reinstated"),
    Verb.WARN: N_("{what} warned"),
    Verb.TAKEDOWN: N_("{what} taken down"),
    Verb.RESTORE: N_("{what} restored"),
    Verb.REMOVE_POST: N_("{what} removed"),
    Verb.RESTORE_POST: N_("{what} shown again"),
    Verb.REMOVE_FOLLOWS: N_("Follows of {what} removed"),
}

_VERB_NAMES = {
    Verb.HOLD: N_("hold"),
    Verb.RELEASE: N_("release"),
    Verb.CANCEL: N_("forced cancel"),
    Verb.REFUND: N_("refund"),
    Verb.SUSPEND: N_("suspension"),
    Verb.REINSTATE: N_("lifting the suspension"),
    Verb.WARN: N_("warning"),
    Verb.TAKEDOWN: N_("takedown"),
    Verb.RESTORE: N_("restoring the listing"),
    Verb.REMOVE_POST: N_("removing the post"),
    Verb.RESTORE_POST: N_("restoring the post"),
    Verb.REMOVE_FOLLOWS: N_("removing follows"),
}

# What the market contract names, and what adopters commonly add; any other code is shown with its own words.
_MARKET_CODES = {
    "already_shipped": N_("it has been shipped already"),
    "already_canceled": N_("it is cancelled already"),
    "already_cancelled": N_("it is cancelled already"),
    "already_refunded": N_("it has been refunded already"),
    "already_held": N_("it is held already"),
    "not_held": N_("it is not held"),
    "already_suspended": N_("it is suspended already"),
    "not_suspended": N_("it is not suspended"),
    "account_closed": N_("the account is closed"),
    "already_removed": N_("it is removed already"),
    "amount_exceeds_paid": N_("the amount is more than what was paid"),
    "state_changed": N_("it changed after it was shown"),
    "not_done_by_hand": N_("it was not done by hand"),
    "not_found": N_("the marketplace does not know it"),
    "not_offered": N_("the marketplace cannot do it in this way"),
    "outcome_unknown": N_("the marketplace did not say whether it was done; please check there"),
    "partly_succeeded": N_("some of its steps failed; please check in the marketplace"),
}

HOPELESS = frozenset(_MARKET_CODES) - {"state_changed"}
"""Answers after which trying again cannot help."""


def severity_tag(severity: Severity, messages: Messages) -> tuple[str, str]:
    """A mark and the words that say the same."""
    mark, words = _SEVERITIES[severity]
    return mark, messages.t(words)


def person_name(user_id: str | None, names: Mapping[str, str], messages: Messages) -> str:
    """A display name as text, never a mention."""
    if user_id is None:
        return messages.t("somebody")
    nobody = _no_person(user_id)
    if nobody is not None:
        return messages.t(nobody)
    return user_text(names.get(user_id) or user_id, NAME)


def _no_person(by: str | None) -> str | None:
    """What did something that was no person; None: somebody did."""
    if by is not None and by.startswith("detection:"):
        return _DETECTION
    return _NO_PERSON.get(by)


def named(user_id: str | None, names: Mapping[str, str], messages: Messages) -> str:
    """A person as the subject of a sentence, with the form of address that the language asks for."""
    if user_id is None:
        return messages.t("somebody")
    nobody = _no_person(user_id)
    if nobody is not None:
        return messages.t(nobody)
    return address(names.get(user_id) or user_id, messages)


def address(name: str | None, messages: Messages) -> str:
    """A display name with its form of address."""
    if not name:
        return messages.t("somebody")
    # Japanese adds さん here.
    return messages.t("{name}", name=user_text(name, NAME))


def actor_name(by: str | None, messages: Messages) -> str:
    """A display name, or what is no person: the command line, a setting, the policy's file."""
    nobody = _no_person(by)
    return address(by, messages) if nobody is None else messages.t(nobody)


def mode_name(mode: str | None, messages: Messages) -> str:
    return messages.t(MODES[mode]) if mode in MODES else "—"


LISTS = {
    "allow": N_("allow list"),
    "deny": N_("deny list"),
    "watch": N_("watch list"),
}


def list_name(name: str | None, messages: Messages) -> str:
    return messages.t(LISTS[name]) if name in LISTS else "—"


def scope_name(action: str | None, messages: Messages) -> str:
    """What a brake stops: everything, or one action."""
    return messages.t("all operations") if action == ALL else action_name(action, messages)


def mention_groups(group_ids: Iterable[str]) -> str:
    """User groups as live mentions: the only ones that we write, for those who must act."""
    return " ".join(f"<!subteam^{id_}>" for id_ in group_ids if _GROUP.fullmatch(id_))


def mention_person(user_id: str | None) -> str:
    """A person as a live mention, for the one who must act."""
    return f"<@{user_id}>" if user_id and _GROUP.fullmatch(user_id) else ""


def subject_id(subject: Subject) -> str:
    return user_text(subject.id, ID)


def count_of(kind: SubjectKind, count: int, messages: Messages) -> str:
    """How many orders, accounts or listings."""
    match kind:
        case SubjectKind.ORDER:
            return messages.n("{count} order", "{count} orders", count)
        case SubjectKind.ACCOUNT:
            return messages.n("{count} account", "{count} accounts", count)
        case SubjectKind.LISTING:
            return messages.n("{count} listing", "{count} listings", count)
        case SubjectKind.POST:
            return messages.n("{count} post", "{count} posts", count)
        case SubjectKind.DETECTION:
            return messages.n("{count} detection", "{count} detections", count)


def counts_of(targets: Iterable[tuple[Verb, Subject]]) -> dict[Verb, int]:
    """How many subjects each verb acts on."""
    counts: dict[Verb, int] = {}
    for verb, _ in targets:
        counts[verb] = counts.get(verb, 0) + 1
    return counts


def _phrases(action: Action, counts: Mapping[Verb, int], messages: Messages) -> dict[str, str]:
    by_kind = dict.fromkeys(SubjectKind, 0)
    for use in action.uses:
        kind = VERB_SUBJECT[use.verb]
        by_kind[kind] = max(by_kind[kind], counts.get(use.verb, 0))
    return {f"{kind.value}s": count_of(kind, count, messages) for kind, count in by_kind.items()}


def action_sentence(
    action: Action, counts: Mapping[Verb, int], messages: Messages, *, done: bool
) -> str:
    """What an action will do, or did, in numbers; only the verbs that have something to do are named."""
    named = _named_verbs(action)
    if all(counts.get(verb) for verb in named):
        sentence = action.done if done else action.consequence
        told = messages.t(sentence, **_phrases(action, counts, messages))
        rest = [
            verb_done(u.verb, counts.get(u.verb, 0), messages)
            for u in action.uses
            if u.verb not in named
        ]
        extra = messages.dots(part for part in rest if part)
        if not extra:
            return told
        if done:
            return messages.dots([told, extra])
        separator = "" if messages.locale == "ja" else " "
        return told + separator + messages.t("Also: {what}.", what=extra)
    parts = [verb_done(use.verb, counts.get(use.verb, 0), messages) for use in action.uses]
    told = messages.dots(part for part in parts if part)
    return told if done else messages.t("Will be carried out: {what}.", what=told)


def _named_verbs(action: Action) -> list[Verb]:
    """The verbs that an action's own sentence counts: the first of each kind that has a place in it."""
    named: dict[SubjectKind, Verb] = {}
    for use in action.uses:
        kind = VERB_SUBJECT[use.verb]
        if f"{{{kind.value}s}}" in action.consequence:
            named.setdefault(kind, use.verb)
    return list(named.values())


def post_words(facts: MemberFacts, messages: Messages) -> str:
    """What kind of post it is, and where its link leads."""
    kind, _, host = (facts.name_masked or "").partition(" ")
    known = _POSTS.get(kind)
    told = messages.t(known) if known else user_text(kind, 20)
    return messages.t("{kind} ({host})", kind=told, host=user_text(host, 40)) if host else told


def verb_done(verb: Verb, count: int, messages: Messages) -> str:
    if not count:
        return ""
    return messages.t(_VERB_DONE[verb], what=count_of(VERB_SUBJECT[verb], count, messages))


def verb_name(verb: Verb, messages: Messages) -> str:
    return messages.t(_VERB_NAMES[verb])


def approver_name(approval: Approval, names: Mapping[str, str], messages: Messages) -> str:
    """Who approved, and in whose place where they stood in for somebody."""
    name = person_name(approval.user_id, names, messages)
    if approval.on_behalf_of is None:
        return name
    other = person_name(approval.on_behalf_of, names, messages)
    return messages.t("{person} for {other}", person=name, other=other)


def cap_words(view: CaseView, messages: Messages) -> Iterator[str]:
    """What the policy's caps still leave, one phrase a cap, in the currencies of the case."""
    currencies = {m.facts.currency for m in view.members if m.facts.currency}
    for left in view.caps_left:
        parts = [
            messages.money(amount, currency)
            for amount, currency in left.amounts
            if currency in currencies
        ]
        if left.count is not None:
            parts.append(messages.n("{count} subject", "{count} subjects", left.count))
        if not parts:
            continue
        what = messages.series([action_name(name, messages) for name in left.actions])
        whose = messages.t("for you") if left.own else messages.t("for the team")
        span = messages.t("24 hours") if left.window == "day" else messages.t("1 hour")
        yield messages.t(
            "Left within {span} {whose}: {left} ({action})",
            span=span,
            whose=whose,
            left=messages.dots(parts),
            action=what,
        )


def action_name(name: str | None, messages: Messages) -> str:
    """An action or a step of a case, as a noun."""
    action = registry().get(name or "")
    if action is not None:
        return messages.t(action.title)
    if name in STEPS:
        return messages.t(STEPS[name])
    return messages.t("This action")


def button_label(action: Action, counts: Mapping[Verb, int], messages: Messages) -> str:
    """The words on an action's button; they promise no optional verb that has nothing to do."""
    main = sum(counts.get(use.verb, 0) for use in action.uses if not use.optional)
    if all(counts.get(verb) for verb in _named_verbs(action)):
        named = sum(counts.get(verb, 0) for verb in _named_verbs(action)[:1])
        return messages.t(action.button, count=messages.number(named))
    verb = next(use.verb for use in action.uses if counts.get(use.verb))
    return messages.t(
        "{verb} ({count})…", verb=verb_name(verb, messages), count=messages.number(main)
    )


def status_words(facts: MemberFacts, messages: Messages) -> str:
    """The state of a member, and whether it is held."""
    known = _STATUSES.get(facts.status or "")
    status = messages.t(known) if known else user_text(facts.status or "", 30)
    gone = facts.canceled_at is not None or facts.status in {"canceled", "cancelled"}
    if facts.held_at is not None and not gone:
        return messages.t("{status} (held)", status=status) if status else messages.t("held")
    return status


def status_name(status: str, messages: Messages) -> str:
    known = _STATUSES.get(status)
    return messages.t(known) if known else user_text(status, 30)


def account_kind(facts: MemberFacts, messages: Messages) -> str:
    """Which side of the shop an account is on, in the shop's own words."""
    if facts.is_seller is None:
        return ""
    return messages.glossary["seller" if facts.is_seller else "buyer"].capitalize()


def market_reason(code: str | None, message: str | None, messages: Messages) -> str:
    """Why the marketplace did not do something: our words for its code, the code for whoever asks there."""
    known = _MARKET_CODES.get(code or "")
    told = messages.t(known) if known else user_text(message or "", 200)
    shown = user_text(code or "", 60)
    if told and shown:
        return messages.t("{reason} ({code})", reason=told, code=shown)
    return told or shown or messages.t("no reason given")


def evidence_line(
    evidence: Collection[Evidence], messages: Messages, tz: tzinfo, *, limit: int = 6
) -> str:
    """Evidence as label and value, in the order that the detection gives."""
    return messages.dots(
        f"{user_text(messages.pick(item.label_ja, item.label_en), 40)}:"
        f" {evidence_value(item, messages, tz)}"
        for item in list(evidence)[:limit]
    )


def evidence_value(item: Evidence, messages: Messages, tz: tzinfo) -> str:
    said = messages.pick(item.value_ja, item.value_en)
    if said:
        return user_text(said, 120)
    if isinstance(item.value, int) and not isinstance(item.value, bool):
        if item.type is EvidenceType.MONEY:
            return messages.money(item.value, item.currency)
        return messages.number(item.value)
    if item.type is EvidenceType.TIME:
        try:
            when = datetime.fromisoformat(str(item.value))
        except ValueError:
            return user_text(str(item.value), 120)
        return messages.moment(when if when.tzinfo else when.replace(tzinfo=UTC), tz)
    return user_text(str(item.value), 120)


def finding_title(finding: Finding, messages: Messages) -> str:
    return user_text(messages.pick(finding.title_ja, finding.title_en), TITLE)


def ranked_findings(view: CaseView) -> list[Finding]:
    """The most severe first, then the earliest."""
    return sorted(view.findings, key=lambda finding: (finding.severity, finding.occurred_at))


def case_title(view: CaseView, messages: Messages) -> str:
    findings = ranked_findings(view)
    if findings:
        return finding_title(findings[0], messages)
    return messages.t("Case opened by hand")


def main_kind(view: CaseView) -> SubjectKind:
    """What the case is about: orders where it names any, else accounts, else listings."""
    kinds = [member.subject.kind for member in view.members if member.is_subject]
    kinds = kinds or [member.subject.kind for member in view.members]
    for kind in SubjectKind:
        if kind in kinds:
            return kind
    return SubjectKind.ORDER


def members_of(view: CaseView, kind: SubjectKind) -> list[Member]:
    return [member for member in view.members if member.subject.kind is kind]


def size_of(view: CaseView, messages: Messages) -> str:
    """How many, and how much money: the numbers of the first line."""
    kind = main_kind(view)
    parts = [count_of(kind, len(members_of(view, kind)), messages)]
    money = view.money_at_risk
    if money:
        parts.append(messages.monies(money[:2]) + (" + …" if len(money) > 2 else ""))
    return (", " if messages.locale != "ja" else "・").join(parts)


def case_name(case_id: int) -> str:
    return f"C-{case_id}"


def reason_words(reason: str | None, note: str | None, messages: Messages) -> str:
    """A reason of our lists in the reader's language, and what was written beside it."""
    told = user_text(messages.word(reason or ""), 150)
    if note:
        written = user_text(note, 300)
        return f"{told} — {written}" if told else written
    return told


def money_of(operations: Iterable[Operation]) -> tuple[tuple[int, str], ...]:
    """The money of operations, one pair a currency, dearest first."""
    sums: dict[str, int] = {}
    for operation in operations:
        if operation.amount is not None and operation.currency:
            sums[operation.currency] = sums.get(operation.currency, 0) + operation.amount
    return tuple(sorted(((amount, code) for code, amount in sums.items()), reverse=True))


def failed_line(operation: Operation, messages: Messages) -> str:
    """One operation that did not come out as wanted, and why."""
    if operation.state is OperationState.STOPPED:
        why = messages.t("stopped before it was sent")
    else:
        why = market_reason(operation.failure_code, operation.failure_message, messages)
    return messages.t(
        "{id}: {verb} not done, {reason}",
        id=subject_id(operation.subject),
        verb=verb_name(operation.verb, messages),
        reason=why,
    )
