"""Notices as a channel shows them: a first line that says it, the facts, and whom it asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import tzinfo

from bot.cards.blocks import (
    Block,
    actions,
    button,
    context,
    header,
    message_text,
    mrkdwn_section,
    sections_of,
)
from bot.cards.case_card import CardMessage
from bot.cards.wording import (
    ROLES,
    action_name,
    actor_name,
    case_name,
    count_of,
    mention_groups,
    mode_name,
    scope_name,
    verb_name,
)
from bot.domain.notices import Notice, NoticeKind
from bot.domain.proposals import ProposalKind, ProposalState
from bot.domain.subjects import SubjectKind
from bot.domain.text import user_text
from bot.domain.verbs import Verb
from bot.locale import N_, Messages

_SECTIONS = 4
_WORDS = 500
_IDS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """What a kind of notice says; all of it is shown as plain text, but for the mentions."""

    head: str
    lines: tuple[str, ...] = ()
    small: tuple[str, ...] = ()
    mentions: str = ""
    """Live mentions of those who must act, and why in the same line."""
    buttons: tuple[Block, ...] = ()


Draw = Callable[[Notice, Messages, tzinfo], Drawn]


def notice_card(notice: Notice, *, post_id: str, messages: Messages, tz: tzinfo) -> CardMessage:
    """The notice in the channel's language."""
    drawn = DRAWERS[notice.kind](notice, messages, tz)
    blocks: list[Block] = [header(drawn.head), *sections_of(drawn.lines, _SECTIONS)]
    if drawn.mentions:
        blocks.append(mrkdwn_section(drawn.mentions))
    if drawn.small:
        blocks.append(context(drawn.small))
    if drawn.buttons:
        blocks.append(actions(drawn.buttons, block_id=f"notice:{post_id[:40]}"))
    return CardMessage(
        text=message_text([drawn.head, *drawn.lines, *drawn.small]),
        blocks=blocks,
        metadata={"event_type": "mimawari_post", "event_payload": {"post_id": post_id}},
    )


def _paused(notice: Notice, messages: Messages, tz: tzinfo) -> Drawn:
    return Drawn(
        head=messages.t("🛑 Paused: {what}", what=scope_name(notice.action, messages)),
        lines=(
            messages.t(
                "{name} paused it at {when}. Reason: {reason}",
                name=actor_name(notice.by_name or notice.by, messages),
                when=messages.moment(notice.at, tz) if notice.at else "—",
                reason=words(notice.reason),
            ),
            messages.t(
                "Nothing of it is carried out until two people resume it: `/cre resume`."
                " What was under way finishes."
            ),
        ),
    )


def _resumed(notice: Notice, messages: Messages, tz: tzinfo) -> Drawn:  # noqa: ARG001
    return Drawn(
        head=messages.t("▶️ Resumed: {what}", what=scope_name(notice.action, messages)),
        lines=(
            messages.t(
                "Proposed by {name}, approved by {other}.",
                name=actor_name(notice.by_name or notice.by, messages),
                other=messages.series(actor_name(name, messages) for name in notice.names),
            ),
        ),
    )


def _glass_broken(notice: Notice, messages: Messages, tz: tzinfo) -> Drawn:
    t = messages.t
    case = case_name(notice.case_id) if notice.case_id is not None else "—"
    ids = messages.series(user_text(id_, 60) for id_ in notice.subject_ids[:_IDS])
    more = len(notice.subject_ids) - _IDS
    if more > 0:
        ids += " " + messages.n("and {count} more", "and {count} more", more)
    facts = [case, action_name(notice.action, messages), ids]
    if notice.amounts:
        facts.append(messages.monies(notice.amounts[:3]))
    return Drawn(
        head=t("🚨 Emergency: {case} was let through by one person alone", case=case),
        lines=(
            t(
                "{name} did it alone ({when}).",
                name=actor_name(notice.by_name or notice.by, messages),
                when=messages.moment(notice.at, tz) if notice.at else "—",
            ),
            t("Reason: {reason}", reason=words(notice.reason)),
            messages.dots(fact for fact in facts if fact),
            t("Somebody else must review it; that stays open until it is done."),
        ),
    )


def _new_role(notice: Notice, messages: Messages, tz: tzinfo) -> Drawn:
    t = messages.t
    role = t(ROLES[notice.role]) if notice.role in ROLES else "—"
    name = actor_name(notice.person_name or notice.person, messages)
    lines = [t("{name} is in a user group that carries this role now.", name=name)]
    if notice.until is not None:
        when = messages.moment(notice.until, tz)
        lines.append(t("It counts from {when} on.", when=when))
    lines.append(t("If nobody meant that, take them out of the group and say so here."))
    return Drawn(head=t("👤 New role “{role}”: {name}", role=role, name=name), lines=tuple(lines))


