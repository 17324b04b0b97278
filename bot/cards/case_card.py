"""The card of a case: a pure function of the case as of a revision and the moment of drawing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from bot.cards import progress
from bot.cards.blocks import (
    Block,
    actions,
    context,
    header,
    message_text,
    mrkdwn_section,
    section,
    table,
    with_accessory,
)
from bot.cards.brake_lines import brake_lines, was_dry_run
from bot.cards.case_buttons import buttons, folded_menu
from bot.cards.modal_by_hand import hand_link
from bot.cards.progress import is_by_hand
from bot.cards.ring_lines import linked_by, ring_line, tied_line
from bot.cards.wording import (
    account_kind,
    cap_words,
    case_name,
    case_title,
    count_of,
    evidence_line,
    finding_title,
    main_kind,
    members_of,
    named,
    person_name,
    post_words,
    ranked_findings,
    severity_tag,
    size_of,
    status_words,
    subject_id,
)
from bot.domain.cases import CaseState, CaseView, Member, Precision
from bot.domain.findings import Finding
from bot.domain.subjects import SubjectKind
from bot.domain.text import user_text
from bot.locale import Messages

ROWS = 5
_FINDINGS = 3
_EVIDENCE = (4, 2)
"""How much evidence of the first detection, and of each other one; the details have all of it."""
_IDS = 6
_ACCOUNTS = 4
_MASKS = "*＊∗"
_CLOSED = frozenset({CaseState.DONE, CaseState.DISMISSED})


@dataclass(frozen=True, slots=True, kw_only=True)
class CardMessage:
    """What chat.postMessage and chat.update are given."""

    text: str
    blocks: list[Block]
    metadata: Block


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """What a card is drawn with; `now` is the market's clock, `wall` the database's."""

    view: CaseView
    now: datetime
    wall: datetime
    tz: tzinfo
    messages: Messages
    dry_run: bool = False


def case_card(
    view: CaseView,
    *,
    now: datetime,
    tz: tzinfo,
    messages: Messages,
    policy_note: str | None = None,
    wall: datetime | None = None,
    dry_run: bool = False,
) -> CardMessage:
    """The card of a case through its whole life.

    Args:
        now: the market's clock, by which orders are shipped and sellers paid.
        wall: the database's clock, by which requests live and answers are awaited; `now` where the
            two are one.
        dry_run: nothing of what is decided now will be carried out.
    """
    drawing = Drawing(
        view=view, now=now, wall=wall or now, tz=tz, messages=messages, dry_run=dry_run
    )
    if view.folded and view.state in _CLOSED:
        return _folded(drawing)
    title = _title(drawing)
    lines = list(_lines(drawing))
    rows = [] if view.state in _CLOSED else _rows(drawing)
    left = len(members_of(view, main_kind(view))) - ROWS
    rest = [messages.n("and {count} more", "and {count} more", left)] if rows and left > 0 else []
    proof = [] if view.state in _CLOSED else list(_proof(drawing))
    if view.state not in _CLOSED:
        proof.extend(cap_words(view, messages))
    if policy_note:
        proof.append(user_text(policy_note, 300))
    foot = _foot(drawing)
    elements = buttons(view, messages)

    blocks = [header(title), *(section(line) for line in lines)]
    if rows:
        blocks.append(table(rows, right=_money_columns(rows, messages)))
    if rest:
        blocks.append(context(rest))
    links = [
        hand_link(view, operation, messages)
        for operation in view.operations
        if is_by_hand(operation)
    ]
    if links:
        blocks.append(mrkdwn_section("\n".join(f"• {link}" for link in links[:ROWS])))
    if proof:
        blocks.append(context(proof))
    blocks.append(context([foot]))
    if elements:
        # A new id with every version: Slack would else keep what a person had chosen in it.
        blocks.append(actions(elements, block_id=f"case:{view.case_id}:{view.version}"))
    told = [title, *lines, *(messages.dots(row) for row in rows), *rest, *proof, foot]
    return CardMessage(
        text=message_text(told),
        blocks=blocks,
        metadata={"event_type": "mimawari_case", "event_payload": {"case_id": view.case_id}},
    )


def _folded(drawing: Drawing) -> CardMessage:
    """One line: what came of it, and what it was."""
    view, messages = drawing.view, drawing.messages
    outcome = next(
        iter(progress.state_lines(view, messages, tz=drawing.tz, wall=drawing.wall)), ""
    ).partition("\n")[0]
    if was_dry_run(view):
        outcome = messages.t("🧪 Dry run: {outcome}", outcome=outcome)
    line = messages.dots([outcome, case_name(view.case_id), _title(drawing)])
    return CardMessage(
        text=message_text([line]),
        blocks=[
            with_accessory(
                section(line, block_id=f"case:{view.case_id}:{view.version}"),
                folded_menu(view, messages),
            )
        ],
        metadata={"event_type": "mimawari_case", "event_payload": {"case_id": view.case_id}},
    )


def _title(drawing: Drawing) -> str:
    view, messages = drawing.view, drawing.messages
    what = messages.t(
        "{title} — {size}", title=case_title(view, messages), size=size_of(view, messages)
    )
    if view.state in _CLOSED:
        return what
    mark, tag = severity_tag(view.severity, messages)
    return f"{mark}{tag}{what}" if messages.locale == "ja" else f"{mark} {tag} {what}"


def _lines(drawing: Drawing) -> Iterator[str]:
    view, messages = drawing.view, drawing.messages
    yield from brake_lines(
        view, messages, tz=drawing.tz, wall=drawing.wall, dry_run=drawing.dry_run
    )
    yield from progress.state_lines(view, messages, tz=drawing.tz, wall=drawing.wall)
    yield from progress.final_step_lines(view, messages, tz=drawing.tz)
    yield from progress.hold_lines(view, messages, tz=drawing.tz, wall=drawing.wall)
    if view.state in _CLOSED:
        yield _about(drawing)
        return
    facts = list(_facts(drawing))
    if facts:
        yield "\n".join(facts)
    joined = [line for line in (ring_line(view, messages), tied_line(view, messages)) if line]
    if joined:
        yield "\n".join(joined)
    clock = _clock(drawing)
    if clock:
        yield clock


def _facts(drawing: Drawing) -> Iterator[str]:
    """Who, and what speaks against them."""
    view, messages = drawing.view, drawing.messages
    if main_kind(view) is SubjectKind.ORDER:
        who = _who(view, messages)
        if who:
            yield who
    # The worst finding of each detection: more of the same are more rows of the table.
    findings: dict[str, Finding] = {}
    for finding in ranked_findings(view):
        findings.setdefault(finding.detection, finding)
    for index, finding in enumerate(list(findings.values())[:_FINDINGS]):
        evidence = evidence_line(
            finding.evidence, messages, drawing.tz, limit=_EVIDENCE[min(index, 1)]
        )
        if index == 0:
            if evidence:
                yield evidence
        else:
            title = finding_title(finding, messages)
            yield f"{title} — {evidence}" if evidence else title
    if not findings and view.opened_by is not None:
        yield messages.t("Opened by {name}.", name=named(view.opened_by, view.names, messages))


def _about(drawing: Drawing) -> str:
    """What a closed case was about, by id, now that the table is gone."""
    view, messages = drawing.view, drawing.messages
    done = progress.lasting(view.operations)
    subjects = list(dict.fromkeys(operation.subject for operation in done)) or [
        member.subject for member in members_of(view, main_kind(view))
    ]
    ids = [subject_id(subject) for subject in subjects[:_IDS]]
    if len(subjects) > _IDS:
        ids.append(messages.n("and {count} more", "and {count} more", len(subjects) - _IDS))
    return messages.t("About: {ids}", ids=messages.series(ids))


def _who(view: CaseView, messages: Messages) -> str:
    accounts = members_of(view, SubjectKind.ACCOUNT)
    sellers = sum(1 for member in accounts if member.facts.is_seller)
    buyers = sum(1 for member in accounts if member.facts.is_seller is False)
    parts = []
    if sellers:
        parts.append(messages.n("{count} {seller}", "{count} {sellers}", sellers))
    if buyers:
        parts.append(messages.n("{count} {buyer}", "{count} {buyers}", buyers))
    unknown = len(accounts) - sellers - buyers
    if unknown:
        parts.append(count_of(SubjectKind.ACCOUNT, unknown, messages))
    if not parts:
        return ""
    names = [
        messages.t("{id} ({name})", id=subject_id(member.subject), name=_name_of(member))
        if _name_of(member).strip(_MASKS)
        else subject_id(member.subject)
        for member in accounts[:_ACCOUNTS]
    ]
    if len(accounts) > _ACCOUNTS:
        more = len(accounts) - _ACCOUNTS
        names.append(messages.n("and {count} more", "and {count} more", more))
    return messages.t(
        "Involved: {who}: {names}", who=messages.all_of(parts), names=messages.series(names)
    )


def _clock(drawing: Drawing) -> str:
    """The time that matters: until something leaves the house, and until money does."""
    view, messages = drawing.view, drawing.messages
    orders = members_of(view, SubjectKind.ORDER)
    parts: list[str] = []
    running = [member.facts for member in orders if _runs(member)]
    due = min((facts.ship_due_at for facts in running if facts.ship_due_at), default=None)
    if due is not None:
        left = due - drawing.now
        when = messages.moment(due, drawing.tz, drawing.now)
        if left > timedelta(0):
            span = messages.span(left)
            parts.append(
                messages.t("Earliest shipping deadline in {span} ({when})", span=span, when=when)
            )
        else:
            parts.append(messages.t("Earliest shipping deadline has passed ({when})", when=when))
    paying = [member.facts for member in orders if _pays(member)]
    payout = min(
        (f.payout_at for f in paying if f.payout_at and f.payout_at > drawing.now), default=None
    )
    if payout is not None:
        span = messages.span(payout - drawing.now)
        parts.append(messages.t("payout in {span}", span=span))
    held = sum(1 for member in orders if member.facts.held_at and not _is_canceled(member))
    if held:
        what = count_of(SubjectKind.ORDER, held, messages)
        parts.append(messages.t("{what} held", what=what))
    return messages.dots(parts)


def _is_canceled(member: Member) -> bool:
    facts = member.facts
    return facts.canceled_at is not None or facts.status == "canceled"


def _runs(member: Member) -> bool:
    """Whether an order may still be shipped by itself."""
    facts = member.facts
    gone = facts.shipped_at is not None or facts.status in {"shipped", "delivered", "completed"}
    return not gone and facts.held_at is None and not _is_canceled(member)


def _pays(member: Member) -> bool:
    """Whether an order's money may still flow to the seller by itself."""
    return member.facts.held_at is None and not _is_canceled(member)


def _name_of(member: Member) -> str:
    return user_text(member.facts.name_masked or "", 30)


def _rows(drawing: Drawing) -> list[list[str]]:
    """The dearest members as a table; a column that the marketplace does not record is left out."""
    view, messages, tz = drawing.view, drawing.messages, drawing.tz
    kind = main_kind(view)
    members = members_of(view, kind)[:ROWS]
    if not members:
        return []
    ids = [subject_id(member.subject) for member in members]
    names = [_name_of(member) for member in members]
    status = [status_words(member.facts, messages) for member in members]
    amounts = [
        messages.money(member.facts.amount, member.facts.currency)
        if member.facts.amount is not None
        else ""
        for member in members
    ]
    links = [linked_by(view, member.subject, messages) for member in members]
    columns: list[tuple[str, list[str]]]
    match kind:
        case SubjectKind.ORDER:
            due = [
                messages.moment(at, tz, drawing.now) if (at := member.facts.ship_due_at) else ""
                for member in members
            ]
            columns = [
                (messages.t("Order"), ids),
                (messages.glossary["buyer"].capitalize(), names),
                (messages.t("Amount"), amounts),
                (messages.t("State"), status),
                (messages.t("Ship by"), due),
                (messages.t("In common"), links),
            ]
        case SubjectKind.ACCOUNT:
            kinds = [account_kind(member.facts, messages) for member in members]
            since = [
                messages.day(at, tz) if (at := member.facts.created_at) else ""
                for member in members
            ]
            columns = [
                (messages.t("Account"), ids),
                (messages.t("Name"), names),
                (messages.t("Kind"), kinds),
                (messages.t("State"), status),
                (messages.t("Registered"), since),
                (messages.t("In common"), links),
            ]
        case SubjectKind.LISTING:
            columns = [
                (messages.t("Listing"), ids),
                (messages.t("Title"), names),
                (messages.t("Price"), amounts),
                (messages.t("State"), status),
            ]
        case SubjectKind.POST:
            columns = [
                (messages.t("Post"), ids),
                (messages.t("Kind"), [post_words(member.facts, messages) for member in members]),
                (messages.t("State"), status),
            ]
        case SubjectKind.DETECTION:
            columns = [(messages.t("Detection"), ids)]
    told = [(head, cells) for head, cells in columns if any(cells)]
    heads = [head for head, _ in told]
    return [heads, *([cells[row] or "—" for _, cells in told] for row in range(len(members)))]