def _delegated(notice: Notice, messages: Messages, tz: tzinfo) -> Drawn:
    t = messages.t
    names = {
        "person": actor_name(notice.person_name or notice.person, messages),
        "other": actor_name(notice.by_name or notice.by, messages),
    }
    if notice.kind is NoticeKind.DELEGATION_ENDED:
        return Drawn(head=t("🔁 {person} stands in for {other} no more", **names))
    days = [messages.day(when, tz) for when in (notice.at, notice.until) if when is not None]
    return Drawn(
        head=t("🔁 {person} stands in for {other}", **names),
        lines=(
            t(
                "{days}: {person} may approve what {other} may, but nothing that either asked for.",
                days=" – ".join(dict.fromkeys(days)),
                **names,
            ),
            t(
                "Said by {name}.",
                name=messages.series(actor_name(one, messages) for one in notice.names),
            ),
        ),
    )


def _shift(notice: Notice, messages: Messages, tz: tzinfo) -> Drawn:
    """What the shift finds: what was held meanwhile, and what could not be."""
    t = messages.t
    counts = dict(notice.counts)

    def orders(name: str, amounts: tuple[tuple[int, str], ...] = ()) -> str:
        what = count_of(SubjectKind.ORDER, counts.get(name, 0), messages)
        if not amounts:
            return what
        return t("{what} ({money})", what=what, money=messages.monies(amounts[:3]))

    lines = [
        t(
            "On hold: {what}. Each hold ends unless somebody decides or extends it.",
            what=orders("held", notice.amounts),
        )
        if counts.get("held")
        else t("Nothing is on hold.")
    ]
    if counts.get("unsure"):
        lines.append(t("Held, but not confirmed or not successful: {what}.", what=orders("unsure")))
    for name, words_of in (
        ("cap", N_("Not held, since the night's cap is reached: {what}.")),
        ("paused", N_("Not held, since holding is paused: {what}.")),
    ):
        if counts.get(name):
            lines.append(t(words_of, what=orders(name)))
    if notice.left_amounts:
        lines.append(
            t("Money that was not held: {money}", money=messages.monies(notice.left_amounts[:3]))
        )
    ids = messages.series(case_name(case_id) for case_id in notice.case_ids)
    more = notice.count - len(notice.case_ids)
    if more > 0:
        ids += " " + messages.n("and {count} more", "and {count} more", more)
    when = messages.moment(notice.at, tz) if notice.at else "—"
    return Drawn(
        head=messages.n(
            "🌙 Outside staffed hours: {count} case",
            "🌙 Outside staffed hours: {count} cases",
            notice.count,
        ),
        lines=(*lines, t("Please look at these first: {cases}", cases=ids or "—")),
        small=(t("Until the shift of {when}.", when=when),),
    )


def _policy_adopted(notice: Notice, messages: Messages, tz: tzinfo) -> Drawn:  # noqa: ARG001
    who = (
        messages.t(
            "Approved by {names}.",
            names=messages.series(actor_name(name, messages) for name in notice.names),
        )
        if notice.names
        else messages.t("It came from the policy's file, whose changes are reviewed.")
    )
    return Drawn(
        head=messages.t("📘 Another policy is in force"),
        lines=(who, *_policy_lines(notice, messages)),
        small=(messages.t("▲ lets more through, ▼ less"),) if notice.lines else (),
    )


def _detection_files(notice: Notice, messages: Messages, tz: tzinfo) -> Drawn:  # noqa: ARG001
    t = messages.t
    lines = tuple(user_text(line, _WORDS) for line in notice.lines)
    if notice.detail == "changed":
        return Drawn(
            head=t("🔎 The detections have changed"),
            lines=lines,
            small=(
                t(
                    "+ came, ~ changed, - went. They come from the folder of detections, and count from now on."
                ),
            ),
        )
    names = messages.series(user_text(name, 80) for name in notice.names)
    small = [t("All other detections go on. “mimawari rules check” tries a mended file.")]
    if names:
        small.insert(0, t("In their last good version go on: {names}.", names=names))
    return Drawn(head=t("⚠️ A file of the detections is refused"), lines=lines, small=tuple(small))


def _policy_lines(notice: Notice, messages: Messages) -> list[str]:
    if not notice.lines:
        return [messages.t("Only its words changed, nothing of what it allows.")]
    return [user_text(line, 300) for line in notice.lines]


def _overdue(notice: Notice, messages: Messages, tz: tzinfo) -> Drawn:  # noqa: ARG001
    t = messages.t
    verb = verb_name(Verb(notice.action), messages) if notice.action in set(Verb) else "—"
    ids = messages.series(user_text(id_, 60) for id_ in notice.subject_ids[:_IDS])
    case = case_name(notice.case_id) if notice.case_id is not None else "—"
    return Drawn(
        head=t("⏱️ Outcome unknown for {count} min: {case}", count=notice.count, case=case),
        lines=(
            messages.dots([verb, ids]),
            t(
                "It was sent, and nobody knows whether it took effect. Please do not repeat it by hand:"
                " look in the back office, then record on the card what you found."
            ),
        ),
    )


def _proposal(notice: Notice, messages: Messages, tz: tzinfo) -> Drawn:
    """What is asked, who agreed so far, and the buttons while it is open."""
    t = messages.t
    name = actor_name(notice.by_name or notice.by, messages)
    when = messages.moment(notice.at, tz) if notice.at else "—"
    case = case_name(notice.case_id) if notice.case_id is not None else "—"
    lines: list[str] = []
    match notice.detail:
        case "resume":
            head = t("🟠 Resume? {what}", what=scope_name(notice.action, messages))
            lines.append(t("{name} asks to resume it ({when}).", name=name, when=when))
            lines.append(t("It was paused for this reason: {reason}", reason=words(notice.reason)))
        case "policy":
            head = t("🟠 Put the changed policy in force?")
            lines.append(t("The policy was changed by {name} ({when}).", name=name, when=when))
            lines += _policy_lines(notice, messages)
        case "mode":
            head = t(
                "🟠 “{mode}” for the detection “{title}”?",
                mode=mode_name(notice.mode, messages),
                title=_title(notice, messages),
            )
            lines.append(t("{name} proposes it ({when}).", name=name, when=when))
            lines.append(t("Reason: {reason}", reason=words(notice.reason)))
            lines += _results(notice, messages)
        case _:
            head = t("🟠 Review: {case} was let through by one person", case=case)
            lines.append(t("{name} did it alone ({when}).", name=name, when=when))
            lines.append(t("Reason: {reason}", reason=words(notice.reason)))
            lines.append(t("Somebody else must look at it and say whether it was justified."))
    lines += _answers(notice, messages, tz)
    is_open = notice.state == ProposalState.OPEN
    return Drawn(
        head=head,
        lines=tuple(lines),
        small=(t("▲ lets more through, ▼ less"),) if notice.lines else (),
        mentions=mentions_of(notice, t("Please answer this.")) if is_open else "",
        buttons=_proposal_buttons(notice, messages) if is_open else (),
    )


def _answers(notice: Notice, messages: Messages, tz: tzinfo) -> list[str]:
    t = messages.t
    review = notice.detail == ProposalKind.REVIEW
    who = actor_name(notice.person_name or notice.person, messages)
    told = []
    if notice.names and not review:
        agreed = messages.series(actor_name(one, messages) for one in notice.names)
        told.append(t("Approved by {names}.", names=agreed))
    match notice.state:
        case ProposalState.OPEN:
            if not review:
                told.append(
                    messages.n(
                        "{count} more person must approve it.",
                        "{count} more people must approve it.",
                        notice.count,
                    )
                )
            if notice.until is not None:
                told.append(t("This ends at {when}.", when=messages.moment(notice.until, tz)))
        case ProposalState.APPROVED if review:
            told.append(t("✅ {name}: it was justified. {note}", name=who, note=words(notice.note)))
        case ProposalState.REJECTED if review:
            told.append(
                t("⚠️ {name}: it was not justified. {note}", name=who, note=words(notice.note))
            )
        case ProposalState.APPROVED:
            told.append(t("✅ Approved, and in force."))
        case ProposalState.REJECTED:
            told.append(t("Turned down by {name}.", name=who))
        case ProposalState.EXPIRED:
            told.append(t("It ran out without an answer."))
        case _:
            told.append(t("Another proposal has taken its place."))
    return told


def _proposal_buttons(notice: Notice, messages: Messages) -> tuple[Block, ...]:
    value = notice.proposal_id or "-"
    if notice.detail == ProposalKind.REVIEW:
        return (
            button(messages.t("It was justified…"), action_id="act:review_justified", value=value),
            button(
                messages.t("It was not justified…"),
                action_id="act:review_not",
                value=value,
                style="danger",
            ),
        )
    return (
        button(
            messages.t("Approve"), action_id="act:proposal_approve", value=value, style="primary"
        ),
        button(messages.t("Reject"), action_id="act:proposal_reject", value=value),
    )