def _money_columns(rows: list[list[str]], messages: Messages) -> list[int]:
    money = {messages.t("Amount"), messages.t("Price")}
    return [index for index, head in enumerate(rows[0]) if head in money]


def _proof(drawing: Drawing) -> Iterator[str]:
    """How often these detections were right."""
    view, messages = drawing.view, drawing.messages
    known = {precision.detection: precision for precision in view.precisions}
    titles: dict[str, str] = {}
    for finding in ranked_findings(view):
        titles.setdefault(finding.detection, finding_title(finding, messages))
    shown = dict(list(titles.items())[:4])
    judged = {name for name in shown if name in known and known[name].decided}
    if not shown:
        return
    told = [
        messages.t(
            "{title} ({precision})", title=title, precision=_precision(known[name], messages)
        )
        if name in judged
        else title
        for name, title in shown.items()
    ]
    detections = messages.series(told)
    if not judged:
        # Said once for all of them.
        detections = messages.t(
            "{title} ({precision})",
            title=detections,
            precision=messages.t("no verdicts yet in 30 days"),
        )
    yield messages.t("Detected by: {detections}", detections=detections)


def _precision(precision: Precision, messages: Messages) -> str:
    return messages.n(
        "right in {percent}%, {count} verdict in 30 days",
        "right in {percent}%, {count} verdicts in 30 days",
        precision.decided,
        percent=round(100 * precision.confirmed / precision.decided),
    )


def _foot(drawing: Drawing) -> str:
    view, messages = drawing.view, drawing.messages
    when = messages.moment(view.opened_at, drawing.tz, drawing.now)
    opened = (
        messages.t(
            "opened {when} by {name}", when=when, name=_person(view, view.opened_by, messages)
        )
        if view.opened_by is not None
        else messages.t("detected {when}", when=when)
    )
    assignee = _person(view, view.assignee, messages) if view.assignee else messages.t("nobody yet")
    return messages.dots(
        [
            messages.t("Case {case}", case=case_name(view.case_id)),
            opened,
            messages.t("looked after by: {name}", name=assignee),
            *(
                [messages.n("{count} note", "{count} notes", view.note_count)]
                if view.note_count
                else []
            ),
        ]
    )


def _person(view: CaseView, user_id: str | None, messages: Messages) -> str:
    return person_name(user_id, view.names, messages)