def _results(notice: Notice, messages: Messages) -> list[str]:
    """What a detection has shown so far, in whatever mode."""
    counts = dict(notice.counts)
    days, decided = counts.get("days", 0), counts.get("fraud", 0) + counts.get("good", 0)
    told = [
        messages.t(
            "It found {findings} in {days} days; {decided} of these are decided.",
            findings=messages.number(counts.get("findings", 0)),
            days=messages.number(days),
            decided=messages.number(decided),
        )
    ]
    if decided:
        told.append(
            messages.t(
                "It was right in {percent} % of what was decided.",
                percent=messages.number(round(100 * counts.get("fraud", 0) / decided)),
            )
        )
    return told


def _title(notice: Notice, messages: Messages) -> str:
    """A detection as people call it, and by its name."""
    name = (notice.by or "").removeprefix("detection:") or notice.action or "—"
    title = messages.pick(notice.title_ja, notice.title_en) or name
    return user_text(title, 80)


DETECTION_NEWS: Mapping[str, tuple[str, str]] = {
    "unreachable": (
        N_("⚠️ The detections cannot read their data"),
        N_(
            "The database that they read has not answered for a minute. Nothing is found until it does."
        ),
    ),
    "unreachable_over": (
        N_("✅ The detections read their data again"),
        N_("What was missed meanwhile is looked at now."),
    ),
    "failing": (
        N_("⚠️ The detection “{title}” fails"),
        N_("It has found nothing since. `/cre rules` shows its last error."),
    ),
    "failing_over": (
        N_("✅ The detection “{title}” runs again"),
        N_("What it missed meanwhile it has looked at now."),
    ),
    "slow": (
        N_("⚠️ The detection “{title}” has become slow"),
        N_("Its latest runs took more than five times as long as before. It goes on meanwhile."),
    ),
    "slow_over": (
        N_("✅ The detection “{title}” is fast again"),
        N_("It takes about as long as before."),
    ),
    "silent": (
        N_("⚠️ The detection “{title}” has gone silent"),
        N_(
            "It used to find about {count} a day, and has found nothing for a day or more. Please look whether the"
            " data that it reads still arrives."
        ),
    ),
    "silent_over": (
        N_("✅ The detection “{title}” finds something again"),
        N_("Its silence is over."),
    ),
    "flood": (
        N_("🛑 The detection “{title}” found too much and is back in shadow"),
        N_(
            "It found {count} within a day, more than its daily cap. The dearest have their cards; the others, and"
            " whatever comes now, are stored and not posted until two people put it back: `/cre rules`."
        ),
    ),
    "band": (
        N_("🛑 The detection “{title}” found far more than ever and is back in shadow"),
        N_(
            "It found {count} within a day, many times its usual. The dearest have their cards; the others, and"
            " whatever comes now, are stored and not posted until two people put it back: `/cre rules`."
        ),
    ),
    "overturned": (
        N_("🛑 The detection “{title}” was wrong too often and is back in shadow"),
        N_(
            "Too much of what it did by itself was judged not to be fraud. What it finds is stored and not posted"
            " until two people put it back: `/cre rules`."
        ),
    ),
    "file_changed": (
        N_("🔁 The detection “{title}” has changed and is back in review"),
        N_(
            "Its file is not the one that was approved for automatic. It does nothing by itself now."
        ),
    ),
    "baseline": (
        N_("📋 The detection “{title}” ran for the first time"),
        N_("What was there before, {count} in all, is stored as its baseline and opens no case."),
    ),
}


def _detection(notice: Notice, messages: Messages, tz: tzinfo) -> Drawn:  # noqa: ARG001
    t = messages.t
    title = _title(notice, messages)
    name = user_text((notice.by or "").removeprefix("detection:"), 80)
    small = () if name.startswith("source:") else (t("Detection: {name}", name=name),)
    if notice.detail not in DETECTION_NEWS:
        mode = mode_name(notice.mode, messages)
        return Drawn(
            head=t("🔁 The detection “{title}” is in “{mode}” now", title=title, mode=mode),
            lines=(
                t(
                    "Proposed by {name}, approved by {other}.",
                    name=actor_name(notice.names[0], messages) if notice.names else "—",
                    other=messages.series(actor_name(one, messages) for one in notice.names[1:]),
                ),
            ),
            small=small,
        )
    head, line = DETECTION_NEWS[notice.detail or ""]
    return Drawn(
        head=t(head, title=title),
        lines=(t(line, count=messages.number(notice.count)),),
        small=small,
        mentions=mentions_of(notice, t("Please look at this.")),
    )


_REDASH_NEWS: Mapping[str, tuple[str, str]] = {
    "stale": (
        N_("⚠️ The Redash query of “{title}” does not run"),
        N_(
            "Its latest result is of {when}. Redash tells nobody of a query that fails, and judges no alert of it:"
            " please open it there, see why, and run it once."
        ),
    ),
    "stale_over": (
        N_("✅ The Redash query of “{title}” runs again"),
        N_("Its rows are looked at as before."),
    ),
    "idle": (
        N_("⚠️ The Redash query of “{title}” is not scheduled"),
        N_(
            "It has no schedule in Redash, is archived or is not there any more: nothing of it is found. Please give"
            " it a schedule, or take it out of the map."
        ),
    ),
    "idle_over": (
        N_("✅ The Redash query of “{title}” is scheduled again"),
        N_("Its rows are looked at as before."),
    ),
    "misfit": (
        N_("⚠️ Rows of the Redash query of “{title}” were left out"),
        N_("These columns are not what the map says. All other rows were looked at."),
    ),
    "misfit_over": (
        N_("✅ All rows of the Redash query of “{title}” fit again"),
        N_("Its rows are looked at as before."),
    ),
    "hidden": (
        N_("⚠️ Redash does not show us the query of “{title}”"),
        N_(
            "The key may not see it, so nothing of it is found. Please give its user a group with that data source."
        ),
    ),
    "hidden_over": (
        N_("✅ Redash shows us the query of “{title}” again"),
        N_("Its rows are looked at as before."),
    ),
    "away": (
        N_("⚠️ Redash does not answer"),
        N_(
            "None of its alerts and queries is seen since {when}. What they find meanwhile is caught up when it"
            " answers again."
        ),
    ),
    "key": (
        N_("⚠️ Redash refuses our key"),
        N_(
            "None of its alerts and queries is seen. Somebody who runs the bot must give it another key:"
            " `mimawari doctor` says more."
        ),
    ),
    "away_over": (
        N_("✅ Redash answers again"),
        N_("What its queries found meanwhile is looked at now."),
    ),
}
_MISFITS: Mapping[str, str] = {
    "missing": N_("{column}: the query has no such column ({count} rows)"),
    "empty": N_("{column}: empty ({count} rows)"),
    "no_id": N_("{column}: no id ({count} rows)"),
    "no_number": N_("{column}: no number ({count} rows)"),
    "no_money": N_("{column}: no amount of money ({count} rows)"),
    "no_time": N_("{column}: no time ({count} rows)"),
    "no_currency": N_("{column}: no currency such as JPY ({count} rows)"),
}


def _redash(notice: Notice, messages: Messages, tz: tzinfo) -> Drawn:
    t = messages.t
    head, line = _REDASH_NEWS.get(notice.detail or "", _REDASH_NEWS["away"])
    when = messages.moment(notice.at, tz) if notice.at else "—"
    lines = [t(line, when=when)]
    for told, count in notice.counts:
        problem, _, column = told.partition(":")
        said = _MISFITS.get(problem, _MISFITS["no_id"])
        lines.append(t(said, column=user_text(column, 60) or "—", count=messages.number(count)))
    small = []
    if notice.by:
        small.append(
            t("Detection: {name}", name=user_text(notice.by.removeprefix("detection:"), 80))
        )
    if notice.subject_ids:
        small.append(t("Query {id} in Redash", id=user_text(notice.subject_ids[0], 20) or "—"))
    return Drawn(
        head=t(head, title=_title(notice, messages)), lines=tuple(lines), small=tuple(small)
    )


def words(text: str | None) -> str:
    """What somebody wrote, on one line."""
    return user_text(text or "—", _WORDS)


def mentions_of(notice: Notice, sentence: str) -> str:
    """The groups that must act, and what; nothing where there are none."""
    groups = mention_groups(notice.groups)
    return f"{groups} {sentence}" if groups else ""


DRAWERS: Mapping[NoticeKind, Draw] = {
    NoticeKind.PAUSED: _paused,
    NoticeKind.RESUMED: _resumed,
    NoticeKind.GLASS_BROKEN: _glass_broken,
    NoticeKind.NEW_ROLE: _new_role,
    NoticeKind.DELEGATED: _delegated,
    NoticeKind.DELEGATION_ENDED: _delegated,
    NoticeKind.SHIFT: _shift,
    NoticeKind.POLICY_ADOPTED: _policy_adopted,
    NoticeKind.OVERDUE: _overdue,
    NoticeKind.DETECTION_FILES: _detection_files,
    NoticeKind.PROPOSAL: _proposal,
    NoticeKind.DETECTION: _detection,
    NoticeKind.REDASH: _redash,
}
"""One drawing function a kind; a test looks that none is missing."""
